"""dataset.prepare on miniature archives with the structure of the real ones, and the chain prepare, train, val."""
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from dataset.demo import edges
from dataset.files import DataError, load_instance
from dataset.prepare import coco_masks
from dataset.prepare.archive import Member, read
from dataset.prepare.coco import instances, official_instances
from dataset.prepare.own import components
from dataset.scenes.scene import scene
from tests.conftest import REPOSITORY, TINY, contents, kill, says, until

SKY, GRASS, WALL = 156, 123, 171
HEIGHT, WIDTH = 60, 80


# ---- Archives like the downloads

def picture(pixels, kind):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, kind)
    return file.getvalue()


def noise(seed, size=(HEIGHT, WIDTH)):
    return np.random.default_rng(seed).integers(0, 255, (*size, 3))


def box(left, top, right, bottom):
    """Polygon of the pixels left .. right - 1, top .. bottom - 1."""
    return [left, top, right, top, right, bottom, left, bottom]


def runs(mask):
    """Run lengths of a mask, down its columns, one pixel at a time."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


def compressed(counts):
    """The COCO API's string for run lengths: 6 bits a character, differences from the fourth on."""
    text = ''
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        while True:
            piece, value = value & 31, value >> 5
            more = value != (-1 if piece & 16 else 0)
            text += chr(48 + piece + 32 * more)
            if not more:
                break
    return text


class Coco:
    """Collects pictures of a split, then writes the four archives."""

    def __init__(self):
        self.photos, self.labels, self.annotations = {}, {}, {'train': ([], []), 'val': ([], [])}

    def add(self, split, stem, label, objects=(), photo=None):
        """objects: (category, segmentation, crowd); a label of None leaves the pair broken, as does the photo b''."""
        images, annotations = self.annotations[split]
        identity = 1000 + len(images)
        images.append({'id': identity, 'file_name': f'{stem}.jpg'})
        annotations += [{'image_id': identity, 'category_id': category + 1, 'segmentation': segmentation, 'iscrowd': crowd,
                         'area': len(json.dumps(segmentation))} for category, segmentation, crowd in objects]
        if photo != b'':
            self.photos[f'{split}2017/{stem}.jpg'] = photo or picture(noise(len(self.photos)), 'JPEG')
        if label is not None:
            self.labels[f'{split}2017/{stem}.png'] = picture(label, 'PNG')

    def write(self, folder, hostile=False):
        folder.mkdir()
        for split in ('train', 'val'):
            with zipfile.ZipFile(folder / f'{split}2017.zip', 'w') as archive:
                for name, content in self.photos.items():
                    if name.startswith(split):
                        archive.writestr(name, content)
                if hostile:
                    for name in ('../evil.jpg', '/evil.jpg', f'{split}2017/../../evil.jpg'):
                        archive.writestr(name, picture(noise(0), 'JPEG'))
                    link = zipfile.ZipInfo(f'{split}2017/link.jpg')
                    link.external_attr = 0o120777 << 16
                    archive.writestr(link, '/etc/passwd')
        with zipfile.ZipFile(folder / 'stuffthingmaps_trainval2017.zip', 'w') as archive:
            for name, content in self.labels.items():
                archive.writestr(name, content)
        with zipfile.ZipFile(folder / 'annotations_trainval2017.zip', 'w') as archive:
            for split, (images, annotations) in self.annotations.items():
                archive.writestr(f'annotations/instances_{split}2017.json', json.dumps({'images': images,
                                                                                         'annotations': annotations}))
        return folder


