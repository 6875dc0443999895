"""model.export: ONNX Runtime and Paddle Inference give Painter's pictures; damaged files, other weights and bad input are told."""
import contextlib
import ctypes
import glob
import io
import json
import os
import resource
import runpy
import sys

from model.processes import device  # noqa: F401  first: sets the threads, then imports Paddle

import numpy as np
import paddle
import pytest
from PIL import Image

from model.convert.__main__ import main as convert
from model.convert.paddle_files import save_weights
from model.errors import InputError
from model.export import inference, verify
from model.export.__main__ import main
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import Painter
from model.semantics import SemanticMap
from model.vae_encoder import VAEEncoder
from tests.test_convert_ctkindle import of_ctkindle  # noqa: F401  a fixture
from tests.test_convert_nvlabs import save, tiny

onnx = pytest.importorskip('onnx')

SMALL = {'label_nc': 5, 'crop_size': 32, 'ngf': 4, 'z_dim': 8, 'use_vae': False, 'dataroot': 'no such folder'}
# Every norm_G once. 'portrait' begins at 1 x 2, where windows of a batch once lay in another order than the kernels read.
VARIANTS = {
    'official': {},
    'vae': {'norm_G': 'spectralspadebatch3x3', 'use_vae': True},
    'vae_batch': {'norm_G': 'spadebatch3x3', 'use_vae': True, 'norm_E': 'spectralsync_batch'},
    'vae_without_instances': {'norm_G': 'spadeinstance5x5', 'use_vae': True, 'norm_E': 'none', 'no_instance': True},
    'like_ctkindle': {'norm_G': 'spectralspadesyncbatch5x5', 'activation': 'gelu', 'attention': 'simam', 'use_vae': True},
    'cityscapes': {'norm_G': 'spadesyncbatch3x3', 'crop_size': 128, 'aspect_ratio': 2.0, 'num_upsampling_layers': 'more',
                   'contain_dontcare_label': False},
    'most': {'norm_G': 'spectralspadeinstance3x3', 'crop_size': 128, 'num_upsampling_layers': 'most', 'no_instance': True,
             'contain_dontcare_label': False},
    'portrait': {'norm_G': 'spectralspadeinstance5x5', 'aspect_ratio': 0.5, 'no_instance': True},
    'grey': {'norm_G': 'spectralspadebatch5x5', 'output_nc': 1},
    'simam': {'norm_G': 'spadesyncbatch5x5', 'attention': 'simam'},
    'gelu': {'norm_G': 'spadebatch5x5', 'activation': 'gelu', 'contain_dontcare_label': False},
    'instance': {'norm_G': 'spadeinstance3x3'},
}

ORDINARY = [(variant, 'onnx') for variant in ('official', 'vae', 'like_ctkindle', 'cityscapes', 'portrait')]
ORDINARY += [('official', 'paddle')]


def write_checkpoint(folder, seed=0, **options):
    """A checkpoint of random weights, the last layer's such that pictures have contrast; -> its Painter."""
    opt = OPT(**{**SMALL, **options})
    paddle.seed(seed)
    networks = {'generator': SPADEGenerator(opt), 'encoder': VAEEncoder(opt) if opt.use_vae else None}
    os.makedirs(folder / 'model', exist_ok=True)
    painter = Painter(opt, **networks)
    for name, network in networks.items():
        if network is None:
            continue
        for key, tensor in network.state_dict().items():
            if key.endswith('_variance'):
                tensor.set_value(paddle.rand(tensor.shape) + 0.5)
            elif key.endswith(('_mean', 'bias')):
                tensor.set_value(paddle.randn(tensor.shape) * 0.1)
            elif key.endswith('weight') and tensor.ndim > 1:
                tensor.set_value(paddle.randn(tensor.shape) * 0.1)
        _follow_singular_vectors(network)
        if name == 'generator':
            _give_contrast(painter)
        file = {'generator': 'n_g.pdparams', 'encoder': 'n_e.pdparams'}[name]
        save_weights(network.state_dict(), folder / 'model' / file)
    opt.save(folder / 'model' / 'opt.json')
    np.save(folder / 'model' / 'current_epoch.npy', 3)
    return painter


def _follow_singular_vectors(network):
    """One power iteration, as training has behind it: random u and v would divide by nearly nothing."""
    state = network.state_dict()
    for name in [name for name in state if name.endswith('weight_orig')]:
        matrix = state[name].flatten(1)
        u, v = (state[name.replace('orig', which)] for which in 'uv')
        v.set_value(paddle.nn.functional.normalize(paddle.mv(matrix.t(), u), axis=0))
        u.set_value(paddle.nn.functional.normalize(paddle.mv(matrix, v), axis=0))


def _give_contrast(painter):
    """Scale the last convolution so that what tanh gets has standard deviation 0.4: nothing is saturated."""
    opt, last = painter.opt, painter.generator.conv_img
    last.bias.set_value(paddle.zeros(last.bias.shape))
    last.weight.set_value(last.weight * 1e-6)   # where tanh is linear
    label, instance = np.random.default_rng(0).integers(0, opt.label_nc, (2, 1, *opt.picture_size))
    picture = painter.paint(SemanticMap(label, None if opt.no_instance else instance, opt)).astype('float64')
    last.weight.set_value(last.weight * (0.4 / float(picture.std())))


