"""dataset.prepare labelme, coco_json and pairs, and the table of dataset.colours: what is drawn comes back as ids."""
import json

import numpy as np
import pytest
from PIL import Image

from dataset.colours import dominant
from dataset.palette import read_table
from tests.archives import HEIGHT, WIDTH, box, compressed, names_in, noise, picture, runs
from tests.runner import contents, says

pytestmark = pytest.mark.without_paddle

# Boxes: left, top, right, bottom, the latter two outside; later ones lie on top.
SKY, TREE, CAR, OTHER = (0, 0, 80, 30), (10, 10, 40, 60), (20, 40, 30, 50), (60, 40, 75, 55)


def pixels(path):
    return np.asarray(Image.open(path))


def made(root, stem, part):
    """Pixels of a sample, on whichever side it is."""
    return next(pixels(path) for path in root.glob(f'*_{part}/{stem}.*'))


def drawn(*regions, outside=255):
    """(HEIGHT, WIDTH) of (box, value), in this order."""
    result = np.full((HEIGHT, WIDTH), outside)
    for (left, top, right, bottom), value in regions:
        result[top:bottom, left:right] = value
    return result


def write_photos(folder, *names):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(noise(seed), 'JPEG' if name.endswith('jpg') else 'PNG'))


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def refused(scripts, *words):
    """What a command that makes nothing says, in one line."""
    said = scripts.prepare_failure(*words)
    assert len(said.strip().splitlines()) == 1 and 'Traceback' not in said, said
    return said


# ---- LabelMe

def shape(label, edges, **more):
    left, top, right, bottom = edges    # Pillow draws the border too
    corners = [[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]]
    return {'label': label, 'points': corners, 'group_id': None, 'shape_type': 'polygon', 'flags': {}, **more}


def labelme(folder, stem, shapes, ending='.jpg', **more):
    content = {'version': '5.2.1', 'shapes': shapes, 'imagePath': stem + ending, 'imageData': 'A' * 5000000,
               'imageHeight': HEIGHT, 'imageWidth': WIDTH, **more}
    return write_json(folder / f'{stem}.json', content)


def test_labelme_comes_back(scripts, tmp_path):
    """In drawing order; objects are shapes or groups; beside the photos, in subfolders, or with Windows's paths."""
    source = tmp_path / 'source'
    write_photos(source, 'a.jpg', 'street/b.png', 'street/c.jpg', 'spare.jpg')
    labelme(source, 'a', [shape('sky', SKY), shape('tree', TREE), shape('car', CAR, group_id=3),
                          shape('car', OTHER, group_id=3)])
    labelme(source, 'street/b', [
        shape('tree', TREE, shape_type='rectangle', points=[[39, 59], [10, 10]]), shape('sky', SKY, shape_type=None),
        shape('car', OTHER)], '.png', imagePath='..\\street\\b.png')
    labelme(source, 'street/c', [shape('car', OTHER), shape('__ignore__', TREE)], imagePath='gone/c.jpg',
            imageHeight=None)
    words = ['labelme', '--annotations', source, '--output', tmp_path / 'set', '--val', 0.3]
    said = scripts.prepared(*words)
    assert json.loads((tmp_path / 'set/classes.json').read_text())['names'] == ['car', 'sky', 'tree']
    assert np.array_equal(made(tmp_path / 'set', 'a', 'label'), drawn((SKY, 1), (TREE, 2), (CAR, 0), (OTHER, 0)))
    assert np.array_equal(made(tmp_path / 'set', 'a', 'inst'),
                          drawn((SKY, 1), (TREE, 2), (CAR, 3), (OTHER, 3), outside=0))
    assert np.array_equal(made(tmp_path / 'set', 'street_b', 'label'), drawn((TREE, 2), (SKY, 1), (OTHER, 0)))
    assert np.array_equal(made(tmp_path / 'set', 'street_c', 'label'), drawn((OTHER, 0), (TREE, 255)))
    for stem, file in (('a', 'a.jpg'), ('street_b', 'street/b.png')):
        assert np.array_equal(made(tmp_path / 'set', stem, 'img'), pixels(source / file))
    assert says(said, 'left out: train spare: ', 'spare.jpg: no annotations of that photo', 'ids of 3 classes by their '
                "alphabet (or give --names); files: 'car' in 3, 'sky' in 2, 'tree' in 2")
    before = contents(tmp_path / 'set')
    assert 'no sample changed' in scripts.prepared(*words)
    assert contents(tmp_path / 'set') == before


