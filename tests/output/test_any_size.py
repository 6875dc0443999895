"""--size: maps of any size, for generators of convolutions alone."""
import argparse
import json

import numpy as np
import pytest
from PIL import Image

from model.generator import SPADEGenerator, build_generator
from model.init import OPT
from model.painter import Painter, load_painter
from model.semantics import SemanticMap
from model.styles import drawn, of_seed
from output import pictures
from result.evaluate import MIDDLE, Settings
from runtime import memory
from tests.exporting import write_checkpoint
from tests.forked import REPOSITORY
from tests.model.test_networks import arrays
from tests.runner import contents, message, says
from tests.segmenting import command

SMALL = dict(label_nc=5, crop_size=32, ngf=4, z_dim=8, use_vae=False, dataroot='no such folder')


def maps(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 5, (2, height // 5 + 1, width // 7 + 1)).repeat(5, 1).repeat(
        7, 2)[:, :height, :width].astype(np.int32)


def at(painter, height, width):
    """The same weights in a painter of the options of a network for that size."""
    opt = OPT(**{**painter.opt.as_dict(), 'crop_size': width, 'aspect_ratio': width / height})
    generator = build_generator(opt)
    generator.set_state_dict(painter.generator.state_dict())
    return Painter(opt, generator)


# ---- The generator

@pytest.mark.parametrize('settings', [{}, dict(generator_input='segmap_noise'), dict(cpu_kernels=False),
                                      dict(netG='pix2pixhd', resnet_n_blocks=2),
                                      dict(norm_G='spadeinstance5x5', num_upsampling_layers='more', crop_size=64)],
                         ids=str)
def test_it_is_the_network_for_that_size(tmp_path, settings):
    """Bit for bit, to the seed's noise: nothing of the training size is left."""
    painter = write_checkpoint(tmp_path, **settings)
    label, instance = (each[None] for each in maps(64, 192))
    other = at(painter, 64, 192)
    assert other.opt.picture_size == (64, 192)
    assert arrays(other.generator)[0].keys() == arrays(painter.generator)[0].keys()
    found, expected = (each.paint(SemanticMap(label, instance, each.opt)).numpy() for each in (painter, other))
    assert found.shape == (1, 3, 64, 192) and found.std() > 0.1
    np.testing.assert_array_equal(found, expected)


def test_sides_that_are_no_multiples_are_rounded_up_by_the_border_and_cut_again(tmp_path):
    painter = write_checkpoint(tmp_path, generator_input='segmap_noise')
    label, instance = maps(50, 70)
    semantics = SemanticMap(label[None], instance[None], painter.opt, round_up=True)
    assert (semantics.shown, semantics.size) == ((50, 70), (64, 96))
    grown = [np.pad(each, [(0, 14), (0, 26)], mode='edge')[None] for each in (label, instance)]
    expected = painter.paint(SemanticMap(*grown, painter.opt)).numpy()[:, :, :50, :70]
    np.testing.assert_array_equal(painter.paint(semantics).numpy(), expected)
    assert not semantics.edge[:, 51:, 71:].any()    # behind the corner is one instance
    assert says(message(lambda: painter.paint(SemanticMap(label[None], instance[None], painter.opt))), '70 wide',
                'multiples of 32')


@pytest.mark.parametrize('settings, said', [(dict(use_vae=True), 'a style encoder'),
                                            (dict(generator_input='noise'), 'generator_input noise')])
def test_a_linear_first_layer_has_one_size(settings, said):
    for size in ('map', '64x64', '33x32'):
        opt = OPT(**{**SMALL, **settings, 'size': size})
        assert says(message(lambda opt=opt: opt.painted_size((32, 32))), f'--size {size}', said, 'linear layer',
                    '32 wide and 32 high alone')
    assert OPT(**{**SMALL, **settings, 'size': '32x32'}).painted_size((99, 99)) == (32, 32)
    generator = SPADEGenerator(opt)
    label = np.zeros((1, 64, 64), np.int32)
    assert says(message(lambda: generator(SemanticMap(label, label, opt))), '64 wide', '32 wide and 32 high alone')


@pytest.mark.thorough
def test_a_large_picture_has_no_seams():
    """Rows of 8192, which the kernels convolve in strips, are those of maps that they convolve at once."""
    opt, painter = load_painter(argparse.Namespace(lastoutput=str(REPOSITORY / 'pretrained/aerial'), which_epoch=None,
                                                   weights=None))
    height, part, reach = 8192, 4096, 7 * 32    # the noise of a place reaches less than 7 places far
    label, noise = maps(height, 32)[:1], drawn(opt, (height, 32), 0)[None]
    whole = painter.paint(SemanticMap(label, None, opt), z=noise).numpy()
    for top in range(0, height - part + 1, part // 2):
        rows = slice(top and top + reach, top + part - reach if top + part < height else height)
        alone = painter.paint(SemanticMap(label[:, top:top + part], None, opt),
                              z=noise[:, :, top // 32:(top + part) // 32]).numpy()
        np.testing.assert_allclose(alone[:, :, rows.start - top:rows.stop - top], whole[:, :, rows], rtol=0, atol=1e-3)
    assert whole.std() > 0.1


def test_what_sizes_there_are():
    assert OPT(crop_size=64).painted_size((5, 7)) == (64, 64)
    assert OPT(use_vae=False, size='map').painted_size((5, 7)) == (5, 7)
    assert OPT(use_vae=False, size='1024x768').painted_size((5, 7)) == (768, 1024)
    for wrong in ('0x5', '64', '64x', 'maps', '64X64', '640000x1', '-1x5'):
        opt = OPT(use_vae=False, size=wrong)
        assert says(message(lambda opt=opt: opt.painted_size((5, 7))), 'option size', wrong, '1024x768', 'map')


def test_a_picture_that_does_not_fit_into_memory_is_refused_before(tmp_path, monkeypatch):
    painter = write_checkpoint(tmp_path)
    monkeypatch.setattr(memory, 'available', lambda: 10 ** 6)
    label, instance = maps(256, 512)
    assert says(message(lambda: painter.paint(SemanticMap(label[None], instance[None], painter.opt))),
                '512 wide and 256 high', 'GB', '--size')
    painter.paint(SemanticMap(label[None, :32, :32], instance[None, :32, :32], painter.opt))   # as in training
    monkeypatch.setattr(memory, 'available', lambda: None)      # a system that does not say
    painter.paint(SemanticMap(label[None], instance[None], painter.opt))


def test_a_size_that_does_not_fit_is_refused_before_a_map_of_it_is_made(tmp_path):
    write_checkpoint(tmp_path)
    given = argparse.Namespace(lastoutput=str(tmp_path), which_epoch=None, weights=None, size='99999x99999')
    assert says(message(load_painter, given), '99999 wide and 99999 high', 'GB are free', 'a smaller --size')


# ---- The scripts

def save(folder, **sizes):
    folder.mkdir(parents=True)
    for name, (height, width) in sizes.items():
        Image.fromarray(maps(height, width)[0].astype(np.uint8)).save(folder / f'{name}.png')
    return folder


def test_predict_paints_a_folder_at_each_maps_size_or_at_one(scripts, tmp_path):
    painter = write_checkpoint(tmp_path, generator_input='segmap_noise', no_instance=True)
    folder = save(tmp_path / 'maps', one=(64, 96), other=(50, 70))
    words = ['predict.py', '--lastoutput', tmp_path, '--label', folder, '--png', '--seed', 3]
    process = scripts.run(*words, '--size', 'map', '--out', tmp_path / 'own')
    assert process.returncode == 0 and 'resized' not in process.stdout, process.stdout + process.stderr
    for name, size in (('one', (64, 96)), ('other', (50, 70))):
        semantics = SemanticMap(maps(*size)[None, 0], None, painter.opt, round_up=True)
        expected = pictures.to_uint8(painter.paint(semantics, z=of_seed(painter.opt, 3, semantics.size)[None]))[0]
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f'own/{name}.png')), expected)
    process = scripts.run(*words, '--size', '100x40', '--out', tmp_path / 'fixed')
    assert process.returncode == 0, process.stdout + process.stderr
    assert '2 label maps were 70 wide and 50 high to 96 wide and 64 high, resized to --size, 100 wide and 40 high' in \
        process.stdout
    assert {Image.open(tmp_path / f'fixed/{name}.png').size for name in ('one', 'other')} == {(100, 40)}
    before = contents(tmp_path / 'own')     # pictures of another size are not these
    assert says(scripts.run(*words, '--out', tmp_path / 'own').stderr, 'size') and contents(tmp_path / 'own') == before


def test_val_and_scores_take_the_size(scripts, tmp_path):
    opt = OPT(**{**SMALL, 'label_nc': 182, 'dataroot': str(tmp_path), 'dataset': 'coco_stuff',
                 'preprocess_mode': 'crop', 'no_instance': True})
    assert Settings.of(opt).region == MIDDLE and Settings.of(opt).size == (32, 32)
    write_checkpoint(tmp_path, no_instance=True, dataroot=str(tmp_path), preprocess_mode='crop')
    save(tmp_path / 'val_label', one=(64, 96), two=(64, 96))
    opt.size = 'map'
    assert Settings.of(opt).region == 'whole' and Settings.of(opt).size == (96, 64)
    process = scripts.run('val.py', '--lastoutput', tmp_path, '--size', 'map', '--results', tmp_path / 'val', '--png',
                          '--batchSize', 2)
    assert process.returncode == 0, process.stdout + process.stderr
    assert Image.open(tmp_path / 'val/pics/two.png').size == (96, 64)
    save(tmp_path / 'more', three=(32, 32))
    (tmp_path / 'more/three.png').rename(tmp_path / 'val_label/three.png')
    assert says(message(lambda: Settings.of(opt)), '--size map', '2 sizes', '32x32 to 96x64', '--size 256x256')
    opt.size = '128x64'
    assert Settings.of(opt).size == (128, 64)


@pytest.mark.thorough
def test_a_run_is_scored_at_that_size(scripts, mine, tmp_path):
    """As val.py scores it there, by a network of its own trained for that size; maps of the set are 48 x 40."""
    process = scripts.run(*command(mine, '--output', tmp_path / 'segmenter', size='48x40', epochs=1))
    assert process.returncode == 0, process.stderr
    scoring = dict(dataset='own', scoring=tmp_path / 'segmenter')
    scripts.trained(tmp_path, dataroot=mine, niter=1, generator_input='segmap_noise', score_epoch_freq=1, size='map',
                    **scoring)
    scored = json.loads((tmp_path / 'output/scores.jsonl').read_text())
    assert scored['protocol']['picture_size'] == '48x40' and scored['protocol']['style'] == 'random'
    words = ['val.py', '--lastoutput', tmp_path / 'output', '--results', tmp_path / 'val', '--scores',
             tmp_path / 'scores.jsonl', '--score', '--cache', tmp_path / 'cache', '--batchSize', 1]
    process = scripts.run(*words)    # the run's own --size
    assert process.returncode == 0, process.stdout + process.stderr
    assert json.loads((tmp_path / 'scores.jsonl').read_text())['scores']['mean_iou'] == scored['scores']['mean_iou']
    assert says(scripts.run(*words, '--size', '64x64').stderr, '64x64', 'trained for 48x40')
