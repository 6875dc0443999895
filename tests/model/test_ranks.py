"""Many processes over gloo equal one with the whole batch, and so do micro-batches."""
import numpy as np
import paddle
import pytest

from model.fast.windows import Windows
from model.init import OPT
from model.train_step import TrainStep
from tests.forked import HANGS, REPOSITORY
from tests.rank import SETTINGS, TINY, batch

# All that is exchanged is in these two settings; the others are tried one mechanism at a time.
USUAL = 'syncbatch_windows', 'sync_in_D_and_E'
OTHERS = tuple(name for name in SETTINGS if name not in USUAL)
WORLDS = [(2, USUAL), pytest.param((2, OTHERS), marks=pytest.mark.thorough),
          pytest.param((4, USUAL), marks=pytest.mark.thorough)]
IN_EACH = pytest.mark.parametrize('both', WORLDS, indirect=True, ids=['2', '2 one by one', '4'])


@pytest.fixture(scope='session')
def both(request, scripts, shared):
    """Folders of results: `world` processes with a sample each, and one with all of them; and the settings' names."""
    world, names = request.param

    def make(folder):
        for name in ('many', 'one'):
            (folder / name).mkdir()
        alone = scripts.start_command(['-m', 'tests.rank', folder / 'one', '--world', world, *names], folder / 'said')
        assert not any(scripts.ranks(folder, world, REPOSITORY / 'tests' / 'rank.py', folder / 'many', *names))
        assert alone.wait(timeout=HANGS) == 0, (folder / 'said').read_text()
    return shared(f'world{world}_{len(names)}', make), names


def compared(both, name):
    return [dict(np.load(both[0] / which / f'{name}.npz')) for which in ('many', 'one')]


@IN_EACH
def test_many_processes_equal_one_with_the_whole_batch(both):
    for name in both[1]:
        many, one = compared(both, f'{name}_float64')
        assert many.keys() == one.keys() and len(many) > 100
        del many['early'], one['early']
        many, one = ({key: value for key, value in arrays.items() if not key.endswith('.last')}
                     for arrays in (many, one))
        assert many['losses'].shape == (3, 7) and np.abs(one['losses']).max() > 1
        scale = max(np.abs(value).max() for key, value in one.items() if key.endswith('.grad'))
        for key in many:
            tolerance = 1e-9 * (scale if key.endswith('.grad') else max(1, np.abs(one[key]).max()))
            assert np.abs(many[key] - one[key]).max() <= tolerance, (name, key)


@IN_EACH
def test_gradients_sent_during_and_after_backward_have_the_same_bits(both):
    folder, names = both
    for name in names:
        during, after = (dict(np.load(folder / 'many' / f'{name}_{when}.npz')) for when in ('float32', 'after'))
        (early_g, all_g), (early_d, all_d) = during.pop('early')
        packets = 3 if name == 'pix2pixhd' else 6   # pix2pixHD's weights are few and large
        assert 0.8 * all_g <= early_g <= all_g >= packets and 0 < early_d <= all_d, name
        assert not after.pop('early')[:, 0].any(), name
        assert during.keys() == after.keys()
        for key in during:
            np.testing.assert_array_equal(during[key], after[key], f'{name} {key}')


@IN_EACH
def test_first_losses_in_float32(both):
    for name in both[1]:
        many, one = compared(both, f'{name}_float32')
        np.testing.assert_allclose(many['losses'][0], one['losses'][0], atol=1e-4, err_msg=name)


@IN_EACH
def test_every_rank_has_the_same_average_of_the_generator(both):
    many, one = compared(both, 'averages')
    assert len(many['digests']) in (2, 4) and len(set(many['digests'])) == 1
    assert many['error'] < 1e-12 and one['error'] < 1e-12


@IN_EACH
def test_synchronized_batch_norm_of_unequal_batches(both):
    many, one = compared(both, 'unequal')
    for key in one:
        assert np.abs(many[key] - one[key]).max() <= 1e-9 * np.abs(one[key]).max(), key


