"""model.export: ONNX Runtime and Paddle Inference give Painter's pictures.
What is refused: tests/model/test_export_refused.py.
"""
import contextlib
import ctypes
import glob
import io
import json
import os
import runpy

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import paddle
import pytest
from PIL import Image

from model.convert.__main__ import main as convert
from model.export import inference, verify
from model.export.__main__ import main
from model.export.networks import input_names
from model.init import OPT
from model.semantics import SemanticMap
from tests.exporting import exported, write_checkpoint
from tests.model.test_convert_ctkindle import of_ctkindle  # noqa: F401  a fixture
from tests.model.test_convert_nvlabs import save, tiny

onnx = pytest.importorskip('onnx')
pytestmark = pytest.mark.usefixtures('short_stacks')

# Every norm_G once. 'portrait' begins at 1 x 2,
# where windows of a batch once lay in another order than the kernels read.
VARIANTS = {
    'official': {},
    'vae': {'norm_G': 'spectralspadebatch3x3', 'use_vae': True},
    'vae_batch': {'norm_G': 'spadebatch3x3', 'use_vae': True, 'norm_E': 'spectralsync_batch'},
    'vae_without_instances': {'norm_G': 'spadeinstance5x5', 'use_vae': True, 'norm_E': 'none', 'no_instance': True},
    'like_ctkindle': {'norm_G': 'spectralspadesyncbatch5x5', 'activation': 'gelu', 'attention': 'simam',
                      'use_vae': True},
    'cityscapes': {'norm_G': 'spadesyncbatch3x3', 'crop_size': 128, 'aspect_ratio': 2.0,
                   'num_upsampling_layers': 'more', 'contain_dontcare_label': False},
    'most': {'norm_G': 'spectralspadeinstance3x3', 'crop_size': 128, 'num_upsampling_layers': 'most',
             'no_instance': True, 'contain_dontcare_label': False},
    'portrait': {'norm_G': 'spectralspadeinstance5x5', 'aspect_ratio': 0.5, 'no_instance': True},
    'grey': {'norm_G': 'spectralspadebatch5x5', 'output_nc': 1},
    'simam': {'norm_G': 'spadesyncbatch5x5', 'attention': 'simam'},
    'gelu': {'norm_G': 'spadebatch5x5', 'activation': 'gelu', 'contain_dontcare_label': False},
    'instance': {'norm_G': 'spadeinstance3x3'},
    'pixels': {'norm_G': 'spectralspadesyncbatch1x1'},
    'pixels_batch': {'norm_G': 'spadebatch1x1'},
    'pixels_sync': {'norm_G': 'spadesyncbatch1x1'},
    'pixels_spectral': {'norm_G': 'spectralspadebatch1x1'},
    'pixels_instance': {'norm_G': 'spadeinstance1x1'},
    'pixels_spectral_instance': {'norm_G': 'spectralspadeinstance1x1'},
    'concat': {'norm_G': 'spectralconcatsyncbatch3x3'},
    'concat_instance': {'norm_G': 'concatinstance3x3', 'attention': 'simam', 'no_instance': True, 'aspect_ratio': 0.5},
    'concat_batch': {'norm_G': 'spectralconcatbatch3x3', 'activation': 'gelu', 'generator_input': 'segmap_noise',
                     'use_vae': False},
    'pix2pixhd': {'netG': 'pix2pixhd', 'resnet_n_blocks': 2},
    'pix2pixhd_batch': {'netG': 'pix2pixhd', 'norm_G': 'batch', 'resnet_n_downsample': 2, 'resnet_n_blocks': 1,
                        'resnet_kernel_size': 5, 'resnet_initial_kernel_size': 3, 'aspect_ratio': 0.5},
    'pix2pixhd_instance': {'netG': 'pix2pixhd', 'norm_G': 'spectralinstance', 'resnet_n_blocks': 1, 'no_instance': True,
                           'resnet_kernel_size': 1, 'attention': 'simam'},
    'pix2pixhd_none': {'netG': 'pix2pixhd', 'norm_G': 'spectralnone', 'resnet_n_downsample': 3, 'resnet_n_blocks': 0,
                       'activation': 'gelu', 'contain_dontcare_label': False},
    'noise': {'generator_input': 'noise', 'use_vae': False},
    'segmap_noise': {'generator_input': 'segmap_noise', 'use_vae': False, 'aspect_ratio': 0.5},
}

ORDINARY = [(variant, 'onnx') for variant in ('official', 'vae', 'like_ctkindle', 'cityscapes', 'portrait',
                                              'segmap_noise', 'pixels', 'pix2pixhd', 'concat')]
