"""python -m model.convert ctkindle: files of ctkindle/SPADE-Paddle paint its pictures."""
import json

import numpy as np
import paddle
import pytest
from PIL import Image

from model.convert.__main__ import main
from model.discriminator import MultiscaleDiscriminator
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import checkpoint_parser, load_painter
from model.semantics import SemanticMap
from model.vae_encoder import VAEEncoder
from model.weights import as_arrays, load_weights, save_weights, set_weights
from runtime.errors import InputError
from tests.forked import GOLDEN
from tests.golden.fixture import inputs, seeded_weight
from tests.runner import says


@pytest.fixture(scope='module')
def of_ctkindle(tmp_path_factory):
    """Folder with the files of that repository that the stored values were computed with, as paddle.save writes them.
    """
    golden = np.load(GOLDEN / 'ctkindle_64.npz')
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
        assert np.abs(fake.numpy() - golden['eval/fake']).max() < 1e-5 * np.abs(golden['eval/fake']).max()
        if discriminator is not None:
            discriminator.eval()
            both = paddle.concat([fake, paddle.to_tensor(image[:count].astype('float32'))])
            for scale, features in enumerate(discriminator(semantics, both)):
                expected = golden[f'eval/pred_fake_{scale}']
                assert np.abs(features[-1][:count].numpy() - expected).max() < 1e-5 * np.abs(expected).max()


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
    opt, painter = load_painter(checkpoint_parser('').parse_args(['--lastoutput', str(folder), '--seed', '3']))
    assert says(capsys.readouterr().out, 'converted on the fly', 'assumed', 'crop_size 256',
                'python -m model.convert ctkindle')
    assert (opt.seed, opt.lastoutput, opt.crop_size) == (3, str(folder), 256)
    opt.crop_size = 64      # of the stored pictures; no shape tells it
    generator = SPADEGenerator(opt)
    set_weights(generator, as_arrays(painter.generator.state_dict()), folder)
    assert_golden(golden, opt, generator)


def test_val_paints_with_weights_copied_into_output_model(scripts, of_ctkindle, tmp_path):
    """As that repository's own README has it: weights into output/model, then val.py."""
    golden, folder = of_ctkindle
    label_nc, data = int(json.loads(str(golden['opt']))['label_nc']), tmp_path / 'set'
    draw = np.random.default_rng(0)
    for part, shape in (('label', (40, 48)), ('inst', (40, 48)), ('img', (40, 48, 3))):
        (data / f'val_{part}').mkdir(parents=True)
        Image.fromarray(draw.integers(0, label_nc, shape).astype('uint8')).save(data / f'val_{part}/a.png')
    process = scripts.run('val.py', '--lastoutput', folder, '--dataroot', data, '--results', tmp_path / 'painted',
                          '--png')
    assert process.returncode == 0, process.stdout + process.stderr
    assert says(process.stdout, 'converted on the fly', '1 picture in')
    assert Image.open(tmp_path / 'painted/pics/a.png').size == (256, 256)
    assert scripts.refusal('val.py', '--lastoutput', folder, '--crop_size', '64').startswith('--crop_size')


def test_ctkindle_encoder_names(tmp_path, capsys):
    """Its encoder is a sequence of convolution, norm and activation, with biases that have no effect."""
    opt = OPT(label_nc=5, ngf=2, use_vae=True, activation='gelu', attention='simam', norm_G='spectralspadebatch3x3',
              z_dim=256, crop_size=256)
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
                theirs[network].setdefault(name.rsplit('.', 1)[0] + '.bias', np.ones(value.shape[0], 'float32'))
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
    save_weights({**theirs['G'], 'head_0.extra': np.zeros(1)}, tmp_path / 'n_g.pdparams')
    with pytest.raises(InputError, match='n_g.pdparams: head_0.extra is not a tensor'):
        main(['ctkindle', str(tmp_path), str(tmp_path / 'other'), '--label_nc', '5'])


def test_other_networks_are_not_exported(tmp_path, of_ctkindle):
    main(['ctkindle', str(of_ctkindle[1] / 'model'), str(tmp_path / 'ours'), '--crop_size', '64'])
    with pytest.raises(InputError, match='attention simam'):
        main(['export', str(tmp_path / 'ours'), str(tmp_path / 'exported')])
