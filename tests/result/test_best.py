"""The best model: kills between any two acts on the file system while scoring and copying lose neither weights nor
scores.
"""
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from log.score_log import Score, read
from model.init import OPT
from model.weights import read_weights
from output.checkpoint import Checkpoint
from output.resume import new_progress
from result import best
from result.best import Best, score_is_due
from runtime.writing import staged

ACTS = ('open', 'os.mkdir', 'os.rename', 'os.symlink', 'os.link', 'os.remove', 'os.rmdir', 'os.scandir', 'os.listdir')


class Stub:
    """Stands for TrainStep: each tensor holds the number of steps. Needs no Paddle, so it can fork."""

    def __init__(self, steps):
        self.steps, self.g_losses, self.loss_scales = steps, {}, []
        self.painter = SimpleNamespace(weights='last')
        self.generator = self.discriminator = self.encoder = self.optimizer_g = self.optimizer_d = self

    def state_dict(self):
        return {'a': np.full(10, self.steps)}

    def named_parameters(self):
        return []


def scored(output, epoch, score, found=None):
    """The scores of `epoch` (saved after as many steps), which come out as `score`; what is said of them.

    found: a list to which the names of the pictures are added that are scored.
    """
    def evaluated(pictures, style, **painter):
        if found is not None:
            found.extend(sorted(os.listdir(pictures)))
        return Score(scores={'mean_iou': score}, protocol={'name': 'spade'}, **painter)
    scoring = Best.__new__(Best)
    scoring.folder = staged(os.path.join(output, 'scoring'))
    scoring.opt = OPT(label_nc=182, output=output, use_vae=False, score_epoch_freq=1)
    scoring.evaluation = SimpleNamespace(score=evaluated)
    return scoring.score(Stub(epoch), Checkpoint(output), epoch)


def save(output, epoch):
    Checkpoint(output).save(Stub(epoch), OPT(output=output), {**new_progress('set', 2), 'epoch': epoch})


@pytest.fixture(autouse=True)
def pictures_without_networks(monkeypatch):
    def draw(opt, painter, folder, *rules):
        os.makedirs(folder, exist_ok=True)
        for name in ('000.png', '001.png'):
            with open(os.path.join(folder, name), 'w') as file:
                file.write('a picture')
    monkeypatch.setattr(best, 'draw', draw)
    monkeypatch.setattr(os, 'fsync', lambda descriptor: None)   # a kill loses nothing of what was written


def dies(moment, work):
    """Fork, work in the child, and end it without any clean-up at its `moment`-th act on the file system;
    whether it died.
    """
    child = os.fork()
    if child == 0:
        acts = iter(range(10 ** 6))

        def die(event, arguments):
            if event in ACTS and next(acts) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        try:
            sys.addaudithook(die)
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def kept(output):
    """(epoch of the weights in output/best, their score); fails unless all of it is of one moment."""
    folder = output / 'best'
    steps = {read_weights(folder / f'{name}.pdparams')['a'][0] for name in ('n_g', 'n_d', 'n_e')}
    score = json.loads((folder / 'score.json').read_text())
    assert steps == {int(np.load(folder / 'current_epoch.npy'))} == {score['epoch']}
    assert OPT.load(folder / 'opt.json')
    return steps.pop(), score['scores']['mean_iou']


@pytest.mark.parametrize('score, expected', [pytest.param(0.5, 2, id='better', marks=pytest.mark.thorough),
                                             pytest.param(0.1, 1, id='worse')])
def test_a_kill_between_score_and_copy_loses_nothing(tmp_path, score, expected):
    moment, died, seen = 0, True, set()
    while died:
        output = tmp_path / str(moment)
        save(output, 1)
        assert 'new best' in scored(output, 1, 0.3)
        save(output, 2)
        died = dies(moment, lambda output=output: scored(output, 2, score))
        assert (output / 'best').is_dir() or (output / 'best.replaced').is_dir()
        Checkpoint(output).mend_copies()    # as the next start does
        found, counted = kept(output), not score_is_due(OPT(output=output, score_epoch_freq=1), 2)
        seen.add((found[0], counted))
        assert found == {1: (1, 0.3), expected: (expected, max(score, 0.3))}[found[0]]
        if counted:     # what counts has been kept, if it was the best
            assert found[0] == expected
        else:
            scored(output, 2, score)
        assert kept(output) == (expected, max(score, 0.3))
        assert [(line.epoch, line.scores['mean_iou'])
                for line in read(output / 'scores.jsonl')] == [(1, 0.3), (2, score)]
        assert not [path for path in output.rglob('*') if 'unfinished' in path.name or 'replaced' in path.name]
        shutil.rmtree(output)
        moment += 1
    assert moment > 15 and {(1, False), (expected, True)} <= seen and (expected == 1 or (2, False) in seen)


def test_a_kill_while_an_epoch_is_copied_again_loses_no_copy(tmp_path):
    """The first run's copy of the epoch, or the second's, which are the same, in every state that a kill leaves."""
    moment, died = 0, True
    while died:
        output = tmp_path / str(moment)

        def again(output=output):
            Checkpoint(output).save(Stub(1), OPT(output=output), new_progress('set', 2), keep_epoch=1)
        again()
        died = dies(moment, again)
        Checkpoint(output).mend_copies()
        assert read_weights(output / 'epoch_1/n_g.pdparams')['a'][0] == 1 and (output / 'epoch_1/opt.json').exists()
        shutil.rmtree(output)
        moment += 1
    assert moment > 30


@pytest.mark.parametrize('protocol', [{'name': 'spade', 'mean_iou_over': 'another rule'}, None])
def test_a_best_that_cannot_be_compared_is_kept_under_its_epoch(tmp_path, protocol):
    """Its score has another protocol, or is missing; at 7292076 the next epoch replaced it, even by a worse one."""
    save(tmp_path, 1)
    scored(tmp_path, 1, 0.9)
    path = tmp_path / 'best/score.json'
    if protocol:
        path.write_text(json.dumps({**json.loads(path.read_text()), 'protocol': protocol}))
    else:
        path.unlink()
    save(tmp_path, 2)
    said = scored(tmp_path, 2, 0.1)
    assert 'new best' in said and ('is kept under its epoch' in said) == bool(protocol)
    assert kept(tmp_path) == (2, 0.1) and read_weights(tmp_path / 'epoch_1/n_g.pdparams')['a'][0] == 1


def test_pictures_left_by_a_kill_are_not_scored(tmp_path):
    """They may be of a set that has changed since."""
    save(tmp_path, 1)
    left = Path(staged(tmp_path / 'scoring'), 'pics')
    left.mkdir(parents=True)
    (left / 'removed_since.png').write_text('a picture')
    found = []
    scored(tmp_path, 1, 0.3, found)
    assert found == ['000.png', '001.png']


def test_restart_removes_parts_of_copies_left_by_a_kill(tmp_path):
    save(tmp_path, 1)
    for name in ('best', 'best.replaced', staged('epoch_3'), staged('scoring'), 'epoch_4'):
        shutil.copytree(tmp_path / 'model', tmp_path / os.path.basename(name))
    (tmp_path / 'epoch_4/notes.txt').write_text('mine')
    Checkpoint(tmp_path).mend_copies()
    Checkpoint(tmp_path).clear()
    assert {path.name for path in tmp_path.iterdir()} == {'checkpoints', 'model', 'current_epoch.npy', 'epoch_4'}
    assert os.listdir(tmp_path / 'epoch_4') == ['notes.txt']
