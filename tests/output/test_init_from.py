"""--init_from a model of other classes: which channel comes from which, the picture that stays, what is new."""
import json

import numpy as np
import paddle
import pytest

from model.convolution import Convolution
from model.discriminator import MultiscaleDiscriminator
from model.generator import build_generator
from model.init import OPT
from model.semantics import SemanticMap
from model.train_step import TrainStep
from model.weights import as_arrays, read_weights, write_model
from output import init_from
from output.init_from import channel_sources, rearrange
from tests.runner import contents, message, says

NAMES = ['sky', 'road', 'tree', 'car-parked', 'Person']
NETWORK = dict(crop_size=32, load_size=32, ngf=2, ndf=2, z_dim=8)


@pytest.fixture
def float64():
    paddle.set_default_dtype('float64')
    yield
    paddle.set_default_dtype('float32')


def write_classes(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    content = {'names': names, 'colours': [[index + 1, 0, 0] for index in range(len(names))]}
    (folder / 'classes.json').write_text(json.dumps(content))


def opt_of(folder, names, **settings):
    """OPT of a set in `folder` with these classes."""
    write_classes(folder, names)
    return OPT(**{**NETWORK, 'dataroot': str(folder), 'label_nc': len(names), 'use_vae': False, **settings})


def saved(folder, opt, names=None, **settings):
    """A TrainStep whose pictures depend plainly on the map, and its model in `folder`."""
    train_step = TrainStep(opt)
    for name, value in train_step.generator.state_dict().items():
        if 'mlp_' in name and name.endswith('weight'):
            value.set_value(value * 30)
    states = {'n_g.pdparams': train_step.generator, 'n_d.pdparams': train_step.discriminator,
              'n_e.pdparams': train_step.encoder}
    write_model(folder, opt, {file: network.state_dict() for file, network in states.items() if network})
    if names:
        write_classes(folder, names)
    return train_step


def permuted(labels, order):
    """Labels with ids of the new classes: new class i was order[i]; 255 and unlabelled stay."""
    table = np.arange(256)
    table[order] = np.arange(len(order))
    return table[labels]


@pytest.mark.parametrize('settings', [dict(), dict(use_vae=True, no_instance=True), dict(contain_dontcare_label=False),
                                      dict(generator_input='segmap_noise'), dict(netG='pix2pixhd')])
def test_permuted_and_renamed_classes_paint_the_same_picture(tmp_path, capsys, float64, settings):
    """To 1e-12 in float64, and D judges it alike."""
    old = opt_of(tmp_path / 'old', NAMES, seed=1, **settings)
    theirs = saved(tmp_path / 'model', old, NAMES)
    order = [3, 0, 4, 1, 2]
    new = opt_of(tmp_path / 'new', ['vehicle', 'SKY', 'person', 'road', 'tree'], seed=2, **settings)
    table = tmp_path / 'table.txt'
    table.write_text('# new, old\nvehicle, car_parked\n\n')
    ours = TrainStep(new)
    init_from.load(ours, new, str(tmp_path / 'model'), table)
    rng = np.random.RandomState(0)
    label = rng.randint(0, len(NAMES), (2, 32, 32))
    label[:, :4] = 255 if old.contain_dontcare_label else 0
    instance = None if old.no_instance else rng.randint(0, 9, (2, 4, 4)).repeat(8, 1).repeat(8, 2)
    other = permuted(label, order)
    z = rng.standard_normal((2, *new.z_shape())) if new.reads_z else None
    expected, found, unlike = (step.generate(ids, instance, z=z).numpy() for step, ids in (
        (theirs, label), (ours, other), (ours, label)))
    assert np.abs(found - expected).max() < 1e-12 and np.abs(unlike - expected).max() > 1e-3
    assert 'classes: vehicle from car-parked, SKY from sky, person from Person, road, tree\n' in capsys.readouterr().out
    for step in theirs, ours:
        step.discriminator.eval()
    judged = [step.discriminator(SemanticMap(ids, instance, step.opt), paddle.to_tensor(expected))
              for step, ids in ((theirs, label), (ours, other))]
    assert all(np.abs((one[-1] - two[-1]).numpy()).max() < 1e-12 for one, two in zip(*judged))


def test_every_layer_that_reads_the_map_is_marked():
    """With every choice of each option that shapes the networks, weights grow with label_nc where map_at says so."""
    choices = [{}] + [{name: choice} for name, option in OPT.fields().items() if option.effect == 'networks'
                      for choice in (option.choices or (True, False) * (option.kind is bool))]
    for settings in [*choices, dict(norm_G='spadeinstance5x5'), dict(norm_G='spectralconcatsyncbatch3x3')]:
        for network in build_generator, MultiscaleDiscriminator:
            small, large = (network(OPT(**{**NETWORK, 'crop_size': 128, 'label_nc': count, **settings}))
                            for count in (5, 8))
            shapes = {name: value.shape for name, value in small.state_dict().items()}
            grown = {name.rpartition('.')[0] for name, value in large.state_dict().items()
                     if value.shape != shapes[name]}
            marked = {name for name, layer in small.named_sublayers() if getattr(layer, 'map_at', None) is not None}
            assert grown == marked and marked, settings


# ---- Channels

def sources(tmp_path, new, old, new_settings=None, old_settings=None, table=None):
    old = opt_of(tmp_path / 'old', old, **(old_settings or {}))
    return channel_sources(opt_of(tmp_path / 'new', new, **(new_settings or {})), old, str(tmp_path / 'old'), table)


def test_the_same_classes_need_no_plan(tmp_path):
    assert sources(tmp_path, NAMES, NAMES) == ([[0], [1], [2], [3], [4], [5], [6]], [])


def test_classes_without_counterpart_are_the_mean_of_all(tmp_path):
    channels, lines = sources(tmp_path, ['river', 'tree', 'sky'], ['sky', 'tree', 'road'],
                              dict(contain_dontcare_label=False), dict(no_instance=True))
    assert channels == [[0, 1, 2], [1], [0], []]
    assert lines == ['classes: river from the mean of all 3, tree, sky',
                     'channel of unlabelled pixels: dropped, since this model has none',
                     'channel of instance edges: starts at zero, since that model has none']


def test_a_table_may_join_classes(tmp_path):
    table = tmp_path / 'table.txt'
    table.write_text('sky, road\nsky, "tree, tall"\n')
    channels, lines = sources(tmp_path, ['sky', 'road'], ['sky', 'tree, tall', 'road'], table=table)
    assert channels[:2] == [[2, 1], [2]] and lines[0] == 'classes: sky from road and tree, tall, road'


@pytest.mark.parametrize('text, said', [
    ('sky', ("line 1: found 'sky', expected \"new name, old name\"", )), ('sky, road, car', ('line 1', )),
    ('sky,\n', ('line 1', )), (b'\xff\xfe\xff', ('not UTF-8', )), (None, ('No such file', )),
    ('# x\nlake, sky', ('line 2', "no class 'lake' in this set, which has: sky, road")),
    ('sky, lake', ("no class 'lake' in the model of --init_from, which has: sky, tree"))])
def test_a_wrong_table_is_named(tmp_path, text, said):
    table = tmp_path / 'table.txt'
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = message(sources, tmp_path, ['sky', 'road'], ['sky', 'tree'], table=table)
    assert says(found, f'--init_classes {table}', *([said] if isinstance(said, str) else said))


def test_numbers_are_compared_where_a_side_has_no_names(tmp_path):
    old, new = OPT(label_nc=3, dataroot=str(tmp_path / 'nowhere')), opt_of(tmp_path / 'new', ['a', 'b', 'c'])
    channels, lines = channel_sources(new, old, str(tmp_path))
    assert channels == [[0], [1], [2], [3], [4]] and lines == [
        f'classes by number, since {tmp_path} has no classes.json']
    old.label_nc = 4
    assert channel_sources(new, old, str(tmp_path))[1] == [
        f'classes by number, since {tmp_path} has no classes.json', 'classes: 0, 1, 2']
    table = tmp_path / 'table.txt'
    table.write_text('b, 3\n')
    assert channel_sources(new, old, str(tmp_path), table)[0][:3] == [[0, 1, 2, 3], [3], [0, 1, 2, 3]]


# ---- Weights

class Reader(paddle.nn.Layer):
    """A spectral convolution of three other channels, the map's, and one more."""

    def __init__(self, classes):
        super().__init__()
        self.first = Convolution(3 + classes + 1, 6, 3, OPT(cpu_kernels=False), spectral=True, map_at=3)


def test_spectral_norm_moves_with_the_channels(float64):
    """One power iteration in training, and eval mode after it, give the same outputs on permuted channels."""
    paddle.seed(3)
    old, new, order = Reader(4), Reader(4), [2, 0, 3, 1]
    arrays = as_arrays(old.state_dict())
    rearrange(arrays, new, [[index] for index in order], 4)
    new.set_state_dict(arrays)
    x = paddle.randn([1, 8, 5, 5])
    moved = paddle.to_tensor(np.concatenate([x.numpy()[:, :3], x.numpy()[:, 3:7][:, order], x.numpy()[:, 7:]], 1))
    for training in True, False:
        for reader in old, new:
            reader.train() if training else reader.eval()
        assert np.abs((old.first(x) - new.first(moved)).numpy()).max() < 1e-12


@pytest.mark.parametrize('channels', [[[0], [1]], [[0], [1], [2], [3], []], [[0], [0], [1, 2], [3]]])
def test_spectral_norm_is_computed_again_with_other_channels(float64, channels):
    """sigma is the largest singular value of the new weight."""
    paddle.seed(4)
    old, new = Reader(4), Reader(len(channels))
    arrays = as_arrays(old.state_dict())
    before = arrays['first.weight_orig']
    rearrange(arrays, new, channels, 4)
    weight, u, v = (arrays[f'first.weight_{end}'] for end in ('orig', 'u', 'v'))
    matrix = weight.reshape(6, -1)
    assert abs(u @ matrix @ v / np.linalg.norm(matrix, 2) - 1) < 1e-12
    assert np.array_equal(weight[:, [0, 1, 2, -1]], before[:, [0, 1, 2, -1]])
    for index, some in enumerate(channels):
        expected = np.mean([before[:, 3 + one] for one in some], 0) if some else 0
        assert np.allclose(weight[:, 3 + index], expected, atol=1e-15)


# ---- What is new

def test_a_style_encoder_at_another_size_has_a_new_fc(tmp_path, capsys):
    old = opt_of(tmp_path / 'set', NAMES, use_vae=True, ema_decay=0.9)
    saved(tmp_path / 'model', old, NAMES)
    new = opt_of(tmp_path / 'set', NAMES, use_vae=True, crop_size=64, load_size=64, num_D=3, seed=7, ema_decay=0.9)
    ours = TrainStep(new)
    fresh = {name: value.numpy().copy() for name, value in ours.generator.state_dict().items()}
    init_from.load(ours, new, str(tmp_path / 'model'))
    said = capsys.readouterr().out
    assert says(said, f'weights from {tmp_path}/model\n',
                'options that differ: crop_size is 32 there, 64 here, num_D is 2 there, 3 here',
                '  n_g.pdparams: no such layer of this shape there, newly initialized: fc\n',
                '  n_d.pdparams: no such layer of this shape there, newly initialized: discriminator_2.model0.0, ')
    theirs = read_weights(tmp_path / 'model/n_g.pdparams')
    for network in ours.generator, ours.averaged:
        for name, value in as_arrays(network.state_dict()).items():
            assert np.array_equal(value, fresh[name] if name.startswith('fc.') else theirs[name]), name


def test_other_networks_are_refused(tmp_path):
    saved(tmp_path / 'model', opt_of(tmp_path / 'set', NAMES), NAMES)
    opt = opt_of(tmp_path / 'set', NAMES, ngf=4)
    assert says(message(init_from.load, TrainStep(opt), opt, str(tmp_path / 'model')), 'weights of other networks',
                'ngf is 2 there, 4 here: add --ngf 2')


def test_a_run_starts_from_other_classes(scripts, trained, tmp_path):
    """The whole road, and the same command resumes it without the model."""
    table = tmp_path / 'table.txt'
    table.write_text('0, 8\n')
    flags = ['--init_from', trained / 'output', '--init_classes', table]
    said = scripts.trained(tmp_path, *flags, niter=1, label_nc=12, no_instance='true')
    assert says(said, f'weights from {trained}/output\n', 'classes: 0 from 8, 1, 2, 3, 4, 5, 6, 7, 8, 9 from the mean '
                'of all 9, 10 from', 'dropped', 'step 6/6')
    assert said.index('classes: 0 from 8') < said.index('step 1')
    assert says(scripts.trained(tmp_path, *flags, niter=2, label_nc=12, no_instance='true'), 'ignored')
    before = contents(tmp_path)
    assert says(scripts.train_refusal(tmp_path, '--init_classes', table), '--init_classes', '--init_from')
    assert contents(tmp_path) == before