def test_labelme_names_background_split_and_tiles(scripts, tmp_path):
    for part in ('train', 'val'):
        write_photos(tmp_path / part / 'photos', 'a.png')
        labelme(tmp_path / part / 'json', 'a', [shape('tree', TREE)], '.png')
    (tmp_path / 'labels.txt').write_text('__ignore__\n_background_\ntree\nnever\n')
    words = ['labelme', '--annotations', tmp_path / 'train/json', '--images', tmp_path / 'train/photos',
             '--val_annotations', tmp_path / 'val/json', '--val_images', tmp_path / 'val/photos']
    scripts.prepared(*words, '--names', tmp_path / 'labels.txt', '--output', tmp_path / 'set', '--tiles', 30)
    assert names_in(tmp_path / 'set/train_img') == names_in(tmp_path / 'set/val_img') == [
        f'a_{row}_{column}' for row in range(2) for column in range(2)]
    assert np.array_equal(made(tmp_path / 'set', 'a_1_0', 'label'), drawn((TREE, 1), outside=0)[30:60, :30])
    content = json.loads((tmp_path / 'set/classes.json').read_text())
    assert (content['names'], content['unlabelled'], content['instances']) == (
        ['_background_', 'tree', 'never'], False, True)
    scripts.prepared(*words, '--background', 'ground', '--output', tmp_path / 'other')
    assert np.array_equal(made(tmp_path / 'other', 'a', 'label'), drawn((TREE, 0), outside=1))


@pytest.mark.parametrize('content, said', [
    ('{"shapes": [', 'a.json: cannot be read: Expecting value'), ('[1]', 'found a list, expected an object'),
    ('{"images": []}', 'shapes: missing'), ('{"shapes": [{"label": "tree"}]}', 'shapes[0].points: missing'),
    ('{"shapes": [{"label": "tree", "points": [[1, NaN], [2, 2], [3, 1]]}]}', 'shapes[0].points[0][1]'),
    ('{"shapes": [{"label": "tree", "points": [[1, 2], [3, 4]]}]}', 'shape 1 (tree): a polygon of 2 points'),
    ('{"shapes": [{"label": "bush", "points": [[1, 2], [3, 4], [5, 5]]}]}', '(bush): a label that --names lacks'),
    ('{"shapes": [{"label": "tree", "points": [[1, 2], [3, 4]], "shape_type": "circle"}]}',
     "a.json: cannot be read: shapes[0].shape_type: found \"circle\", expected 'polygon' or 'rectangle'"),
    ('{"shapes": [], "imageWidth": 7, "imageHeight": 8}', 'different sizes'),
    ('{"shapes": [], "imageWidth": 65536, "imageHeight": 65536}', 'million pixels')])
def test_broken_labelme(scripts, tmp_path, content, said):
    write_photos(tmp_path / 'in', 'a.jpg')
    (tmp_path / 'in/a.json').write_text(content)
    (tmp_path / 'names').write_text('tree\n')
    words = ['labelme', '--annotations', tmp_path / 'in', '--names', tmp_path / 'names', '--output', tmp_path / 'set']
    assert said in refused(scripts, *words)


