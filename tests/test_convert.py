"""python -m model.convert: official checkpoints and VGG19 weights become ours, every tensor accounted for."""
import json
import os
import pickle
import subprocess
import sys

import numpy
import paddle
import pytest

from model.convert.__main__ import main
from model.convert.paddle_files import load_weights, read_weights, save_weights
from model.convert.torch_files import read_state_dict
from model.discriminator import MultiscaleDiscriminator
from model.errors import InputError
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import load_painter
from model.semantics import SemanticMap
from model.vae_encoder import VAEEncoder
from tests.golden.fixture import inputs, seeded_weight
from tests.torch_writer import write_arrays
from vgg.vgg19 import VGG19Features

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORKS = {'G': SPADEGenerator, 'D': MultiscaleDiscriminator, 'E': VAEEncoder}
TINY = dict(use_vae=False, ngf=2, ndf=2, label_nc=5, crop_size=32)


def golden_networks(golden):
    """dict: network -> dict of the official tensors behind a file of stored values (tests/golden/README.md)."""
    def tensor(network, name, shape):
        if len(shape) < 2:
            return golden[f'{network}/{name}'].astype(numpy.float32)
        gain = 0.15 if name == 'conv_img.weight' else 1.0
        return seeded_weight(int(golden['seed']), f'{network}/{name}', shape, gain)
    return {network: {name: tensor(network, name, json.loads(shape))
                      for name, shape in zip(golden[f'{network}_names'].tolist(), golden[f'{network}_shapes'].tolist())}
            for network in 'GDE' if f'{network}_names' in golden}


def official_names(state):
    """What the official code would save of our state dict: its names, (out, in) linear weights, batch counters."""
    official = {}
    for name, value in state.items():
        array = value.numpy()
        name = name.replace('_mean', 'running_mean').replace('_variance', 'running_var')
        official[name] = array.T if array.ndim == 2 and name.endswith('.weight') else array
        if name.endswith('running_var'):
            official[name.replace('running_var', 'num_batches_tracked')] = numpy.array(3)
    return official


def save(folder, networks, epoch='latest', legacy=False):
    os.makedirs(folder, exist_ok=True)
    for network, arrays in networks.items():
        write_arrays(os.path.join(folder, f'{epoch}_net_{network}.pth'), arrays, legacy)
    return str(folder)


def tiny(networks='GD', **settings):
    """(OPT, dict of official tensors) of randomly initialized networks."""
    opt = OPT(**{**TINY, **settings})
    return opt, {network: official_names(NETWORKS[network](opt).state_dict()) for network in networks}


@pytest.mark.parametrize('name, flags, legacy', [('base_64', ['--crop_size', '64'], False), ('vae_256', [], True),
                                                 ('most_128', ['--crop_size', '128'], True)])
def test_official_checkpoint_paints_the_official_picture(tmp_path, capsys, name, flags, legacy):
    golden = numpy.load(os.path.join(HERE, 'golden', f'{name}.npz'))
    wanted = json.loads(str(golden['opt']))
    networks = golden_networks(golden)
    main(['nvlabs', save(tmp_path / 'official', networks, legacy=legacy), str(tmp_path / 'ours'), *flags])
    printed = capsys.readouterr().out
    assert 'CC BY-NC-SA 4.0' in printed and ('--crop_size' in flags) == ('given: crop_size' in printed)
    folder = tmp_path / 'ours' / 'model'
    assert sorted(os.listdir(folder)) == sorted([f'n_{network.lower()}.pdparams' for network in networks] + ['licence.txt', 'opt.json'])
    opt = OPT.load(folder / 'opt.json')
    assert all(getattr(opt, field) == value for field, value in wanted.items()
               if field in OPT.network_fields() and field != 'norm_G' and (field != 'z_dim' or opt.use_vae))

    height, width = opt.picture_size
    label, instance, image = inputs(int(golden['seed']), int(golden['input_count']), height, width, opt.label_nc)
    batch = wanted['batchSize']
    generator = SPADEGenerator(opt)
    generator.eval()
    load_weights(generator, folder / 'n_g.pdparams')
    with paddle.no_grad():
        z = None
        if opt.use_vae:
            encoder = VAEEncoder(opt)
            encoder.eval()
            load_weights(encoder, folder / 'n_e.pdparams')
            mu, logvar = encoder(paddle.to_tensor(image[:batch]))
            assert numpy.abs(mu.numpy() - golden['eval/mu']).max() < 1e-5 * numpy.abs(golden['eval/mu']).max()
            z = paddle.to_tensor(golden['eps'][0, 0].astype('float32')) * paddle.exp(logvar / 2) + mu
        fake = generator(SemanticMap(label[:batch], instance[:batch], opt), z).numpy()
    assert numpy.abs(fake - golden['eval/fake']).max() < 1e-5 * numpy.abs(golden['eval/fake']).max()


