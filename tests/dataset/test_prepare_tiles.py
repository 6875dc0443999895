"""dataset.prepare folder --tiles: large photographs, cut without scaling, all tiles of one on one side."""
import json

import numpy as np
import pytest
from PIL import Image

from tests.archives import names_in, noise, picture
from tests.runner import contents, says

pytestmark = pytest.mark.without_paddle

SIZES = {'airport': (40, 70), 'bay': (64, 64), 'coast': (95, 33), 'dunes': (64, 100)}     # height, width


def write_photographs(folder, sizes=SIZES, instances=True):
    """Returns the flags; ids 0 to 2; every pixel is an object of its own."""
    for part in ('photos', 'maps', 'objects'):
        (folder / part).mkdir(parents=True)
    for seed, (name, (height, width)) in enumerate(sizes.items()):
        ids = np.random.default_rng(seed).integers(0, 3, (height, width))
        (folder / f'photos/{name}.png').write_bytes(picture(noise(seed, (height, width)), 'PNG'))
        (folder / f'maps/{name}.png').write_bytes(picture(ids, 'PNG'))
        Image.fromarray(np.arange(height * width, dtype=np.uint16).reshape(height, width)).save(
            folder / f'objects/{name}.png')
    return ['folder', '--images', folder / 'photos', '--labels', folder / 'maps', '--output', folder / 'set', '--tiles',
            32, *(['--instances', folder / 'objects'] if instances else [])]


def pixels(path):
    return np.asarray(Image.open(path))


def photographs(folder):
    """set of the names before _row_column of a folder's files."""
    return {name.rsplit('_', 2)[0] for name in names_in(folder)}


def test_tiles_are_windows_of_their_photographs(scripts, tmp_path):
    said = scripts.prepared(*write_photographs(tmp_path), '--val', 0.25)
    found = set()
    for split in ('train', 'val'):
        for part, source in (('img', 'photos'), ('label', 'maps'), ('inst', 'objects')):
            for stem in names_in(tmp_path / f'set/{split}_{part}'):
                name, row, column = stem.rsplit('_', 2)
                top, left = 32 * int(row), 32 * int(column)
                window = pixels(tmp_path / f'{source}/{name}.png')[top:top + 32, left:left + 32]
                assert window.shape[:2] == (32, 32)
                assert np.array_equal(pixels(tmp_path / f'set/{split}_{part}/{stem}.png'), window)
                found.add((split, name, int(row), int(column)))
    assert {tile[1:] for tile in found} == {(name, row, column) for name, (height, width) in SIZES.items()
                                            for row in range(height // 32) for column in range(width // 32)}
    assert len(photographs(tmp_path / 'set/val_img')) == 1
    assert photographs(tmp_path / 'set/val_img').isdisjoint(photographs(tmp_path / 'set/train_img'))
    assert says(said, 'validation: 1 of 4 photographs, with all their tiles', 'report: 3 left out',
                'of 1 photograph 70 wide and 40 high, such as airport, the right 6 and the lower 8 pixels, which fill '
                'no tile of 32 (26.9% of each)', '--preprocess_mode crop --crop_size 32')
    assert 'bay, the right' not in said
    content = json.loads((tmp_path / 'set/classes.json').read_text())
    assert (content['width'], content['height'], content['label_nc']) == ([32, 32], [32, 32], 3)
    assert 'no sample changed' in scripts.prepared(*write_again(tmp_path), '--val', 0.25)


def write_again(folder):
    return ['folder', '--images', folder / 'photos', '--labels', folder / 'maps', '--output', folder / 'set', '--tiles',
            32, '--instances', folder / 'objects']


@pytest.mark.parametrize('group', ['auto', 'none'])
def test_no_photograph_stands_on_both_sides(scripts, tmp_path, group):
    """However unequal the photographs are, and whatever --group says of samples."""
    sizes = {f'p_{index}_{index}': (32, 32 * (1 + 5 * (index == 3))) for index in range(6)}
    scripts.prepared(*write_photographs(tmp_path, sizes, False), '--val', 0.4, '--group', group)
    sides = [photographs(tmp_path / f'set/{split}_img') for split in ('train', 'val')]
    assert sides[0].isdisjoint(sides[1]) and len(sides[1]) == 2 and sides[0] | sides[1] == set(sizes)


def test_colours_regions_and_many_digits(scripts, tmp_path):
    """Maps in colours, a note counted once a photograph; regions numbered in each tile; names sort by row."""
    words = write_photographs(tmp_path, {'long': (32, 32 * 11), 'other': (32, 32)}, False)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])
    for path in (tmp_path / 'maps').iterdir():
        path.write_bytes(picture(colours[pixels(path)] + (pixels(path)[..., None] == 0) * [0, 2, 2], 'PNG'))
    (tmp_path / 'table').write_text('0 255 0 0 roof\n1 0 255 0 grass\n2 0 0 255 water\n')
    said = scripts.prepared(*words, '--colours', tmp_path / 'table', '--instances', 'components', '--val', 0)
    assert names_in(tmp_path / 'set/train_img')[:3] == ['long_00_00', 'long_00_01', 'long_00_02']
    assert says(said, '12 samples; 0 left out', '2 label maps in colours slightly off')
    for stem in names_in(tmp_path / 'set/train_img'):
        label, regions = (pixels(tmp_path / f'set/train_{part}/{stem}.png') for part in ('label', 'inst'))
        assert ((regions[:, 1:] != regions[:, :-1]) == (label[:, 1:] != label[:, :-1])).all() and regions.min() == 1


def test_photographs_that_give_no_tile(scripts, tmp_path):
    words = write_photographs(tmp_path, {**SIZES, 'small': (31, 90)})
    (tmp_path / 'maps/bay.png').write_bytes(b'no picture')
    said = scripts.prepare_failure(*words[:-2], '--link')
    assert says(said, '--tiles 32: tiles are new files: omit --link')
    assert '--tiles 0: allowed: 1 pixel or more' in scripts.prepare_failure(*words, '--tiles', 0)
    scripts.prepared(*words, '--val', 0.34)
    report = (tmp_path / 'set/report.txt').read_text()
    assert says(report, 'left out: train small: small.png: 90 wide and 31 high, smaller than a tile of 32: left out',
                'left out: train bay: ', 'maps: bay.png: unreadable')
    assert len(photographs(tmp_path / 'set/val_img')) == 1, 'drawn among the three that are whole'
    before = contents(tmp_path / 'set')
    scripts.prepared(*words, '--val', 0.34)
    assert contents(tmp_path / 'set') == before
    Image.open(tmp_path / 'photos/small.png').resize((90, 32)).save(tmp_path / 'photos/small.png')
    Image.open(tmp_path / 'maps/small.png').resize((90, 32), 0).save(tmp_path / 'maps/small.png')
    Image.open(tmp_path / 'objects/small.png').resize((90, 32), 0).save(tmp_path / 'objects/small.png')
    assert says(scripts.prepared(*words, '--val', 0.34), '2 new: small_0_0, small_0_1')
