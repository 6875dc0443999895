"""python -m dataset.prepare coco_stuff: photos, labels, regions and instance maps out of the archives."""
import json
import tracemalloc
import zipfile
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from PIL import Image

from dataset.demo import edges
from dataset.files import load_instance
from dataset.picture_file import DataError
from dataset.prepare import coco_annotations, coco_masks
from dataset.prepare.archive import Member
from dataset.prepare.coco import instances, official_instances
from tests.archives import GRASS, SKY, box, compressed, runs
from tests.runner import message, says

pytestmark = pytest.mark.without_paddle


def region(segmentation, height, width):
    """bool (height, width): the union of a segmentation's parts."""
    mask = np.zeros((height, width), bool)
    for place, inside in coco_masks.parts(segmentation, height, width):
        mask[place] |= inside
    return mask


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
                'left out: train other_size: ', '40 wide and 40 high', 'left out: train wrong_region: ',
                "'../evil.jpg'", "'/evil.jpg'", 'link.jpg')
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
        # the hole keeps its class
        assert (instance[30:50, 10:30] == 16).all() and (instance[25:55, 5:10] == ring).all()


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


def test_official_ids(scripts, archives, coco, tmp_path):
    """Against the official recipe, pixel by pixel:
    skimage's old even-odd rule on coordinates less 1, over the class ids.
    """
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
        segmentations = [corners[:2], {'size': [24, 30], 'counts': [0, 720]}, corners[2:],
                         [box(0, 0, 30, 24)]][:2 + case % 3]
        annotations = [(segmentation, 1, isinstance(segmentation, dict)) for segmentation in segmentations]
        assert (official_instances(label, annotations) == recipe(label, segmentations)).all()
    scripts.prepared('coco_stuff', '--archives', archives, '--output', tmp_path / 'official', '--official-ids')
    label = load_instance(coco[0] / 'train_label' / 'touching_0.png')
    instance = load_instance(tmp_path / 'official' / 'train_inst' / 'touching_0.png')
    assert (instance == recipe(label, [[box(10, 10, 30, 40)], [box(30, 10, 50, 40)]])).all()


def test_objects_at_the_border_do_not_wrap_in_the_official_recipe():
    """-1 is cut off by skimage.draw.polygon, which draws no negative coordinates;
    the right and lower border is left out.
    """
    instance = official_instances(np.full((6, 8), 9, np.uint8),
                                  [([box(0, 0, 3, 3)], 9, False), ([box(5, 3, 8, 6)], 9, False)])
    assert (instance[:2, :2] == 0).all() and (instance[2:5, 4:7] == 1).all() and (instance != 9).sum() == 4 + 9


@pytest.mark.parametrize('polygon, height, width, counts', [
    ([3.5, 2.25, 25.1, 4.6, 18.75, 17.4, 6.0, 15.2], 20, 30, 'b25?5L2M001O000000000010O0000000O1N2N2N2N3MQ3'),
    ([-1, -2, 31, 5, 29.5, 21, 10, 8.5, 2, 19.9], 20, 30,
     '08<8H3MO1N2O1N2O1O1N3O0001O1O010O1O00100O001O00100O001O1O01O'),
    ([0, 0, 12, 0, 12, 15, 0, 15], 15, 12, '0d5'),
    ([2, 2, 13, 13, 13, 2, 2, 13], 16, 16, 'R1:7N2N2N2Na00_O2N2N2N2]1')])
def test_polygons_are_the_coco_api_s(polygon, height, width, counts):
    """Stored values of pycocotools 2.0.11 (frPyObjects)."""
    mask = region([polygon], height, width)
    assert (mask == region({'size': [height, width], 'counts': counts}, height, width)).all()
    assert compressed(runs(mask)) == counts


