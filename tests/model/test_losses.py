"""The losses against closed forms, worked out in numpy."""
import math

import numpy as np
import paddle
import pytest

from model.losses import feature_matching, gan_loss, kl_divergence, perceptual

MODES = ('hinge', 'ls', 'original', 'w')


@pytest.fixture(autouse=True)
def double_precision():
    paddle.set_default_dtype('float64')
    yield
    paddle.set_default_dtype('float32')


@pytest.fixture
def maps():
    """Predictions of two scales, of different size."""
    draw = np.random.default_rng(0)
    return [2 * draw.standard_normal((2, 1, 5, 4)), 2 * draw.standard_normal((2, 1, 3, 2))]


def formula(mode, x, real, for_discriminator):
    if mode == 'hinge' and for_discriminator:
        return np.maximum(0, 1 - x if real else 1 + x)
    if mode in ('hinge', 'w'):
        return -x if real else x
    if mode == 'ls':
        return (x - real) ** 2
    return np.log1p(np.exp(-x if real else x))      # cross-entropy of the logistic function


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('real', [True, False])
@pytest.mark.parametrize('for_discriminator', [True, False])
def test_gan_loss(maps, mode, real, for_discriminator):
    """The mean over the scales of the means over the patches: a scale counts the same however small it is."""
    found = gan_loss([paddle.to_tensor(x) for x in maps], real, mode, for_discriminator)
    expected = np.mean([formula(mode, x, real, for_discriminator).mean() for x in maps])
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('mode, real, expected', [
    ('hinge', True, [1, 0, 0, 3]), ('hinge', False, [1, 2, 4, 0]), ('ls', True, [1, 0, 4, 9]),
    ('ls', False, [0, 1, 9, 4]), ('w', True, [0, -1, -3, 2]), ('w', False, [0, 1, 3, -2])])
def test_gan_loss_of_single_values(mode, real, expected):
    found = [float(gan_loss([paddle.full([1, 1, 1, 1], value)], real, mode)) for value in (0.0, 1.0, 3.0, -2.0)]
    assert found == expected


def test_cross_entropy_does_not_overflow():
    losses = [float(gan_loss([paddle.full([1, 1, 1, 1], 1e4)], real, 'original')) for real in (True, False)]
    assert losses == [0, 1e4]
    assert float(gan_loss([paddle.zeros([1, 1, 2, 2])], True, 'original')) == pytest.approx(math.log(2))


@pytest.mark.parametrize('mode', MODES)
def test_defaults_are_the_discriminator_s(maps, mode):
    maps = [paddle.to_tensor(x) for x in maps]
    assert float(gan_loss(maps, True, mode)) == float(gan_loss(maps, True, mode, True))


def scales(seed):
    """Feature maps of two scales with three layers, the last the prediction."""
    draw = np.random.default_rng(seed)
    return [[draw.standard_normal((2, channels, size, size)) for channels, size in ((4, 6), (8, 3), (1, 2))]
            for _ in range(2)]


def tensors(lists):
    return [[paddle.to_tensor(x, stop_gradient=False) for x in scale] for scale in lists]


def test_feature_matching():
    """Summed over layers but for the prediction, mean over scales; no gradient for the photo's maps."""
    fake, real = scales(1), scales(2)
    fake_maps, real_maps = tensors(fake), tensors(real)
    loss = feature_matching(fake_maps, real_maps)
    expected = sum(np.abs(a - b).mean() for one, other in zip(fake, real) for a, b in zip(one[:-1], other[:-1])) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    loss.backward()
    for scale, real_scale in zip(fake_maps, real_maps):
        assert all(x.grad is None for x in real_scale) and scale[-1].grad is None
        assert np.allclose(np.abs(scale[0].grad.numpy()), 1 / (2 * scale[0].size))
    assert float(feature_matching(fake_maps, fake_maps)) == 0


def test_perceptual():
    """Weights 1/32, 1/16, 1/8, 1/4, 1 from the first to the deepest map."""
    fake = [paddle.full([1, 2, 3, 3], 0.0, 'float64') for _ in range(5)]
    fake[3].stop_gradient = False
    real = [paddle.full([1, 2, 3, 3], 10.0 ** -n, 'float64') for n in range(5)]
    real[3].stop_gradient = False
    loss = perceptual(fake, real)
    assert float(loss) == pytest.approx(1 / 32 + 0.1 / 16 + 0.01 / 8 + 0.001 / 4 + 0.0001, rel=1e-12)
    loss.backward()
    assert real[3].grad is None and np.allclose(fake[3].grad.numpy(), -1 / 4 / 18)


def test_kl_divergence():
    """Summed over vector and batch; zero for the standard normal; else that of the formula and of an integral."""
    zero = paddle.zeros([3, 4])
    assert float(kl_divergence(zero, zero)) == 0
    assert float(kl_divergence(zero + 2, zero)) == 3 * 4 * 2.0
    assert float(kl_divergence(zero, zero + math.log(4))) == pytest.approx(3 * 4 * (-0.5 * (1 + math.log(4) - 4)))
    mu, logvar = 0.7, -0.3
    x = np.linspace(-12, 12, 100001)
    density = np.exp(-(x - mu) ** 2 / (2 * math.exp(logvar))) / math.sqrt(2 * math.pi * math.exp(logvar))
    normal = np.exp(-x ** 2 / 2) / math.sqrt(2 * math.pi)
    with np.errstate(divide='ignore', invalid='ignore'):
        integral = np.nansum(density * np.log(density / normal)) * (x[1] - x[0])
    assert float(kl_divergence(paddle.full([1, 1], mu),
                               paddle.full([1, 1], logvar))) == pytest.approx(integral, rel=1e-6)
