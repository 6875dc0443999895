"""dataset.prepare folder: a set's own validation folders, ids that mean unlabelled, class names,
and maps of another size.
"""
import json

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from result.own.scoring_network import checked_label_nc
from runtime.errors import InputError
from tests.archives import HEIGHT, WIDTH, names_in, noise, picture
from tests.runner import says

pytestmark = pytest.mark.without_paddle


def write_split(folder):
    """photos 0 .. 3 for training, 2 .. 3 (the same names) for validation; ids 0, 1, 2 and 7, which means unlabelled."""
    for split, stems in (('', range(4)), ('val_', range(2, 4))):
        for part in ('images', 'labels'):
            (folder / (split + part)).mkdir(parents=True)
        for stem in stems:
            label = np.zeros((HEIGHT, WIDTH), np.uint8)
            label[:10], label[10:20], label[20:24] = 1, 2, 7
            (folder / f'{split}labels/{stem}.png').write_bytes(picture(label, 'PNG'))
            (folder / f'{split}images/{stem}.png').write_bytes(picture(noise(stem + 10 * bool(split)), 'PNG'))
    return ['folder', '--images', folder / 'images', '--labels', folder / 'labels', '--val_images',
            folder / 'val_images', '--val_labels', folder / 'val_labels']


def known(root):
    content = json.loads((root / 'classes.json').read_text())
    return content['names'], content['label_nc'], content['unlabelled'], content['instances']


def test_own_split_void_and_names(scripts, tmp_path):
    """Validation has its own folders, with names as in training; the void id becomes 255; names are stored.
    """
    words = write_split(tmp_path)
    (tmp_path / 'names').write_text('# by id\nsky\nroad # and pavement\ntree\n')
    said = scripts.prepared(*words, '--void', 7, '--names', tmp_path / 'names', '--output', tmp_path / 'set')
    assert names_in(tmp_path / 'set/train_img') == ['0', '1', '2', '3']
    assert names_in(tmp_path / 'set/val_label') == ['2', '3']
    assert np.array_equal(np.array(Image.open(tmp_path / 'set/val_img/2.png')), noise(12))
    label = np.array(Image.open(tmp_path / 'set/train_label/0.png'))
    assert set(np.unique(label)) == {0, 1, 2, 255} and (label[20:24] == 255).all()
    assert known(tmp_path / 'set') == (['sky', 'road', 'tree'], 3, True, False)
    assert 'report: nothing was changed, guessed or left out' in said
    plain = scripts.prepared(*words, '--void', 7, '--output', tmp_path / 'plain')
    assert 'guessed: 3 classes, since the highest id is 2, in the map of 0' in plain and \
        'training photos too' not in said + plain
    assert known(tmp_path / 'plain') == (['0', '1', '2'], 3, True, False)


def test_validation_photos_that_are_trained_on_are_named(scripts, tmp_path):
    words = write_split(tmp_path)
    (tmp_path / 'val_images/3.png').write_bytes((tmp_path / 'images/1.png').read_bytes())
    said = scripts.prepared(*words, '--output', tmp_path / 'set')
    assert f'1 validation photos are training photos too, {tmp_path}/val_images/3.png the first' in said


def test_links_to_nothing_are_left_out(scripts, tmp_path):
    words = write_split(tmp_path)
    for part in ('images', 'labels', 'val_images'):
        (tmp_path / part / '9.png').symlink_to('nowhere')
    said = scripts.prepared(*words, '--output', tmp_path / 'set')
    assert says(said, 'left out: train 9: ', 'left out: val 9: ', 'replace the file', 'problems: none')
    assert (tmp_path / 'set/classes.json').exists() and (tmp_path / 'set/sheet.jpg').exists()


def test_ids_of_void_that_are_all_or_absent(scripts, tmp_path):
    words = [*write_split(tmp_path), '--output', tmp_path / 'set', '--void']
    assert says(scripts.prepare_failure(*words, 0, 1, 2, 7), 'every pixel of every label map is unlabelled',
                '--void 0 1 2 7')
    assert says(scripts.prepared(*words, 7, 300, -1), 'suspicious: --void -1 300: in no label map')