def test_micro_batches_equal_the_whole_batch():
    """Without batch norm and spectral norm, which see one micro-batch at a time."""
    paddle.set_default_dtype('float64')
    try:
        settings = {**TINY, 'norm_G': 'spadeinstance3x3', 'norm_D': 'instance'}
        whole, micro_batches = TrainStep(OPT(**settings, batchSize=3)), TrainStep(OPT(**settings, accumulate=3))
        for step in range(3):
            expected = whole.step(*batch(step, 3))
            found = micro_batches.update([batch(step, 3, index) for index in range(3)])
            np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=1e-9)
        for ours, theirs in zip(micro_batches.generator.parameters(), whole.generator.parameters()):
            np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-9)
    finally:
        paddle.set_default_dtype('float32')


@pytest.mark.parametrize('settings', [dict(modulation='dense'), dict(modulation='windows'),
                                      dict(modulation='windows', cpu_kernels=False),
                                      dict(modulation='dense', cpu_kernels=False, use_vae=True)], ids=str)
def test_only_one_micro_batch_at_a_time_holds_tensors(settings, monkeypatch):
    """Counted at the start of a micro-batch, in either update: one-hot maps, pooled ones, and windows sent to the
    device.
    """
    train_step = TrainStep(OPT(**{**TINY, **settings}))
    micro_batches, held = [(train_step._semantics(*batch(0, 3, index)[:2]), None, batch(0, 3, index)[2])
                    for index in range(3)], []

    def tensors(value):
        if isinstance(value, Windows):
            value = list(value.on_device.values())
        return sum(map(tensors, value)) if isinstance(value, (list, tuple)) else isinstance(value, paddle.Tensor)

    for name in ('_losses_g', '_losses_d'):
        def losses(*micro_batch, original=getattr(train_step, name)):
            held.append([tensors(list(semantics._kept.values())) for semantics, *_ in micro_batches])
            found = original(*micro_batch)
            held.append([tensors(list(semantics._kept.values())) for semantics, *_ in micro_batches])
            return found
        monkeypatch.setattr(train_step, name, losses)
    train_step.update(micro_batches)
    before, after = held[::2], held[1::2]
    assert before == 6 * [[0, 0, 0]] and all(sum(map(bool, kept)) <= 1 for kept in after)
    assert settings.get('cpu_kernels', True) and settings['modulation'] == 'windows' or all(map(any, after))
    train_step.update(micro_batches[:1])
    assert held[-2] == held[-3] and train_step.steps == 2    # a single micro_batch keeps its maps for the D update


def test_the_kl_divergence_of_micro_batches_is_the_mean_of_their_sums():
    """Its DataParallel computes the losses on each GPU, where KL sums over that GPU's samples,
    and takes the mean over the GPUs.
    """
    whole, micro_batches = (TrainStep(OPT(**{**TINY, 'use_vae': True, 'norm_E': 'spectralinstance'})) for _ in range(2))
    together = whole.step(*batch(0, 3))['g_loss_vae']
    in_parts = micro_batches.update([batch(0, 3, index) for index in range(3)])['g_loss_vae']
    assert together > 0 and together == pytest.approx(3 * in_parts, rel=1e-5)


@pytest.mark.parametrize('settings', [dict(use_vae=True), dict(generator_input='segmap_noise')], ids=str)
def test_micro_batches_draw_the_noise_of_the_whole_batch(settings):
    whole, micro_batches = (TrainStep(OPT(**{**TINY, **settings})) for _ in range(2))
    semantics = [micro_batches._micro_batch(*batch(0, 3, index)) for index in range(3)]
    joint = whole._noise(None, 1, 0, [whole._micro_batch(*batch(0, 3))]).numpy()
    for index in range(3):
        np.testing.assert_array_equal(micro_batches._noise(None, 1, index, semantics).numpy()[0], joint[index])