def test_labelme_without_its_photo(scripts, tmp_path):
    write_photos(tmp_path / 'in', 'b.jpg')
    labelme(tmp_path / 'in', 'a', [shape('tree', TREE)])
    assert says(refused(scripts, 'labelme', '--annotations', tmp_path / 'in', '--output', tmp_path / 'set'),
                'its photo a.jpg is missing', '--images')
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/b.json').write_text('{"images": []}')
    assert 'shapes: missing' in refused(scripts, 'labelme', '--annotations', tmp_path / 'other', '--images',
                                        tmp_path / 'in', '--output', tmp_path / 'set')
    labelme(tmp_path / 'in', 'b', [shape('tree', TREE)])
    labelme(tmp_path / 'in', 'c', [shape('tree', TREE)], imagePath='b.jpg')
    assert says(refused(scripts, 'labelme', '--annotations', tmp_path / 'in', '--output', tmp_path / 'set'),
                'b.jpg is annotated twice', 'c.json')


# ---- COCO

CATEGORIES = [{'id': 7, 'name': 'tree', 'isthing': 0}, {'id': 2, 'name': 'sky', 'isthing': 0},
              {'id': 40, 'name': 'car', 'isthing': 1}]       # ids 1, 0, 2


def image(number, name):
    return {'id': number, 'file_name': name, 'width': WIDTH, 'height': HEIGHT}


def inside(edges):
    return drawn((edges, 1), outside=0) == 1


def instances(*objects):
    return [{'id': index, 'image_id': number, 'category_id': category, 'segmentation': segmentation, 'iscrowd': 0}
            for index, (number, category, segmentation) in enumerate(objects)]


def test_coco_instances_come_back(scripts, tmp_path):
    """Polygons and both kinds of run lengths; small objects lie on large ones, whatever their order in the file."""
    write_photos(tmp_path / 'photos', 'a.jpg', 'far/b.jpg', 'none.jpg')
    counts = runs(inside(TREE))
    sky = [category for category in CATEGORIES if category['name'] == 'sky']
    content = {'info': {}, 'annotations': instances(
        (1, 40, [box(*CAR), box(*OTHER)]), (1, 7, {'size': [HEIGHT, WIDTH], 'counts': counts}), (1, 2, [box(*SKY)]),
        (5, 7, {'size': [HEIGHT, WIDTH], 'counts': compressed(counts)})), 'categories': CATEGORIES,
        'images': [image(1, 'a.jpg'), image(5, 'far/b.jpg'), {'id': 6, 'file_name': 'none.jpg'}]}
    for entry in content['categories']:
        entry.pop('isthing', None)
    path = write_json(tmp_path / 'photos/all.json', content)
    scripts.prepared('coco_json', '--annotations', path, '--output', tmp_path / 'set', '--val', 0.3)
    known = json.loads((tmp_path / 'set/classes.json').read_text())
    assert (known['names'], 'things' in known, known['unlabelled'], sky[0]['id']) == (
        ['sky', 'tree', 'car'], False, True, 2)
    # Of equal size, 2400 and 1800 pixels: the sky first, then the tree, then the cars.
    assert np.array_equal(made(tmp_path / 'set', 'a', 'label'), drawn((SKY, 0), (TREE, 1), (CAR, 2), (OTHER, 2)))
    assert np.array_equal(made(tmp_path / 'set', 'a', 'inst'),
                          drawn((SKY, 3), (TREE, 2), (CAR, 1), (OTHER, 1), outside=0))
    assert np.array_equal(made(tmp_path / 'set', 'far_b', 'label'), drawn((TREE, 1)))
    assert (made(tmp_path / 'set', 'none', 'label') == 255).all()
    scripts.prepared('coco_json', '--annotations', path, '--output', tmp_path / 'two', '--background', 'ground')
    assert np.array_equal(made(tmp_path / 'two', 'far_b', 'label'), drawn((TREE, 1), outside=3))


def panoptic(path, segments):
    """Write a PNG of (box, segment number)."""
    numbers = drawn(*segments, outside=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1), 'PNG'))