def walked(corners, height, width):
    """The COCO API's rule (common/maskApi.c, rleFrPoly) step by step: bool (height, width)."""
    corners = [[int(5 * x + 0.5), int(5 * y + 0.5)] for x, y in corners]
    changes = np.zeros((width, height + 1), int)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):
        dx, dy = abs(x1 - x0), abs(y1 - y0)
        if (dx >= dy and x0 > x1) or (dx < dy and y0 > y1):
            x0, y0, x1, y1 = x1, y1, x0, y0
        if dx >= dy:
            points = [(x0 + t, int(y0 + (y1 - y0) / dx * t + 0.5)) for t in range(dx + 1) if dx]
        else:
            points = [(int(x0 + (x1 - x0) / dy * t + 0.5), y0 + t) for t in range(dy + 1)]
        for (x, y), (next_x, next_y) in zip(points, points[1:]):
            column, rest = divmod(min(x, next_x), 5)
            if x != next_x and rest == 2 and 0 <= column < width:
                changes[column, min(max(-((2 - min(y, next_y)) // 5), 0), height)] += 1
    return (np.cumsum(changes, 1)[:, :height] % 2 == 1).T


coordinates = strategies.one_of(strategies.integers(-5, 45), strategies.floats(-60, 100),
                                strategies.floats(-60, 100).map(
    lambda value: round(value, 1)))


@settings(max_examples=300, deadline=None)
@given(strategies.lists(strategies.tuples(coordinates, coordinates), min_size=1, max_size=9),
       strategies.integers(1, 40), strategies.integers(1, 40), strategies.sampled_from([1, 7, coco_masks.AT_ONCE]))
def test_any_polygon_is_the_coco_api_s_wherever_its_corners_lie(corners, height, width, at_once):
    with patch.object(coco_masks, 'AT_ONCE', at_once):
        found = region([[value for corner in corners for value in corner]], height, width)
    assert (found == walked(corners, height, width)).all()


@pytest.mark.parametrize('fill', [coco_masks.polygon, coco_masks.official_polygon])
def test_corners_far_outside_cost_neither_memory_nor_another_picture(fill):
    """46 KB of JSON: a polygon 999 times around the picture, an odd number."""
    far = np.resize([[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]], (4 * 999, 2))
    tracemalloc.start()
    try:
        box, inside = fill(far, 480, 640)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert box == (slice(0, 480), slice(0, 640)) and inside.shape == (480, 640) and inside.all()


def annotation_file(folder, text, packed=True):
    """Member of an annotation file with that text."""
    name = 'annotations/instances_train2017.json'
    if packed:
        with zipfile.ZipFile(folder / 'annotations.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, text)
        return Member(str(folder / 'annotations.zip'), name)
    (folder / 'annotations').mkdir(exist_ok=True)
    (folder / name).write_bytes(text)
    return Member(str(folder), name)


numbers = strategies.one_of(strategies.integers(-10 ** 6, 10 ** 6), strategies.floats(allow_nan=False))
segmentations = strategies.one_of(strategies.lists(strategies.lists(numbers, max_size=8), max_size=3),
                                  strategies.dictionaries(
    strategies.text(max_size=5), strategies.one_of(numbers, strategies.text(max_size=9)), max_size=3),
                                  strategies.none())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.lists(strategies.tuples(strategies.integers(0, 4), segmentations, numbers, strategies.booleans()),
                        max_size=9),
       strategies.permutations(['info', 'images', 'annotations', 'x']), strategies.sampled_from([None, 1]),
       strategies.sampled_from([1, 5, 1 << 20]), strategies.booleans())
def test_annotations_read_as_a_stream_are_those_that_json_loads(tmp_path, objects, order, indent, at_once, bom):
    content = {'info': {'a': [1.5, 'ü}]"\\']}, 'x': -1.25e-3,
               'images': [{'id': index, 'file_name': f'a/{index}.jpg'} for index in range(5)],
               'annotations': [{'image_id': image, 'segmentation': segmentation, 'area': area, 'iscrowd': int(crowd)}
                               for image, segmentation, area, crowd in objects]}
    expected = {}
    for image, segmentation, area, crowd in objects:
        expected.setdefault(str(image), []).append((segmentation, float(area), crowd))
    text = json.dumps({key: content[key] for key in order}, indent=indent,
                      ensure_ascii=False).encode('utf-8-sig' if bom else 'utf-8')
    with patch.object(coco_annotations, 'AT_ONCE', at_once):
        found = coco_annotations.annotations_by_stem(annotation_file(tmp_path, text, packed=False))
    assert {stem: list(map(coco_annotations.parsed, texts)) for stem, texts in found.items()} == expected


@pytest.mark.parametrize('text, said', [
    ('', "found the end, expected one of {"), ('[]', 'found [, expected one of {'),
    ('{"images": [], "annotations": [', 'JSONDecodeError'),
    ('{"images": []}', "KeyError: 'annotations'"), ('{"images": [], "annotations": [1]}', 'TypeError'),
    ('{"images": [], "annotations": [{"image_id": 3, "segmentation": [], "area": 1}]}', 'KeyError: 3'),
    ('{"images": [], "annotations": [{"image_id": [], "segmentation": [], "area": 1}]}', 'unhashable'),
    ('{"images": [], "annotations": [{"image_id": 1, "segmentation": [], "area": "x"}]}', 'could not convert'),
    ('{"images": [], "annotations": []} x', 'text after the end'), ('{"images": 3, "annotations": []}', 'found 3'),
    ('{"images": [], "annotations": [], "x": ' + '[' * 100000, 'RecursionError'), ('{"images": [1 2]', 'TypeError'),
    ('{"images": [], "annotations": [{"image_id": 1, "segmentation": [], "area": 1' + '0' * 400 + '}]}',
     'OverflowError'),
    ('{"x": ' + '9' * 6000 + '}', 'Error'), (b'\xff\xfe\xff', 'UnicodeDecodeError')])
def test_what_is_not_the_annotations_of_coco_is_refused_in_a_line(tmp_path, text, said):
    member = annotation_file(tmp_path, text if isinstance(text, bytes) else text.encode(), packed=False)
    assert says(message(coco_annotations.annotations_by_stem, member), member.name, 'not the annotations of COCO', said)


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path):
    element = '{"image_id": 1, "segmentation": [[1, 1, 2, 2, 3, 3]], "area": 1}, '
    member = annotation_file(tmp_path, ('{"images": [], "annotations": [' + 200000 * element).encode())
    assert says(message(coco_annotations.annotations_by_stem, member), 'annotations.zip', member.name, 'packed to',
                'download')


def test_a_single_value_larger_than_any_annotation_is_refused(tmp_path):
    text = b'{"images": [], "annotations": [{"x": "' + b'y' * (2 * coco_annotations.LARGEST_VALUE)
    member = annotation_file(tmp_path, text, packed=False)
    tracemalloc.start()
    try:
        assert says(message(coco_annotations.annotations_by_stem, member), 'not the annotations of COCO')
        assert tracemalloc.get_traced_memory()[1] < 8 * coco_annotations.LARGEST_VALUE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('segmentation', [
    None, 'x', [[1, 2, 3]], [['a', 'b']], [[]], [[1e300, 0, 1, 1, 2, 2]], [[10 ** 400, 1]], {},
    {'size': [5, 5], 'counts': [25]},
    {'size': [4, 5], 'counts': [-1, 21]}, {'size': [4, 5], 'counts': [1e30]}, {'size': [4, 5], 'counts': '~~~'},
    {'size': [4, 5], 'counts': 'P'}, {'size': 3, 'counts': [20]}, {'size': [4, 5], 'counts': [[20]]}])
def test_wrong_regions_are_data_errors(segmentation):
    with pytest.raises(DataError):
        region(segmentation, 4, 5)
