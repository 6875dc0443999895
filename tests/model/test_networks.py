"""The networks: names, shapes, initial weights, and the statistics of their norms."""
import json
import math
import os

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies

from model.convolution import Convolution
from model.discriminator import MultiscaleDiscriminator, halves
from model.generator import SPADEGenerator, build_generator
from model.init import OPT
from model.normalization import BatchNorm, InstanceNorm, kernel_is_unbiased
from model.semantics import SemanticMap
from model.train_step import LOG_COLUMNS, TrainStep
from model.vae_encoder import VAEEncoder
from tests.forked import GOLDEN
from tests.golden.fixture import inputs

# ctkindle's variant has networks of its own
OFFICIAL = ('base_64', 'vgg_64', 'vae_256', 'most_128', 'spade1x1_64', 'pix2pixhd_64')
NETWORKS = {'G': build_generator, 'D': MultiscaleDiscriminator, 'E': VAEEncoder}
STATE = ('_u', '_v', '_mean', '_variance')                  # changed by a forward pass in training, not by an optimizer


def tiny(**settings):
    return OPT(**{**dict(label_nc=9, crop_size=32, load_size=36, ngf=2, ndf=2, z_dim=8, use_vae=False), **settings})


def batch(opt, seed=0, count=2):
    label, instance, image = inputs(seed, count, *opt.picture_size, opt.label_nc, opt.contain_dontcare_label)
    return label, None if opt.no_instance else instance, image


def arrays(*networks):
    return [{name: value.numpy().copy() for name, value in network.state_dict().items()} for network in networks]


def weights(network):
    return {name: value for name, value in arrays(network)[0].items() if not name.endswith(STATE)}


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# ---- Names, shapes, initial weights

@pytest.mark.parametrize('case, letter', [(case, letter) for case in OFFICIAL for letter in 'GD'] + [('vae_256', 'E')])
def test_names_and_shapes_are_the_official_ones(case, letter):
    golden = np.load(os.path.join(GOLDEN, case + '.npz'))
    opt = OPT(**{**json.loads(str(golden['opt'])), 'no_vgg_loss': True})
    linear = ('fc_mu.weight', 'fc_var.weight') + ('fc.weight',) * opt.use_vae     # Paddle keeps (in, out)
    expected = {}
    for name, shape in zip(golden[letter + '_names'].tolist(), golden[letter + '_shapes']):
        shape = json.loads(str(shape))
        if not name.endswith('num_batches_tracked'):
            name = name.replace('running_mean', '_mean').replace('running_var', '_variance')
            expected[name] = shape[::-1] if name in linear else shape
    assert {name: list(value.shape) for name, value in NETWORKS[letter](opt).state_dict().items()} == expected


@pytest.mark.parametrize('network, settings', [
    (build_generator, dict(netG='pix2pixhd')), (build_generator, dict(netG='pix2pixhd', norm_G='batch')),
    (SPADEGenerator, {}), (SPADEGenerator, dict(use_vae=True)), (SPADEGenerator, dict(norm_G='spadebatch3x3')),
    (MultiscaleDiscriminator, dict(ndf=8)), (MultiscaleDiscriminator, dict(ndf=8, norm_D='batch')),
    (VAEEncoder, dict(ngf=4))])
def test_initial_weights(network, settings):
    """Spectral-normed weights uniform in +-1/sqrt(fan_in), others Xavier-normal with gain 0.02; biases zero."""
    paddle.seed(0)
    large = 0
    for name, value in network(tiny(**{'ngf': 8, **settings})).state_dict().items():
        value = value.numpy()
        if name.endswith('bias') or name.endswith('_mean'):
            assert not value.any(), name
        elif name.endswith('_variance'):
            assert (value == 1).all()
        elif name.endswith(('_u', '_v')):
            assert np.linalg.norm(value) == pytest.approx(1, rel=1e-3)
        elif value.ndim == 1:
            assert abs(value.mean() - 1) < 0.03 and value.std() < 0.04      # scales of batch norm, normal around 1
        elif value.size > 2000:
            receptive = int(np.prod(value.shape[2:]))
            fans = value.shape[0] * receptive, value.shape[1] * receptive
            large += 1
            if name.endswith('weight_orig'):
                bound = 1 / math.sqrt(fans[1])
                assert 0.98 * bound < np.abs(value).max() <= bound * (1 + 1e-6), name
                deviation = bound / math.sqrt(3)
            else:
                deviation = 0.02 * math.sqrt(2 / sum(fans))
                assert np.abs(value).max() > 3 * deviation, name            # normal, not uniform
            assert value.std() == pytest.approx(deviation, rel=0.05) and abs(value.mean()) < 0.1 * deviation, name
    assert large > 2


