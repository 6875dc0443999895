"""Checkpoints: strict and safe to load, whole in whatever state a kill or a full disk leaves them."""
import json
import os
import pickle
import resource
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image

from model.convert.paddle_files import load_weights, read_weights, save_weights
from model.errors import InputError
from model.generator import SPADEGenerator
from model.init import OPT
from model.modulation_choice import ModulationChoice
from model.train_step import TrainStep
from output.checkpoint import Checkpoint
from output.resume import new_progress
from tests.conftest import contents, says
from tests.golden.fixture import inputs


def tiny(**settings):
    return OPT(**{**dict(label_nc=9, crop_size=32, load_size=36, ngf=2, ndf=2, z_dim=8, use_vae=False), **settings})


def batch(opt, seed=0):
    return inputs(seed, 2, *opt.picture_size, opt.label_nc)


def message(call, *arguments, **settings):
    with pytest.raises(InputError) as caught:
        call(*arguments, **settings)
    assert '\n' not in str(caught.value)
    return str(caught.value)


# ---- Weights in a file

@pytest.fixture(scope='module')
def generator():
    return SPADEGenerator(tiny())


def arrays(layer):
    return {name: value.numpy() for name, value in layer.state_dict().items()}


def test_loading_is_strict_and_changes_nothing(generator, tmp_path):
    state, path = arrays(generator), str(tmp_path / 'n_g.pdparams')
    wrong = {name: value for name, value in state.items() if name not in ('conv_img.bias', 'fc.bias')}
    wrong.update({'fc.weight': state['fc.weight'][:5], 'stranger': np.zeros(3, np.float32), 'conv_img.weight':
                  state['conv_img.weight'] + 1})
    save_weights(wrong, path)
    said = message(load_weights, generator, path)
    assert says(said, path, '2 missing: fc.bias, conv_img.bias', '1 unexpected: stranger',
                '1 wrongly shaped: fc.weight [5, 11, 3, 3] for [32, 11, 3, 3]')
    assert all(np.array_equal(value, state[name]) for name, value in arrays(generator).items())


def test_a_long_list_is_cut(generator, tmp_path):
    save_weights({}, tmp_path / 'empty.pdparams')
    said = message(load_weights, generator, tmp_path / 'empty.pdparams')
    assert says(said, f'{len(generator.state_dict())} missing: ', ', ...') and len(said) < 400