def write_panoptic(folder):
    write_photos(folder / 'photos', 'a.jpg', 'b.jpg')
    panoptic(folder / 'ann/pan/a.png', [(SKY, 70000), (TREE, 3), (CAR, 4), (OTHER, 300)])
    categories = [{**category, 'isthing': int(category['name'] == 'car')} for category in CATEGORIES]
    segments = [{'id': number, 'category_id': category}
                for number, category in ((70000, 2), (3, 7), (4, 40), (300, 40))]
    return {'images': [image(1, 'a.jpg'), image(2, 'b.jpg')], 'categories': categories,
            'annotations': [{'image_id': 1, 'file_name': 'a.png', 'segments_info': segments}]}


def test_coco_panoptic_comes_back(scripts, tmp_path):
    path = write_json(tmp_path / 'ann/pan.json', write_panoptic(tmp_path))
    words = ['coco_json', '--annotations', path, '--images', tmp_path / 'photos', '--output', tmp_path / 'set']
    said = scripts.prepared(*words, '--val', 0)
    assert np.array_equal(made(tmp_path / 'set', 'a', 'label'), drawn((SKY, 0), (TREE, 1), (CAR, 2), (OTHER, 2)))
    assert np.array_equal(made(tmp_path / 'set', 'a', 'inst'),
                          drawn((SKY, 4), (TREE, 1), (CAR, 2), (OTHER, 3), outside=0))
    assert json.loads((tmp_path / 'set/classes.json').read_text())['things'] == [2]
    assert says(said, 'b.jpg: no annotations of that photo', '--val')
    (tmp_path / 'ann/pan').rename(tmp_path / 'elsewhere')
    assert says(refused(scripts, *words), 'ann/pan: no such folder', 'put them there')
    (tmp_path / 'elsewhere').rename(tmp_path / 'ann/pan')
    assert 'no sample changed' in scripts.prepared(*words, '--val', 0)


@pytest.mark.parametrize('change, said', [
    (lambda content: content.pop('categories'), 'categories: missing'),
    (lambda content: content['categories'].append({'id': 7, 'name': 'bush'}), 'category 7 has the names bush and tree'),
    (lambda content: content['annotations'][0].pop('category_id'), 'name None, which is not in categories'),
    (lambda content: content['annotations'][0].update(category_id=8), 'name 8, which is not in categories'),
    (lambda content: content['annotations'][0].update(image_id=9), 'name 9, which is not in images'),
    (lambda content: content['annotations'][0].update(segmentation=[]), 'annotation 1 has no segmentation, and boxes'),
    (lambda content: content['annotations'][0].update(segmentation=[[1, 2, 3]]), 'neither polygons'),
    (lambda content: content['annotations'][0].update(segmentation=[['x', 1]]), 'neither polygons'),
    (lambda content: content['images'][0].update(file_name=3), 'images[0].file_name: found 3, expected text'),
    (lambda content: content['images'][0].update(file_name='0.jpg'), 'its photo 0.jpg is missing'),
    (lambda content: content['images'][0].update(width=9), 'different sizes'),
    (lambda content: content['images'][0].update(width=10 ** 9), 'million pixels'),
    (lambda content: content['images'].append(image(2, 'a.jpg')), 'a.jpg is annotated twice')])
def test_broken_coco(scripts, tmp_path, change, said):
    write_photos(tmp_path, 'a.jpg')
    content = {'images': [image(1, 'a.jpg')], 'categories': [dict(entry) for entry in CATEGORIES],
               'annotations': instances((1, 7, [box(*TREE)]))}
    change(content)
    write_json(tmp_path / 'all.json', content)
    words = ['coco_json', '--annotations', tmp_path / 'all.json', '--output', tmp_path.parent / f'{tmp_path.name}_set']
    assert said in refused(scripts, *words)