def test_the_seed_decides_the_initial_weights():
    one, again, other = (arrays(TrainStep(tiny(seed=seed)).generator)[0] for seed in (1, 1, 2))
    assert equal(one, again) and not np.array_equal(one['fc.weight'], other['fc.weight'])


@pytest.mark.parametrize('norm_G, there, absent', [
    ('spectralspadesyncbatch3x3', ('conv_0.weight_orig', 'param_free_norm._mean'), ()),
    ('spadebatch3x3', ('conv_0.weight', 'param_free_norm._mean'), ('_orig', '_u')),
    ('spectralspadeinstance3x3', ('conv_0.weight_orig',), ('_mean', '_variance')),
    ('spadeinstance5x5', ('conv_0.weight',), ('_orig', '_mean')), ('spadeinstance1x1', ('conv_0.weight',), ())])
def test_norms_of_the_generator(norm_G, there, absent):
    state = {name: list(value.shape) for name, value in SPADEGenerator(tiny(norm_G=norm_G)).state_dict().items()}
    assert all(any(name.endswith(end) for name in state) for end in there)
    assert not any(name.endswith(absent) for name in state)
    size = int(norm_G[-1])
    for name in ('mlp_shared.0', 'mlp_gamma', 'mlp_beta'):
        assert state[f'head_0.norm_0.{name}.weight'][2:] == [size, size]


def test_spectral_norm_is_that_of_paddle():
    """In float64: output, gradient, u and v, in training mode twice and in eval mode."""
    paddle.set_default_dtype('float64')
    try:
        ours, theirs = Convolution(6, 5, 3, OPT(), padding=1, spectral=True), paddle.nn.Conv2D(6, 5, 3, padding=1)
        theirs.weight.set_value(ours.weight_orig)
        theirs = paddle.nn.utils.spectral_norm(theirs)
        theirs.set_state_dict(ours.state_dict())
        for mode in ('train', 'train', 'eval'):
            x, results = paddle.randn([2, 6, 8, 9]), []
            for layer in (ours, theirs):
                getattr(layer, mode)()
                layer.clear_gradients()
                y = layer(x)
                (y * y).sum().backward()
                results.append([y, layer.weight_orig.grad, layer.weight_u, layer.weight_v])
            for found, expected in zip(*results):
                np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-12 * abs(expected.numpy()).max())
    finally:
        paddle.set_default_dtype('float32')


# ---- Pictures

@pytest.mark.parametrize('settings', [
    {}, dict(aspect_ratio=2.0, crop_size=64), dict(aspect_ratio=0.5), dict(num_upsampling_layers='more', crop_size=64),
    dict(num_upsampling_layers='most', crop_size=128), dict(norm_G='spectralspadeinstance3x3'),
    dict(norm_G='spadebatch5x5'), dict(norm_G='spectralspadesyncbatch1x1'),
    dict(norm_G='spectralconcatsyncbatch3x3'), dict(netG='pix2pixhd'),
    dict(netG='pix2pixhd', norm_G='none', resnet_n_downsample=2, resnet_n_blocks=2, resnet_initial_kernel_size=3,
         aspect_ratio=2.0),
    dict(norm_D='none'), dict(norm_D='spectralsync_batch'), dict(no_instance=True), dict(contain_dontcare_label=False),
    dict(use_vae=True, norm_E='spectralbatch'), dict(use_vae=True, crop_size=64, aspect_ratio=2.0), dict(gan_mode='ls'),
    dict(gan_mode='w', no_ganFeat_loss=True), dict(gan_mode='original', num_D=3, n_layers_D=3), dict(output_nc=1)],
    ids=lambda settings: ','.join(f'{name}={value}' for name, value in settings.items()) or 'default')
