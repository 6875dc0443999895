"""Distinct windows equal the plain formulas for any map, kernel size, norm and number of upsamplings."""
from unittest.mock import patch

import numpy as np  # before Paddle: 2.6.2 crashes in zlib otherwise
import paddle
import pytest
from hypothesis import given, settings, strategies

from model import fast
from model.discriminator import PatchDiscriminator
from model.fast import windows as windows_module
from model.fast.windows import distinct_double_windows, distinct_windows
from model.generator import spade_convolution
from model.init import OPT
from model.normalization import SPADE
from model.semantics import SemanticMap, modulation_of, prepared
from model.train_step import TrainStep

CLASSES = 5
pytestmark = pytest.mark.usefixtures('two_threads')


@pytest.fixture
def float64():
    paddle.set_default_dtype('float64')
    yield
    paddle.set_default_dtype('float32')


def maps(kind, shape, seed):
    """Code maps (N, H, W): one class, noise (nearly every pixel its own class), stripes, or all of them in one batch.
    """
    rng = np.random.default_rng(seed)
    if kind == 'mixed':
        return np.concatenate([maps(part, (1, *shape[1:]), seed) for part in ('flat', 'noise', 'blocks')])
    if kind == 'flat':
        return np.full(shape, rng.integers(CLASSES))
    if kind == 'noise':
        return rng.integers(0, CLASSES, shape)
    blocks = rng.integers(0, CLASSES, (shape[0], 1 + shape[1] // 4, 1 + shape[2] // 3))
    return blocks.repeat(4, 1).repeat(3, 2)[:, :shape[1], :shape[2]]


kinds = strategies.sampled_from(['flat', 'noise', 'blocks', 'mixed'])
sizes = strategies.tuples(strategies.integers(1, 2), strategies.integers(1, 13), strategies.integers(1, 13))


@settings(max_examples=60, deadline=None)
@given(kinds, sizes, strategies.sampled_from([1, 3, 5]), strategies.integers(0, 99))
def test_every_pixel_gets_its_own_window_back(kind, shape, k, seed):
    codes = maps(kind, shape, seed) * 7  # codes need not be dense
    windows, half = distinct_double_windows(codes, k), k // 2
    outside = len(windows.codes)
    padded = np.pad(codes, ((0, 0), (2 * half, 2 * half), (2 * half, 2 * half)), constant_values=-1)
    contents = np.append(windows.codes, -1)[np.append(windows.first, np.full((1, k * k), outside, np.int32), axis=0)]
    for n, y, x in np.ndindex(codes.shape):
        second = windows.second[windows.pixel[n, y, x]].reshape(k, k)
        for dy, dx in np.ndindex(k, k):
            inside = 0 <= y + dy - half < codes.shape[1] and 0 <= x + dx - half < codes.shape[2]
            expected = padded[n, y + dy:y + dy + k, x + dx:x + dx + k].ravel() if inside else np.full(k * k, -1)
            np.testing.assert_array_equal(contents[second[dy, dx]], expected)
    assert len(np.unique(windows.first, axis=0)) == len(windows.first)
    assert len(np.unique(windows.second, axis=0)) == len(windows.second)


@settings(max_examples=20, deadline=None)
@given(kinds, sizes, strategies.sampled_from([1, 3, 7]), strategies.integers(0, 99))
def test_windows_mirrored_at_the_border(kind, shape, k, seed):
    """pix2pixHD's first layer sees the map reflected instead of 'outside'."""
    label, half = maps(kind, (shape[0], shape[1] + 3, shape[2] + 3), seed), k // 2
    semantics = SemanticMap(label, None, OPT(label_nc=CLASSES, no_instance=True))
    windows = semantics.windows(k, 1, half, mirrored=True)
    padded = np.pad(label, ((0, 0), (half, half), (half, half)), mode='reflect')
    assert windows.pixel.shape == label.shape and windows.first.max() < len(windows.codes)
    for n, y, x in np.ndindex(label.shape):
        found = windows.codes[windows.first[windows.pixel[n, y, x]]] // 2
        np.testing.assert_array_equal(found, padded[n, y:y + k, x:x + k].ravel())


@settings(max_examples=40, deadline=None)
@given(kinds, sizes, strategies.integers(0, 99))
def test_windows_of_a_strided_convolution(kind, shape, seed):
    codes = maps(kind, shape, seed)
    windows = distinct_windows(codes, 4, 2, 2)
    padded = np.pad(codes, ((0, 0), (2, 2), (2, 2)), constant_values=-1)
    assert windows.pixel.shape == (len(codes), shape[1] // 2 + 1, shape[2] // 2 + 1)
    for n, y, x in np.ndindex(windows.pixel.shape):
        found = np.append(windows.codes, -1)[windows.first[windows.pixel[n, y, x]]]
        np.testing.assert_array_equal(found, padded[n, 2 * y:2 * y + 4, 2 * x:2 * x + 4].ravel())


@pytest.mark.parametrize('kernel', [True, False])
@settings(max_examples=60, deadline=None)
@given(strategies.lists(strategies.one_of(strategies.integers(0, 5), strategies.integers(0, 2 ** 62)), min_size=1,
                        max_size=300))
def test_distinct_keys_as_numpy_finds_them(kernel, keys):
    keys = np.array(keys).reshape(1, -1, 1)[:, ::-1]
    with patch.object(windows_module, 'kernels', fast.kernels if kernel else lambda: None):
        values, position = windows_module._distinct(keys)
    np.testing.assert_array_equal(values, np.unique(keys))
    np.testing.assert_array_equal(values[position], keys)
    assert position.dtype == np.int32


class Identity:
    """In place of the convolution that follows."""

    def __call__(self, x, recompute=None):
        return x

    def normalized_weight(self):
        return paddle.ones([1])

    def convolved(self, x, weight):
        return x


def spade_results(opt, x, label, instance, activated):
    """Output and gradients of one SPADE layer, of weights that depend on nothing but the seed."""
    paddle.seed(3)
    layer = SPADE(x.shape[1], opt)
    for parameter in layer.parameters():
        parameter.set_value(paddle.randn(parameter.shape) * 0.3)
    x = paddle.to_tensor(x, dtype=paddle.get_default_dtype(), stop_gradient=False)
    semantics = SemanticMap(label, None if opt.no_instance else instance, opt)
    y = spade_convolution(layer, Identity(), x, semantics, activated)
    (y * paddle.to_tensor(np.random.default_rng(4).standard_normal(y.shape), dtype=y.dtype)).sum().backward()
    return [y.numpy(), x.grad.numpy()] + [parameter.grad.numpy() for parameter in layer.parameters()] + \
        [buffer.numpy() for buffer in layer.buffers()]


def assert_equal(found, expected, tolerance):
    for ours, plain in zip(found, expected):
        assert np.abs(ours - plain).max() <= tolerance * max(np.abs(plain).max(), 1e-3)


@settings(max_examples=25, deadline=None)
@given(kinds, sizes, strategies.sampled_from(['batch', 'syncbatch', 'instance']), strategies.sampled_from([1, 3, 5]),
       strategies.booleans(), strategies.booleans(), strategies.sampled_from(['windows', 'dense', 'auto']),
       strategies.integers(0, 99))
def test_spade_layer_in_float32(kind, shape, norm, k, no_instance, training, modulation, seed):
    shape = shape[0], shape[1] + 4, shape[2] + 4  # statistics of a few pixels amplify rounding
    label, instance = maps(kind, shape, seed), maps(kind, shape, seed + 1)
    x = np.random.default_rng(seed).standard_normal((len(label), 6, *shape[1:])).astype(np.float32)
    options = dict(label_nc=CLASSES, no_instance=no_instance, norm_G=f'spade{norm}{k}x{k}')
    expected = spade_results(OPT(**options, modulation='dense', cpu_kernels=False), x, label, instance, True)
    for cpu_kernels in (False, True):
        found = spade_results(OPT(**options, modulation=modulation, cpu_kernels=cpu_kernels), x, label, instance, True)
        assert_equal(found, expected, 1e-5)


@settings(max_examples=25, deadline=None)
@given(kinds, sizes, strategies.booleans(), strategies.integers(0, 2), strategies.booleans(),
       strategies.integers(0, 99))
def test_first_layer_of_the_discriminator_in_float32(kind, shape, no_instance, scale, joint, seed):
    shape = shape[0], shape[1] + 8, shape[2] + 8
    label, instance = maps(kind, shape, seed), maps(kind, shape, seed + 1)
    size = shape[1:]
    for _ in range(scale):
        size = tuple((side + 1) // 2 for side in size)
    image = np.random.default_rng(seed).standard_normal((len(label) * (1 + joint), 3, *size)).astype(np.float32)
    results = []
    for speed in (dict(modulation='dense', cpu_kernels=False), dict(modulation='windows', cpu_kernels=False), {}):
        opt = OPT(label_nc=CLASSES, no_instance=no_instance, ndf=4, n_layers_D=1, **speed)
        paddle.seed(5)
        layer = PatchDiscriminator(opt)
        for parameter in layer.parameters():
            parameter.set_value(paddle.randn(parameter.shape) * 0.3)
        x = paddle.to_tensor(image, stop_gradient=False)
        features = layer(SemanticMap(label, None if no_instance else instance, opt), x, scale)
        features[0].sum().backward()
        first = layer.model0[0]
        results.append([features[0].numpy(), x.grad.numpy(), first.weight.grad.numpy(), first.bias.grad.numpy()])
    for found in results[1:]:
        assert_equal(found, results[0], 1e-5)


SMALL = [dict(norm_G=norm_G) for norm_G in (
    'spectralspadesyncbatch3x3', 'spectralspadebatch5x5', 'spectralspadeinstance3x3', 'spadebatch3x3',
    'spadeinstance5x5', 'spectralspadesyncbatch1x1')]
SMALL += [dict(no_instance=True), dict(contain_dontcare_label=False)]
LARGE = [dict(num_upsampling_layers='more', crop_size=64), dict(num_upsampling_layers='most', crop_size=128),
         dict(use_vae=True, z_dim=4), dict(aspect_ratio=0.5), dict(netG='pix2pixhd', resnet_n_blocks=1),
         dict(norm_G='spectralconcatsyncbatch3x3'), dict(norm_G='concatinstance3x3', no_instance=True),
         dict(netG='pix2pixhd', norm_G='spectralnone', resnet_n_downsample=2, resnet_initial_kernel_size=5)]
ORDINARY = [SMALL[0], SMALL[1], SMALL[2], SMALL[4], LARGE[2], LARGE[3], LARGE[4], LARGE[5], LARGE[6]]
STEPS = [(options, 'mixed') for options in ORDINARY]    # a flat map, noise and blocks in a batch
STEPS += [pytest.param(options, 'blocks' if options.get('crop_size') == 128 else 'mixed', marks=pytest.mark.thorough)
          for options in SMALL + LARGE if options not in ORDINARY]
STEPS += [pytest.param(SMALL[0], kind, marks=pytest.mark.thorough) for kind in ('flat', 'noise')]


@pytest.mark.parametrize('options, kind', STEPS, ids=str)
def test_training_step_in_float64(float64, options, kind):
    results = []
    for modulation in ('dense', 'windows'):
        opt = OPT(**{**dict(label_nc=CLASSES, crop_size=32, ngf=2, ndf=2, use_vae=False), **options,
                     'modulation': modulation})
        label = maps(kind, (2, *opt.picture_size), 1)
        image = np.random.default_rng(2).standard_normal((len(label), 3, *opt.picture_size))
        train_step = TrainStep(opt)
        instance = None if opt.no_instance else maps(kind, (2, *opt.picture_size), 3)
        # before Adam turns gradients of rounding size into steps
        picture = train_step.generate(label, instance).numpy()
        losses = train_step.step(label, instance, image)
        networks = [network for network in (train_step.generator, train_step.discriminator, train_step.encoder)
                    if network]
        scales = [max(np.abs(parameter.grad.numpy()).max() for parameter in network.parameters())
                  for network in networks]
        results.append((losses, [parameter.grad.numpy() / scale for network, scale in zip(networks, scales)
                                 for parameter in network.parameters()], picture))
    (dense, dense_gradients, dense_picture), (windows, gradients, picture) = results
    assert all(abs(windows[name] - dense[name]) <= 1e-9 * max(1, abs(dense[name])) for name in dense)
    assert all(np.abs(ours - plain).max() <= 1e-9 for ours, plain in zip(gradients, dense_gradients))
    assert np.abs(picture - dense_picture).max() <= 1e-9


@pytest.mark.parametrize('option, kernels, dtype, on', [
    ('auto', True, 'float32', 'auto'), ('auto', False, 'float32', 'dense'), ('auto', True, 'float64', 'dense'),
    ('windows', False, 'float32', 'windows'), ('windows', True, 'float64', 'windows'),
    ('dense', True, 'float32', 'dense')])
def test_auto_looks_for_windows_only_where_the_kernels_compute(option, kernels, dtype, on):
    opt = OPT(label_nc=CLASSES, crop_size=32, modulation=option, cpu_kernels=kernels)
    paddle.set_default_dtype(dtype)
    try:
        semantics = prepared(dict(label=maps('flat', (1, 32, 32), 0), instance=maps('flat', (1, 32, 32), 1)),
                             opt)['semantics']
    finally:
        paddle.set_default_dtype('float32')
    assert semantics.modulation == on
    assert any('windows' in key[0] for key in semantics._kept) == (on != 'dense')


def test_auto_is_dense_on_another_device(monkeypatch):
    monkeypatch.setattr(paddle, 'get_device', lambda: 'gpu:0')
    assert modulation_of(OPT()) == 'dense' and modulation_of(OPT(modulation='windows')) == 'windows'


@pytest.mark.parametrize('D_steps_per_G', [1, 3])
def test_auto_without_the_kernels_equals_dense_to_the_bit_from_the_first_step(D_steps_per_G):
    """Losses, weights and pictures; not those of windows, which round otherwise."""
    found = {}
    for modulation in ('auto', 'dense', 'windows'):
        train_step = TrainStep(OPT(label_nc=CLASSES, crop_size=32, ngf=2, ndf=2, use_vae=False, cpu_kernels=False,
                                   modulation=modulation, D_steps_per_G=D_steps_per_G))
        label = maps('mixed', (2, 32, 32), 1)
        image = np.random.default_rng(2).standard_normal((len(label), 3, 32, 32))
        losses = [list(train_step.step(label, label, image).values()) for _ in range(3)]
        found[modulation] = np.concatenate([np.ravel(losses), train_step.generate(label, label).numpy().ravel()])
    assert np.array_equal(found['auto'], found['dense'])
    assert not np.array_equal(found['auto'], found['windows'])


def test_two_runs_give_the_same_bits():
    results = []
    for _ in range(2):
        train_step = TrainStep(OPT(label_nc=CLASSES, crop_size=64, ngf=4, ndf=4, use_vae=False))
        label = np.concatenate([maps('mixed', (1, 64, 64), 0)] * 2)
        for step in range(3):
            train_step.step(label, label, np.random.default_rng(step).standard_normal((len(label), 3, 64, 64)))
        results.append([value.numpy() for value in train_step.generator.state_dict().values()])
    for first, second in zip(*results):
        np.testing.assert_array_equal(first, second)
