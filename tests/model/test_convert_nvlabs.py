"""python -m model.convert nvlabs and export:
official checkpoints become ours and ours theirs, every tensor accounted for.
"""
import argparse
import json
import os
import pickle

import numpy as np
import paddle
import pytest

from model.convert.__main__ import main
from model.convert.official_options import RESNET
from model.convert.torch_files import read_state_dict
from model.convert.torch_names import from_torch
from model.discriminator import MultiscaleDiscriminator
from model.generator import build_generator
from model.init import OPT
from model.semantics import SemanticMap
from model.vae_encoder import VAEEncoder
from model.weights import load_weights, read_weights, save_weights
from runtime.errors import InputError
from tests.forked import GOLDEN
from tests.golden.fixture import inputs, seeded_weight
from tests.runner import message, says
from tests.torch_writer import write_arrays

NETWORKS = {'G': build_generator, 'D': MultiscaleDiscriminator, 'E': VAEEncoder}
TINY = dict(use_vae=False, ngf=2, ndf=2, label_nc=5, crop_size=32)


def golden_networks(golden):
    """dict: network -> dict of the official tensors behind a file of stored values (tests/golden/README.md)."""
    def tensors(network):
        shapes = [json.loads(shape) for shape in golden[f'{network}_shapes'].tolist()]
        named = dict(zip(golden[f'{network}_names'].tolist(), shapes))
        last = [name for name, shape in named.items() if len(shape) > 1][-1]
        gains = {last: 0.15} if network == 'G' else {}
        return {name: seeded_weight(int(golden['seed']), f'{network}/{name}', shape, gains.get(name, 1.0))
                if len(shape) > 1 else golden[f'{network}/{name}'].astype(np.float32) for name, shape in named.items()}
    return {network: tensors(network) for network in 'GDE' if f'{network}_names' in golden}


def official_names(state):
    """What the official code would save of our state dict: its names, (out, in) linear weights, batch counters."""
    official = {}
    for name, value in state.items():
        array = value.numpy()
        name = name.replace('_mean', 'running_mean').replace('_variance', 'running_var')
        official[name] = array.T if array.ndim == 2 and name.endswith('.weight') else array
        if name.endswith('running_var'):
            official[name.replace('running_var', 'num_batches_tracked')] = np.array(3)
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
    golden = np.load(GOLDEN / f'{name}.npz')
    wanted = json.loads(str(golden['opt']))
    networks = golden_networks(golden)
    main(['nvlabs', save(tmp_path / 'official', networks, legacy=legacy), str(tmp_path / 'ours'), *flags])
    printed = capsys.readouterr().out
    assert 'CC BY-NC-SA 4.0' in printed and ('--crop_size' in flags) == ('given: crop_size' in printed)
    folder = tmp_path / 'ours' / 'model'
    files = {'licence.txt', 'opt.json', *(f'n_{network.lower()}.pdparams' for network in networks)}
    assert set(os.listdir(folder)) == files
    opt = OPT.load(folder / 'opt.json')
    assert all(getattr(opt, field) == value for field, value in wanted.items()
               if field in OPT.network_fields() and field != 'norm_G' and (field != 'z_dim' or opt.use_vae))

    height, width = opt.picture_size
    label, instance, image = inputs(int(golden['seed']), int(golden['input_count']), height, width, opt.label_nc)
    batch = wanted['batchSize']
    generator = build_generator(opt)
    generator.eval()
    load_weights(generator, folder / 'n_g.pdparams')
    with paddle.no_grad():
        z = None
        if opt.use_vae:
            encoder = VAEEncoder(opt)
            encoder.eval()
            load_weights(encoder, folder / 'n_e.pdparams')
            mu, logvar = encoder(paddle.to_tensor(image[:batch]))
            assert np.abs(mu.numpy() - golden['eval/mu']).max() < 1e-5 * np.abs(golden['eval/mu']).max()
            z = paddle.to_tensor(golden['eps'][0, 0].astype('float32')) * paddle.exp(logvar / 2) + mu
        fake = generator(SemanticMap(label[:batch], instance[:batch], opt), z).numpy()
    assert np.abs(fake - golden['eval/fake']).max() < 1e-5 * np.abs(golden['eval/fake']).max()