def stuff_and(*regions):
    """Label map of sky over grass, with (class, left, top, right, bottom) painted into it."""
    label = np.full((HEIGHT, WIDTH), SKY)
    label[HEIGHT // 2:] = GRASS
    for index, left, top, right, bottom in regions:
        label[top:bottom, left:right] = index
    return label


def small_coco(pictures=2):
    coco = Coco()
    touching = stuff_and((0, 10, 10, 50, 40))
    people = [(0, [box(10, 10, 30, 40)], 0), (0, [box(30, 10, 50, 40)], 0)]
    for index in range(pictures):
        coco.add('train', f'touching_{index}', touching, people)
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[5:20, 40:70] = True
    label = stuff_and((0, 40, 5, 70, 20), (16, 5, 25, 35, 55))
    ring = [box(5, 25, 35, 30), box(5, 50, 35, 55), box(5, 25, 10, 55), box(30, 25, 35, 55)]  # a hole, as parts leave it
    coco.add('train', 'uncompressed', label, [(0, {'size': [HEIGHT, WIDTH], 'counts': runs(crowd)}, 1), (16, ring, 0)])
    coco.add('train', 'compressed', label, [(16, ring, 0), (0, {'size': [HEIGHT, WIDTH], 'counts': compressed(runs(crowd))}, 1)])
    many = [(0, [box(x, y, x + 4, y + 3)], 0) for y in range(0, HEIGHT, 3) for x in range(0, WIDTH, 4)]
    coco.add('train', 'many', np.zeros((HEIGHT, WIDTH)), many)
    coco.add('train', 'grey', touching, people, picture(np.repeat(noise(1)[..., :1], 3, 2), 'JPEG'))
    coco.add('train', 'corrupt', touching, people, picture(noise(2), 'JPEG')[:500])
    coco.add('train', 'without_photo', touching, people, b'')
    coco.add('train', 'without_label', None, people)
    coco.add('train', 'other_size', touching, people, picture(noise(3, (40, 40)), 'JPEG'))
    coco.add('train', 'wrong_region', touching, [(0, {'size': [HEIGHT, WIDTH], 'counts': [5, 5]}, 1)])
    coco.add('val', 'touching', touching, people)
    coco.add('val', 'nothing_countable', stuff_and())
    return coco


def run(*arguments):
    return subprocess.run([sys.executable, '-m', *map(str, arguments)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


def prepared(*arguments):
    process = run('dataset.prepare', *arguments)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def refused(*arguments):
    process = run('dataset.prepare', *arguments)
    assert process.returncode == 1 and process.stderr.startswith('error: ') and process.stderr.count('\n') == 1, process.stderr
    return process.stderr


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    return small_coco().write(tmp_path_factory.mktemp('downloads') / 'archives', hostile=True)


@pytest.fixture(scope='module')
def coco(archives, tmp_path_factory):
    """(folder of the prepared set, what the command printed)."""
    root = tmp_path_factory.mktemp('prepared') / 'coco'
    return root, prepared('coco_stuff', '--archives', archives, '--output', root)


# ---- COCO-Stuff

def test_photos_and_labels_are_the_archives(coco, archives):
    root, said = coco
    stems = {'touching_0', 'touching_1', 'uncompressed', 'compressed', 'many', 'grey'}
    for part in ('img', 'label', 'inst'):
        assert {path.stem for path in (root / f'train_{part}').iterdir()} == stems
    with zipfile.ZipFile(archives / 'train2017.zip') as photos, \
            zipfile.ZipFile(archives / 'stuffthingmaps_trainval2017.zip') as labels:
        assert (root / 'train_img' / 'many.jpg').read_bytes() == photos.read('train2017/many.jpg')
        assert (root / 'train_label' / 'many.png').read_bytes() == labels.read('train2017/many.png')
    assert says(said, 'problems: none', root / 'sheet.jpg', f'train.py --preset coco_stuff_paper --dataroot {root}')
    assert Image.open(root / 'sheet.jpg').width > 8 * 200


def test_what_is_wrong_is_listed(coco):
    root, said = coco
    report = (root / 'report.txt').read_text()
    assert says(said, '8 samples', '5 left out', '1 grey photos', '6 unsafe members', root / 'report.txt')
    assert says(report, 'grey photo, kept: train grey', 'left out: train corrupt: ', 'unreadable or truncated',
                'train2017/corrupt.jpg', 'left out: train without_photo: ', 'left out: train without_label: ',
                'left out: train other_size: ', '40 wide and 40 high', 'left out: train wrong_region: ', "'../evil.jpg'",
                "'/evil.jpg'", 'link.jpg')
    assert not list(root.parent.glob('**/evil.jpg')) and not any(path.is_symlink() for path in root.rglob('*'))


def test_touching_objects_and_stuff_beside_them_keep_their_edges(coco):
    instance = load_instance(coco[0] / 'train_inst' / 'touching_0.png')
    edge = edges(instance)[..., 0] > 0
    assert edge[10:40, 29].all() and edge[10:40, 9].all() and edge[10:40, 49].all() and edge[9, 10:50].all()
    assert len(np.unique(instance)) == 4 and {SKY, GRASS} < set(np.unique(instance))
    assert len(np.unique(instance[10:40, 10:30])) == len(np.unique(instance[10:40, 30:50])) == 1


def test_holes_and_crowds(coco):
    maps = [load_instance(coco[0] / 'train_inst' / f'{stem}.png') for stem in ('uncompressed', 'compressed')]
    for instance in maps:
        ring, hole, crowd = instance[27, 7], instance[40, 20], instance[10, 50]
        assert len({int(ring), int(hole), int(crowd), SKY, GRASS}) == 5
        assert (instance[5:20, 40:70] == crowd).all() and (instance == crowd).sum() == 15 * 30
        assert (instance[30:50, 10:30] == 16).all() and (instance[25:55, 5:10] == ring).all()  # the hole keeps its class


def test_more_objects_than_eight_bits(coco):
    path = coco[0] / 'train_inst' / 'many.png'
    instance = load_instance(path)
    assert Image.open(path).mode.startswith('I;16') and len(np.unique(instance)) == 400 and instance.max() > 255
    assert Image.open(coco[0] / 'train_inst' / 'grey.png').mode == 'L'


def test_small_objects_stay_in_front_of_large_ones_and_crowds():
    label = np.zeros((10, 10), np.uint8)
    crowd = {'size': [10, 10], 'counts': [0, 100]}
    instance = instances(label, [([box(2, 2, 4, 4)], 4, False), ([box(0, 0, 6, 6)], 36, False), (crowd, 10, True)])
    assert instance[3, 3] == 1 and instance[5, 5] == 2 and instance[8, 8] == 3


def test_official_ids(archives, coco, tmp_path):
    """Against the official recipe, pixel by pixel: skimage's old even-odd rule on coordinates less 1, over the class ids."""
    def inside(polygon, x, y):
        points, odd = [(px - 1, py - 1) for px, py in zip(polygon[::2], polygon[1::2])], False
        for (x0, y0), (x1, y1) in zip(points, points[-1:] + points[:-1]):
            if (y0 <= y < y1 or y1 <= y < y0) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
                odd = not odd
        return odd

    def recipe(label, segmentations):
        result, count = label.copy(), 0
        for segmentation in segmentations:
            if isinstance(segmentation, list):
                for polygon in segmentation:
                    for y, x in np.ndindex(*label.shape):
                        if inside(polygon, x, y):
                            result[y, x] = count
                count += 1
        return result

    rng = np.random.default_rng(0)
    for case in range(20):
        label = rng.integers(0, 182, (24, 30)).astype(np.uint8)
        corners = [rng.uniform(0, 31, 2 * rng.integers(3, 7)).round(case % 3).tolist() for _ in range(3)]
        segmentations = [corners[:2], {'size': [24, 30], 'counts': [0, 720]}, corners[2:], [box(0, 0, 30, 24)]][:2 + case % 3]
        annotations = [(segmentation, 1, isinstance(segmentation, dict)) for segmentation in segmentations]
        assert (official_instances(label, annotations) == recipe(label, segmentations)).all()
    prepared('coco_stuff', '--archives', archives, '--output', tmp_path / 'official', '--official-ids')
    label = load_instance(coco[0] / 'train_label' / 'touching_0.png')
    instance = load_instance(tmp_path / 'official' / 'train_inst' / 'touching_0.png')
    assert (instance == recipe(label, [[box(10, 10, 30, 40)], [box(30, 10, 50, 40)]])).all()


def test_objects_at_the_border_do_not_wrap_in_the_official_recipe():
    """-1 is cut off by skimage.draw.polygon, which draws no negative coordinates; the right and lower border is left out."""
    instance = official_instances(np.full((6, 8), 9, np.uint8), [([box(0, 0, 3, 3)], 9, False), ([box(5, 3, 8, 6)], 9, False)])
    assert (instance[:2, :2] == 0).all() and (instance[2:5, 4:7] == 1).all() and (instance != 9).sum() == 4 + 9


@pytest.mark.parametrize('polygon, height, width, counts', [
    ([3.5, 2.25, 25.1, 4.6, 18.75, 17.4, 6.0, 15.2], 20, 30, 'b25?5L2M001O000000000010O0000000O1N2N2N2N3MQ3'),
    ([-1, -2, 31, 5, 29.5, 21, 10, 8.5, 2, 19.9], 20, 30, '08<8H3MO1N2O1N2O1O1N3O0001O1O010O1O00100O001O00100O001O1O01O'),
    ([0, 0, 12, 0, 12, 15, 0, 15], 15, 12, '0d5'),
    ([2, 2, 13, 13, 13, 2, 2, 13], 16, 16, 'R1:7N2N2N2Na00_O2N2N2N2]1')])
def test_polygons_are_the_coco_api_s(polygon, height, width, counts):
    """Stored values of pycocotools 2.0.11 (frPyObjects)."""
    mask = coco_masks.region([polygon], height, width)
    assert (mask == coco_masks.region({'size': [height, width], 'counts': counts}, height, width)).all()
    assert compressed(runs(mask)) == counts


@pytest.mark.parametrize('segmentation', [
    None, 'x', [[1, 2, 3]], [['a', 'b']], [[]], [[1e300, 0, 1, 1, 2, 2]], {}, {'size': [5, 5], 'counts': [25]},
    {'size': [4, 5], 'counts': [-1, 21]}, {'size': [4, 5], 'counts': [1e30]}, {'size': [4, 5], 'counts': '~~~'},
    {'size': [4, 5], 'counts': 'P'}, {'size': 3, 'counts': [20]}, {'size': [4, 5], 'counts': [[20]]}])
def test_wrong_regions_are_data_errors(segmentation):
    with pytest.raises(DataError):
        coco_masks.region(segmentation, 4, 5)


# ---- Killed, repeated, refused

def test_killed_and_restarted_equals_uninterrupted(tmp_path):
    source = small_coco(pictures=300).write(tmp_path / 'archives')
    arguments = ['coco_stuff', '--archives', source, '--output']
    prepared(*arguments, tmp_path / 'whole')
    whole = contents(tmp_path / 'whole')
    for attempt, after in enumerate((0, 40, 120)):
        root = tmp_path / f'killed_{attempt}'
        process = subprocess.Popen([sys.executable, '-m', 'dataset.prepare', *map(str, arguments), root], cwd=REPOSITORY,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until(lambda: (root / 'prepared.jsonl').exists() and (root / 'prepared.jsonl').read_text().count('\n') > after,
              process=process)
        kill(process)
        assert not (root / 'sheet.jpg').exists()
        with open(root / 'prepared.jsonl', 'a') as file:
            file.write('{"split": "tr')  # a line that the kill cut off
        prepared(*arguments, root)
        again = contents(root)
        assert again == whole
    prepared(*arguments, tmp_path / 'whole')
    assert contents(tmp_path / 'whole') == whole


def test_the_same_command_makes_what_was_mended(tmp_path):
    coco, arguments = Coco(), ['coco_stuff', '--archives', tmp_path / 'archives', '--output', tmp_path / 'set']
    for split, stem in (('train', 'a'), ('train', 'broken'), ('train', 'z'), ('val', 'b')):
        coco.add(split, stem, stuff_and())
    whole, name = dict(coco.photos), 'train2017/broken.jpg'
    coco.photos[name] = whole[name][:500]
    coco.write(tmp_path / 'archives')
    assert '3 samples; 1 left out' in prepared(*arguments)
    shutil.rmtree(tmp_path / 'archives')
    coco.photos = whole
    coco.write(tmp_path / 'archives')
    assert '4 samples; 0 left out' in prepared(*arguments)
    assert (tmp_path / 'set' / 'train_img' / 'broken.jpg').read_bytes() == whole[name]
    stems = [json.loads(line)['stem'] for line in (tmp_path / 'set' / 'prepared.jsonl').read_text().splitlines()[1:]]
    assert stems == ['a', 'broken', 'z', 'b']


def test_nothing_of_another_origin_is_touched(archives, coco, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'train_img').write_text('precious')
    text = refused('coco_stuff', '--archives', archives, '--output', tmp_path / 'mine')
    assert says(text, tmp_path / 'mine', 'found train_img', 'overwrites nothing', '--output')
    assert contents(tmp_path / 'mine') == {'train_img': b'precious'}
    before = contents(coco[0])
    text = refused('coco_stuff', '--archives', archives, '--output', coco[0], '--official-ids')
    assert says(text, coco[0], 'other settings', '--output') and contents(coco[0]) == before


def test_missing_and_damaged_archives(archives, tmp_path):
    to = '--output', tmp_path / 'a'
    assert says(refused('coco_stuff', '--archives', tmp_path, *to), tmp_path / 'annotations_trainval2017.zip', 'not there',
                '--archives')
    assert says(refused('coco_stuff', '--archives', archives, *to, '--link'), archives / 'train2017', '--link')
    broken = tmp_path / 'broken'
    broken.mkdir()
    for path in archives.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    with zipfile.ZipFile(broken / 'annotations_trainval2017.zip', 'w') as archive:
        for split in ('train', 'val'):
            archive.writestr(f'annotations/instances_{split}2017.json', '{"images": [{}]}')
    assert says(refused('coco_stuff', '--archives', broken, '--output', tmp_path / 'a'), 'instances_train2017.json',
                'not the annotations of COCO')
    (broken / 'val2017.zip').write_bytes(b'PK not a zip')
    (broken / 'annotations_trainval2017.zip').write_bytes((archives / 'annotations_trainval2017.zip').read_bytes())
    assert says(refused('coco_stuff', '--archives', broken, '--output', tmp_path / 'a'), 'val2017.zip', 'no readable zip archive')
    assert not (tmp_path / 'a').exists()


def test_members_of_absurd_size_are_not_read(archives):
    with pytest.raises(DataError, match='more than 10 bytes'):
        read(Member(str(archives / 'train2017.zip'), 'train2017/many.jpg'), 10)


def test_links_to_unpacked_photos(archives, coco, tmp_path):
    for name in ('train2017', 'val2017', 'annotations_trainval2017', 'stuffthingmaps_trainval2017'):
        with zipfile.ZipFile(archives / f'{name}.zip') as archive:
            folder = tmp_path / (name if name.startswith('stuff') else '')
            archive.extractall(folder, [info for info in archive.namelist() if 'evil' not in info and 'link' not in info])
    prepared('coco_stuff', '--archives', tmp_path, '--output', tmp_path / 'set', '--link')
    assert all((tmp_path / 'set' / name).is_symlink() for name in ('train_img/many.jpg', 'val_label/touching.png'))
    ours, other = contents(tmp_path / 'set'), contents(coco[0])
    assert all(ours[name] == other[name] for name in other if name.startswith(('train_', 'val_')))


# ---- ADE20K and Cityscapes

def write_ade20k(folder):
    scenes = []
    for split, short, names in (('training', 'train', ('street', 'bathroom', 'house_outdoor', 'misc')),
                                ('validation', 'val', ('mountain_snowy', 'bedroom'))):
        for index, name in enumerate(names, 1):
            stem = f'ADE_{short}_{index:08d}'
            scenes.append(f'{stem} {name}')
            label = np.zeros((40, 50))
            label[5:] = 150
            for kind, content in (('images', picture(noise(index, (40, 50)), 'JPEG')), ('annotations', picture(label, 'PNG'))):
                path = folder / 'ADEChallengeData2016' / kind / split / f'{stem}.{"jpg" if kind == "images" else "png"}'
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    (folder / 'ADEChallengeData2016' / 'sceneCategories.txt').write_text('\n'.join(scenes))


def names_in(folder):
    return sorted(path.stem for path in folder.iterdir())


def test_ade20k_keeps_its_ids_and_has_no_instances(tmp_path):
    write_ade20k(tmp_path)
    said = prepared('ade20k', '--archives', tmp_path, '--output', tmp_path / 'set', '--link')
    assert says(said, '6 samples', 'problems: none', '--preset ade20k_paper')
    assert np.unique(load_instance(tmp_path / 'set' / 'train_label' / 'ADE_train_00000001.png')).tolist() == [0, 150]
    assert not (tmp_path / 'set' / 'train_inst').exists() and len(names_in(tmp_path / 'set' / 'val_img')) == 2


def test_outdoor_scenes_of_ade20k(tmp_path):
    write_ade20k(tmp_path)
    said = prepared('ade20k_outdoor', '--archives', tmp_path, '--output', tmp_path / 'set')
    assert says(said, '3 samples', '--preset ade20k_outdoor_paper')
    assert names_in(tmp_path / 'set' / 'train_img') == ['ADE_train_00000001', 'ADE_train_00000003']
    (tmp_path / 'mine.txt').write_text('ADE_train_00000002\nADE_val_00000002.jpg\n')
    prepared('ade20k_outdoor', '--archives', tmp_path, '--output', tmp_path / 'listed', '--list', tmp_path / 'mine.txt')
    assert names_in(tmp_path / 'listed' / 'train_label') == ['ADE_train_00000002']


def test_cityscapes(tmp_path):
    with zipfile.ZipFile(tmp_path / 'leftImg8bit_trainvaltest.zip', 'w') as photos, \
            zipfile.ZipFile(tmp_path / 'gtFine_trainvaltest.zip', 'w') as maps:
        for split, city in (('train', 'aachen'), ('train', 'ulm'), ('val', 'lindau')):
            stem = f'{split}/{city}/{city}_000000_000019'
            label, instance = np.full((32, 64), 7, np.uint8), np.full((32, 64), 7, np.uint16)
            label[10:, 5:20], instance[10:, 5:20] = 26, 26001
            label[0, 0] = 255 if city == 'ulm' else 0
            photos.writestr(f'leftImg8bit/{stem}_leftImg8bit.png', picture(noise(1, (32, 64)), 'PNG'))
            maps.writestr(f'gtFine/{stem}_gtFine_labelIds.png', picture(label, 'PNG'))
            maps.writestr(f'gtFine/{stem}_gtFine_color.png', picture(noise(1, (32, 64)), 'PNG'))
            file = io.BytesIO()
            Image.fromarray(instance).save(file, 'PNG')
            maps.writestr(f'gtFine/{stem}_gtFine_instanceIds.png', file.getvalue())
    said = prepared('cityscapes', '--archives', tmp_path, '--output', tmp_path / 'set')
    assert says(said, '3 samples', 'problems: none', '--preset cityscapes_paper')
    assert load_instance(tmp_path / 'set' / 'train_inst' / 'aachen_000000_000019.png').max() == 26001
    assert load_instance(tmp_path / 'set' / 'train_label' / 'ulm_000000_000019.png')[0, 0] == 34
    assert names_in(tmp_path / 'set' / 'val_img') == ['lindau_000000_000019']


# ---- One's own

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])


def write_own(folder, count=10):
    for part in ('images', 'labels', 'ids'):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        ids = np.random.default_rng(index).integers(0, 3, (5, 6)).repeat(8, 0).repeat(8, 1)
        (folder / 'images' / f'{index}.png').write_bytes(picture(noise(index, ids.shape), 'PNG'))
        (folder / 'labels' / f'{index}.png').write_bytes(picture(COLOURS[ids], 'PNG'))
        (folder / 'ids' / f'{index}.png').write_bytes(picture(ids, 'PNG'))
    (folder / 'table.txt').write_text('# mine\n0 255 0 0 red thing\n1,0,255,0,green thing\n255 0 0 255\n')
    (folder / 'table.json').write_text(json.dumps({'red': [255, 0, 0], 'green': [0, 255, 0], 'blue': [0, 0, 255]}))
    return ['folder', '--images', folder / 'images', '--labels', folder / 'labels', '--output']


def test_own_colours(tmp_path):
    arguments = write_own(tmp_path)
    said = prepared(*arguments, tmp_path / 'text', '--colours', tmp_path / 'table.txt', '--val', '0.3')
    assert says(said, 'problems: none', '--label_nc 2 --no_instance true --output', '7 samples')
    said = prepared(*arguments, tmp_path / 'json', '--colours', tmp_path / 'table.json', '--val', '0.3', '--instances',
                    'components')
    assert says(said, '--label_nc 3 --contain_dontcare_label false --output runs/json --log runs/json/log')
    for split, count in (('train', 7), ('val', 3)):
        assert len(names_in(tmp_path / 'json' / f'{split}_inst')) == count
        for path in (tmp_path / 'json' / f'{split}_label').iterdir():
            ids = load_instance(tmp_path / 'ids' / path.name)
            assert (load_instance(path) == ids).all()
            assert (load_instance(tmp_path / 'text' / f'{split}_label' / path.name) == np.where(ids == 2, 255, ids)).all()
            instance = load_instance(tmp_path / 'json' / f'{split}_inst' / path.name)
            assert (edges(instance) == edges(ids)).all()


def test_the_split_follows_the_seed(tmp_path):
    arguments = write_own(tmp_path)
    splits = []
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        prepared(*arguments, tmp_path / name, '--colours', tmp_path / 'table.txt', '--val', '0.3', '--seed', seed)
        splits.append(names_in(tmp_path / name / 'val_img'))
    assert splits[0] == splits[1] != splits[2]


def test_unknown_colours_are_named(tmp_path):
    arguments = write_own(tmp_path, 3)
    pixels = np.array(Image.open(tmp_path / 'labels' / '1.png'))
    pixels[:2, :4] = 0, 250, 3
    (tmp_path / 'labels' / '1.png').write_bytes(picture(pixels, 'PNG'))
    prepared(*arguments, tmp_path / 'set', '--colours', tmp_path / 'table.txt', '--val', '0')
    assert says((tmp_path / 'set' / 'report.txt').read_text(), '1.png', '(0, 250, 3) in 8 pixels', '(0, 255, 0), id 1, green thing',
                '--colours')
    text = refused(*arguments, tmp_path / 'other')
    assert says(text, 'no sample could be made', 'mode RGB', '--colours')


@pytest.mark.parametrize('table, words', [
    ('0 1 2\n', ['line 1', 'id red green blue name']), ('0 1 2 3 a\n1 1 2 3 b\n', ['line 2', '(1, 2, 3)', 'id 0']),
    ('0 1 2 256 a\n', ['line 1', '255']), ('', ['no classes']), ('{"a": [1, 2]}', ['JSON']), ('{"a": ', []), ('[1]', ['JSON'])])
def test_wrong_tables(tmp_path, table, words):
    arguments = write_own(tmp_path, 1)
    (tmp_path / 'wrong').write_text(table)
    assert says(refused(*arguments, tmp_path / 'set', '--colours', tmp_path / 'wrong'), tmp_path / 'wrong', *words)


def test_components_closed_form():
    label = np.array([[0, 0, 1, 0], [1, 0, 1, 0], [1, 1, 1, 255], [255, 0, 0, 0]])
    assert components(label).tolist() == [[1, 1, 2, 3], [2, 1, 2, 3], [2, 2, 2, 0], [0, 4, 4, 4]]
    assert components(np.zeros((3, 4), int)).tolist() == [[1] * 4] * 3
    spiral = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 0, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]])
    assert len(np.unique(components(spiral))) == 2


