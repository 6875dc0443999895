"""dataset.prepare folder, dataset.check and predict.py on files as cameras and annotation tools make them;
tables and names.
"""
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from dataset.agreement import masks
from dataset.files import load_ids, load_instance
from dataset.labelled_images import LabelledImages, ValidationImages
from dataset.palette import palette, read_names, read_table
from dataset.photo import load_photo
from model.weights import folder_of
from tests.dataset.test_labelled_images import packed, small, write_set
from tests.runner import message, says


def write_own(folder, maps, photo='.png', count=3):
    """Photos and label maps of 24 x 16 pixels; maps: makes an image of the ids (H, W) and the number of the file."""
    for part in ('photos', 'maps'):
        (folder / part).mkdir()
    all_ids = []
    for index in range(count):
        rng = np.random.default_rng(index)
        ids = rng.integers(0, 4, (4, 6)).repeat(4, 0).repeat(4, 1)
        maps(ids, index).save(folder / 'maps' / f'{index}.png')
        if isinstance(photo, str):
            Image.fromarray(rng.integers(0, 256,
                                         (16, 24, 3)).astype(np.uint8)).save(folder / 'photos' / f'{index}{photo}')
        else:
            photo(ids, folder / 'photos', index)
        all_ids.append(ids)
    return ['folder', '--images', folder / 'photos', '--labels', folder / 'maps', '--val', '0', '--output',
            folder / 'set'], all_ids


def grey(ids, index=0):
    return Image.fromarray(ids.astype(np.uint8))


def indexed(ids, colours):
    image = grey(ids)
    image.putpalette(np.asarray(colours, np.uint8).tobytes())
    return image


# ---- Values that are data and a sign at once

@pytest.mark.parametrize('levels', [(0, 255), (0, 127, 255), (0, 85, 170, 255)])
def test_greys_to_look_at_need_a_choice(scripts, tmp_path, levels):
    """255 is white, and unlabelled: before, such a set had one class, and every score was 1."""
    arguments, ids = write_own(tmp_path, lambda ids, index: grey(np.array(levels)[ids % len(levels)]))
    text = scripts.prepare_failure(*arguments)
    assert says(text, tmp_path / 'maps', '255 alone', '255 means unlabelled', '--void 255', '"1 ')
    assert not (tmp_path / 'set').exists()
    (tmp_path / 'table.txt').write_text(''.join(f'{index} {level} {level} {level} class{index}\n'
                                                for index, level in enumerate(levels)))
    said = scripts.prepared(*arguments, '--colours', tmp_path / 'table.txt')
    assert says(said, f'classes used: {len(levels)} of {len(levels)}', 'unlabelled pixels: 0.00%')
    assert np.array_equal(load_ids(tmp_path / 'set/train_label/0.png', ''), ids[0] % len(levels))


def test_white_may_be_unlabelled(scripts, tmp_path):
    arguments, _ = write_own(tmp_path, lambda ids, index: grey(ids % 2 * 255))
    said = scripts.prepared(*arguments, '--void', '255')
    assert says(said, 'classes used: 1 of 1', 'the label maps hold 0 and 255 alone')


@pytest.mark.parametrize('other', [lambda ids: Image.fromarray(ids == 1), lambda ids: grey(ids == 1)])
def test_masks_of_which_some_are_stored_in_other_numbers(scripts, tmp_path, other):
    """White is 1 in one file, as ImageMagick and optipng store it, and 255, unlabelled, in the others."""
    arguments, ids = write_own(tmp_path, lambda ids, index: other(ids) if index == 1 else grey((ids == 1) * 255))
    text = scripts.prepare_failure(*arguments)
    assert says(text, tmp_path / 'maps', '0 and 255 alone', 'as other numbers', '1.png', '"1 1 1 1 ')
    (tmp_path / 'table.txt').write_text('0 0 0 0 a\n1 255 255 255 b\n1 1 1 1 b\n')
    scripts.prepared(*arguments, '--colours', tmp_path / 'table.txt')
    assert all(np.array_equal(load_ids(tmp_path / f'set/train_label/{index}.png', ''), each == 1)
               for index, each in enumerate(ids))


def test_greys_in_fewer_bits_than_those_of_other_files(scripts, tmp_path):
    arguments, ids = write_own(tmp_path, lambda ids, index: grey(ids * 17))
    (tmp_path / 'maps/1.png').write_bytes(packed(ids[1], 4))
    assert says(scripts.prepare_failure(*arguments), '0, 17, 34 and 51 alone', 'other numbers', '1.png', '"3 51 51 51')
    (tmp_path / 'table.txt').write_text('0 0 0 0 a\n1 17 17 17 b\n2 34 34 34 c\n3 51 51 51 d\n')
    scripts.prepared(*arguments, '--colours', tmp_path / 'table.txt')
    assert np.array_equal(load_ids(tmp_path / 'set/train_label/1.png', ''), ids[1])