def test_a_step_of_every_variant(settings):
    opt = tiny(**settings)
    train_step = TrainStep(opt)
    label, instance, image = batch(opt)
    image = image[:, :opt.output_nc]
    before = weights(train_step.generator), weights(train_step.discriminator)
    losses = train_step.step(label, instance, image)
    assert tuple(losses) == LOG_COLUMNS and all(math.isfinite(value) for value in losses.values())
    assert (losses['g_loss_feat'] == 0) == opt.no_ganFeat_loss and (losses['g_loss_vae'] != 0) == opt.use_vae
    assert losses['d_loss'] == pytest.approx(losses['d_loss_f'] + losses['d_loss_r'], rel=1e-5, abs=1e-6)
    for network, old in zip((train_step.generator, train_step.discriminator), before):
        new = weights(network)
        assert sum(np.array_equal(new[name], old[name]) for name in old) < 0.5 * len(old)
    fake = train_step.generate(label, instance, image).numpy()
    assert fake.shape == (2, opt.output_nc, *opt.picture_size) and np.abs(fake).max() <= 1


@pytest.mark.parametrize('count', [1, 3])
def test_the_batch_size_comes_from_the_data(count):
    opt = tiny(batchSize=2)
    assert TrainStep(opt).step(*batch(opt, count=count))


def test_pictures_of_a_batch_do_not_depend_on_each_other():
    opt = tiny()
    train_step = TrainStep(opt)
    label, instance, _ = batch(opt, count=3)
    together = train_step.generate(label, instance).numpy()
    for index in range(3):
        alone = train_step.generate(label[index:index + 1], instance[index:index + 1]).numpy()
        assert np.allclose(alone[0], together[index], atol=1e-5)


@pytest.mark.parametrize('kernels', [True, False], ids=['written out', 'fused'])
def test_running_statistics_are_those_of_torch(kernels):
    """Mean and unbiased variance, the new value with weight 0.1; in eval mode they normalize and stay."""
    norm = BatchNorm(3, affine=False, opt=OPT(cpu_kernels=kernels))
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32) * 3 + 1
    y = norm(paddle.to_tensor(x)).numpy()
    mean, unbiased = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1)
    assert np.allclose(norm._mean.numpy(), 0.1 * mean, atol=1e-6)
    assert np.allclose(norm._variance.numpy(), 0.9 + 0.1 * unbiased, rtol=1e-5)
    shape = [1, 3, 1, 1]
    assert np.allclose(y, (x - mean.reshape(shape)) / np.sqrt(x.var((0, 2, 3)).reshape(shape) + 1e-5), atol=1e-5)
    before = arrays(norm)[0]
    norm.eval()
    expected = (x - before['_mean'].reshape(shape)) / np.sqrt(before['_variance'].reshape(shape) + 1e-5)
    assert np.allclose(norm(paddle.to_tensor(x)).numpy(), expected, atol=1e-5) and equal(arrays(norm)[0], before)


@pytest.fixture
def as_on_cudnn(monkeypatch):
    """F.batch_norm that tracks the unbiased variance, as cudnnBatchNormalizationForwardTrainingEx does."""
    kernel = F.batch_norm

    def tracking(x, mean, variance, weight=None, bias=None, training=False, momentum=0.9, epsilon=1e-5):
        before, count = variance.clone(), x.size // x.shape[1]
        y = kernel(x, mean, variance, weight, bias, training, momentum, epsilon)
        if training:
            tracked = before * momentum + (variance - before * momentum) * (count / max(count - 1, 1))
            paddle.assign(tracked, output=variance)
        return y
    kernel_is_unbiased.cache_clear()
    monkeypatch.setattr(F, 'batch_norm', tracking)
    yield
    kernel_is_unbiased.cache_clear()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.tuples(strategies.integers(1, 5), strategies.integers(1, 4), strategies.integers(1, 9),
                         strategies.integers(2, 9)),
       strategies.integers(0, 99))
