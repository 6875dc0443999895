"""pix2pixHD's generator (--netG pix2pixhd), beside its stored values in tests/model/test_alignment.py."""
import json

import numpy as np
import paddle
import pytest

from model.convert.__main__ import main as convert
from model.convolution import TransposedConvolution
from model.init import OPT
from model.normalization import BatchNorm, InstanceNorm
from model.train_step import TrainStep
from tests.model.test_convert_nvlabs import save
from tests.model.test_convert_nvlabs import tiny as official
from tests.model.test_networks import tiny
from tests.output.test_resume import assert_same_run
from tests.runner import message, says

HD = dict(netG='pix2pixhd', resnet_n_downsample=2, resnet_n_blocks=1)


# ---- Layers

@pytest.fixture
def float64():
    paddle.set_default_dtype('float64')
    yield
    paddle.set_default_dtype('float32')


@pytest.mark.parametrize('bias', [True, False])
def test_transposed_convolution_by_its_definition(float64, bias):
    """Each input pixel adds its multiple of the kernel around the pixel at twice its place."""
    layer = TransposedConvolution(3, 2, bias=bias)
    x, weight = np.random.default_rng(0).standard_normal((2, 3, 4, 5)), layer.weight.numpy()
    expected = np.zeros((2, 2, 8 + 2, 10 + 2))      # a border of one pixel, cut off below
    for y, x_place in np.ndindex(4, 5):
        added = np.einsum('nc,cokl->nokl', x[:, :, y, x_place], weight)
        expected[:, :, 2 * y:2 * y + 3, 2 * x_place:2 * x_place + 3] += added
    expected = expected[:, :, 1:-1, 1:-1] + (layer.bias.numpy().reshape(1, -1, 1, 1) if bias else 0)
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), expected, atol=1e-12)


def test_spectral_norm_of_a_transposed_convolution_is_over_its_second_axis(float64):
    """After many power iterations: the weight over its singular value as a matrix (out, in * 9)."""
    paddle.seed(0)
    layer = TransposedConvolution(5, 4, spectral=True)
    for _ in range(300):
        layer(paddle.zeros([1, 5, 2, 2]))
    layer.eval()
    weight = layer.weight_orig.numpy()
    sigma = np.linalg.svd(weight.transpose(1, 0, 2, 3).reshape(4, -1), compute_uv=False)[0]
    other = np.linalg.svd(weight.reshape(5, -1), compute_uv=False)[0]
    np.testing.assert_allclose(layer.normalized_weight().numpy(), weight / sigma, rtol=1e-9)
    assert abs(sigma / other - 1) > 0.01


@pytest.mark.parametrize('slope', [0.0, 1.0])
@pytest.mark.parametrize('make', [lambda opt: BatchNorm(3, True, opt=opt), lambda opt: BatchNorm(3, False, opt=opt),
                                  InstanceNorm], ids=['affine', 'batch', 'instance'])
def test_a_norm_and_its_relu_in_one_kernel(make, slope):
    """Output and gradients, as with Paddle's operators, of values whose mean is far from zero."""
    rng, results = np.random.default_rng(0), []
    values, weights = rng.standard_normal((2, 3, 8, 9)) * 3 + 10, rng.standard_normal((2, 3, 8, 9))
    for kernels in (True, False):
        norm, x = make(OPT(cpu_kernels=kernels)), paddle.to_tensor(values, 'float32', stop_gradient=False)
        parameters = norm.parameters()
        for parameter, value in zip(parameters, ([2, 0.5, -1], [0.1, -0.2, 1])):
            parameter.set_value(np.array(value, np.float32))
        y = norm.compiled(x, slope) if kernels else norm(x)
        y = y if kernels or slope else paddle.nn.functional.relu(y)
        (y * paddle.to_tensor(weights, 'float32')).sum().backward()
        results.append([y.numpy(), x.grad.numpy(), *(parameter.grad.numpy() for parameter in parameters),
                        *(buffer.numpy() for buffer in norm.buffers())])
    for found, expected in zip(*results):
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_batch_norm_of_many_values_is_precise():
    """The CPU kernels against float64: 65536 values a channel, whose mean is far from zero."""
    rng = np.random.default_rng(0)
    values, weights = np.float32(rng.standard_normal((2, 4, 3, 128, 128)) + [[[[[3.0]]]], [[[[0.5]]]]])
    results = []
    for dtype in ('float32', 'float64'):
        paddle.set_default_dtype(dtype)
        try:
            norm, x = BatchNorm(3, True, opt=OPT()), paddle.to_tensor(values.astype(dtype), stop_gradient=False)
            y = norm(x)
            (y * paddle.to_tensor(weights.astype(dtype))).sum().backward()
        finally:
            paddle.set_default_dtype('float32')
        results.append([value.numpy() for value in (y, x.grad, norm.bias.grad, *norm.buffers(), norm.weight.grad)])
    for found, expected, tolerance in zip(*results, (1e-6, 1e-6, 2e-6, 2e-6, 2e-6, 2e-4)):
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_the_border_is_mirrored(float64):
    """A map that is its own mirror image beyond the border gives the picture of the larger map's middle."""
    settings = dict(netG='pix2pixhd', resnet_n_downsample=1, resnet_n_blocks=0, norm_G='none', no_instance=True)
    small_step, large_step = (TrainStep(tiny(**settings, crop_size=size)) for size in (32, 64))
    large_step.generator.set_state_dict(small_step.generator.state_dict())
    label = np.random.default_rng(0).integers(0, 9, (1, 32, 32))
    around = np.pad(label, ((0, 0), (16, 16), (16, 16)), mode='reflect')
    one, other = (step.generate(maps, None).numpy() for step, maps in ((small_step, label), (large_step, around)))
    inside = one[0, :, 8:-8, 8:-8]      # halvings pad with zeros, which the last convolution spreads over some pixels
    np.testing.assert_allclose(other[0, :, 24:-24, 24:-24], inside, atol=1e-12 * np.abs(one).max())


