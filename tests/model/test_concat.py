"""--norm_G concat...: the label map concatenated before each convolution, instead of SPADE (the paper's Table 3)."""
import numpy as np
import paddle
import pytest

from model.convert.__main__ import main as convert
from model.generator import SPADEGenerator, SPADEResnetBlock, spade_convolution
from model.init import OPT, ConcatNorm
from model.normalization import SPADE
from model.semantics import SemanticMap
from tests.model.test_networks import arrays, batch, tiny
from tests.output.test_resume import assert_same_run
from tests.runner import message, says

CONCAT = dict(norm_G='spectralconcatsyncbatch3x3')


@pytest.fixture
def float64():
    paddle.set_default_dtype('float64')
    yield
    paddle.set_default_dtype('float32')


def convolved(x, weight, bias):
    """x (N, C, H, W), weight (O, C, k, k) -> (N, O, H, W), by the definition, padded with zeros."""
    k = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (2, 3))
    return np.einsum('nchwkl,ockl->nohw', windows, weight) + bias.reshape(1, -1, 1, 1)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def standardized(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)


@pytest.mark.parametrize('modulation', ['dense', 'windows'])
@pytest.mark.parametrize('channels', [(6, 6), (6, 4)], ids=['own shortcut', 'learned shortcut'])
def test_a_block_by_its_definition(float64, channels, modulation):
    """Norm over the batch, leaky ReLU, [features, one-hot map with edge], convolution: twice, and for the shortcut."""
    opt = tiny(norm_G='concatsyncbatch3x3', modulation=modulation)
    block = SPADEResnetBlock(*channels, opt)
    for parameter in block.parameters():
        parameter.set_value(paddle.randn(parameter.shape))
    label, instance, _ = batch(opt)
    semantics = SemanticMap(label, instance, opt)
    x, maps = np.random.default_rng(0).standard_normal((2, channels[0], 8, 8)), semantics.one_hot((8, 8)).numpy()

    def through(name, y):
        layer = getattr(block, name)
        bias = np.zeros(layer.weight.shape[0]) if layer.bias is None else layer.bias.numpy()
        return convolved(np.concatenate([y, maps], 1), layer.weight.numpy(), bias)

    y = through('conv_0', leaky(standardized(x)))
    expected = through('conv_1', leaky(standardized(y))) + \
        (through('conv_s', standardized(x)) if channels[0] != channels[1] else x)
    found = block(paddle.to_tensor(x), semantics).numpy()
    # Paddle 2.6 holds the leaky ReLU's slope in float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())
    assert maps.shape[1] == opt.semantic_nc and maps[:, -1].any()


@pytest.mark.parametrize('modulation', ['dense', 'windows'])
@pytest.mark.parametrize('activated', [True, False])
def test_kernels_and_windows_give_what_plain_operators_give(activated, modulation):
    """One convolution in float32: output, gradients, running statistics, u and v."""
    results = []
    for speed in (dict(modulation='dense', cpu_kernels=False), dict(modulation=modulation)):
        opt = tiny(**CONCAT, **speed)
        paddle.seed(1)
        block = SPADEResnetBlock(6, 4, opt)
        label, instance, _ = batch(opt)
        x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 6, 16, 16)), 'float32', stop_gradient=False)
        y = spade_convolution(block.norm_0, block.conv_0, x, SemanticMap(label, instance, opt), activated)
        (y * paddle.to_tensor(np.random.default_rng(2).standard_normal(y.shape), 'float32')).sum().backward()
        results.append([y.numpy(), x.grad.numpy(), block.conv_0.weight_orig.grad.numpy(),
                        *(buffer.numpy() for layer in (block.norm_0, block.conv_0) for buffer in layer.buffers())])
    for plain, found in zip(*results):
        np.testing.assert_allclose(found, plain, atol=2e-5 * max(1, np.abs(plain).max()))


def test_no_layer_of_spade_is_left():
    generator = SPADEGenerator(tiny(**CONCAT))
    assert not [layer for layer in generator.sublayers() if isinstance(layer, SPADE)]
    names = arrays(generator)[0]
    assert not [name for name in names if 'mlp' in name] and 'up_0.norm_s.param_free_norm._variance' in names
    assert names['up_0.conv_s.weight_orig'].shape[1] == 16 * 2 + 11 and names['up_0.conv_1.weight_orig'].shape[1] == 27


def test_option(tmp_path):
    assert OPT(**CONCAT).generator_norm == ConcatNorm(True, 'syncbatch')
    assert OPT(norm_G='concatinstance3x3').generator_norm == ConcatNorm(False, 'instance')
    assert OPT(**CONCAT).use_vae
    for norm in ('spectralconcatsyncbatch1x1', 'concatsyncbatch', 'concatnone3x3'):
        assert says(message(OPT, norm_G=norm), f"unknown norm '{norm}'", 'concat(batch|syncbatch|instance)3x3')
    assert says(message(lambda: OPT(**CONCAT, netG='pix2pixhd').generator_norm), 'netG pix2pixhd')


def test_a_run_resumes_and_paints(scripts, tmp_path):
    settings = dict(**CONCAT, use_vae='false', ema_decay=0.9)
    scripts.trained(tmp_path / 'whole', niter=2, **settings)
    scripts.trained(tmp_path / 'resumed', niter=1, **settings)
    assert 'resumed from' in scripts.trained(tmp_path / 'resumed', niter=2, **settings)
    assert_same_run(tmp_path / 'whole', tmp_path / 'resumed')
    run = tmp_path / 'whole' / 'output'
    process = scripts.run('val.py', '--lastoutput', run, '--results', tmp_path / 'val')
    assert process.returncode == 0 and '3 pictures' in process.stdout, process.stdout + process.stderr
    assert says(message(convert, ['export', 'nvlabs', str(run), str(tmp_path / 'official')]),
                'spectralconcatsyncbatch3x3', 'official code')
    assert not (tmp_path / 'official').exists()
