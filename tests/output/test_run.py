"""The start of a run: complete, resumed, restarted, refused, or from other weights (--init_from)."""
import json
import os
import shutil

import numpy as np
import pytest

from dataset.contents import Contents
from dataset.files import find_samples
from dataset.labelled_images import LabelledImages
from log.loss_log import LossLog, rows_on_disk
from model.init import EFFECTS, OPT
from model.train_step import TrainStep
from model.weights import read_weights
from output import init_from, resume
from output.checkpoint import Checkpoint
from runtime.errors import InputError
from tests.forked import kill, until
from tests.output.test_resume import counters, rows
from tests.runner import contents, says, write_tiny_set


def run_of(opt, log, dataset, files, restart=False):
    """A Run that has read no data set: its fingerprint is `dataset`, of 13 samples, and its files are `files`."""
    run = resume.Run.__new__(resume.Run)
    run.opt, run.log, run.checkpoint, run.restart = opt, LossLog(log), Checkpoint(opt.output), restart
    run.dataset, run.files, run.samples, run.progress = dataset, files, 13, None
    return run


@pytest.fixture
def copied(trained, tmp_path):
    """A finished run of two epochs that the test may spoil."""
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / 'run' / name, symlinks=True)
    return tmp_path / 'run'


def test_a_complete_run_prints_a_line(scripts, copied):
    before = contents(copied)
    assert says(scripts.trained(copied, save_epoch_freq=1), 'already complete: 2 epochs', '--niter', '--restart',
                f'python val.py --lastoutput {copied}/output')
    assert contents(copied) == before


def test_more_epochs_resume_the_run(scripts, copied):
    said = scripts.trained(copied, niter=3)
    assert says(said, 'changed since the checkpoint: niter was 2, now 3', 'resumed from', 'step 12', 'step 18/18')
    assert rows(copied) == 18 and int(np.load(copied / 'output/current_epoch.npy')) == 3


def test_restart_prints_what_it_replaces(scripts, copied):
    (copied / 'output' / 'notes.txt').write_text('mine')
    said = scripts.trained(copied, '--restart', niter=1)
    assert says(said, 'epoch 2, step 12', '2 copies of epochs', '5 training pictures',
                f'12 rows of {copied}/log/log.npy')
    assert rows(copied) == counters(copied)['step'] == 6
    assert sorted(os.listdir(copied / 'output' / 'pics')) == ['1_1.jpg', '1_5.jpg', 'val_0001.jpg']
    assert sorted(os.listdir(copied / 'output')) == ['.lock', 'checkpoints', 'current_epoch.npy', 'model', 'notes.txt',
                                                     'pics']


BOTH_WAYS_OUT = ('--restart', 'another --output and --log')


@pytest.mark.parametrize('changed, said', [
    (dict(ngf=3), 'ngf was 2, now 3'), (dict(use_vae='true'), 'use_vae was False, now True'),
    (dict(norm_D='spectralbatch', num_D=1), "num_D was 2, now 1, norm_D was spectralinstance, now spectralbatch"),
    (dict(no_instance='true'), 'no_instance was False, now True')])
def test_other_networks_are_refused(scripts, copied, changed, said):
    before = contents(copied)
    assert says(scripts.train_refusal(copied, **changed), copied / 'output' / 'model', said, *BOTH_WAYS_OUT)
    assert contents(copied) == before


def another_value(option, value):
    """A value of `option` that it allows and that is not `value`."""
    if option.choices:
        return next(choice for choice in option.choices if choice != value)
    if option.pattern:
        return 'spectralspadebatch5x5' if option.name == 'norm_G' else 'batch'
    return {bool: lambda: not value, int: lambda: value - 1 if value > 2 ** 62 else value + 1,
            float: lambda: value + (0.25 if value < 0.5 else -0.25), str: lambda: f'{value}other'}[option.kind]()


@pytest.mark.parametrize('seen', [0, 4, 12])
@pytest.mark.parametrize('effect', EFFECTS)
def test_every_changed_option_is_refused_or_reported(copied, capsys, effect, seen):
    """By its name and once, except options that change nothing that is learned. 13 samples, of which `seen` are used.
    """
    model = copied / 'output' / 'model'
    progress = {**counters(copied), 'seen': seen, 'epoch': 1, **resume.surroundings(OPT.load(model / 'opt.json'))}
    (model / 'progress.json').write_text(json.dumps(progress))
    saved = OPT.load(model / 'opt.json')
    files = Contents.of_samples(find_samples(saved, 'train'), saved.dataroot)
    for name, option in OPT.fields().items():
        if option.effect != effect:
            continue
        opt = OPT.load(model / 'opt.json')
        before = getattr(opt, name)
        setattr(opt, name, another_value(option, before))
        change = f'{name} was {before}, now {getattr(opt, name)}'
        opt.output = copied / 'output'
        try:
            found, refusal = run_of(opt, copied / 'log/log.npy', progress['dataset'], files).stored(), ''
        except InputError as error:
            found, refusal = None, str(error)
        said = capsys.readouterr().out
        if effect == 'networks' or (effect == 'order' and seen == 4):
            assert says(refusal, change, *BOTH_WAYS_OUT) and not said
        else:
            assert found == progress and not refusal
            assert said.count(change) == (effect != 'free'), (name, said)
            assert ('bit for bit' in said) == (effect == 'bits'), (name, said)