# ---- Options

@pytest.mark.parametrize('settings, said', [
    (dict(use_vae=True), ('use_vae', 'netG pix2pixhd', '--netG spade')),
    (dict(generator_input='noise'), ('generator_input', 'noise', 'netG pix2pixhd')),
    (dict(norm_G='spectralspadesyncbatch3x3'), ('spectralspadesyncbatch3x3', 'netG pix2pixhd', 'spectralsyncbatch'))])
def test_what_it_has_not_is_refused(scripts, tmp_path, settings, said):
    assert says(message(TrainStep, tiny(**{'use_vae': False, **HD, **settings})), *said)
    words = dict(netG='pix2pixhd', **{name: str(value).lower() for name, value in settings.items()})
    assert says(scripts.train_refusal(tmp_path, **words), *said) and not (tmp_path / 'output').exists()


def test_norms_of_the_other_generator_are_refused():
    assert says(message(TrainStep, tiny(norm_G='spectralsync_batch')), 'spectralsync_batch', 'netG spade',
                'spectralspadesyncbatch3x3')


def test_defaults():
    opt = OPT(netG='pix2pixhd')
    assert (opt.use_vae, opt.norm_G, opt.reads_z) == (False, 'spectralsyncbatch', False)
    assert (opt.resnet_n_downsample, opt.resnet_n_blocks, opt.resnet_kernel_size, opt.resnet_initial_kernel_size) == \
        (4, 9, 3, 7)
    assert says(message(OPT, resnet_kernel_size=4), 'resnet_kernel_size: found 4', '1, 3, 5')


@pytest.mark.parametrize('settings, said', [
    (dict(crop_size=40), ('multiples of 16', 'resnet_n_downsample 4')),
    (dict(crop_size=16), ('at least 32', 'resnet_kernel_size 3', '--crop_size 32')),
    (dict(crop_size=4, resnet_n_downsample=1, resnet_kernel_size=1, resnet_initial_kernel_size=15), ('at least 8',))])
def test_sizes_that_cannot_be_mirrored_or_halved(settings, said):
    assert says(message(lambda: OPT(netG='pix2pixhd', **settings).latent_size), *said)


def test_checkpoints_written_before_are_of_spade(tmp_path):
    saved = OPT(crop_size=64).as_dict()
    for name in [name for name in saved if name == 'netG' or name.startswith('resnet_')]:
        del saved[name]
    (tmp_path / 'opt.json').write_text(json.dumps(saved))
    assert OPT.load(tmp_path / 'opt.json').netG == 'spade'


# ---- Runs

def test_a_run_resumes_paints_and_becomes_an_official_checkpoint(scripts, tmp_path):
    settings = dict(**HD, use_vae='false', ema_decay=0.9)
    scripts.trained(tmp_path / 'whole', niter=2, **settings)
    scripts.trained(tmp_path / 'resumed', niter=1, **settings)
    assert 'resumed from' in scripts.trained(tmp_path / 'resumed', niter=2, **settings)
    assert_same_run(tmp_path / 'whole', tmp_path / 'resumed')

    run = tmp_path / 'whole' / 'output'
    words = ['predict.py', '--lastoutput', run, '--label', scripts.data / 'val_label' / '000.png', '--instance',
             scripts.data / 'val_inst' / '000.png']
    process = scripts.run(*words, '--out', tmp_path / 'picture.png')
    assert process.returncode == 0 and (tmp_path / 'picture.png').exists(), process.stderr
    assert says(scripts.run(*words, '--styles', 2, '--out', tmp_path / 'no.png').stderr, '--styles', 'no style encoder')
    process = scripts.run('val.py', '--lastoutput', run, '--results', tmp_path / 'val')
    assert process.returncode == 0 and '3 pictures' in process.stdout, process.stdout + process.stderr
    convert(['export', 'nvlabs', str(run), str(tmp_path / 'official')])
    flags = [word for name in ('crop_size', 'label_nc', 'z_dim') for word in (f'--{name}', str(scripts.TINY[name]))]
    convert(['nvlabs', str(tmp_path / 'official'), str(tmp_path / 'back'), *flags])
    assert OPT.load(tmp_path / 'back/model/opt.json').differences(OPT.load(run / 'model/opt.json'), ['networks']) == {}


def test_the_flags_of_the_official_code_are_printed(tmp_path, capsys):
    """It writes sync_batch in the norms of layers, and syncbatch in SPADE's."""
    opt, networks = official('GD', **HD, norm_D='spectralsyncbatch')
    convert(['nvlabs', save(tmp_path / 'o', networks), str(tmp_path / 'ours'), '--crop_size', '32'])
    convert(['export', 'nvlabs', str(tmp_path / 'ours'), str(tmp_path / 'exported')])
    said = capsys.readouterr().out
    assert says(said, '--netG pix2pixhd --resnet_n_downsample 2 --resnet_n_blocks 1 --resnet_kernel_size 3',
                '--norm_G spectralsync_batch', '--norm_D spectralsync_batch')
    assert 'num_upsampling_layers' not in said