@pytest.mark.parametrize('settings', [
    dict(norm_G='spadeinstance5x5', norm_D='none', n_layers_D=2, num_D=3),
    dict(norm_G='spadesyncbatch3x3', norm_D='syncbatch', n_layers_D=3, num_D=1, output_nc=1),
    dict(norm_G='spectralspadeinstance3x3', norm_D='spectralnone', n_layers_D=1, crop_size=128, num_upsampling_layers='most'),
    dict(use_vae=True, norm_E='none', z_dim=8, crop_size=96),
    dict(use_vae=True, norm_E='spectralsyncbatch', z_dim=8, crop_size=64, aspect_ratio=2.0),
    dict(label_nc=35, contain_dontcare_label=False, crop_size=512, aspect_ratio=2.0, num_upsampling_layers='more'),
    dict(label_nc=150, no_instance=True, crop_size=256),
])
def test_settings_and_tensors_come_back(tmp_path, settings):
    networks = 'GDE' if settings.get('use_vae') else 'GD'
    opt, official = tiny(networks, **settings)
    read_off = ('ngf', 'ndf', 'norm_G', 'norm_D', 'norm_E', 'n_layers_D', 'num_D', 'output_nc', 'z_dim', 'use_vae', 'label_nc')
    flags = [] if opt.crop_size != 32 else ['--crop_size', '32']
    if 'label_nc' not in settings:   # else the number of channels says which data set, and so all the rest
        flags += [word for name, value in settings.items() for word in (f'--{name}', str(value))
                  if name not in read_off and not (name == 'crop_size' and opt.use_vae)]
    main(['nvlabs', save(tmp_path / 'official', official), str(tmp_path / 'ours'), *flags])
    found = OPT.load(tmp_path / 'ours/model/opt.json')
    fields = [name for name in OPT.network_fields() if opt.n_layers_D > 1 or name != 'norm_D']
    assert {name: getattr(found, name) for name in fields} == {name: getattr(opt, name) for name in fields}
    for network in networks:
        converted = read_weights(tmp_path / f'ours/model/n_{network.lower()}.pdparams')
        again = official_names({name: paddle.to_tensor(array) for name, array in converted.items()})
        assert set(again) == set(official[network])
        assert all(numpy.array_equal(again[name], official[network][name]) for name in again)


def test_old_prefix_and_another_epoch(tmp_path, capsys):
    opt, official = tiny('G')
    official['G'] = {f'module.{name}': array for name, array in official['G'].items()}
    main(['nvlabs', save(tmp_path / 'o', official, '50'), str(tmp_path / 'ours'), '--which_epoch', '50', '--crop_size', '32'])
    assert 'not there: 50_net_D.pth' in capsys.readouterr().out
    assert os.listdir(tmp_path / 'ours') == ['model']
    load_weights(SPADEGenerator(opt), tmp_path / 'ours/model/n_g.pdparams')


@pytest.mark.parametrize('flags, said', [
    (['--ngf', '64'], '--ngf 64 contradicts the weights, whose shapes say 2'),
    (['--use_vae', 'true'], '--use_vae True contradicts'),
    (['--norm_G', 'spadebatch3x3'], '--norm_G spadebatch3x3 contradicts'),
    (['--num_upsampling_layers', 'most'], 'contradicts the weights, which have no up_4'),
    (['--label_nc', '6'], 'take 7 label channels, but label_nc 6'),
    (['--preset', 'ade20k_paper'], 'take 7 label channels, but label_nc 150'),
    (['--preset', 'imagenet'], "preset: found 'imagenet'"),
    (['--crop_size', '33'], 'multiples of 32'),
    (['--which_epoch', '7'], '7_net_G.pth: no such file'),
])
def test_contradicting_flags_are_refused(tmp_path, flags, said):
    folder = save(tmp_path / 'o', tiny('G')[1])
    with pytest.raises(InputError, match=said):
        main(['nvlabs', folder, str(tmp_path / 'ours'), *flags])
    assert not (tmp_path / 'ours').exists()