@pytest.mark.parametrize('high', [200, 65535])
def test_a_highest_id_far_above_the_others(scripts, tmp_path, high):
    words = write_split(tmp_path)
    for path in tmp_path.glob('*labels/*.png'):
        ids = np.array(Image.open(path)).astype(np.uint16)
        Image.fromarray(np.where(ids == 7, high, ids).astype(np.uint16)).save(path)
    said = scripts.prepared(*words, '--output', tmp_path / 'set')
    assert says(said, 'suspicious: 4 of', f'add --void {high};')
    assert 'suspicious' not in scripts.prepared(*words, '--void', high, '--output', tmp_path / 'set')
    if high > 255:
        classes.write(tmp_path, {**classes.content(list('ab')), 'label_nc': high + 1})
        with pytest.raises(InputError, match=f'classes.json: {high + 1} classes .* 2 .. 255: .*--void {high};'):
            checked_label_nc(str(tmp_path))


def test_names_beyond_the_ids_and_behind_them(scripts, tmp_path):
    """The last name may belong to the void id; a class that never occurs counts; a sample with an unnamed id is left
    out.
    """
    words = write_split(tmp_path)
    (tmp_path / 'names').write_text('\n'.join(f'kind {index}' for index in range(8)))
    scripts.prepared(*words, '--void', 7, '--names', tmp_path / 'names', '--output', tmp_path / 'seven')
    assert known(tmp_path / 'seven')[1:] == (7, True, False)
    scripts.prepared(*words, '--names', tmp_path / 'names', '--output', tmp_path / 'eight')
    assert known(tmp_path / 'eight')[1:] == (8, False, False)
    (tmp_path / 'names').write_text('sky\nroad\n')
    assert 'label value 2, but --names has 2 names, for 0 .. 1' in scripts.prepare_failure(
        *words, '--void', 7, '--names', tmp_path / 'names', '--output', tmp_path / 'two')
    (tmp_path / 'names').write_text('sky\n\ntree\n')
    assert 'line 2 is empty' in scripts.prepare_failure(*words, '--names', tmp_path / 'names', '--output',
                                                        tmp_path / 'none')
    text = scripts.prepare_failure(*words[:7], '--output', tmp_path / 'none')
    assert '--val_images given: a set with its own validation folders needs --val_images and --val_labels' in text
    assert 'cannot list' in scripts.prepare_failure(*words[:8], tmp_path / 'nowhere', '--output', tmp_path / 'none')


def test_maps_are_fitted_to_photos_on_request(scripts, tmp_path):
    """Half the size, doubled: every pixel four times, also of instance maps. Without --fit, or with another shape:
    left out.
    """
    words = write_split(tmp_path)
    for split in ('', 'val_'):
        (tmp_path / f'{split}instances').mkdir()
        for path in (tmp_path / f'{split}labels').iterdir():
            half = Image.open(path).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST)
            half.save(path)
            half.save(tmp_path / f'{split}instances' / path.name)
    words += ['--instances', tmp_path / 'instances', '--val_instances', tmp_path / 'val_instances', '--void', 7,
              '--output']
    assert 'different sizes' in scripts.prepare_failure(*words, tmp_path / 'asis')
    small = np.array(Image.open(tmp_path / 'labels/1.png'))
    said = scripts.prepared(*words, tmp_path / 'set', '--fit', 'photo')
    assert says(said, 'report: 2 changed', '6 label maps of another size than the photo',
                '6 instance maps of another size')
    expected = small.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(np.array(Image.open(tmp_path / 'set/train_inst/1.png')), expected)
    assert np.array_equal(np.array(Image.open(tmp_path / 'set/train_label/1.png')),
                          np.where(expected == 7, 255, expected))
    Image.fromarray(small.T).save(tmp_path / 'labels/1.png')
    assert 'would distort it' in scripts.prepared(*words, tmp_path / 'turned', '--fit', 'photo')


def test_classes_that_validation_lacks_are_suspicious(scripts, tmp_path):
    words = write_split(tmp_path)
    assert 'suspicious' not in scripts.prepared(*words, '--void', 7, '--output', tmp_path / 'whole')
    for path in (tmp_path / 'val_labels').iterdir():
        label = np.array(Image.open(path))
        path.write_bytes(picture(np.where(label == 2, 0, label), 'PNG'))
    said = scripts.prepared(*words, '--void', 7, '--output', tmp_path / 'set')
    line = said.index('suspicious: val lacks classes of train, so no score shows them: 2 2\n')
    assert line < said.index('problems: none')