class Hostile:
    """Unpickling it makes the file `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_a_hostile_file_runs_nothing(tmp_path, protocol):
    path, made = tmp_path / 'n_g.pdparams', tmp_path / 'made'
    path.write_bytes(pickle.dumps({'fc.weight': Hostile(made)}, protocol=protocol))
    assert says(message(read_weights, path), path, 'open', 'do not trust it')
    assert not made.exists()
    pickle.loads(path.read_bytes())['fc.weight'].close()
    assert made.exists()    # an ordinary reader would have run it


@pytest.mark.parametrize('content, said', [
    (b'', 'cannot be read'), (b'no pickle', 'cannot be read'), (pickle.dumps([1, 2]), 'holds a list'),
    (pickle.dumps({'fc.weight': 'text'}), "'fc.weight' is a str"),
    (pickle.dumps({'fc.weight': np.array([{}], object)}), "'fc.weight'"),
    (pickle.dumps({1: np.zeros(3)}), 'expected names with arrays')])
def test_files_that_are_no_weights(generator, tmp_path, content, said):
    path = tmp_path / 'n_g.pdparams'
    path.write_bytes(content)
    assert says(message(load_weights, generator, path), path, said)


def test_every_truncation_is_an_error(tmp_path):
    path = tmp_path / 'n_d.pdparams'
    save_weights({'a': np.arange(12, dtype=np.float32).reshape(3, 4), 'b': np.float32(2)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert str(path) in message(read_weights, path)


def test_what_paddle_saves_is_read(generator, tmp_path):
    paddle.save(generator.state_dict(), str(tmp_path / 'n_g.pdparams'))
    found = read_weights(tmp_path / 'n_g.pdparams')
    assert found.keys() == generator.state_dict().keys()
    assert all(np.array_equal(value, found[name]) for name, value in arrays(generator).items())


def test_paddle_reads_what_is_saved(trained):
    """The files are ordinary .pdparams."""
    state = paddle.load(str(trained / 'output/model/n_g.pdparams'))
    network = SPADEGenerator(tiny())
    missing, unexpected = network.set_state_dict(state)
    assert not missing and not unexpected
    assert all(np.array_equal(value, np.asarray(state[name])) for name, value in arrays(network).items())


# ---- Optimizers

@pytest.mark.parametrize('use_vae', [False, True])
def test_optimizers_find_their_weights_by_name(tmp_path, use_vae):
    """A layer built before shifts Paddle's counted names; the next steps are the same all the same."""
    opt = tiny(use_vae=use_vae, output=tmp_path, beta1=0.5)
    one = TrainStep(opt)
    for step in range(2):
        one.step(*batch(opt, step))
    Checkpoint(opt.output).save(one, opt, new_progress('set', 2))
    paddle.nn.Conv2D(3, 3, 3)
    paddle.nn.Linear(2, 2)
    other = TrainStep(tiny(use_vae=use_vae, output=tmp_path, beta1=0.5, seed=4))
    assert one.generator.conv_img.weight.name != other.generator.conv_img.weight.name
    other.opt = opt
    Checkpoint(opt.output).load(other)
    assert other.steps == 2
    for step in range(2, 4):
        assert one.step(*batch(opt, step)) == other.step(*batch(opt, step))
    for name in ('generator', 'discriminator') + ('encoder',) * use_vae:
        found, expected = arrays(getattr(other, name)), arrays(getattr(one, name))
        assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_saved_as_soon_as_loaded(tmp_path):
    """Paddle's optimizer shows nothing of its state until the first step after loading; nothing of it may be lost."""
    opt = tiny(output=tmp_path, D_steps_per_G=2)
    one = TrainStep(opt)
    one.step(*batch(opt))
    Checkpoint(tmp_path).save(one, opt, new_progress('set', 2))
    expected = contents(tmp_path / 'model')
    other = TrainStep(opt)
    Checkpoint(tmp_path).load(other)
    Checkpoint(tmp_path).save(other, opt, new_progress('set', 2))
    for name in expected:
        if name.startswith('n_'):
            found = read_weights(tmp_path / 'model' / name)
            assert len(found) > 10
            before = read_weights(tmp_path / 'checkpoints/000001' / name)
            assert found.keys() == before.keys() and all(np.array_equal(found[key], before[key]) for key in before)
    other.step(*batch(opt, 1))      # of D only
    Checkpoint(tmp_path).save(other, opt, new_progress('set', 2))
    states = [read_weights(tmp_path / f'checkpoints/00000{number}/n_g.pdopt') for number in (2, 3)]
    assert states[0].keys() == states[1].keys()
    third = TrainStep(opt)
    Checkpoint(tmp_path).load(third)
    one.step(*batch(opt, 1))
    assert one.step(*batch(opt, 2)) == other.step(*batch(opt, 2)) == third.step(*batch(opt, 2))


def test_optimizer_files_name_the_weights(trained_vae):
    state = read_weights(trained_vae / 'output/model/n_g.pdopt')
    assert {key.split('/')[1] for key in state} == {'moment1', 'moment2', 'beta1_pow_acc', 'beta2_pow_acc'}
    assert {key.split('.')[0] for key in state} == {'generator', 'encoder'}
    weights = read_weights(trained_vae / 'output/model/n_e.pdparams')
    assert state['encoder.fc_mu.weight/moment1'].shape == weights['fc_mu.weight'].shape


# ---- A set that nothing tears

class Stub:
    """Stands for TrainStep in Checkpoint.save: each tensor holds the number of steps. Needs no Paddle, so it can fork."""

    def __init__(self, steps):
        self.steps, self.g_losses, self.loss_scales, self.choice = steps, {}, [], ModulationChoice(OPT())
        self.generator = self.discriminator = self.encoder = self.optimizer_g = self.optimizer_d = self

    def state_dict(self):
        return {name: np.full(1000, self.steps) for name in 'ab'}

    def named_parameters(self):
        return []


def stub_save(output, steps, keep_epoch=None):
    Checkpoint(output).save(Stub(steps), tiny(output=output), {'epoch': steps}, keep_epoch)


def generation(output):
    """The step that all the fixed names agree on; fails if they do not, or if a file is missing."""
    output = Path(output)
    steps = {json.loads((output / 'model/progress.json').read_text())['step']}
    for name in ('n_g', 'n_d', 'n_e'):
        steps |= {value for array in read_weights(output / f'model/{name}.pdparams').values() for value in array.tolist()}
    steps |= {int(np.load(output / name)) for name in ('model/current_epoch.npy', 'current_epoch.npy')}
    assert (output / 'model/n_g.pdopt').is_file() and (output / 'model/n_d.pdopt').is_file()
    OPT.load(output / 'model/opt.json')
    assert len(steps) == 1, steps
    return steps.pop()


