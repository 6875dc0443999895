"""Warnings of train.py about a failing training: each is provoked, and absent if nothing is wrong."""
import json
import re
import shutil

import numpy as np
import paddle
import pytest

from dataset import demo
from log import trouble
from log.loss_log import LossLog
from log.trouble import BALANCED, WINDOW, Trouble, discriminator_has_won, generator_is_dead, loss_scale_has_collapsed
from model.init import OPT
from model.losses import gan_loss
from model.weights import read_weights, save_weights
from tests.runner import says

STEPS = 2 * WINDOW
RISING = np.linspace(10.0, 20.0, STEPS)


def constant(value):
    return np.full(STEPS, value)


# ---- D has won

@pytest.mark.parametrize('mode, undecided', [('hinge', 0.0), ('original', 0.0), ('ls', 0.5)])
def test_what_balanced_means(mode, undecided):
    """A D that answers the same for fakes and photos, the best if it cannot distinguish them; one that can has 0.
    """
    def d_loss(of_fakes, of_photos):
        values = [[paddle.full([1, 1, 4, 4], value)] for value in (of_fakes, of_photos)]
        return sum(float(gan_loss(prediction, real, mode)) for prediction, real in zip(values, (False, True)))
    assert d_loss(undecided, undecided) == pytest.approx(BALANCED[mode], rel=1e-6)
    assert min(d_loss(undecided + step, undecided + step) for step in (-0.1, 0.1)) >= BALANCED[mode] - 1e-6
    assert d_loss(*((0, 1) if mode == 'ls' else (-20, 20))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('mode', BALANCED)
def test_d_has_won(mode):
    said = discriminator_has_won(constant(0.04 * BALANCED[mode]), RISING, mode)
    assert says(said, f'{0.04 * BALANCED[mode]:.2g} over the last 500 steps', f'{BALANCED[mode]:.3g} is balanced',
                '(12.5, then 17.5)', '--no_TTUR true', '--lr', '--batchSize')
    assert '\n' not in said


def test_d_has_won_without_feature_matching():
    said = discriminator_has_won(constant(0.0), constant(0.0), 'hinge')
    assert says(said, 'D has won: d_loss was 0 ') and 'feature' not in said


@pytest.mark.parametrize('mode', BALANCED)
@pytest.mark.parametrize('d_loss, feature_matching', [
    (constant(0.06), RISING),                                           # low, but D still errs
    (constant(0.0), RISING[::-1]),                                      # G goes on learning by feature matching
    (np.repeat([0.0, 1.0], WINDOW), RISING),                            # has been so, and G came back
    (np.r_[constant(0.0)[:-50], np.full(50, 1.0)], RISING)])            # comes back now
def test_d_has_not_won(mode, d_loss, feature_matching):
    assert discriminator_has_won(d_loss * BALANCED[mode], feature_matching, mode) is None


def test_the_first_steps_of_a_run_are_not_judged():
    assert discriminator_has_won(constant(0.0)[1:], RISING[1:], 'hinge') is None
    assert discriminator_has_won(np.zeros(0), np.zeros(0), 'hinge') is None


@pytest.mark.parametrize('d_loss', [0.0, -3.0, -1000.0])
def test_wasserstein_has_no_floor(d_loss):
    assert discriminator_has_won(constant(d_loss), RISING, 'w') is None


@pytest.mark.parametrize('mode', BALANCED)
def test_balanced_runs_cause_no_warning(mode):
    """Losses that swing widely around a third of the balanced one, with feature matching that drifts upwards:
    20,000 steps.
    """
    draw = np.random.default_rng(7)
    d_loss = BALANCED[mode] / 3 * draw.gamma(1.0, 1.0, 20000)
    feature_matching = 10 + np.cumsum(draw.normal(0.001, 0.1, 20000))
    for end in range(STEPS, 20001, trouble.EVERY):
        assert discriminator_has_won(d_loss[end - STEPS:end], feature_matching[end - STEPS:end], mode) is None


# ---- G is dead

def scenes(count=4):
    """(labels, photos): each map is its own half-and-half of two of the classes, and a photo has one colour a class."""
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 5, (count, 2)).repeat(32, 1)[:, None, :].repeat(64, 1)
    colours = draw.uniform(-1, 1, (5, 3))
    return labels, colours[labels].transpose(0, 3, 1, 2)