def test_a_crop_that_does_not_fit_the_style_layer_is_refused(tmp_path):
    folder = save(tmp_path / 'o', tiny('GE', use_vae=True, z_dim=4, crop_size=64)[1])
    for flags, said in ((['--crop_size', '32'], 'feature map of 4 pixels'), (['--aspect_ratio', '2'], 'nor does any other')):
        with pytest.raises(InputError, match=said):
            main(['nvlabs', folder, str(tmp_path / 'ours'), *flags])
    assert not (tmp_path / 'ours').exists()


def test_every_tensor_is_accounted_for(tmp_path):
    def refused(change, said):
        networks = {network: dict(arrays) for network, arrays in official.items()}
        change(networks)
        folder = save(tmp_path / said.replace(' ', '_'), networks)
        with pytest.raises(InputError, match=said) as error:
            main(['nvlabs', folder, str(tmp_path / 'ours'), '--crop_size', '32'])
        assert folder in str(error.value) and not (tmp_path / 'ours').exists()

    official = tiny()[1]
    refused(lambda networks: networks['G'].pop('up_2.conv_1.bias'), 'missing: up_2.conv_1.bias')
    refused(lambda networks: networks['G'].update(extra=numpy.ones(2)), 'unexpected: extra')
    refused(lambda networks: networks['D'].update({'discriminator_1.model4.0.bias': numpy.ones(2)}), 'wrongly shaped')
    refused(lambda networks: networks['G'].pop('conv_img.weight'), 'conv_img.weight is missing')
    refused(lambda networks: networks.update(G=networks['D']), 'no generator of the official SPADE')
    refused(lambda networks: networks['G'].update({'head_0.norm_0.mlp_shared.0.weight': numpy.ones(3)}), 'the shapes are not')


def test_nothing_is_overwritten_or_left_half_written(tmp_path, monkeypatch):
    folder = save(tmp_path / 'o', tiny('G')[1])
    (tmp_path / 'ours/model').mkdir(parents=True)
    with pytest.raises(InputError, match='exists and is left as it is'):
        main(['nvlabs', folder, str(tmp_path / 'ours'), '--crop_size', '32'])

    def full_disk(opt, path):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(OPT, 'save', full_disk)
    with pytest.raises(InputError, match='model: cannot be written: No space left'):
        main(['nvlabs', folder, str(tmp_path / 'full'), '--crop_size', '32'])
    assert os.listdir(tmp_path / 'full') == []


def test_command_line(tmp_path):
    def run(*words):
        return subprocess.run([sys.executable, '-m', 'model.convert', *words], capture_output=True, text=True,
                              cwd=os.path.dirname(HERE))

    done = run('nvlabs', str(tmp_path), str(tmp_path / 'ours'))
    assert done.returncode == 1 and 'latest_net_G.pth: no such file' in done.stderr and 'Traceback' not in done.stderr
    with pytest.raises(InputError, match="source: found 'torch', allowed: nvlabs, ctkindle, export, vgg19, deeplab"):
        main(['torch'])


# ---- VGG19

@pytest.fixture(scope='module')
def vgg_arrays():
    """All tensors of a vgg19, the classifier's (out, in) as torchvision's, shrunk."""
    from vgg.vgg19 import VGG19Features
    draw = numpy.random.RandomState(0)
    arrays = {name: (draw.randn(*value.shape) * 0.05).astype('f4') for name, value in VGG19Features().state_dict().items()}
    for name, shape in (('features.30', (8, 512, 3, 3)), ('classifier.0', (4, 8))):
        arrays.update({f'{name}.weight': numpy.ones(shape, 'f4'), f'{name}.bias': numpy.ones(shape[0], 'f4')})
    return arrays