@example((1, 1, 8, 8), 0)
@example((8, 1, 256, 257), 0)
@example((1, 1, 511, 513), 0)
def test_the_running_variance_is_the_same_whichever_a_kernel_tracks(as_on_cudnn, shape, seed):
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2
    norm = BatchNorm(shape[1], affine=False, opt=OPT(cpu_kernels=False))
    for _ in range(3):
        norm(paddle.to_tensor(x))
    expected = 0.9 ** 3 + (1 - 0.9 ** 3) * x.astype(np.float64).var((0, 2, 3), ddof=1)
    assert kernel_is_unbiased((shape[0], 1, *shape[2:]), str(paddle.to_tensor(x).place))
    assert np.allclose(norm._variance.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize('shape', [(1, 1, 8, 8), (2, 1, 3, 5), (1, 1, 1, 1), (8, 1, 256, 257), (1, 1, 511, 513)])
def test_paddle_s_cpu_kernel_tracks_the_biased_variance(shape):
    """Or the bits of earlier CPU runs without the kernels would not stay."""
    assert not kernel_is_unbiased(shape, str(paddle.CPUPlace()))


@pytest.mark.parametrize('kernels', [True, False], ids=['written out', 'fused'])
def test_affine_batch_norm(kernels):
    norm = BatchNorm(2, affine=True, opt=OPT(cpu_kernels=kernels))
    norm.weight.set_value(np.array([2.0, 3.0], np.float32))
    norm.bias.set_value(np.array([-1.0, 5.0], np.float32))
    y = norm(paddle.to_tensor(np.random.default_rng(0).standard_normal((4, 2, 8, 8)).astype(np.float32))).numpy()
    assert np.allclose(y.mean((0, 2, 3)), [-1, 5], atol=1e-5) and np.allclose(y.std((0, 2, 3)), [2, 3], atol=1e-3)


@pytest.mark.parametrize('norm', [BatchNorm, InstanceNorm])
@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_fused_norms_equal_those_written_out(norm, mode):
    """Output, gradient and running statistics, of values whose mean is far from zero."""
    values = np.random.default_rng(0).standard_normal((2, 3, 8, 9)).astype(np.float32) * 3 + 10
    weight, results = np.random.default_rng(1).standard_normal(values.shape).astype(np.float32), []
    for kernels in (True, False):
        arguments = (3, False, False) if norm is BatchNorm else ()
        layer, x = norm(*arguments, OPT(cpu_kernels=kernels)), paddle.to_tensor(values, stop_gradient=False)
        getattr(layer, mode)()
        for _ in range(2):
            y = layer(x)
        (y * paddle.to_tensor(weight)).sum().backward()
        results.append([y.numpy(), x.grad.numpy()] + [buffer.numpy() for buffer in layer.buffers()])
    for one, other in zip(*results):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize('norm_D', ['spectralinstance', 'spectralbatch'])
def test_discriminator_on_one_and_on_two_pictures_for_a_map(norm_D):
    opt = tiny(norm_D=norm_D)
    label, instance, real = batch(opt)
    fake = real[::-1].copy()
    semantics = SemanticMap(label, instance, opt)
    network = MultiscaleDiscriminator(opt)
    network.eval()
    joint = halves(network(semantics, paddle.to_tensor(np.concatenate([fake, real]))))
    for half, image in zip(joint, (fake, real)):
        alone = network(semantics, paddle.to_tensor(image))
        assert [[list(feature.shape) for feature in scale] for scale in alone] == \
            [[list(feature.shape) for feature in scale] for scale in half]
        for one, other in zip(alone, half):
            assert all(np.allclose(a.numpy(), b.numpy(), atol=1e-5) for a, b in zip(one, other))
    assert [len(scale) for scale in joint[0]] == [opt.n_layers_D + 1] * opt.num_D
    assert joint[0][0][-1].shape[:2] == [2, 1]