ORDINARY += [('official', 'paddle')]
# Both kinds get the same constants, which onnx tries in each spelling of a norm. paddle tries each operator.
SPELLINGS = ('portrait', 'simam', 'gelu', 'instance', 'pixels_batch', 'pixels_sync', 'pixels_spectral',
             'pixels_instance', 'pixels_spectral_instance')


def test_every_norm_is_among_the_variants():
    norms = {OPT(**variant).norm_G for variant in VARIANTS.values() if 'netG' not in variant}
    assert {norm for norm in norms if 'concat' not in norm} == {
        f'{spectral}spade{kind}{size}x{size}' for spectral in ('', 'spectral')
        for kind in ('batch', 'syncbatch', 'instance')
        for size in (1, 3, 5)}


@pytest.mark.parametrize('variant, kind', [
    pytest.param(variant, kind, marks=() if (variant, kind) in ORDINARY else pytest.mark.thorough)
    for variant in VARIANTS for kind in ('onnx', 'paddle') if kind == 'onnx' or variant not in SPELLINGS])
def test_every_variant_gives_the_painters_pictures(tmp_path, variant, kind):
    painter = write_checkpoint(tmp_path, **VARIANTS[variant])
    printed, out = exported(kind, tmp_path, '--float')      # which raises if it does not
    assert 'before rounding' in printed and ('same styles' in printed) == (painter.encoder is not None)
    if kind == 'onnx':
        model = onnx.load(out)
        names = [node.name for node in model.graph.node]
        assert {node.domain for node in model.graph.node} == {''} and model.opset_import[0].version == 17 and \
            model.ir_version == 8
        assert len(set(names)) == len(names)
        layers = {'model.0', 'model.1', 'model.2'} if 'netG' in VARIANTS[variant] else \
            {'up_2.norm_0.param_free_norm.normalized', 'up_2.conv_0.input'} if variant == 'concat' else \
            {'up_2.norm_0.mlp_gamma', 'up_2.norm_0.modulated', 'up_2.conv_0'} if 'concat' not in variant else set()
        assert {*layers, 'picture'} <= {*names, *(name[:-len('.0')] for name in names)}
        assert not [name.name for name in model.graph.initializer
                    if 'weight_u' in name.name or '_variance' in name.name]


@pytest.mark.parametrize('kind', ['onnx', pytest.param('paddle', marks=pytest.mark.thorough)])
def test_grey_levels_are_compared_before_and_after_rounding(tmp_path, kind):
    """A picture of one channel becomes RGB."""
    painter = write_checkpoint(tmp_path, output_nc=1)
    printed, out = exported(kind, tmp_path)
    assert 'before rounding' in printed and 'after rounding' in printed
    label, instance = np.random.default_rng(0).integers(0, 5, (2, 2, 32, 32)).astype(np.int32)
    run = verify.onnx_runner(out) if kind == 'onnx' \
        else verify.paddle_runner(glob.glob(f'{out}/generator.[jp][sd][om]*')[0])
    picture, = run({'label': label, 'instance': instance})
    levels = np.rint((painter.paint(SemanticMap(label, instance, painter.opt)).numpy()[:, 0] + 1) * 127.5)
    assert picture.shape == (2, 32, 32, 3) and picture.dtype == np.uint8 and picture.std() > 10
    assert (picture == picture[..., :1]).all() and abs(picture[..., 0] - levels).max() <= 1


@pytest.mark.parametrize('kind', ['onnx', pytest.param('paddle', marks=pytest.mark.thorough)])
@pytest.mark.parametrize('variant', ['segmap_noise', pytest.param('official', marks=pytest.mark.thorough),
                                     pytest.param('pix2pixhd_batch', marks=pytest.mark.thorough)])
def test_an_export_has_the_size_of_choice(tmp_path, kind, variant):
    """The checkpoint's own pictures of that size, not enlarged ones of training's; check reads the size in the file."""
    painter = write_checkpoint(tmp_path, **{**VARIANTS[variant], 'size': 'map'})
    printed, out = exported(kind, tmp_path, '--size', '96x64')
    assert 'after rounding' in printed and painter.opt.picture_size != (64, 96)
    main(['check', out, '--lastoutput', str(tmp_path)])
    rng, opt = np.random.default_rng(0), painter.opt
    label, instance = rng.integers(0, 5, (2, 1, 64, 96)).astype(np.int32)
    feeds = {'label': label, 'instance': instance,
             'z': rng.standard_normal((1, *opt.z_shape((64, 96)))).astype(np.float32)}
    semantics = SemanticMap(label, None if opt.no_instance else instance, opt)
    expected = painter.paint(semantics, z=feeds['z'] if opt.reads_z else None).numpy()[0].transpose(1, 2, 0)
    run = verify.onnx_runner(out) if kind == 'onnx' else verify.paddle_runner(inference.program_of(out, 'generator'))
    picture, = run({name: feeds[name] for name in input_names(opt)})
    assert picture.shape == (1, 64, 96, 3) and abs(picture[0] - np.rint((expected + 1) * 127.5)).max() <= 1