@pytest.mark.parametrize('kind', ['zip', 'legacy', 'paddle'])
def test_vgg19_from_torchvision_and_paddle(tmp_path, capsys, vgg_arrays, kind):
    from vgg.vgg19 import VGG19Features
    source, target = tmp_path / 'source', tmp_path / 'vgg' / 'vgg19pretrain.pdparams'
    if kind == 'paddle':
        paddle.save({name: paddle.to_tensor(array) for name, array in vgg_arrays.items()}, str(source))
    else:
        write_arrays(source, vgg_arrays, legacy=kind == 'legacy')
    main(['vgg19', str(source), str(target)])
    assert 'kept: 26 tensors' in capsys.readouterr().out
    found = VGG19Features(str(target)).state_dict()
    assert len(found) == 26 and all(numpy.array_equal(found[name].numpy(), vgg_arrays[name]) for name in found)
    with pytest.raises(InputError, match='exists and is left as it is'):
        main(['vgg19', str(source), str(target)])


def test_vgg19_from_something_else(tmp_path, vgg_arrays):
    source, target = str(tmp_path / 'source'), str(tmp_path / 'out.pdparams')
    with pytest.raises(InputError, match='No such file'):
        main(['vgg19', source, target])
    write_arrays(source, {name: array for name, array in vgg_arrays.items() if 'features.16' not in name})
    with pytest.raises(InputError, match='no VGG19 .* 2 tensors are missing, the first features.16.weight'):
        main(['vgg19', source, target])
    for content in (b'', b'text', pickle.dumps(print)):
        with open(source, 'wb') as file:
            file.write(content)
        with pytest.raises(InputError) as error:
            main(['vgg19', source, target])
        assert source in str(error.value)
    assert not os.path.exists(target)