@pytest.mark.parametrize('settings', [
    dict(norm_G='spadeinstance5x5', norm_D='none', n_layers_D=2, num_D=3),
    dict(norm_G='spadesyncbatch3x3', norm_D='syncbatch', n_layers_D=3, num_D=1, output_nc=1),
    dict(norm_G='spectralspadeinstance3x3', norm_D='spectralnone', n_layers_D=1, crop_size=128,
         num_upsampling_layers='most'),
    dict(use_vae=True, norm_E='none', z_dim=8, crop_size=96),
    dict(use_vae=True, norm_E='spectralsyncbatch', z_dim=8, crop_size=64, aspect_ratio=2.0),
    dict(label_nc=35, contain_dontcare_label=False, crop_size=512, aspect_ratio=2.0, num_upsampling_layers='more'),
    dict(label_nc=150, no_instance=True, crop_size=256),
    dict(netG='pix2pixhd', resnet_n_downsample=2, resnet_n_blocks=3, resnet_kernel_size=5, norm_D='spectralsyncbatch'),
    dict(netG='pix2pixhd', norm_G='none', resnet_n_downsample=3, resnet_n_blocks=0, resnet_initial_kernel_size=3),
    dict(netG='pix2pixhd', norm_G='spectralinstance', resnet_n_blocks=1, crop_size=48, output_nc=1),
])
def test_settings_and_tensors_come_back(tmp_path, settings):
    networks = 'GDE' if settings.get('use_vae') else 'GD'
    opt, official = tiny(networks, **settings)
    read_off = ('ngf', 'ndf', 'norm_G', 'norm_D', 'norm_E', 'n_layers_D', 'num_D', 'output_nc', 'z_dim', 'use_vae',
                'label_nc', 'netG', *RESNET)
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
        assert all(np.array_equal(again[name], official[network][name]) for name in again)


def test_old_prefix_and_another_epoch(tmp_path, capsys):
    opt, official = tiny('G')
    official['G'] = {f'module.{name}': array for name, array in official['G'].items()}
    main(['nvlabs', save(tmp_path / 'o', official, '50'), str(tmp_path / 'ours'), '--which_epoch', '50', '--crop_size',
          '32'])
    assert 'not there: 50_net_D.pth' in capsys.readouterr().out
    assert os.listdir(tmp_path / 'ours') == ['model']
    load_weights(build_generator(opt), tmp_path / 'ours/model/n_g.pdparams')