# ---- The other commands, and the chain

def test_demo(tmp_path):
    said = prepared('demo', '--output', tmp_path / 'set', '--train', 3, '--val', 1, '--height', 48, '--width', 64)
    assert says(said, 'problems: none', tmp_path / 'set' / 'sheet.jpg', '--preset demo --dataroot')


def test_classes_of_a_label_map(tmp_path):
    (tmp_path / 'a.png').write_bytes(picture([[SKY] * 6 + [0] * 3 + [255]], 'PNG'))
    process = run('dataset.classes', tmp_path / 'a.png', '--out', tmp_path / 'c.png')
    assert says(process.stdout, '60.00%  156  sky-other', '30.00%    0  person', '10.00%  255  unlabelled', tmp_path / 'c.png')
    assert Image.open(tmp_path / 'c.png').getpixel((0, 0)) == tuple(classes.palette(182)[SKY]) == (150, 200, 240)
    process = run('dataset.classes', tmp_path / 'a.png', '--out', tmp_path / 'c.png')
    assert process.returncode == 1 and says(process.stderr, 'is there already', '--out')


def pack_sample(sample, coco, split):
    """Real maps as annotations: of things, a region for each official instance id."""
    for photo in sorted(Path(sample, f'{split}_img').iterdir()):
        label, instance = (np.array(Image.open(Path(sample, f'{split}_{part}', f'{photo.stem}.png'))) for part in ('label', 'inst'))
        regions = [(label < 91) & (instance == index) for index in np.unique(instance[label < 91])]
        coco.add(split, photo.stem, label, [(0, {'size': list(label.shape), 'counts': runs(region)}, 0) for region in regions],
                 photo.read_bytes())