@pytest.mark.parametrize('kind', ['onnx', pytest.param('paddle', marks=pytest.mark.thorough)])
def test_converted_official_weights_keep_their_licence(tmp_path, kind):
    opt, networks = tiny('GE', use_vae=True, z_dim=8)
    convert(['nvlabs', save(tmp_path / 'official', networks), str(tmp_path / 'ours'), '--crop_size', '32'])
    printed, out = exported(kind, tmp_path / 'ours', '--dataroot', 'no such folder')
    entries = json.load(open(f'{out}/metadata.json'))['generator'] if kind == 'paddle' else \
        {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert 'CC BY-NC-SA 4.0' in entries['licence'] and entries['epoch'].startswith('unknown') and \
        'same styles' in printed


@pytest.mark.thorough
@pytest.mark.parametrize('kind', ['onnx', 'paddle'])
def test_weights_of_ctkindle_as_they_are(tmp_path, monkeypatch, of_ctkindle, kind):  # noqa: F811
    """Compared at 256x256, on one map of areas."""
    drawn = verify.maps
    monkeypatch.setattr(verify, 'maps', lambda opt: [ids[1:2] for ids in drawn(opt)])
    out = str(tmp_path / {'onnx': 'spade.onnx', 'paddle': 'served'}[kind])
    words = ['--lastoutput', str(of_ctkindle[1]), '--dataroot', 'no such folder']
    main([kind, *words, '--out', out, '--float'])
    main(['check', out, *words])


def test_the_picture_has_contrast(pair):
    """Else any file would pass."""
    opt = pair[2].opt
    rng = np.random.default_rng(0)
    picture = pair[2].paint(SemanticMap(*rng.integers(0, 5, (2, 1, 32, 32)), opt)).numpy()
    assert 0.05 < picture.std() and abs(picture).max() < 0.999


def test_metadata(pair):
    entries = {entry.key: entry.value for entry in onnx.load(pair[1]).metadata_props}
    assert json.loads(entries['class_names']) == list('abcde') and json.loads(entries['class_colours'])[4] == [4, 0, 0]
    assert entries['licence'] == 'CC BY-NC-SA 4.0' and entries['epoch'] == '3' and entries['version'][0].isdigit()
    assert json.loads(entries['options'])['label_nc'] == 5


def test_the_example_runs_as_it_is(pair, tmp_path, monkeypatch):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main(['describe', pair[1]])
    (tmp_path / 'example.py').write_text(printed.getvalue().split('example:')[1])
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    label, instance = rng.integers(0, 5, (2, 32, 32)).astype(np.uint8)
    label[:4] = 255
    for name, pixels in (('label', label), ('instance', instance)):
        Image.fromarray(pixels).save(f'{name}.png')
    runpy.run_path('example.py')
    expected = pair[2].paint(SemanticMap(label[None], instance[None], pair[2].opt)).numpy()[0].transpose(1, 2, 0)
    assert np.abs(np.array(Image.open('picture.png'), int) - np.rint((expected + 1) * 127.5)).max() <= 1


def test_half_is_half_the_size(pair, tmp_path):
    printed, out = exported('onnx', pair[0], '--half', '--force')
    half = os.path.getsize(out)
    main(['check', out, '--lastoutput', str(pair[0])])
    exported('onnx', pair[0], '--force')
    assert 'same pictures' in printed and half < 0.75 * os.path.getsize(pair[1])


def test_the_encoder_is_a_file_of_its_own(tmp_path):
    painter = write_checkpoint(tmp_path, use_vae=True)
    _, out = exported('onnx', tmp_path)
    outputs = [value.name for value in onnx.load(out.replace('.onnx', '_encoder.onnx')).graph.output]
    assert outputs == ['mu', 'logvar'] and painter.encoder is not None


def test_a_predictor_leaves_the_process_its_threads(tmp_path, monkeypatch):
    """It leaves one, for Paddle's own operators and for convolutions that oneDNN prepares later."""
    paddle.jit.save(paddle.nn.Linear(2, 2), str(tmp_path / 'linear'), [paddle.static.InputSpec([1, 2], 'float32', 'x')])
    library, = {line.split()[-1] for line in open('/proc/self/maps') if 'libiomp5' in line}
    threads = ctypes.CDLL(library).omp_get_max_threads
    before = threads()
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    run = verify.paddle_runner(inference.program_of(tmp_path, 'linear'))
    assert run({'x': np.ones((1, 2), np.float32)})[0].shape == (1, 2) and threads() == 3
    paddle.base.core.set_num_threads(before)
