"""model.export weights: a folder of weights that paints like its checkpoint, for every program that reads one; and the
folder pretrained/, where no run writes.
"""
import argparse
import json

import numpy as np
import paddle
import pytest
from PIL import Image

from dataset.label_map import read_map
from model.export.__main__ import main
from model.init import OPT
from model.painter import load_painter
from model.semantics import SemanticMap
from model.train_step import TrainStep
from model.weights import as_arrays, read_weights, save_weights
from output import init_from
from paint.__main__ import or_shipped
from paint.studio import Studio
from runtime import writing
from runtime.locking import locked
from tests.exporting import SMALL, write_checkpoint
from tests.forked import REPOSITORY
from tests.runner import message, says

AERIAL = {'no_instance': True, 'generator_input': 'segmap_noise', 'visualdl': '/of/the/training/machine'}


def exported(folder, out, *flags):
    main(['weights', '--lastoutput', str(folder), '--out', str(out), *map(str, flags)])


def arguments(folder, **settings):
    return argparse.Namespace(**{'lastoutput': str(folder), 'which_epoch': None, 'weights': None, **settings})


def everything(folder):
    return {str(path): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def aerial(tmp_path_factory):
    """(folder, checkpoint, Painter): folder/pretrained/aerial has its weights, two label maps, names and a card."""
    folder = tmp_path_factory.mktemp('clone')
    checkpoint, shipped = folder / 'run', folder / 'pretrained/aerial'
    painter = write_checkpoint(checkpoint, **AERIAL)
    (checkpoint / 'model/classes.json').write_text(json.dumps({'names': list('abcde'), 'colours': 5 * [[1, 2, 3]]}))
    (shipped / 'val_label').mkdir(parents=True)
    for name, shape in (('coast', (48, 64)), ('town', (40, 33))):
        ids = np.random.default_rng(0).integers(0, 5, (shape[0] // 4, shape[1] // 3)).repeat(4, 0).repeat(3, 1)
        Image.fromarray(ids.astype(np.uint8)).save(shipped / f'val_label/{name}.png')
    (shipped / 'README.md').write_text('the card')
    exported(checkpoint, shipped, '--half', '--dataroot', shipped, '--size', 'map')
    return folder, checkpoint, painter


@pytest.mark.parametrize('options', [AERIAL, dict(use_vae=True), dict(netG='pix2pixhd', resnet_n_blocks=1)])
def test_kernels_are_float16_and_pictures_stay(tmp_path, capsys, options):
    """All else is float32; what is read is float32; without --half every bit remains."""
    painter = write_checkpoint(tmp_path / 'run', **options)
    exported(tmp_path / 'run', tmp_path / 'half', '--half')
    assert says(capsys.readouterr().out, 'pictures differ from the checkpoint\'s by', 'written:', 'MB')
    exported(tmp_path / 'run', tmp_path / 'whole')
    assert says(capsys.readouterr().out, 'by 0 grey levels in the mean, 0 at most')
    for file, network in (('n_g.pdparams', painter.generator), ('n_e.pdparams', painter.encoder)):
        if network is None:
            assert not (tmp_path / 'half' / file).exists()
            continue
        stored = paddle.load(str(tmp_path / 'half' / file), return_numpy=True)
        half, whole = (read_weights(tmp_path / name / file) for name in ('half', 'whole'))
        for name, value in as_arrays(network.state_dict()).items():
            assert stored[name].dtype == (np.float16 if value.ndim > 1 else np.float32)
            assert half[name].dtype == np.float32 and np.array_equal(whole[name], value)
            assert np.array_equal(half[name], value.astype(stored[name].dtype).astype(np.float32))
    assert (tmp_path / 'half/n_g.pdparams').stat().st_size < 0.6 * (tmp_path / 'whole/n_g.pdparams').stat().st_size
    saved = OPT.load(tmp_path / 'half/opt.json')
    assert {name: getattr(saved, name) for name in OPT.network_fields()} == \
        {name: getattr(painter.opt, name) for name in OPT.network_fields()}
    assert saved.visualdl == '' and saved.output == OPT().output


def test_maps_of_any_size_stay_within_two_levels(aerial):
    folder, checkpoint, painter = aerial
    opt, half = load_painter(arguments(folder / 'pretrained/aerial'))
    assert opt.size == 'map'
    for name in ('coast', 'town'):
        ids = read_map(folder / f'pretrained/aerial/val_label/{name}.png').ids
        semantics = SemanticMap(ids[None].astype(int), None, opt, round_up=True)
        one, other = (np.rint((each.paint(semantics).numpy() + 1) * 127.5) for each in (painter, half))
        assert one.shape == (1, 3, *ids.shape) and one.std() > 10 and np.abs(one - other).max() <= 2


def test_weights_that_float16_spoils_are_refused(tmp_path):
    """An overflow, and steps too coarse for small kernels, which spectral norm enlarges: nothing is written."""
    painter = write_checkpoint(tmp_path / 'run')
    state = as_arrays(painter.generator.state_dict())
    for name, factor, words in (('fc.weight', 1e6, 'infinite'), ('up_3.conv_0.weight_orig', 1e-6, '--half')):
        save_weights({**state, name: state[name] * np.float32(factor)}, tmp_path / 'run/model/n_g.pdparams')
        assert words in message(exported, tmp_path / 'run', tmp_path / 'out', '--half')
        assert everything(tmp_path / 'out') == {}


def test_only_earlier_weights_are_replaced(aerial, tmp_path):
    folder, checkpoint, _ = aerial
    exported(checkpoint, tmp_path / 'out')
    (tmp_path / 'out/README.md').write_text('mine')
    before = everything(tmp_path / 'out')
    assert says(message(exported, checkpoint, tmp_path / 'out'), 'n_g.pdparams exists', '--force')
    assert everything(tmp_path / 'out') == before
    exported(checkpoint, tmp_path / 'out', '--half', '--force')
    after = everything(tmp_path / 'out')
    assert after.keys() == before.keys() and after[str(tmp_path / 'out/README.md')] == b'mine'
    assert len(after[str(tmp_path / 'out/n_g.pdparams')]) < len(before[str(tmp_path / 'out/n_g.pdparams')])
    assert says(message(exported, tmp_path / 'out', checkpoint, '--force'), 'has model', 'training')
    assert says(message(exported, tmp_path / 'out', tmp_path / 'out', '--force'), 'folder of the checkpoint')


def test_every_program_reads_it_and_writes_elsewhere(aerial, scripts, tmp_path):
    """predict.py, val.py and model.export; whole maps, at their own size."""
    folder, _, _ = aerial
    shipped = folder / 'pretrained/aerial'
    before = everything(shipped)
    for command in (['predict.py', '--label', shipped / 'val_label', '--out', tmp_path / 'maps', '--png'],
                    ['val.py', '--results', tmp_path / 'val', '--png'],
                    ['-m', 'model.export', 'paddle', '--out', tmp_path / 'served']):
        process = scripts.run(*command, '--lastoutput', shipped)
        assert process.returncode == 0, process.stdout + process.stderr
    for path in ('maps/{}.png', 'val/pics/{}.png'):
        assert Image.open(tmp_path / path.format('coast')).size == (63, 48)
        assert Image.open(tmp_path / path.format('town')).size == (33, 40)
    assert (tmp_path / 'served/generator.pdiparams').exists() and everything(shipped) == before


def test_a_training_begins_with_it(aerial, capsys):
    """Only the generator is there: D is new, and that is said."""
    folder, _, painter = aerial
    shipped = folder / 'pretrained/aerial'
    opt = OPT(**{**SMALL, **AERIAL, 'load_size': 32, 'dataroot': str(shipped), 'ema_decay': 0.9})
    train_step, before = TrainStep(opt), everything(shipped)
    init_from.load(train_step, opt, str(shipped))
    assert says(capsys.readouterr().out, 'missing there, newly initialized: n_d.pdparams', 'average')
    expected, saved = as_arrays(painter.generator.state_dict()), as_arrays(train_step.generator.state_dict())
    assert all(np.allclose(saved[name], expected[name], rtol=1e-3, atol=1e-7) for name in expected)
    assert everything(shipped) == before


# ---- The page without a run

def test_the_page_opens_it_where_there_is_no_run(aerial, tmp_path, monkeypatch, capsys):
    folder, checkpoint, _ = aerial
    monkeypatch.chdir(folder)
    plain = argparse.Namespace(which_epoch=None, weights=None)
    studio = Studio(or_shipped(plain))
    assert says(capsys.readouterr().out, 'no model of your own in output/', 'pretrained/aerial', '--lastoutput')
    described = studio.description()
    assert (described['run'], described['epoch'], described['maps']) == ('aerial', 3, ['coast', 'town'])
    assert (described['height'], described['width'], described['own_sizes']) == (48, 63, True)
    assert [entry['name'] for entry in described['classes'][:5]] == list('abcde')
    for named in (dict(lastoutput='runs/mine'), dict(which_epoch=4), dict(weights='averaged')):
        given = argparse.Namespace(**{'which_epoch': None, 'weights': None, **named})
        assert vars(or_shipped(given)) == {'which_epoch': None, 'weights': None, **named}
    (folder / 'output').symlink_to(checkpoint)
    assert 'lastoutput' not in or_shipped(argparse.Namespace(which_epoch=None, weights=None))
    monkeypatch.chdir(tmp_path)     # without either
    assert 'lastoutput' not in or_shipped(argparse.Namespace(which_epoch=None, weights=None))
    assert capsys.readouterr().out == ''


# ---- pretrained/ itself

def test_nothing_is_written_into_pretrained(scripts, tmp_path, monkeypatch):
    before = {path.name for path in (REPOSITORY / 'pretrained').rglob('*')}
    label = REPOSITORY / 'pretrained/aerial/val_label/coast.png'
    assert says(scripts.refusal('predict.py', '--label', label, '--out', 'pretrained/x.jpg'), '--out', 'no run writes')
    for kind in ('onnx', 'paddle'):
        assert says(message(main, [kind, '--out', str(REPOSITORY / 'pretrained/x.onnx')]), '--out', 'no run writes')
    for folder in ('pretrained', 'pretrained/mine', 'pretrained/aerial/x'):
        def claim(folder=REPOSITORY / folder):
            with locked(folder, 'training', '--output and --log'):
                pass
        assert says(message(claim), '--output and --log', folder, 'no run writes')
    assert {path.name for path in (REPOSITORY / 'pretrained').rglob('*')} == before
    monkeypatch.setattr(writing, 'SHIPPED', str(tmp_path / 'pretrained'))
    for settings in (dict(output=tmp_path / 'pretrained/a'), dict(log=tmp_path / 'pretrained/log')):
        assert says(scripts.train_refusal(tmp_path, **settings), '--output and --log', 'no run writes')
    assert not (tmp_path / 'pretrained').exists()


def test_the_maps_that_come_with_it():
    found = {path.stem: read_map(path).ids for path in sorted((REPOSITORY / 'pretrained/aerial/val_label').iterdir())}
    assert list(found) == ['coast', 'golf_course', 'palm_island', 'town']
    for ids in found.values():
        assert 256 <= min(ids.shape) and max(ids.shape) <= 512 and set(np.unique(ids)) <= set(range(5))
    assert all(len(np.unique(ids)) == 5 for ids in found.values())