@pytest.mark.parametrize('life, heard', [(0.0, '0.0%'), (0.05, '5.0%'), (0.2, None), (1.0, None)])
def test_pictures_that_hardly_change(life, heard):
    """A generator that adds a share of the photo to one picture for all maps."""
    labels, photos = scenes()
    said = generator_is_dead(labels, 0.3 + life * photos, photos)
    assert (said is None) if heard is None else says(said, f'differ by {heard} of what photos do', 'dataset.check',
                                                     '--restart')


@pytest.mark.parametrize('labels, photos', [
    (scenes()[0], np.zeros((4, 3, 64, 64)) + 0.01 * np.arange(4).reshape(4, 1, 1, 1)),      # photos that are alike
    (scenes()[0][:1].repeat(4, 0), scenes()[1]),                                            # maps that are alike
    (scenes(1)[0], scenes(1)[1])])                                                          # a single one
def test_similar_maps_or_photos_are_not_judged(labels, photos):
    assert generator_is_dead(labels, np.zeros(photos.shape), photos) is None


def test_maps_that_differ_in_few_pixels_are_not_judged():
    labels, photos = np.zeros((3, 40, 40), int), np.random.default_rng(0).uniform(-1, 1, (3, 3, 40, 40))
    for sample, side in enumerate((0, 7, 8)):      # 7 x 7 of 40 x 40 pixels are 3 %
        labels[sample, :side, :side] = 1
    assert generator_is_dead(labels, np.zeros(photos.shape), photos) is None
    labels[1:, :20, :20] = [[[1]], [[2]]]
    assert generator_is_dead(labels, np.zeros(photos.shape), photos)


@pytest.mark.parametrize('settings, first', [
    ({}, 500), (dict(D_steps_per_G=3), 1500), (dict(ema_decay=0.9), 528),
    (dict(ema_decay=0.999, D_steps_per_G=2), 6988), (dict(ema_decay=0.999999999), None)])
def test_a_new_generator_and_a_slow_average_are_not_judged(settings, first):
    """0.9 to the power of 28 is 0.052, to that of 29 0.047; 0.999: 2994 and 2995.
    An average that hardly moves shows nothing.
    """
    (labels, photos), heard = scenes(), []
    one = Trouble(OPT(**settings), [], heard.append)
    one.in_pictures((first or 10 ** 6) - 1, labels, 0 * photos, photos)
    assert not heard
    one.in_pictures(first or 10 ** 7, labels, 0 * photos, photos)
    assert len(heard) == (first is not None)


# ---- The loss scale

@pytest.mark.parametrize('scales, heard',
                         [((4.0, 65536.0), '(G 4)'), ((65536.0, 0.5), '(D 0.5)'), ((1.0, 2.0), '(G 1, D 2)'),
                                           ((8.0, 65536.0), None), ((65536.0, 65536.0), None), ((), None)])
def test_the_loss_scale(scales, heard):
    said = loss_scale_has_collapsed([dict(scale=scale, incr_count=3.0, decr_count=0.0) for scale in scales])
    assert (said is None) if heard is None else says(said, heard, '--amp bfloat16', '--lr')


# ---- Once

def test_each_warning_is_printed_once_and_recorded():
    heard, (labels, photos), scales = [], scenes(), [dict(scale=1.0)] * 2
    losses = {'d_loss': constant(0.0), 'g_loss_feat': RISING}
    said = []
    for _ in range(2):      # of the same run, and of one that goes on
        one = Trouble(OPT(), said, heard.append)
        for _ in range(3):
            one.after_step(losses, scales)
            one.in_pictures(trouble.BEGUN - 1, labels, 0 * photos, photos)
        assert len(heard) == 2
    for _ in range(2):
        Trouble(OPT(), said, heard.append).in_pictures(trouble.BEGUN, labels, 0 * photos, photos)
    assert [line.split(' ')[0] for line in heard] == ['D', 'the', 'G'] and len(said) == 3 and json.dumps(said)


# ---- In a training

SCENES = dict(label_nc=182, ngf=4, ndf=4, lr=0.002, print_freq=1, display_freq=1000, save_latest_freq=1000)