def test_evenly_spaced_greys_are_refused_as_ids(tmp_path):
    """As matplotlib's imsave(cmap='gray') makes them of ids 0 .. 11."""
    greys = np.linspace(0, 255, 12).astype(np.uint8)
    for levels, expected in ((greys, greys.tolist()), (np.arange(12), None), ([0, 1, 255], None), (greys[1:], None)):
        grey(np.array([levels])).save(tmp_path / 'map.png')
        found = masks([str(tmp_path / 'map.png')])
        assert (found and found.values) == expected


def test_white_alone_needs_a_choice(scripts, tmp_path):
    arguments, _ = write_own(tmp_path, lambda ids, index: grey(ids * 0 + 255))
    assert says(scripts.prepare_failure(*arguments), 'hold 255 alone', '--void 255')


def test_negative_numbers_may_be_unlabelled(scripts, tmp_path):
    arguments, ids = write_own(tmp_path, lambda ids, index: grey(ids))
    for path, each in zip(sorted((tmp_path / 'maps').iterdir()), ids):
        Image.fromarray(each.astype(np.int32) - 1).save(path, 'TIFF')
    assert says(scripts.prepare_failure(*arguments), '0.png', '-1 ..', '--void -1')
    scripts.prepared(*arguments, '--void', '-1')
    assert np.array_equal(load_ids(tmp_path / 'set/train_label/1.png', ''), np.where(ids[1] == 0, 255, ids[1] - 1))


def test_masks_of_16_bits(scripts, tmp_path):
    arguments, _ = write_own(tmp_path, lambda ids, index: Image.fromarray((ids % 2 * 65535).astype(np.uint16)))
    assert says(scripts.prepare_failure(*arguments), '0 and 65535 alone', 'with 8 bits', '--void 65535')
    assert says(scripts.prepared(*arguments, '--void', '65535'), 'classes used: 1 of 1')


def test_training_refuses_masks_of_a_set_by_hand(tmp_path):
    write_set(tmp_path, 3)
    for path in (tmp_path / 'train_label').iterdir():
        grey((np.array(Image.open(path)) % 2) * 255).save(path)
    assert says(message(LabelledImages, small(tmp_path, label_nc=2)), tmp_path / 'train_label', '0 and 255 alone',
                '--label_nc 1')
    assert len(LabelledImages(small(tmp_path, label_nc=1))) == 3
    grey(np.full((40, 48), 1)).save(tmp_path / 'train_label/0001.png')
    assert len(LabelledImages(small(tmp_path, label_nc=2))) == 3


def test_255_among_more_classes_needs_a_choice(scripts, tmp_path):
    arguments, _ = write_own(tmp_path, lambda ids,
                             index: Image.fromarray((ids * 85 + 45 * (ids == 3)).astype(np.uint16)))
    for path in sorted((tmp_path / 'maps').iterdir())[:1]:
        Image.fromarray((np.asarray(Image.open(path)) * 0 + 255).astype(np.uint16)).save(path)
    assert says(scripts.prepare_failure(*arguments), 'ids go up to 300', '255', 'in the map of 0', '--void 255')


# ---- Palettes

def test_palettes_of_each_file_are_refused_without_a_table(scripts, tmp_path):
    voc = np.vstack([np.zeros((1, 3), np.uint8), palette(3)])
    arguments, ids = write_own(tmp_path, lambda ids,
                               index: Image.fromarray(voc[np.where(ids == index, 3, ids)]).quantize(
        8, dither=Image.Dither.NONE))
    assert says(scripts.prepare_failure(*arguments), 'the indices are not ids', 'another palette',
                '--colours')
    (tmp_path / 'table.txt').write_text(''.join(f'{index} {" ".join(map(str, colour))} x\n'
                                                for index, colour in enumerate(voc)))
    scripts.prepared(*arguments, '--colours', tmp_path / 'table.txt')
    for index, expected in enumerate(ids):
        assert np.array_equal(load_ids(tmp_path / f'set/train_label/{index}.png', ''),
                              np.where(expected == index, 3, expected))


def test_the_palette_of_all_files_gives_the_colours_of_the_set(scripts, tmp_path):
    colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 0, 0)] + [(9, index, 9) for index in range(4, 256)]
    arguments, ids = write_own(tmp_path, lambda ids, index: indexed(ids, colours))
    assert says(scripts.prepared(*arguments), '3 label maps with a palette, whose indices are the ids')
    assert np.array_equal(load_ids(tmp_path / 'set/train_label/1.png', ''), ids[1])
    found = classes.read(str(tmp_path / 'set'))
    assert found['colours'][:3] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]] and found['names'] == list('0123')
    assert len(set(map(tuple, found['colours']))) == 4