def exported(kind, folder, *flags):
    """(what was printed, path) of an export of the checkpoint in `folder`."""
    out = folder / {'onnx': 'spade.onnx', 'paddle': 'served'}[kind]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main([kind, '--lastoutput', str(folder), '--out', str(out), *flags])
    return printed.getvalue(), str(out)


def test_every_norm_is_among_the_variants():
    assert {OPT(**variant).norm_G for variant in VARIANTS.values()} == {
        f'{spectral}spade{kind}{size}x{size}' for spectral in ('', 'spectral') for kind in ('batch', 'syncbatch', 'instance')
        for size in (3, 5)}


@pytest.mark.parametrize('variant, kind', [
    pytest.param(variant, kind, marks=() if (variant, kind) in ORDINARY else pytest.mark.thorough)
    for variant in VARIANTS for kind in ('onnx', 'paddle')])
def test_every_variant_gives_the_painters_pictures(tmp_path, variant, kind):
    painter = write_checkpoint(tmp_path, **VARIANTS[variant])
    printed, out = exported(kind, tmp_path, '--float')      # which raises if it does not
    assert 'before rounding' in printed and ('same styles' in printed) == (painter.encoder is not None)
    if kind == 'onnx':
        model = onnx.load(out)
        names = [node.name for node in model.graph.node]
        assert {node.domain for node in model.graph.node} == {''} and model.opset_import[0].version == 17 and model.ir_version == 8
        assert len(set(names)) == len(names)
        assert {'up_2.norm_0.mlp_gamma', 'up_2.norm_0.modulated', 'up_2.conv_0', 'picture'} <= set(names)
        assert not [name.name for name in model.graph.initializer if 'weight_u' in name.name or '_variance' in name.name]


@pytest.mark.parametrize('kind', ['onnx', pytest.param('paddle', marks=pytest.mark.thorough)])
def test_grey_levels_are_compared_before_and_after_rounding(tmp_path, kind):
    """A picture of one channel becomes RGB."""
    painter = write_checkpoint(tmp_path, output_nc=1)
    printed, out = exported(kind, tmp_path)
    assert 'before rounding' in printed and 'after rounding' in printed
    label, instance = np.random.default_rng(0).integers(0, 5, (2, 2, 32, 32)).astype(np.int32)
    run = verify.onnx_runner(out) if kind == 'onnx' else verify.paddle_runner(glob.glob(f'{out}/generator.[jp][sd][om]*')[0])
    picture, = run({'label': label, 'instance': instance})
    levels = np.rint((painter.paint(SemanticMap(label, instance, painter.opt)).numpy()[:, 0] + 1) * 127.5)
    assert picture.shape == (2, 32, 32, 3) and picture.dtype == np.uint8 and picture.std() > 10
    assert (picture == picture[..., :1]).all() and abs(picture[..., 0] - levels).max() <= 1


@pytest.mark.parametrize('kind', ['onnx', pytest.param('paddle', marks=pytest.mark.thorough)])
def test_converted_official_weights_keep_their_licence(tmp_path, kind):
    opt, networks = tiny('GE', use_vae=True, z_dim=8)
    convert(['nvlabs', save(tmp_path / 'official', networks), str(tmp_path / 'ours'), '--crop_size', '32'])
    printed, out = exported(kind, tmp_path / 'ours', '--dataroot', 'no such folder')
    entries = json.load(open(f'{out}/metadata.json'))['generator'] if kind == 'paddle' else \
        {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert 'CC BY-NC-SA 4.0' in entries['licence'] and entries['epoch'].startswith('unknown') and 'same styles' in printed


@pytest.mark.thorough
@pytest.mark.parametrize('kind', ['onnx', 'paddle'])
def test_weights_of_ctkindle_as_they_are(tmp_path, of_ctkindle, kind):  # noqa: F811
    out = str(tmp_path / {'onnx': 'spade.onnx', 'paddle': 'served'}[kind])
    words = ['--lastoutput', str(of_ctkindle[1]), '--crop_size', '64', '--dataroot', 'no such folder']
    main([kind, *words, '--out', out])
    main(['check', out, *words])


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    """A checkpoint with its ONNX file, and the Painter."""
    folder = tmp_path_factory.mktemp('pair')
    painter = write_checkpoint(folder)
    (folder / 'model' / 'classes.json').write_text(json.dumps({'names': list('abcde'), 'colours': [[n, 0, 0] for n in range(5)]}))
    (folder / 'model' / 'licence.txt').write_text('CC BY-NC-SA 4.0')
    return folder, exported('onnx', folder)[1], painter


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


def test_check_tells_a_flipped_weight(pair, tmp_path):
    model = onnx.load(pair[1])
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == 'up_2.conv_0.weight')
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[7] *= -1
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / 'damaged.onnx')
    main(['check', pair[1], '--lastoutput', str(pair[0])])
    with pytest.raises(InputError, match=r'damaged: up_2\.conv_0\.weight differs in 1 of'):
        main(['check', str(tmp_path / 'damaged.onnx'), '--lastoutput', str(pair[0])])