def test_from_the_archives_to_a_picture(scripts, tmp_path):
    """prepare, train, val; the real sample where there is one, packed as the downloads are, else generated scenes."""
    sample, coco = os.environ.get('SPADE_COCO_SAMPLE'), Coco()
    for index, split in enumerate(('train', 'val')):
        if sample:
            pack_sample(sample, coco, split)
            continue
        for number in range(4 - index):
            photo, label, _ = scene(number + 100 * index, HEIGHT, WIDTH)
            coco.add(split, f'{number:012d}', label, [], picture(photo, 'JPEG'))
    root = tmp_path / 'coco'
    prepared('coco_stuff', '--archives', coco.write(tmp_path / 'archives'), '--output', root)
    settings = {**TINY, 'label_nc': 182, 'niter': 1, 'dataroot': root, 'max_dataset_size': 4}
    scripts.trained(tmp_path, **settings)
    process = scripts.run('val.py', '--lastoutput', tmp_path / 'output', '--results', tmp_path / 'val')
    assert process.returncode == 0, process.stderr
    drawn, expected = names_in(tmp_path / 'val' / 'pics'), names_in(root / 'val_img')
    assert drawn and set(drawn) <= set(expected)


# ---- A set with its own split, void ids, names, and maps of another size

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
    return ['folder', '--images', folder / 'images', '--labels', folder / 'labels', '--val_images', folder / 'val_images',
            '--val_labels', folder / 'val_labels']