def test_a_set_by_hand_with_other_palettes(tmp_path, scripts):
    write_set(tmp_path, 3)
    write_set(tmp_path, 1, 'val')
    for index in range(3):
        path = tmp_path / f'train_label/000{index}.png'
        indexed(np.array(Image.open(path)) % 4, np.random.default_rng(index).integers(0, 256, (4, 3))).save(path)
    text = message(LabelledImages, small(tmp_path))
    assert says(text, '2 of 3 files have another palette', tmp_path / 'train_label/0001.png', 'dataset.prepare folder '
                                                                                              '--colours')
    process = scripts.run('-m', 'dataset.check', '--dataroot', tmp_path, '--crop_size', 32, '--load_size', 40)
    assert process.returncode == 1 and \
        says(process.stdout, 'different palettes (1)', '2 of 3 files', 'problems: 1 x different palettes')
    assert len(ValidationImages(small(tmp_path))) == 1


# ---- Photos

def test_photos_are_turned_by_their_tag(scripts, tmp_path):
    def turned(ids, folder, index):
        exif = Image.Exif()
        exif[0x112] = 3
        Image.fromarray(np.dstack([ids * 60] * 3).astype(np.uint8)).transpose(Image.Transpose.ROTATE_180).save(
            folder / f'{index}.jpg', exif=exif, quality=95)
    arguments, ids = write_own(tmp_path, grey, turned)
    assert says(scripts.prepared(*arguments), '3 photos turned by the EXIF tag')
    photo = np.asarray(load_photo(tmp_path / 'set/train_img/0.jpg'))
    assert np.abs(photo[..., 0].astype(int) - ids[0] * 60).mean() < 6


@pytest.mark.parametrize('kind, ending, make, top', [
    ('12 bits', '.png', lambda ids: (ids * 1300).astype(np.uint16), 4095),
    ('CT', '.tif', lambda ids: (ids * 900 - 1000).astype(np.int32), 1700),
    ('0 .. 1', '.tif', lambda ids: (ids / np.float32(3)).astype(np.float32), 1)])
@pytest.mark.parametrize('link', [[], ['--link']])
def test_photos_of_more_bits_are_made_8_bit_by_the_range_of_all(scripts, tmp_path, kind, ending, make, top, link):
    def deep(ids, folder, index):
        values = make(ids)
        # 0: a dark one
        Image.fromarray(values if index
                        else np.minimum(values, values.min() +
                                        np.asarray(top / 50).astype(values.dtype))).save(folder / f'{index}{ending}')
    arguments, ids = write_own(tmp_path, grey, deep)
    said = scripts.prepared(*arguments, *link)
    assert says(said, '3 photos of more than 8 bits', f'and {top} white', '1 photo nearly black', 'problems: none')
    for index in (1, 2):
        photo = np.asarray(load_photo(tmp_path / f'set/train_img/{index}.png')).astype(int)[..., 0]
        assert np.abs(photo - ids[index] * (1300 / 16 if kind == '12 bits' else 85)).max() <= 1
    assert np.asarray(load_photo(tmp_path / 'set/train_img/0.png')).max() <= 85


# ---- Colours

def test_instance_maps_in_colours(scripts, tmp_path):
    arguments, ids = write_own(tmp_path, grey)
    (tmp_path / 'objects').mkdir()
    for index, each in enumerate(ids):
        Image.fromarray(palette(9)[each + 3]).save(tmp_path / f'objects/{index}.png')
    assert says(scripts.prepared(*arguments, '--instances', tmp_path / 'objects', '--link'), '3 instance maps in '
                                                                                             'colours')
    for index, each in enumerate(ids):
        instance = load_instance(tmp_path / f'set/train_inst/{index}.png')
        assert len({*zip(instance.ravel().tolist(),
                         each.ravel().tolist())}) == len(np.unique(each)) == len(np.unique(instance))


def test_jpeg_maps_by_a_table(scripts, tmp_path):
    arguments, ids = write_own(tmp_path, grey)
    for index, each in enumerate(ids):
        (tmp_path / f'maps/{index}.png').unlink()
        Image.fromarray(palette(9)[each]).save(tmp_path / f'maps/{index}.jpg', quality=90, subsampling=0)
    assert says(scripts.prepare_failure(*arguments), 'JPEG', 'changes ids', '--colours')
    (tmp_path / 'table.txt').write_text(''.join(f'{" ".join(map(str, palette(9)[index]))} class {index}\n'
                                                for index in range(4)))
    shutil.rmtree(tmp_path / 'set', ignore_errors=True)
    assert says(scripts.prepared(*arguments, '--colours', tmp_path / 'table.txt'),
                '3 label maps in colours slightly off', 'pixels)')
    assert np.mean([load_ids(tmp_path / f'set/train_label/{index}.png', '') == each
                    for index, each in enumerate(ids)]) > 0.99
    assert classes.read(str(tmp_path / 'set'))['names'] == [f'class {index}' for index in range(4)]