@pytest.mark.thorough
def test_check_tells_a_damaged_paddle_file(tmp_path):
    write_checkpoint(tmp_path)
    _, out = exported('paddle', tmp_path)
    main(['check', out, '--lastoutput', str(tmp_path)])
    with open(os.path.join(out, 'generator.pdiparams'), 'r+b') as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 0x80]))
    with pytest.raises(InputError, match='generator.pdiparams: damaged'):
        main(['check', out, '--lastoutput', str(tmp_path)])


@pytest.mark.parametrize('kind', ['onnx', pytest.param('paddle', marks=pytest.mark.thorough)])
def test_check_tells_a_checkpoint_trained_further(tmp_path, kind):
    """By the smallest step that float32 has, in one weight."""
    painter = write_checkpoint(tmp_path)
    _, out = exported(kind, tmp_path)
    weight = painter.generator.conv_img.weight
    values = weight.numpy()
    values.flat[0] = np.nextafter(values.flat[0], np.float32(1))
    weight.set_value(values)
    save_weights(painter.generator.state_dict(), tmp_path / 'model' / 'n_g.pdparams')
    np.save(tmp_path / 'model' / 'current_epoch.npy', 4)
    with pytest.raises(InputError, match='other weights than the checkpoint\'s: epoch 3 there, 4 here'):
        main(['check', out, '--lastoutput', str(tmp_path)])


@pytest.mark.thorough
def test_a_wrong_file_is_not_left(tmp_path, monkeypatch):
    """With the slope that paddle2onnx once gave leaky ReLU, the comparison fails, and nothing is written; right exports come first,
    since Paddle's tracing once kept what it knew of them."""
    write_checkpoint(tmp_path)
    for kind in ('onnx', 'paddle'):
        exported(kind, tmp_path)
    before = sorted(entry.name for entry in tmp_path.iterdir())
    monkeypatch.setattr('model.export.networks.SLOPE', 0.01)
    for kind in ('onnx', 'paddle'):
        with pytest.raises(InputError, match='other pictures'):
            exported(kind, tmp_path, '--force')
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before == ['model', 'served', 'spade.onnx']


def test_bad_input_is_refused_in_one_line(pair, tmp_path):
    folder, file, _ = pair
    (tmp_path / 'file').write_text('')
    for words, said in ((['onnx', '--lastoutput', str(tmp_path), '--out', str(tmp_path / 'a.onnx')], 'no n_g.pdparams'),
                        (['onnx', '--lastoutput', str(folder), '--out', file], '--force'),
                        (['onnx', '--lastoutput', str(folder), '--out', str(tmp_path / 'file' / 'a.onnx')], 'cannot be written'),
                        (['onnx', '--lastoutput', str(folder), '--out', 'spade.txt'], 'ends in .onnx'),
                        (['paddle', '--lastoutput', str(folder), '--out', str(folder), '--force'], 'other files'),
                        (['tflite'], 'allowed: onnx, paddle'), (['check', str(tmp_path / 'none.onnx')], 'no such file'),
                        (['check', str(tmp_path / 'file')], 'ONNX')):
        with pytest.raises(InputError, match=said) as caught:
            main(words)
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['[]', '{}', '{"name": "another program"}', '{"generator": {"network": "generator"}}'])
def test_a_foreign_metadata_json_is_told(pair, tmp_path, content):
    """Not read as an export, and its folder not replaced."""
    (tmp_path / 'metadata.json').write_text(content)
    for words, said in ((['describe', str(tmp_path)], 'no export of this project'),
                        (['check', str(tmp_path), '--lastoutput', str(pair[0])], 'no export of this project'),
                        (['paddle', '--lastoutput', str(pair[0]), '--out', str(tmp_path), '--force'], 'other files than')):
        with pytest.raises(InputError, match=said) as caught:
            main(words)
        assert '\n' not in str(caught.value)
    assert (tmp_path / 'metadata.json').read_text() == content


@pytest.mark.parametrize('kind', ['onnx', 'paddle'])
def test_a_full_disk_leaves_nothing(pair, tmp_path, kind):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, limits[1]))
    try:
        with pytest.raises(InputError, match='cannot be written') as caught:
            main([kind, '--lastoutput', str(pair[0]), '--out', str(tmp_path / 'a.onnx')])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir()) and '\n' not in str(caught.value)


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


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(InputError, match='model/export/requirements.txt'):
        main(['onnx'])


def test_the_encoder_is_a_file_of_its_own(tmp_path):
    painter = write_checkpoint(tmp_path, use_vae=True)
    _, out = exported('onnx', tmp_path)
    outputs = [value.name for value in onnx.load(out.replace('.onnx', '_encoder.onnx')).graph.output]
    assert outputs == ['mu', 'logvar'] and painter.encoder is not None