def test_own_split_void_and_names(tmp_path):
    """Validation comes from its own folders, whose names may be those of training; the void id becomes 255; names are kept."""
    words = write_split(tmp_path)
    (tmp_path / 'names').write_text('# by id\nsky\nroad # and pavement\ntree\n')
    said = prepared(*words, '--void', 7, '--names', tmp_path / 'names', '--output', tmp_path / 'set')
    assert sorted(os.listdir(tmp_path / 'set/train_img')) == [f'{n}.png' for n in range(4)]
    assert sorted(os.listdir(tmp_path / 'set/val_label')) == ['2.png', '3.png']
    assert np.array_equal(np.array(Image.open(tmp_path / 'set/val_img/2.png')), noise(12))
    label = np.array(Image.open(tmp_path / 'set/train_label/0.png'))
    assert set(np.unique(label)) == {0, 1, 2, 255} and (label[20:24] == 255).all()
    assert json.loads((tmp_path / 'set/classes.json').read_text())['names'] == ['sky', 'road', 'tree']
    assert '--label_nc 3' in said and '--contain_dontcare_label' not in said
    plain = prepared(*words, '--void', 7, '--output', tmp_path / 'plain')
    assert '--label_nc 3' in plain and json.loads((tmp_path / 'plain/classes.json').read_text())['names'] == ['0', '1', '2']