def test_ids_with_a_table_of_colours(scripts, tmp_path):
    arguments, _ = write_own(tmp_path, grey)
    (tmp_path / 'table.txt').write_text(''.join(f'{index} {index + 100} 7 9 a{index}\n' for index in range(4)))
    assert says(scripts.prepare_failure(*arguments, '--colours', tmp_path / 'table.txt'), 'ids of the table',
                'omit --colours', '--names')


TABLES = {
    'ours': '# mine\n0 128 64 128 road\n1,0,0,0,thin pole\n', 'CamVid': '128 64 128\troad\n0 0 0\t\tthin pole\n',
    'CVAT': '# label:color_rgb:parts:actions\nroad:128,64,128::\nthin pole:0,0,0::\n',
    'class_dict.csv': 'name,r,g,b\nroad,128,64,128\nthin pole, 0, 0, 0\n',
    'with a heading': 'id;r;g;b;name\n0;128;64;128;road\n1;0;0;0;thin pole\n',
    'JSON': json.dumps({'road': [128, 64, 128], 'thin pole': [0, 0, 0]})}


@pytest.mark.parametrize('form', TABLES)
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_tables_of_other_programs(tmp_path, form, encoding):
    (tmp_path / 'table').write_text(TABLES[form].replace('\n', '\r\n'), encoding=encoding, newline='')
    assert read_table(tmp_path / 'table') == [(0, (128, 64, 128), 'road'), (1, (0, 0, 0), 'thin pole')]


@pytest.mark.parametrize('text, line',
                         [('road:1,2,3::\n4 5 6 7\nx:7,8,9::\n', 'line 2'), ('1 2 3 a\n2 3 b\n4 5 6 c\n', 'line 2'),
                                        ('0 1 2\n', 'line 1'), ('road\npole\n', 'line 2')])
def test_the_wrong_line_of_a_table_is_named(tmp_path, text, line):
    (tmp_path / 'table').write_text(text)
    with pytest.raises(ValueError, match=line):
        read_table(tmp_path / 'table')


@pytest.mark.parametrize('text, names', [
    ('road\nthin pole\n', ['road', 'thin pole']),
    ('Pixel Value, Class\n0, road\n2, thin pole\n', ['road', '1', 'thin pole']),
    ('0\troad\n1\tthin pole', ['road', 'thin pole']), ('# mine\nroad # asphalt\nClass 7\n', ['road', 'Class 7'])])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_names_of_other_programs(tmp_path, text, names, encoding):
    (tmp_path / 'names').write_text(text, encoding=encoding)
    assert read_names(tmp_path / 'names') == names


def test_wrong_names_are_named(tmp_path):
    for text, word in (('a\n\nb\n', 'line 2'), ('', 'line 1'), ('0, a\n0, b\n', 'twice'), ('99999999, a\n', 'above')):
        (tmp_path / 'names').write_text(text)
        with pytest.raises(ValueError, match=word):
            read_names(tmp_path / 'names')


# ---- predict.py and dataset.classes

def test_predict_takes_a_map_in_the_colours_of_the_set(scripts, styled, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(styled / 'output', run)
    own = classes.content([f'class {index}' for index in range(9)])
    classes.write(folder_of(str(run), None), own)
    ids = np.asarray(Image.open(scripts.data / 'val_label/000.png'))
    ids = np.where(ids > 8, 0, ids).astype(np.uint8)
    colours = np.array(own['colours'], np.uint8)
    used, index = np.unique(ids, return_inverse=True)
    maps = {'ids': Image.fromarray(ids), 'rgb': Image.fromarray(colours[ids]),
            'palette': indexed(index.reshape(ids.shape), colours[used])}
    command = ['predict.py', '--lastoutput', run, '--instance', scripts.data / 'val_inst/000.png', '--png']
    for name, image in maps.items():
        image.save(tmp_path / f'{name}.png')
        process = scripts.run(*command, '--label', tmp_path / f'{name}.png', '--out', tmp_path / f'{name}_out.png')
        assert process.returncode == 0, process.stderr
        assert name == 'ids' or says(process.stdout, '1 label map', 'colours of the set')
        assert np.array_equal(*(np.asarray(Image.open(tmp_path / f'{one}_out.png')) for one in (name, 'ids')))
    Image.fromarray(255 - colours[ids]).save(tmp_path / 'other.png')
    assert says(scripts.failure(*command, '--label', tmp_path / 'other.png', '--out', tmp_path / 'no.png'), 'other.png',
                'classes.json does not have', '(63, 255, 255)', 'save the map as ids')