@pytest.mark.parametrize('flags, said', [
    (['--ngf', '64'], '--ngf 64 contradicts the weights, whose shapes give 2'),
    (['--use_vae', 'true'], '--use_vae True contradicts'),
    (['--norm_G', 'spadebatch3x3'], '--norm_G spadebatch3x3 contradicts'),
    (['--num_upsampling_layers', 'most'], 'contradicts the weights, which have no up_4'),
    (['--label_nc', '6'], 'have 7 label channels, but label_nc 6'),
    (['--preset', 'ade20k_paper'], 'have 7 label channels, but label_nc 150'),
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
    for flags, said in ((['--crop_size', '32'], 'feature map of 4 pixels'),
                        (['--aspect_ratio', '2'], 'which no crop_size gives')):
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
    refused(lambda networks: networks['G'].update(extra=np.ones(2)), 'unexpected: extra')
    refused(lambda networks: networks['D'].update({'discriminator_1.model4.0.bias': np.ones(2)}), 'wrongly shaped')
    refused(lambda networks: networks['G'].pop('conv_img.weight'), 'conv_img.weight is missing')
    refused(lambda networks: networks.update(G=networks['D']), 'no generator of the official SPADE')
    refused(lambda networks: networks['G'].update({'head_0.norm_0.mlp_shared.0.weight': np.ones(3)}),
            'but not the shapes')


def test_nothing_is_overwritten_or_left_half_written(tmp_path, monkeypatch):
    folder = save(tmp_path / 'o', tiny('G')[1])
    (tmp_path / 'ours/model').mkdir(parents=True)
    with pytest.raises(InputError, match='exists and was not changed'):
        main(['nvlabs', folder, str(tmp_path / 'ours'), '--crop_size', '32'])

    def full_disk(opt, path):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(OPT, 'save', full_disk)
    with pytest.raises(InputError, match='model: cannot be written: No space left'):
        main(['nvlabs', folder, str(tmp_path / 'full'), '--crop_size', '32'])
    assert os.listdir(tmp_path / 'full') == []


def test_command_line(scripts, tmp_path):
    assert 'latest_net_G.pth: no such file' in scripts.failure('-m', 'model.convert', 'nvlabs', tmp_path,
                                                               tmp_path / 'ours')
    with pytest.raises(InputError, match="source: found 'torch', allowed: nvlabs, ctkindle, export, vgg19, deeplab"):
        main(['torch'])


# ---- What the training wrote beside its weights

OWN = dict(label_nc=12, contain_dontcare_label=False, no_instance=True, crop_size=64, norm_D='spectralbatch')
OFFICIAL = {**OWN, 'name': 'mine', 'gpu_ids': [], 'checkpoints_dir': './checkpoints', 'preprocess_mode': 'scale_width',
            'lr': 0.0001, 'gan_mode': 'relativistic',
            'no_TTUR': False, 'isTrain': True, 'cache_filelist_read': True, 'load_size': 72, 'batchSize': 4,
            'norm_E': 'spectralinstance', 'norm_G': 'spectralspadesyncbatch3x3',
            'nThreads': 0, 'aspect_ratio': 1.0, 'num_upsampling_layers': 'normal', 'use_vae': False, 'z_dim': 256,
            'ngf': 2}


def as_text(settings):
    """opt.txt as the official code writes it:
    names to the right, values to the left, and the default where it is another.
    """
    return ''.join(f'{name:>25}: {str(value):<30}' + ('\t[default: other]' if len(name) % 2 else '') + '\n'
                   for name, value in sorted(settings.items()))


def put_text(folder, settings):
    (folder / 'opt.txt').write_text(as_text(settings))


def put_pickle(folder, settings):
    (folder / 'opt.pkl').write_bytes(pickle.dumps(argparse.Namespace(**settings)))


@pytest.mark.parametrize('put', [put_text, put_pickle])
def test_options_beside_the_weights_are_read(tmp_path, capsys, put):
    """184 channels or any other say nothing of how they are split:
    a set of 12 classes alone became one with instance maps.
    """
    opt, official = tiny(**OWN)
    folder = save(tmp_path / 'official', official)
    put(tmp_path / 'official', OFFICIAL)
    main(['nvlabs', folder, str(tmp_path / 'ours')])
    found, said = OPT.load(tmp_path / 'ours/model/opt.json'), capsys.readouterr().out
    assert {name: getattr(found, name) for name in OPT.network_fields()} == {name: getattr(opt, name)
                                                                             for name in OPT.network_fields()}
    assert (found.load_size, found.lr, found.batchSize, found.preprocess_mode) == (72, 0.0001, 4, 'scale_width')
    assert found.gan_mode == OPT().gan_mode, 'left out: not supported'
    assert says(said, 'from the shapes: ngf 2', 'opt.txt: label_nc 12' if put is put_text
                else 'opt.pkl: label_nc 12', 'no_instance True')
    assert 'assumed' not in said
    load_weights(build_generator(found), tmp_path / 'ours/model/n_g.pdparams')


def test_flags_win_and_shapes_contradict(tmp_path, capsys):
    folder = save(tmp_path / 'official', tiny('G', **OWN)[1])
    put_text(tmp_path / 'official', OFFICIAL)
    main(['nvlabs', folder, str(tmp_path / 'ours'), '--label_nc', '11', '--contain_dontcare_label', '--crop_size',
          '32'])
    found = OPT.load(tmp_path / 'ours/model/opt.json')
    assert (found.label_nc, found.contain_dontcare_label, found.no_instance, found.crop_size) == (11, True, True, 32)
    assert says(capsys.readouterr().out, 'given: label_nc 11', 'opt.txt: no_instance True')
    put_text(tmp_path / 'official', {**OFFICIAL, 'ngf': 64})
    assert says(message(main, ['nvlabs', folder, str(tmp_path / 'no')]), 'opt.txt: ngf 64 contradicts the weights',
                'move it away')
    put_text(tmp_path / 'official', {**OFFICIAL, 'label_nc': 'many'})
    assert says(message(main, ['nvlabs', folder, str(tmp_path / 'no')]), 'opt.txt: option --label_nc', "found 'many'")


@pytest.mark.parametrize('content', [b'', b'no pickle', pickle.dumps([1]),
                                     pickle.dumps(argparse.Namespace()).replace(b'Namespace', b'Filetype_'),
                                     pickle.dumps({'label_nc': 3}), b'cos\nsystem\n(S"touch ran"\ntR.'])
def test_options_that_are_none(tmp_path, content):
    folder = save(tmp_path / 'official', tiny('G', **OWN)[1])
    (tmp_path / 'official/opt.pkl').write_bytes(content)
    assert says(message(main, ['nvlabs', folder, str(tmp_path / 'no')]), 'official/opt.pkl: ', 'move it away')


# ---- Ours to the official code

def test_export_takes_the_weights_that_paint(tmp_path, capsys):
    """The average of --ema_decay, as val.py does; --weights last the others."""
    _, official = tiny()
    main(['nvlabs', save(tmp_path / 'official', official), str(tmp_path / 'ours'), '--crop_size', '32'])
    model = tmp_path / 'ours/model'
    last = read_weights(model / 'n_g.pdparams')
    assert says(message(main, ['export', 'nvlabs', str(tmp_path / 'ours'), str(tmp_path / 'no'), '--weights',
                               'averaged']), 'ema_decay')
    save_weights({name: value + 1 for name, value in last.items()}, model / 'n_g_ema.pdparams')
    for flags, added, which in (((), 1, 'the averaged ones (n_g_ema.pdparams)'),
                                (('--weights', 'last'), 0, 'the last ones (n_g.pdparams)')):
        target = tmp_path / which.split()[1]
        capsys.readouterr()
        main(['export', 'nvlabs', str(tmp_path / 'ours'), str(target), *flags])
        assert which in capsys.readouterr().out
        found = from_torch(read_state_dict(target / 'latest_net_G.pth'))
        assert found.keys() == last.keys() and all(np.array_equal(found[name], last[name] + added) for name in last)

@pytest.mark.parametrize('settings',
                         [dict(), dict(use_vae=True, norm_E='spectralbatch', crop_size=64), dict(norm_D='batch'),
                          dict(netG='pix2pixhd', resnet_n_downsample=2, resnet_n_blocks=1)])
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
            expected = np.array(0) if name.endswith('num_batches_tracked') else array
            assert found[name].shape == expected.shape and found[name].dtype == (
                'int64' if name.endswith('num_batches_tracked') else 'float32')
            assert found[name].tobytes() == expected.astype(found[name].dtype).tobytes(), name
    with pytest.raises(InputError, match='exists and was not changed'):
        main(['export', str(tmp_path / 'ours'), str(tmp_path / 'exported')])