def dies_in_save(output, steps, moment):
    """Fork, save in the child, and end it without any clean-up at its `moment`-th act on the file system; whether it died."""
    child = os.fork()
    if child == 0:
        acts = iter(range(10 ** 6))

        def die(event, arguments):
            if event in ('open', 'os.mkdir', 'os.rename', 'os.symlink', 'os.link', 'os.remove', 'os.rmdir', 'os.scandir',
                         'os.listdir') and next(acts) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        try:
            sys.addaudithook(die)
            stub_save(output, steps, keep_epoch=steps)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize('state', ['as it was', 'copied without links'])
def test_killed_at_every_act_of_a_save(tmp_path, state):
    """Then the names resolve to the last generation or the new one, and the next save works."""
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


def test_one_generation_before_stays(tmp_path):
    for steps in range(1, 6):
        stub_save(tmp_path, steps)
        assert generation(tmp_path) == steps
    assert sorted(os.listdir(tmp_path / 'checkpoints')) == ['000004', '000005']
    assert os.readlink(tmp_path / 'model') == 'checkpoints/000005'     # relative: the folder can be moved


def test_a_full_disk_keeps_the_checkpoint(tmp_path):
    """A limit on the size of files stands for it."""
    stub_save(tmp_path, 1)
    before = contents(tmp_path)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
            text = message(stub_save, tmp_path, 2)
            status = 0 if says(text, tmp_path, 'cannot be written: File too large', 'previous checkpoint', 'intact') else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert contents(tmp_path) == before
    stub_save(tmp_path, 2)
    assert generation(tmp_path) == 2


@pytest.mark.parametrize('act', ['fsync', 'rename', 'replace', 'symlink'])
def test_a_failing_disk_keeps_the_checkpoint(tmp_path, monkeypatch, act):
    stub_save(tmp_path, 1)
    with monkeypatch.context() as context:
        context.setattr(os, act, lambda *arguments, **options: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
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


def test_training_on_a_full_disk_ends_in_one_line(scripts, trained, tmp_path):
    """Through train.py: the first save goes well, the next does not fit."""
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / name, symlinks=True)
    largest = max(path.stat().st_size for path in (trained / 'output/model').iterdir())
    limited = ('import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); '
               f'resource.setrlimit(resource.RLIMIT_FSIZE, ({largest - 1}, {largest - 1})); '
               'sys.argv = sys.argv[1:]; sys.path.insert(0, ""); runpy.run_path("train.py", run_name="__main__")')
    before = contents(tmp_path / 'output/model')
    said = scripts.failure('-c', limited, *scripts.training(tmp_path, niter=3))
    assert says(said, tmp_path / 'output', 'cannot be written', 'File too large', 'intact')
    assert contents(tmp_path / 'output/model') == before
    assert 'goes on from' in scripts.trained(tmp_path, niter=3)


# ---- Copies

def test_copies_of_epochs(scripts, trained, tmp_path):
    """save_epoch_freq keeps weights and options; val.py takes them by --which_epoch."""
    for epoch in (1, 2):
        assert set(os.listdir(trained / f'output/epoch_{epoch}')) == {'n_g.pdparams', 'n_d.pdparams', 'opt.json',
                                                                     'current_epoch.npy'}
    latest, second, first = (read_weights(trained / f'output/{name}/n_g.pdparams') for name in ('model', 'epoch_2', 'epoch_1'))
    assert all(np.array_equal(latest[name], second[name]) for name in latest)
    assert not all(np.array_equal(latest[name], first[name]) for name in latest)
    drawn = {}
    for flags in ((), ('--which_epoch', 2), ('--which_epoch', 1)):
        results = tmp_path / f'results{len(drawn)}'
        process = scripts.run('val.py', '--lastoutput', trained / 'output', '--results', results, '--png', *flags)
        assert process.returncode == 0, process.stderr
        drawn[flags] = np.array(Image.open(results / 'pics/000.png'))
    latest, second, first = drawn.values()
    assert np.array_equal(latest, second) and not np.array_equal(latest, first)
    said = scripts.refusal('val.py', '--lastoutput', trained / 'output', '--results', tmp_path / 'none', '--which_epoch', 3)
    assert says(said, trained / 'output' / 'epoch_3', 'n_g.pdparams')


def test_a_copied_run_goes_on(scripts, trained, tmp_path):
    """cp -rL makes a plain folder of the link, and a file of the other."""
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / name)
    assert not (tmp_path / 'output/model').is_symlink()
    assert 'goes on from' in scripts.trained(tmp_path, niter=3)
    assert (tmp_path / 'output/model').is_symlink()
    assert int(np.load(tmp_path / 'output/current_epoch.npy')) == 3
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / 'other' / name, symlinks=True)
    scripts.trained(tmp_path / 'other', niter=3)
    same = [read_weights(folder / 'output/model/n_g.pdopt') for folder in (tmp_path, tmp_path / 'other')]
    assert all(np.array_equal(same[0][name], same[1][name]) for name in same[1])