def test_broken_panoptic_and_files(scripts, tmp_path):
    content = write_panoptic(tmp_path)
    words = ['coco_json', '--annotations', tmp_path / 'ann/pan.json', '--images', tmp_path / 'photos', '--output',
             tmp_path / 'set']
    assert 'pan.json: no such file' in refused(scripts, *words)
    (tmp_path / 'ann/pan.json').write_text('{"images": [')
    assert 'pan.json: cannot be read: Expecting value' in refused(scripts, *words)
    del content['annotations'][0]['segments_info'][1]
    write_json(tmp_path / 'ann/pan.json', content)
    assert 'segment 3 is not in its segments_info' in refused(scripts, *words)
    Image.open(tmp_path / 'ann/pan/a.png').convert('L').save(tmp_path / 'ann/pan/a.png')
    assert 'L, expected a PNG in RGB' in refused(scripts, *words)
    (tmp_path / 'ann/pan/a.png').unlink()
    assert 'a.png: cannot be read' in refused(scripts, *words)


# ---- Pairs, and tables of colours

COLOURS = np.array([[60, 16, 152], [132, 41, 246], [110, 193, 228], [254, 221, 58]])
TABLE = ''.join(f'{index} {red} {green} {blue} class {index}\n' for index, (red, green, blue) in enumerate(COLOURS))


