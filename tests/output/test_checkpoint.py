"""Checkpoints: optimizer state by weight, copies of epochs, copied runs, a full disk.
"""
import os
import shutil

import numpy as np
import paddle
import pytest
from PIL import Image

from model.init import OPT
from model.train_step import TrainStep
from model.weights import read_weights, save_weights
from output.checkpoint import Checkpoint
from output.resume import new_progress
from tests.golden.fixture import inputs
from tests.runner import contents, message, says


def tiny(**settings):
    return OPT(**{**dict(label_nc=9, crop_size=32, load_size=36, ngf=2, ndf=2, z_dim=8, use_vae=False), **settings})


def batch(opt, seed=0):
    return inputs(seed, 2, *opt.picture_size, opt.label_nc)


def arrays(layer):
    return {name: value.numpy() for name, value in layer.state_dict().items()}


# ---- Optimizers

@pytest.mark.parametrize('use_vae', [False, True])
def test_optimizers_find_their_weights_by_name(tmp_path, use_vae):
    """An earlier layer shifts Paddle's counted names; the next steps are the same."""
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


@pytest.mark.parametrize('spoil, reason', [
    (lambda state, key: state.update({key: state[key][..., :1]}), 'expected floats of shape'),
    (lambda state, key: state.update({key: state[key].astype(int)}), 'expected floats of shape'),
    (lambda state, key: state.update({f'{key}0': state[key]}), 'unknown'),
    (lambda state, key: state.pop(key), 'missing')])
def test_a_damaged_optimizer_state_is_refused_in_one_line(tmp_path, spoil, reason):
    """At 204147d: a traceback from Paddle; an unknown name was accepted in silence."""
    opt, path, key = tiny(output=tmp_path), tmp_path / 'model/n_g.pdopt', 'generator.head_0.conv_0.weight_orig/moment1'
    train_step = TrainStep(opt)
    train_step.step(*batch(opt))
    Checkpoint(tmp_path).save(train_step, opt, new_progress('set', 2))
    state = read_weights(path)
    spoil(state, key)
    save_weights(state, path)
    assert says(message(Checkpoint(tmp_path).load, train_step), path, key, reason, '--restart')


def test_optimizer_files_name_the_weights(trained_vae):
    state = read_weights(trained_vae / 'output/model/n_g.pdopt')
    assert {key.split('/')[1] for key in state} == {'moment1', 'moment2', 'beta1_pow_acc', 'beta2_pow_acc'}
    assert {key.split('.')[0] for key in state} == {'generator', 'encoder'}
    weights = read_weights(trained_vae / 'output/model/n_e.pdparams')
    assert state['encoder.fc_mu.weight/moment1'].shape == weights['fc_mu.weight'].shape


# ---- Runs

@pytest.mark.thorough
def test_training_on_a_full_disk_ends_in_one_line(scripts, trained, tmp_path):
    """Through train.py: the first save succeeds, the next does not fit."""
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / name, symlinks=True)
    largest = max(path.stat().st_size for path in (trained / 'output/model').iterdir())
    limited = ('import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); '
               f'resource.setrlimit(resource.RLIMIT_FSIZE, ({largest - 1}, {largest - 1})); '
               'sys.argv = sys.argv[1:]; sys.path.insert(0, ""); runpy.run_path("train.py", run_name="__main__")')
    before = contents(tmp_path / 'output/model')
    said = scripts.failure('-c', limited, *scripts.training(tmp_path, niter=3), fresh=True)
    assert says(said, tmp_path / 'output', 'cannot be written', 'File too large', 'intact')
    assert contents(tmp_path / 'output/model') == before
    assert 'resumed from' in scripts.trained(tmp_path, niter=3)


def test_copies_of_epochs(scripts, trained, tmp_path):
    """save_epoch_freq copies weights and options; val.py reads them by --which_epoch."""
    for epoch in (1, 2):
        assert set(os.listdir(trained / f'output/epoch_{epoch}')) == {'n_g.pdparams', 'n_d.pdparams', 'opt.json',
                                                                     'current_epoch.npy'}
    latest, second, first = (read_weights(trained / f'output/{name}/n_g.pdparams')
                             for name in ('model', 'epoch_2', 'epoch_1'))
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
    said = scripts.refusal('val.py', '--lastoutput', trained / 'output', '--results', tmp_path / 'none',
                           '--which_epoch', 3)
    assert says(said, trained / 'output' / 'epoch_3', '--which_epoch 3', 'epochs 1, 2')


def test_a_copied_run_resumes(scripts, trained, tmp_path):
    """cp -rL turns one link into a folder, the other into a file."""
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / name)
    assert not (tmp_path / 'output/model').is_symlink()
    assert 'resumed from' in scripts.trained(tmp_path, niter=3)
    assert (tmp_path / 'output/model').is_symlink()
    assert int(np.load(tmp_path / 'output/current_epoch.npy')) == 3
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / 'other' / name, symlinks=True)
    scripts.trained(tmp_path / 'other', niter=3)
    same = [read_weights(folder / 'output/model/n_g.pdopt') for folder in (tmp_path, tmp_path / 'other')]
    assert all(np.array_equal(same[0][name], same[1][name]) for name in same[1])
