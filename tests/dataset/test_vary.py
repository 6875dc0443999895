"""dataset.vary: new label maps of a set's own, functions of the seed, which predict.py reads as they are."""
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from dataset.files import by_stem, load_instance, load_label
from dataset.vary import LARGEST, WARP, Maps, paste, warped
from model.init import OPT
from tests.runner import contents, says

NAMES = ['ground', 'sky', 'pole', 'cat', 'never']


def write_set(root, count=4, height=40, width=60, instances=True):
    """Maps of ground below sky, each with an own pole; the last with two cats that touch."""
    for index in range(count):
        label, instance = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint16)
        label[:height // 2] = instance[:height // 2] = 1
        label[0] = 255
        label[10:30, 5 * index:5 * index + 3] = 2
        instance[10:30, 5 * index:5 * index + 3] = 500
        if index == count - 1:
            label[25:30, 40:50], instance[25:30, 40:45], instance[25:30, 45:50] = 3, 600, 601
        for part, ids in (('label', label), ('inst', instance))[:1 + instances]:
            Path(root, f'train_{part}').mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids).save(root / f'train_{part}' / f'{index}.png')
    classes.write(root, {**classes.content(NAMES), 'label_nc': len(NAMES), 'unlabelled': True, 'instances': instances})
    return root


def opt_of(root, **settings):
    return OPT(**{**dict(dataroot=str(root), label_nc=len(NAMES)), **settings})