@pytest.mark.parametrize('name', ['kernels', 'Paddle', 'OMP_NUM_THREADS'])
def test_other_surroundings_are_reported(copied, capsys, name):
    """A run of an earlier version, whose kernels round otherwise, goes on, and a line says so."""
    model = copied / 'output' / 'model'
    opt = OPT.load(model / 'opt.json')
    progress = {**counters(copied), 'seen': 0, 'epoch': 1, **resume.surroundings(opt), name: 'compiled, float32'}
    (model / 'progress.json').write_text(json.dumps(progress))
    opt.output = copied / 'output'
    files = Contents.of_samples(find_samples(opt, 'train'), opt.dataroot)
    assert run_of(opt, copied / 'log/log.npy', progress['dataset'], files).stored() == progress
    said = capsys.readouterr().out
    assert says(said, f'with {name} compiled, float32, now', 'not bit for bit') and said.count('\n') == 1


def test_another_seed_in_the_middle_of_an_epoch_is_refused(scripts, tmp_path):
    process = scripts.start(tmp_path, save_latest_freq=1, niter=50)
    until(lambda: os.path.lexists(tmp_path / 'output/model') and counters(tmp_path)['seen'] in (2, 4, 6),
          process=process)
    kill(process)
    if counters(tmp_path)['seen'] == 12:
        pytest.skip('the kill came after the epoch')
    assert says(scripts.train_refusal(tmp_path, seed=7), 'seed was 0, now 7', 'in the middle of epoch', *BOTH_WAYS_OUT)


def test_another_data_set_is_refused(scripts, copied, tmp_path):
    before = contents(copied)
    other = write_tiny_set(tmp_path / 'other', seed=7)
    assert says(scripts.train_refusal(copied, dataroot=other), 'another data set', scripts.data, '13 samples', other,
                *BOTH_WAYS_OUT)
    assert contents(copied) == before


@pytest.mark.parametrize('spoil, said', [
    (lambda log: np.save(log, np.load(log) + 1), 'differ from those of the checkpoint'),
    (lambda log: np.save(log, np.load(log)[:5]), 'holds 5 rows, the checkpoint was saved after 12'),
    (lambda log: log.unlink(), 'is missing, but the checkpoint was saved after 12 rows'),
    (lambda log: log.write_text('notes'), 'no log of losses')])
def test_the_log_of_another_run_is_refused(scripts, copied, spoil, said):
    spoil(copied / 'log' / 'log.npy')
    before = contents(copied)
    assert says(scripts.train_refusal(copied, niter=3), copied / 'log' / 'log.npy', said, '--log')
    assert contents(copied) == before


def test_a_log_without_a_checkpoint_is_refused(scripts, copied):
    shutil.rmtree(copied / 'output')
    assert says(scripts.train_refusal(copied), copied / 'log' / 'log.npy', '12 rows of another run', copied / 'output',
                *BOTH_WAYS_OUT)
    assert not (copied / 'output').exists()


def test_weights_without_training_state_are_not_replaced(scripts, copied):
    for path in (copied / 'output/model/progress.json', copied / 'output/model/n_g.pdopt', copied / 'log/log.npy'):
        path.unlink()
    before = contents(copied)
    assert says(scripts.train_refusal(copied), copied / 'output' / 'model', 'weights without a training state',
                '--init_from')
    assert contents(copied) == before


@pytest.mark.parametrize('spoil, said, replaced', [
    (lambda model: (model / 'progress.json').write_text('{'), 'progress.json: cannot be read',
     'that cannot be resumed'),
    pytest.param(lambda model: (model / 'progress.json').unlink(), 'weights without a training state',
                 'that cannot be resumed', marks=pytest.mark.thorough),
    pytest.param(lambda model: (model / 'opt.json').write_text('{'), 'opt.json: cannot be read', 'epoch 2, step 12',
                 marks=pytest.mark.thorough)])