def write_pairs(folder, ending, left=False, count=4, seed=0):
    """dict: stem -> ids; blocks of 16 pixels, as wide as 64."""
    folder.mkdir(parents=True)
    found = {}
    for index in range(count):
        ids = np.random.default_rng(seed + index).integers(0, 4, (3, 4)).repeat(16, 0).repeat(16, 1)
        halves = [noise(index, (48, 64)).astype(np.uint8) // 4 * 2, COLOURS[ids]]
        image = Image.fromarray(np.hstack(halves[::-1] if left else halves).astype(np.uint8))
        image.save(folder / f'{index}.{ending}', **({'quality': 85} if ending == 'jpg' else {}))
        found[str(index)] = ids
    return found


def same(found, expected, ending):
    """Whether two maps are equal; of JPEG, but for a pixel on either side of a border of a block of 16."""
    wrong = (found != expected).reshape(3, 16, 4, 16)
    return found.shape == expected.shape and not (wrong[:, 1:15, :, 1:15] if ending == 'jpg' else wrong).any()


@pytest.mark.parametrize('ending, maps', [('png', 'right'), ('jpg', 'right'), ('jpg', 'left')])
def test_pairs_come_back(scripts, tmp_path, ending, maps):
    ids = write_pairs(tmp_path / 'in', ending, maps == 'left')
    (tmp_path / 'table').write_text(TABLE)
    words = ['pairs', '--pictures', tmp_path / 'in', '--colours', tmp_path / 'table', '--maps', maps]
    said = scripts.prepared(*words, '--output', tmp_path / 'set', '--val', 0.25)
    for stem, expected in ids.items():
        assert same(made(tmp_path / 'set', stem, 'label'), expected, ending)
        whole = pixels(tmp_path / f'in/{stem}.{ending}')
        assert np.array_equal(made(tmp_path / 'set', stem, 'img'), whole[:, 64:] if maps == 'left' else whole[:, :64])
    assert ('4 label maps in colours slightly off' in said) == (ending == 'jpg')
    content = json.loads((tmp_path / 'set/classes.json').read_text())
    assert content['names'] == [f'class {index}' for index in range(4)] and not content['instances']
    assert len(names_in(tmp_path / 'set/val_img')) == 1


def test_broken_pairs(scripts, tmp_path):
    write_pairs(tmp_path / 'in', 'png', count=1)
    (tmp_path / 'table').write_text(TABLE)
    words = ['pairs', '--pictures', tmp_path / 'in', '--colours', tmp_path / 'table', '--output', tmp_path / 'set']
    assert 'unknown colours' in refused(scripts, *words, '--maps', 'left')
    Image.open(tmp_path / 'in/0.png').crop((0, 0, 127, 48)).save(tmp_path / 'in/0.png')
    assert '127 wide and 48 high, no two halves' in refused(scripts, *words)
    (tmp_path / 'in/0.png').write_bytes(b'no picture')
    assert 'unreadable' in refused(scripts, *words)
    assert '--colours' in refused(scripts, *words[:4], tmp_path / 'nowhere', *words[5:])


@pytest.mark.parametrize('ending, half', [('png', None), ('jpg', None), ('jpg', 'right')])
def test_the_table_of_a_folder_reads_it(scripts, tmp_path, ending, half):
    """The colours of its maps, no blends: dataset.prepare makes the same ids of them, but for their order."""
    ids = write_pairs(tmp_path / 'in', ending, count=6)
    if not half:
        for path in (tmp_path / 'in').iterdir():
            options = {'quality': 85} if ending == 'jpg' else {}
            Image.fromarray(COLOURS[ids[path.stem]].astype(np.uint8)).save(path, **options)
    process = scripts.run('-m', 'dataset.colours', tmp_path / 'in', *(['--half', half] if half else []))
    assert process.returncode == 0, process.stderr
    (tmp_path / 'table').write_text(process.stdout)
    table = read_table(tmp_path / 'table')
    order = [int(np.abs(COLOURS - entry.colour).sum(1).argmin()) for entry in table]
    assert sorted(order) == [0, 1, 2, 3] and [entry.name for entry in table] == [f'class_{index}' for index in range(4)]
    off = max(np.abs(COLOURS[index] - entry.colour).max() for index, entry in zip(order, table))
    assert off <= 4 * (ending == 'jpg')
    shares = [(np.array([*ids.values()]) == index).mean() for index in order]
    assert shares == sorted(shares, reverse=True) or ending == 'jpg'
    if not half:
        return
    scripts.prepared('pairs', '--pictures', tmp_path / 'in', '--colours', tmp_path / 'table', '--output',
                     tmp_path / 'set')
    for stem, expected in ids.items():
        assert same(np.array(order)[made(tmp_path / 'set', stem, 'label')], expected, ending)


def test_dominant_colours_are_those_of_areas():
    """Those of a smooth ramp between two areas have no area, and near colours are one."""
    left, ramp = np.full((20, 40, 3), (10, 20, 30)), np.linspace((10, 20, 30), (250, 220, 200), 12)
    picture = np.hstack([left, np.tile(ramp.astype(int), (20, 1, 1)), np.full((20, 41, 3), (250, 220, 200))])
    picture[3, 3] = picture[3, 4] = picture[4, 3] = picture[4, 4] = (12, 22, 32)
    found = dominant([picture.astype(np.uint8)])
    assert [colour for colour, _, areas in found if areas] == [(250, 220, 200), (10, 20, 30)]
    assert sum(share for _, share, _ in found) == pytest.approx(1)
    assert {colour for colour, _, areas in found if not areas} <= set(map(tuple, ramp.astype(int).tolist()))
    assert not any(areas for *_, areas in dominant([noise(0).astype(np.uint8)]))


THIN = 192, 192, 128


def write_poles(folder, count=4):
    """Pairs in JPEG, of two classes and poles of a third, three pixels wide, which have no flat areas."""
    folder.mkdir()
    for index in range(count):
        colours = np.full((64, 96, 3), (128, 128, 128))
        colours[32:], colours[8:56, 20 + 7 * index:23 + 7 * index] = (128, 0, 0), THIN
        Image.fromarray(np.hstack([noise(index, (64, 96)), colours]).astype(np.uint8)).save(
            folder / f'{index}.jpg', quality=85)


def test_a_class_of_thin_objects_is_listed_and_missed(scripts, tmp_path):
    """Its colour is listed, with areas or in a comment. A table without it maps its pixels to others, but says so."""
    write_poles(tmp_path / 'in')
    head, *lines = scripts.run('-m', 'dataset.colours', tmp_path / 'in', '--half', 'right').stdout.splitlines()
    colours = [line.split(': ')[1].split()[:3] if 'no flat areas' in line else line.split()[1:4] for line in lines[:-1]]
    assert any(np.linalg.norm(np.subtract(list(map(int, colour)), THIN)) < 24 for colour in colours)
    assert head.startswith('# dominant')
    assert sum(float(line.split('%')[0].split()[-1]) for line in lines) == pytest.approx(100, abs=.1)
    (tmp_path / 'table').write_text('0 128 128 128 sky\n1 128 0 0 wall\n')
    said = scripts.prepared('pairs', '--pictures', tmp_path / 'in', '--colours', tmp_path / 'table', '--val', 0.25,
                            '--output', tmp_path / 'set')
    assert says(said, 'changed: pixels near no colour of the table got the class of a neighbour, most around ', '%)')
    assert said.index('got the class of a neighbour') < said.index('problems: none')
    assert 'got the class of a neighbour' in (tmp_path / 'set/report.txt').read_text()


# ---- Every source

def write_source(kind, folder, names):
    """Photos of these names with annotations of one kind, and the flags that name them."""
    if kind == 'pairs':
        folder.mkdir()
        for name in names:
            (folder / f'{name}.png').write_bytes(picture(np.tile(COLOURS[0], (8, 16, 1)), 'PNG'))
        (folder / 'table').write_text(TABLE)
        return ['--pictures', folder, '--colours', folder / 'table']
    write_photos(folder / 'photos', *(f'{name}.png' for name in names))
    if kind == 'folder':
        (folder / 'maps').mkdir()
        for name in names:
            (folder / f'maps/{name}.png').write_bytes(picture(drawn((TREE, 1), outside=0), 'PNG'))
        return ['--images', folder / 'photos', '--labels', folder / 'maps']
    if kind == 'labelme':
        for name in names:
            labelme(folder / 'photos', name, [shape('tree', TREE), shape('Tree ', SKY)], '.png')
        return ['--annotations', folder / 'photos']
    content = {'images': [image(index, f'{name}.png') for index, name in enumerate(names)],
               'categories': [{'id': 1, 'name': 'tree'}, {'id': 2, 'name': 'Tree '}],
               'annotations': instances(*((index, 1, [box(*TREE)]) for index in range(len(names))))}
    return ['--annotations', write_json(folder / 'all.json', content), '--images', folder / 'photos']


@pytest.mark.parametrize('kind', ['folder', 'labelme', 'coco_json', 'pairs'])
def test_every_source_keeps_the_tiles_of_a_photograph_together(scripts, tmp_path, kind):
    """Few tiles of each are annotated, far from each other. Names that differ in case and blanks are reported."""
    generator = np.random.default_rng(0)
    names = sorted({f'{photo}_3_{row}_{column}' for photo in range(9)
                    for row, column in generator.integers(0, 7, (1 + photo % 3, 2))})
    words = [kind, *write_source(kind, tmp_path / 'in', names), '--output', tmp_path / 'set', '--val', 0.2]
    said = scripts.prepared(*words)
    sides = [{name[0] for name in names_in(tmp_path / f'set/{split}_img')} for split in ('train', 'val')]
    assert sides[0].isdisjoint(sides[1]) and len(sides[0] | sides[1]) == 9 and sides[1]
    assert 'of 9 photographs that were cut into tiles NAME_row_column' in said
    if kind in ('labelme', 'coco_json'):
        assert 'suspicious: classes ' in said and "'Tree '" in said and 'have one name but for case and blanks' in said
    if kind == 'labelme':
        assert f"'Tree ' in {len(names)}, 'tree' in {len(names)}" in said


def test_a_missing_folder_is_named_by_the_flag_that_was_typed(scripts, tmp_path):
    said = refused(scripts, 'labelme', '--annotations', tmp_path / 'none', '--output', tmp_path / 'set')
    assert says(said, f'--annotations {tmp_path}/none: cannot list the folder') and '--images' not in said


def test_a_folder_of_no_maps_has_no_table(scripts, tmp_path):
    (tmp_path / 'in').mkdir()
    assert 'no images in' in scripts.failure('-m', 'dataset.colours', tmp_path / 'in')
    (tmp_path / 'in/a.png').write_bytes(picture(np.indices((40, 40)).sum(0) % 2 * 255, 'PNG'))
    assert 'no areas of one colour' in scripts.failure('-m', 'dataset.colours', tmp_path / 'in')