def test_maps_are_functions_of_seed_and_number(tmp_path):
    root = write_set(tmp_path)
    one, again, other = (Maps(opt_of(root, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.varied(7), again.varied(7))
    assert not np.array_equal(one.varied(7), one.varied(8)) and not np.array_equal(one.varied(7), other.varied(7))


def test_rare_classes_occur_more_often(tmp_path):
    maps = Maps(opt_of(write_set(tmp_path)))
    assert maps.rare == [3, 2]    # fewest pixels first; the class that no map has is not among them
    labels = [maps.varied(number)[0] for number in range(60)]
    with_cats = np.mean([(label == 3).any() for label in labels])
    assert with_cats > 0.45       # 1 of 4 in the set
    assert set(np.unique(labels)) <= {0, 1, 2, 3, 5}


@pytest.mark.parametrize('height, width', [(40, 60), (64, 32), (1, 9)])
def test_the_warp_is_smooth_and_small(height, width):
    """No pixel comes from farther than the bicubic overshoot of WARP, and neighbours stay in order."""
    places = np.stack([part.copy() for part in np.indices((height, width))])
    flipped = 0
    for seed in range(8):
        rows, columns = warped(places, np.random.default_rng(seed))
        if np.corrcoef(columns.ravel(), places[1].ravel())[0, 1] < 0:
            columns, flipped = columns[:, ::-1], flipped + 1
            rows = rows[:, ::-1]
        for found, own, side in ((rows, places[0], height), (columns, places[1], width)):
            assert np.abs(found - own).max() <= 1.5 * WARP * side + 0.5
        assert (np.diff(columns, axis=1) >= 0).all() and (np.diff(rows, axis=0) >= 0).all()
    assert 0 < flipped < 8


def test_an_object_is_pasted_at_its_own_height_with_an_instance_of_its_own():
    maps, other = np.zeros((2, 40, 60), np.int32), np.zeros((2, 40, 60), np.int32)
    maps[1] = 9
    other[0, 20:26, 30:36], other[1, 20:26, 30:33], other[1, 20:26, 33:36] = 3, 600, 601
    places = set()
    for seed in range(20):
        now = maps.copy()
        paste(now, 3, other, np.random.default_rng(seed))
        rows, columns = np.nonzero(now[0] == 3)
        assert np.array_equal(now[1] == 10, now[0] == 3) and len(rows) <= 18    # one of two that touch
        if len(rows):
            assert 19 <= rows.min() and rows.max() <= 27 and columns.max() - columns.min() <= 2
            places.add(int(columns.min()))
    assert len(places) > 8


def test_an_object_without_instance_maps_is_a_connected_region():
    maps, other = np.zeros((1, 40, 60), np.int32), np.zeros((1, 80, 120), np.int32)
    other[0, 20:26, 30:33] = other[0, 20:26, 90:93] = 3
    paste(maps, 3, other, np.random.default_rng(1))
    rows, columns = np.nonzero(maps[0] == 3)
    assert 0 < len(rows) <= 18 and 8 <= rows.min() and rows.max() <= 15     # at its relative height, not larger
    other[0, :int(80 * LARGEST) + 1] = 2
    before = maps.copy()
    paste(maps, 2, other, np.random.default_rng(1))    # too large
    paste(maps, 4, other, np.random.default_rng(1))    # not there
    assert np.array_equal(maps, before)


@pytest.mark.parametrize('instances', [True, False])
def test_the_folder_is_read_by_name(scripts, tmp_path, instances):
    root, output = write_set(tmp_path / 'set', instances=instances), tmp_path / 'maps'
    command = ['-m', 'dataset.vary', '--dataroot', root, '--count', 6, '--output']
    process = scripts.run(*command, f'{output}/')
    assert process.returncode == 0, process.stderr
    painted = tmp_path / 'painted'
    assert says(process.stdout, f'{output}: 6 maps\n', f'--out {painted}/',
                f'predict.py --lastoutput RUN --label {output}/',
                f'--dataroot {root} --size WxH --add {painted}/ --add_labels {output}/')
    assert ('--instance' in process.stdout) == instances == (output / 'inst').exists()
    labels, opt = by_stem(str(output), '--label'), opt_of(root)
    assert len(labels) == 6 and classes.read(output) == classes.read(root)
    expected = Maps(opt_of(root, no_instance=not instances))
    for number, path in enumerate(labels.values()):
        found = [load_label(path, opt)]
        if instances:
            found.append(load_instance(output / 'inst' / Path(path).name))
        label, *instance = expected.varied(number)
        assert np.array_equal(found[0], label)
        for one, two in zip(found[1:], instance):
            pairs = np.unique(np.stack([one.ravel(), two.ravel()]), axis=1)
            assert len(np.unique(one)) == len(np.unique(two)) == pairs.shape[1]
    sheet = np.asarray(Image.open(output / 'sheet/sheet.jpg'))
    assert sheet.shape[1] == 6 * 260 - 4 and (sheet.shape[0] > 2 * 192) == instances     # edges below the labels
    before = contents(output)
    again = scripts.run(*command, output)
    assert again.returncode == 0 and says(again.stdout, '6 maps, already complete', process.stdout.split('look at')[1])
    seven = ['7' if word == 6 else word for word in command]
    assert says(scripts.failure(*seven, output), 'made with other settings: count 6 (now 7): name another --output')
    Image.fromarray(np.full((40, 60), 1, np.uint8)).save(root / 'train_label/0.png')
    assert says(scripts.failure(*command, output), 'made with other settings: the training maps changed')
    (output / 'vary.json').unlink()
    assert says(scripts.failure(*command, output), f'{output} exists and was not changed')
    (output / 'vary.json').write_bytes(before['vary.json'])
    assert contents(output) == before


def test_wrong_flags_and_sets(scripts, tmp_path):
    command = ['-m', 'dataset.vary', '--dataroot', tmp_path / 'nowhere', '--output', tmp_path / 'maps', '--count']
    assert says(scripts.failure(*command, 0), '--count 0: must be at least 1')
    assert says(scripts.failure(*command, 1), 'nowhere/train_label: missing folder')
    assert not (tmp_path / 'maps').exists()


def test_many_classes_and_no_names(tmp_path, scripts):
    """Ids above 255 are stored in 16 bits; without classes.json flags say how many classes there are."""
    root = tmp_path / 'set'
    (root / 'train_label').mkdir(parents=True)
    label = np.full((32, 32), 300, np.uint16)
    label[:4], label[8:12, 8:12] = 255, 7
    Image.fromarray(label).save(root / 'train_label/a.png')
    process = scripts.run('-m', 'dataset.vary', '--dataroot', root, '--count', 2, '--output', tmp_path / 'maps',
                          '--label_nc', 400, '--no_instance')
    assert process.returncode == 0, process.stderr
    found = np.asarray(Image.open(tmp_path / 'maps/00000.png'))
    assert set(np.unique(found)) <= {255, 300, 7} and 300 in found and not (tmp_path / 'maps/classes.json').exists()