def test_names_beyond_the_ids_and_behind_them(tmp_path):
    """The last name may be that of the void id; a class that never occurs counts; an id without name is left out."""
    words = write_split(tmp_path)
    (tmp_path / 'names').write_text('\n'.join(f'kind {index}' for index in range(8)))
    assert '--label_nc 7 ' in prepared(*words, '--void', 7, '--names', tmp_path / 'names', '--output', tmp_path / 'seven')
    assert '--label_nc 8 ' in prepared(*words, '--names', tmp_path / 'names', '--output', tmp_path / 'eight')
    (tmp_path / 'names').write_text('sky\nroad\n')
    assert 'label value 2, but --names has 2 names, for 0 .. 1' in refused(
        *words, '--void', 7, '--names', tmp_path / 'names', '--output', tmp_path / 'two')
    (tmp_path / 'names').write_text('sky\n\ntree\n')
    assert 'line 2 is empty' in refused(*words, '--names', tmp_path / 'names', '--output', tmp_path / 'none')
    assert '--val_images given: a set with its own validation folders needs --val_images and --val_labels' in refused(
        *words[:7], '--output', tmp_path / 'none')
    assert 'cannot list' in refused(*words[:8], tmp_path / 'nowhere', '--output', tmp_path / 'none')


def test_maps_are_fitted_to_photos_on_request(tmp_path):
    """Half the size, doubled: every pixel four times; instance maps too. Not asked for, or of another shape: left out, as ever."""
    words = write_split(tmp_path)
    for split in ('', 'val_'):
        (tmp_path / f'{split}instances').mkdir()
        for path in (tmp_path / f'{split}labels').iterdir():
            half = Image.open(path).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST)
            half.save(path)
            half.save(tmp_path / f'{split}instances' / path.name)
    words += ['--instances', tmp_path / 'instances', '--val_instances', tmp_path / 'val_instances', '--void', 7, '--output']
    assert 'different sizes' in refused(*words, tmp_path / 'asis')
    small = np.array(Image.open(tmp_path / 'labels/1.png'))
    said = prepared(*words, tmp_path / 'set', '--fit', 'photo')
    assert '6 label maps had another size than their photo' in said
    expected = small.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(np.array(Image.open(tmp_path / 'set/train_inst/1.png')), expected)
    assert np.array_equal(np.array(Image.open(tmp_path / 'set/train_label/1.png')), np.where(expected == 7, 255, expected))
    Image.fromarray(small.T).save(tmp_path / 'labels/1.png')
    assert 'another shape' in prepared(*words, tmp_path / 'turned', '--fit', 'photo')