def test_missing_vgg_weights_say_how_to_get_them():
    from vgg.vgg19 import VGG19Features
    with pytest.raises(InputError) as error:
        VGG19Features('vgg/nowhere.pdparams')
    for part in ('vgg/nowhere.pdparams', 'python -m model.convert vgg19', 'vgg19-dcbb9e9d.pth', '--no_vgg_loss true'):
        assert part in str(error.value)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_vgg_features(dtype):
    """Five maps, gradients for the image only, in the default type; relu1_1 against its definition."""
    from vgg.vgg19 import VGG19Features
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        features = VGG19Features()
        image = paddle.to_tensor(numpy.random.RandomState(0).rand(1, 3, 32, 48) * 2 - 1, dtype=dtype, stop_gradient=False)
        maps = features(image)
        sum(level.sum() for level in maps).backward()
    finally:
        paddle.set_default_dtype(before)
    assert [list(level.shape) for level in maps] == [[1, c, 32 // s, 48 // s]
                                                     for c, s in ((64, 1), (128, 2), (256, 4), (512, 8), (512, 16))]
    assert {str(level.dtype).split('.')[-1] for level in maps} == {dtype}
    assert float(image.grad.abs().sum()) > 0 and all(weight.grad is None for weight in features.parameters())
    weight, patch = features.state_dict()['features.0.weight'].numpy()[7], image.numpy()[0, :, 10:13, 20:23]
    assert abs(maps[0].numpy()[0, 7, 11, 21] - max(0, (weight * patch).sum())) < 1e-5


# ---- ctkindle/SPADE-Paddle

@pytest.fixture(scope='module')
def of_ctkindle(tmp_path_factory):
    """Folder with the files of that repository that the stored values were computed with, as paddle.save writes them."""
    golden = numpy.load(os.path.join(HERE, 'golden', 'ctkindle_64.npz'))
    folder = tmp_path_factory.mktemp('ctkindle') / 'output'
    (folder / 'model').mkdir(parents=True)
    for network in 'GD':
        state = {}
        for name, shape in zip(golden[f'{network}_names'].tolist(), golden[f'{network}_shapes'].tolist()):
            shape = json.loads(shape)
            gain = 0.3 if name == 'conv_img.weight' else 1.0
            state[name] = golden[f'{network}/{name}'].astype('float32') if len(shape) < 2 else \
                seeded_weight(int(golden['seed']), f'{network}/{name}', shape, gain)
        paddle.save({name: paddle.to_tensor(value) for name, value in state.items()},
                    str(folder / 'model' / f'n_{network.lower()}.pdparams'))
    return golden, folder


def assert_golden(golden, opt, generator, discriminator=None):
    label, instance, image = inputs(int(golden['seed']), int(golden['input_count']), 64, 64, opt.label_nc)
    count = len(golden['eval/fake'])
    semantics = SemanticMap(label[:count], instance[:count], opt)
    generator.eval()
    with paddle.no_grad():
        fake = generator(semantics)
        assert numpy.abs(fake.numpy() - golden['eval/fake']).max() < 1e-5 * numpy.abs(golden['eval/fake']).max()
        if discriminator is not None:
            discriminator.eval()
            both = paddle.concat([fake, paddle.to_tensor(image[:count].astype('float32'))])
            for scale, features in enumerate(discriminator(semantics, both)):
                expected = golden[f'eval/pred_fake_{scale}']
                assert numpy.abs(features[-1][:count].numpy() - expected).max() < 1e-5 * numpy.abs(expected).max()


@pytest.mark.parametrize('speed', [dict(), dict(modulation='dense'), dict(cpu_kernels=False, modulation='windows'),
                                   dict(cpu_kernels=False, modulation='dense')], ids=str)
def test_ctkindle_paints_its_pictures(tmp_path, capsys, of_ctkindle, speed):
    golden, folder = of_ctkindle
    main(['ctkindle', str(folder / 'model'), str(tmp_path / 'ours'), '--crop_size', '64'])
    said = capsys.readouterr().out
    assert 'activation gelu' in said and 'dropped 6 biases' in said and 'nld_0.0.block_1.0.bias' in said
    opt = OPT.load(tmp_path / 'ours/model/opt.json')
    assert (opt.activation, opt.attention, opt.preprocess_mode) == ('gelu', 'simam', 'scale_shortside_and_crop')
    for name, value in speed.items():
        setattr(opt, name, value)
    generator, discriminator = SPADEGenerator(opt), MultiscaleDiscriminator(opt)
    load_weights(generator, tmp_path / 'ours/model/n_g.pdparams')
    load_weights(discriminator, tmp_path / 'ours/model/n_d.pdparams')
    assert_golden(golden, opt, generator, discriminator)


def test_ctkindle_dropped_into_output(capsys, of_ctkindle):
    golden, folder = of_ctkindle
    parser = OPT.parser('')
    opt, painter = load_painter(parser.parse_args(['--lastoutput', str(folder), '--crop_size', '64']))
    assert 'converted on the fly' in capsys.readouterr().out
    assert_golden(golden, opt, painter.generator)


def test_ctkindle_encoder_names(tmp_path, capsys):
    """Its encoder is a sequence of convolution, norm and activation, with biases that have no effect."""
    opt = OPT(**{**TINY, 'use_vae': True, 'activation': 'gelu', 'attention': 'simam', 'norm_G': 'spectralspadebatch3x3',
                 'z_dim': 256, 'crop_size': 256})
    theirs = {'G': {}, 'E': {}}
    for network, layer in (('G', SPADEGenerator(opt)), ('E', VAEEncoder(opt))):
        for name, value in layer.state_dict().items():
            if network == 'G':
                parts = name.split('.')
                if parts[1].startswith('norm'):
                    parts[1] = parts[1].replace('norm', 'spade')
                elif parts[1].startswith('conv'):
                    parts[1:2] = [f'act_{parts[1]}', '0' if parts[1] == 'conv_s' else '1']
                name = '.'.join(parts)
            elif name.startswith('layer'):
                number, _, rest = name.split('.', 2)
                name = f'model.{3 * (int(number[5:]) - 1)}.{rest}'
                theirs[network].setdefault(name.rsplit('.', 1)[0] + '.bias', numpy.ones(value.shape[0], 'float32'))
            theirs[network][name] = value.numpy()
    for network, state in theirs.items():
        save_weights(state, tmp_path / f'n_{network.lower()}.pdparams')
    main(['ctkindle', str(tmp_path), str(tmp_path / 'ours'), '--label_nc', '5'])
    said = capsys.readouterr().out
    assert 'dropped 6 biases' in said and 'model.15.bias' in said
    found = OPT.load(tmp_path / 'ours/model/opt.json')
    assert found.use_vae and found.z_dim == 256 and found.crop_size == 256
    load_weights(VAEEncoder(found), tmp_path / 'ours/model/n_e.pdparams')
    del theirs['E']['model.15.weight_orig']
    save_weights(theirs['E'], tmp_path / 'n_e.pdparams')
    with pytest.raises(InputError, match='five layers'):
        main(['ctkindle', str(tmp_path), str(tmp_path / 'other'), '--label_nc', '5'])
    save_weights({**theirs['G'], 'head_0.extra': numpy.zeros(1)}, tmp_path / 'n_g.pdparams')
    with pytest.raises(InputError, match='n_g.pdparams: head_0.extra is no tensor'):
        main(['ctkindle', str(tmp_path), str(tmp_path / 'other'), '--label_nc', '5'])


# ---- Ours to the official code

@pytest.mark.parametrize('settings', [dict(), dict(use_vae=True, norm_E='spectralbatch', crop_size=64), dict(norm_D='batch')])
def test_export_and_back_is_exact(tmp_path, capsys, settings):
    networks = 'GDE' if settings.get('use_vae') else 'GD'
    opt, official = tiny(networks, **settings)
    flags = [word for name in OPT.network_fields() for word in (f'--{name}', str(getattr(opt, name)))]
    main(['nvlabs', save(tmp_path / 'official', official), str(tmp_path / 'ours'), *flags])
    main(['export', 'nvlabs', str(tmp_path / 'ours'), str(tmp_path / 'exported')])
    assert f'--label_nc {opt.label_nc}' in capsys.readouterr().out
    for network in networks:
        found = read_state_dict(tmp_path / f'exported/latest_net_{network}.pth')
        assert found.keys() == official[network].keys()
        for name, array in official[network].items():
            expected = numpy.array(0) if name.endswith('num_batches_tracked') else array
            assert found[name].shape == expected.shape and found[name].dtype == (
                'int64' if name.endswith('num_batches_tracked') else 'float32')
            assert found[name].tobytes() == expected.astype(found[name].dtype).tobytes(), name
    with pytest.raises(InputError, match='exists and is left as it is'):
        main(['export', str(tmp_path / 'ours'), str(tmp_path / 'exported')])


def test_other_networks_are_not_exported(tmp_path, of_ctkindle):
    main(['ctkindle', str(of_ctkindle[1] / 'model'), str(tmp_path / 'ours'), '--crop_size', '64'])
    with pytest.raises(InputError, match='attention simam'):
        main(['export', str(tmp_path / 'ours'), str(tmp_path / 'exported')])


# ---- VGG19 of PaddleClas

def test_vgg19_with_paddleclas_names(tmp_path, capsys):
    features = VGG19Features()
    weights = [value.numpy() for name, value in features.state_dict().items() if name.endswith('weight')]
    names = [f'_conv_block_{block}._conv_{n}.weight' for block, count in enumerate((2, 2, 4, 4, 4), 1) for n in range(1, count + 1)]
    state = {**dict(zip(names, weights)), **{name: numpy.zeros((512, 512, 3, 3), 'float32') for name in names[13:]},
             '_fc1.weight': numpy.zeros((4, 4), 'float32'), '_fc1.bias': numpy.zeros(4, 'float32')}
    save_weights(state, tmp_path / 'theirs.pdparams')
    main(['vgg19', str(tmp_path / 'theirs.pdparams'), str(tmp_path / 'ours.pdparams')])
    assert 'kept: 26 tensors' in capsys.readouterr().out
    for path in ('theirs', 'ours'):     # the loss reads the file as it is, too
        loaded = VGG19Features(tmp_path / f'{path}.pdparams').state_dict()
        for weight, (name, value) in zip(weights, [item for item in loaded.items() if item[0].endswith('weight')]):
            assert numpy.array_equal(value.numpy(), weight), name
        assert not any(value.numpy().any() for name, value in loaded.items() if name.endswith('bias'))


def test_ctkindle_perceptual_taps():
    """The image and four pooled maps of the central 224 x 224."""
    features, image = VGG19Features(), paddle.rand([1, 3, 256, 240])
    maps = features.pooled(image)
    crop = image[:, :, 16:240, 8:232]
    assert [list(value.shape) for value in maps] == [[1, 3, 224, 224], [1, 64, 112, 112], [1, 128, 56, 56], [1, 256, 28, 28],
                                                     [1, 512, 14, 14]]
    assert numpy.array_equal(maps[0].numpy(), crop.numpy())
    first = paddle.nn.functional.max_pool2d(features.features[:4](crop), 2, 2)
    assert numpy.array_equal(maps[1].numpy(), first.numpy())
    assert [list(value.shape) for value in features.pooled(image[:, :, :64, :64])][0] == [1, 3, 64, 64]