def test_restart_replaces_even_a_run_that_cannot_resume(scripts, copied, spoil, said, replaced):
    """It is the remedy of every refusal, so it works if nothing else does."""
    spoil(copied / 'output' / 'model')
    assert says(scripts.train_refusal(copied), copied / 'output' / 'model', said)
    assert replaced in scripts.trained(copied, '--restart', niter=1, ngf=3)
    assert rows(copied) == counters(copied)['step'] == 6


@pytest.mark.parametrize('same_output', [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_a_run_that_ended_since_this_one_was_opened_is_not_replaced(scripts, tiny_set, tmp_path, same_output):
    """Its checkpoint, or its log if it had another --output."""
    opt = OPT(dataroot=str(tiny_set), label_nc=9, crop_size=32, load_size=36, batchSize=2, output=tmp_path / 'output',
              log=tmp_path / 'log')
    run = resume.Run(opt, LabelledImages(opt))
    assert run.progress is None
    scripts.trained(tmp_path, niter=1, output=tmp_path / ('output' if same_output else 'other'))
    before = contents(tmp_path)
    with pytest.raises(InputError) as caught:
        with run.claimed():
            pass
    assert says(str(caught.value), tmp_path / 'output', 'another run has just ended there',
                'repeat the command to resume it')
    assert contents(tmp_path) == before
    with resume.Run(opt, LabelledImages(opt), restart=True).claimed():    # which replaces it, as it says
        pass


# ---- --init_from

def test_init_from_starts_with_other_weights(scripts, trained, tmp_path):
    """At learning rate 0 the weights stay those of the first run, and the counters restart."""
    said = scripts.trained(tmp_path, '--init_from', trained / 'output', niter=1, lr=0, seed=5)
    assert says(said, f'weights from {trained}/output', 'step 6/6')
    for name in ('n_g.pdparams', 'n_d.pdparams'):
        ours, theirs = (read_weights(folder / 'output/model' / name) for folder in (tmp_path, trained))
        for key in theirs:
            if not key.endswith(('_u', '_v', '_mean', '_variance')):
                assert np.array_equal(ours[key], theirs[key]), key
    assert counters(tmp_path)['step'] == 6


@pytest.mark.parametrize('with_d', [True, False])
def test_init_from_without_discriminator(trained, tmp_path, capsys, with_d):
    """The first checkpoint holds optimizers without history, and D from the file or newly initialized."""
    weights = tmp_path / 'weights'
    weights.mkdir()
    for name in ['n_g.pdparams'] + ['n_d.pdparams'] * with_d:
        shutil.copy(trained / 'output/model' / name, weights)
    saved = OPT.load(trained / 'output/model/opt.json').as_dict()
    opt = OPT(**{**saved, 'seed': 3, 'output': tmp_path / 'output', 'lastoutput': tmp_path / 'output'})
    train_step = TrainStep(opt)
    fresh = {name: value.numpy() for name, value in train_step.discriminator.state_dict().items()}
    init_from.load(train_step, opt, str(weights))
    run_of(opt, tmp_path / 'log/log.npy', 'set', Contents([], str(tmp_path))).begin(train_step)
    said = capsys.readouterr().out
    assert said.strip() == f'weights from {weights}' + ('' if with_d
                                                        else '; missing there, newly initialized: n_d.pdparams')
    expected = read_weights(trained / 'output/model/n_d.pdparams') if with_d else fresh
    found = read_weights(tmp_path / 'output/model/n_d.pdparams')
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    state = read_weights(tmp_path / 'output/model/n_g.pdopt')
    assert state and not any(value.any() for name, value in state.items() if 'moment' in name)
    assert Checkpoint(tmp_path / 'output').progress()['step'] == 0
    assert rows_on_disk(tmp_path / 'log/log.npy') == 0


def test_init_from_nowhere_is_refused(scripts, tmp_path):
    assert says(scripts.train_refusal(tmp_path, '--init_from', tmp_path / 'nowhere'), tmp_path / 'nowhere',
                'no such folder', 'with --init_from')
    assert contents(tmp_path) == {}


def test_init_from_other_networks_names_the_options(scripts, trained, tmp_path):
    said = scripts.train_failure(tmp_path, '--init_from', trained / 'output', ngf=3, n_layers_D=3)
    assert says(said, f'--init_from {trained}/output: weights of other networks: ', 'ngf is 2 there, 3 here',
                'n_layers_D is 4 there, 3 here', 'add --ngf 2 --n_layers_D 4')
    assert not (tmp_path / 'output/model').exists()


def test_the_same_command_with_init_from_resumes(scripts, copied, tmp_path):
    """The other weights are not read again, and may be missing."""
    said = scripts.trained(copied, '--init_from', tmp_path / 'gone', niter=3)
    assert says(said, '--init_from', 'ignored: this run has already started', 'resumed from', 'step 18/18')
