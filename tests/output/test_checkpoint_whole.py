"""A checkpoint is whole after a kill at any act of a save, on a full disk and on a failing one."""
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset import classes
from model.init import OPT
from model.weights import read_weights
from output.checkpoint import Checkpoint
from output.resume import new_progress
from tests.runner import contents, message, says


@pytest.fixture(autouse=True)
def without_the_disk(monkeypatch):
    """A kill loses nothing of what was written; only a power failure would."""
    monkeypatch.setattr(os, 'fsync', lambda descriptor: None)


class Stub:
    """Stands for TrainStep in Checkpoint.save: each tensor holds the number of steps. Needs no Paddle, so it can fork.
    """

    def __init__(self, steps):
        self.steps, self.g_losses, self.loss_scales = steps, {}, []
        self.generator = self.discriminator = self.encoder = self.optimizer_g = self.optimizer_d = self

    def state_dict(self):
        return {name: np.full(1000, self.steps) for name in 'ab'}

    def named_parameters(self):
        return []


def stub_save(output, steps, keep_epoch=None):
    Checkpoint(output).save(Stub(steps), OPT(output=output), {**new_progress('set', 2), 'epoch': steps}, keep_epoch)


def generation(output):
    """The step of all files under the fixed names; fails if they differ, or if a file is missing."""
    output = Path(output)
    steps = {json.loads((output / 'model/progress.json').read_text())['step']}
    for name in ('n_g', 'n_d', 'n_e'):
        steps |= {value for array in read_weights(output / f'model/{name}.pdparams').values()
                  for value in array.tolist()}
    steps |= {int(np.load(output / name)) for name in ('model/current_epoch.npy', 'current_epoch.npy')}
    assert (output / 'model/n_g.pdopt').is_file() and (output / 'model/n_d.pdopt').is_file()
    OPT.load(output / 'model/opt.json')
    assert len(steps) == 1, steps
    return steps.pop()


def dies_in_save(output, steps, moment):
    """Fork, save in the child, and end it without any clean-up at its `moment`-th act on the file system;
    whether it died.
    """
    child = os.fork()
    if child == 0:
        acts = iter(range(10 ** 6))

        def die(event, arguments):
            if event in ('open', 'os.mkdir', 'os.rename', 'os.symlink', 'os.link', 'os.remove', 'os.rmdir',
                         'os.scandir', 'os.listdir') and next(acts) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        try:
            sys.addaudithook(die)
            stub_save(output, steps, keep_epoch=steps)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize('state', ['as it was', pytest.param('copied without links', marks=pytest.mark.thorough)])
def test_killed_at_every_act_of_a_save(tmp_path, state):
    """Afterwards the names resolve to the last or the new checkpoint, and the next save works."""
    seen, moment, died = set(), 0, True
    while died:
        output = tmp_path / str(moment)
        stub_save(output, 1)
        stub_save(output, 2)
        if state == 'copied without links':
            shutil.copytree(output, tmp_path / 'copy')
            shutil.rmtree(output)
            shutil.move(tmp_path / 'copy', output)
            assert not (output / 'model').is_symlink()
        died = dies_in_save(output, 3, moment)
        assert Checkpoint(output).progress()['step'] in (2, 3)     # mends a lost link
        seen.add(generation(output) if (output / 'model').is_symlink() else Checkpoint(output).progress()['step'])
        for kept in output.glob('epoch_*[0-9]'):
            assert read_weights(kept / 'n_g.pdparams')['a'][0] == 3
        stub_save(output, 3, keep_epoch=3)
        assert generation(output) == 3
        assert len(os.listdir(output / 'checkpoints')) == 2 and len(list(output.glob('epoch_*'))) == 1
        assert not list(output.rglob('*.unfinished*'))
        shutil.rmtree(output)
        moment += 1
    assert seen == {2, 3} and moment > 30


def test_the_previous_checkpoint_remains(tmp_path):
    for steps in range(1, 6):
        stub_save(tmp_path, steps)
        assert generation(tmp_path) == steps
    assert sorted(os.listdir(tmp_path / 'checkpoints')) == ['000004', '000005']
    assert os.readlink(tmp_path / 'model') == 'checkpoints/000005'     # relative: the folder can be moved


def test_a_full_disk_leaves_the_checkpoint(tmp_path):
    """A limit on the size of files stands for the full disk."""
    stub_save(tmp_path, 1)
    before = contents(tmp_path)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
            text = message(stub_save, tmp_path, 2)
            status = 0 if says(text, tmp_path, 'cannot be written: File too large', 'previous checkpoint',
                               'intact') else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert contents(tmp_path) == before
    stub_save(tmp_path, 2)
    assert generation(tmp_path) == 2


def test_every_file_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    """Otherwise a power cut right after the rename would leave empty files under the new names."""
    synced, fsync, replace, own = set(), os.fsync, os.replace, classes.content(['sky'])

    def seen(descriptor):
        synced.add(os.stat(descriptor).st_ino)
        fsync(descriptor)

    def replaced(source, target):
        if target.endswith('000001'):
            files = {path.name: path.stat().st_ino for path in Path(source).iterdir()}
            assert {'n_g.pdparams', 'n_g.pdopt', 'opt.json', 'progress.json', 'current_epoch.npy',
                    'classes.json'} <= set(files)
            assert not [name for name, number in files.items() if number not in synced]
        replace(source, target)
    monkeypatch.setattr(os, 'fsync', seen)
    monkeypatch.setattr(os, 'replace', replaced)
    checkpoint = Checkpoint(tmp_path)
    checkpoint.classes = own
    checkpoint.save(Stub(1), OPT(output=tmp_path), new_progress('set', 2))
    assert generation(tmp_path) == 1 and classes.read(tmp_path / 'model') == own


@pytest.mark.parametrize('act', ['fsync', 'replace', 'symlink'])
def test_a_failing_disk_leaves_the_checkpoint(tmp_path, monkeypatch, act):
    stub_save(tmp_path, 1)
    with monkeypatch.context() as context:
        context.setattr(os, act, lambda *arguments,
                        **options: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
        assert says(message(stub_save, tmp_path, 2), tmp_path, 'No space left on device', 'intact')
    assert generation(tmp_path) == 1
    stub_save(tmp_path, 2)
    assert generation(tmp_path) == 2


def test_weights_that_are_not_finite_replace_nothing(tmp_path):
    stub_save(tmp_path, 1)
    said = message(stub_save, tmp_path, float('nan'))
    assert says(said, 'generator: a is not finite after step nan', 'the last checkpoint stays')
    assert generation(tmp_path) == 1


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    assert says(message(stub_save, tmp_path / 'file' / 'output', 1), tmp_path / 'file', 'cannot be written')
    assert contents(tmp_path) == {'file': b''}