@pytest.fixture(scope='module')
def scenes_set(shared):
    return shared('scenes', lambda folder: demo.write(folder / 'set', train=40, val=4, height=64, width=64)) / 'set'


@pytest.fixture(scope='module')
def living(scripts, scenes_set, shared):
    """A run of 20 steps on scenes of the demo, after which its generator paints each class in its own colour."""
    return shared('living', lambda folder: (folder / 'said').write_text(
        scripts.trained(folder, **SCENES, dataroot=scenes_set, niter=1)))


def begun(source, folder, steps, rows=None, grey=False):
    """A copy of the finished run in `source` with the counters of `steps` steps. rows: of its log; grey: its
    generator's last layer is zero.
    """
    for name in ('output', 'log'):
        shutil.copytree(source / name, folder / name, symlinks=True)
    path = folder / 'output/model/progress.json'
    progress = json.loads(path.read_text())
    del progress['said']                                  # as of a version that had no such key
    if rows is not None:
        log = LossLog(folder / 'log/log.npy')
        log.open()
        for row in rows:
            log.append(row)
        log.close()
        progress.update(log_rows=log.rows, log_checksum=log.checksum)
    path.write_text(json.dumps({**progress, 'step': steps}))
    if grey:
        weights = folder / 'output/model/n_g.pdparams'
        save_weights({name: 0 * value if name.startswith('conv_img') else value
                      for name, value in read_weights(weights).items()},
                     weights)


def goes_on(scripts, folder, heard, niter, **settings):
    """Train to the end of epoch `niter` -> [(line of a trouble, step printed before)];
    the checkpoint keeps what was `heard`.
    """
    said = scripts.trained(folder, **settings, niter=niter)
    assert json.loads((folder / 'output/model/progress.json').read_text())['said'] == heard
    return [(line, int(re.findall(r'step (\d+)/', said[:said.index(line)])[-1])) for line in said.splitlines()
            if re.match('D has won|G is dead|the loss scale', line)]


@pytest.mark.thorough
def test_a_generator_that_is_dead(scripts, trained, tmp_path):
    """Its last layer and its learning rate are zero. The warning comes at the end of the first epoch after 500 steps,
    once.
    """
    begun(trained, tmp_path, 490, grey=True)
    assert goes_on(scripts, tmp_path, [], niter=3, lr=0) == []
    (line, step), = goes_on(scripts, tmp_path, ['generator'], niter=5, lr=0)
    assert says(line, 'G is dead: where label maps differ, its pictures differ by 0.0% of', 'dataset.check') and \
        step == 502
    assert goes_on(scripts, tmp_path, ['generator'], niter=6, lr=0) == []


def test_without_validation_maps_training_pictures_are_judged(scripts, trained, tiny_set, tmp_path):
    begun(trained, tmp_path, 490, grey=True)
    shutil.copytree(tiny_set, tmp_path / 'set')
    shutil.rmtree(tmp_path / 'set/val_img')
    (line, step), = goes_on(scripts, tmp_path, ['generator'], niter=4, lr=0, dataroot=tmp_path / 'set')
    assert line.startswith('G is dead') and step == 500     # a picture every 5 steps


@pytest.mark.thorough
def test_a_working_generator(scripts, living, scenes_set, tmp_path):
    begun(living, tmp_path, 490)
    assert goes_on(scripts, tmp_path, [], niter=2, **SCENES, dataroot=scenes_set) == []


@pytest.mark.thorough
@pytest.mark.parametrize('d_loss, heard', [(0.01, ['discriminator']), (1.0, [])])
def test_a_discriminator_that_has_won(scripts, living, scenes_set, tmp_path, d_loss, heard):
    """The log has 991 rows; the next check is after nine more, which a working D adds."""
    rows = np.full((991, 7), d_loss)
    rows[:, 1] = np.repeat([10.0, 20.0], [500, 491])
    begun(living, tmp_path, 991, rows)
    said = goes_on(scripts, tmp_path, heard, niter=2, **SCENES, dataroot=scenes_set)
    assert [line.split(':')[0] for line, _ in said] == ['D has won'] * len(heard)
    for line, step in said:
        assert step == 1000 and says(line, 'over the last 500 steps', 'feature matching rises (10, then ')
