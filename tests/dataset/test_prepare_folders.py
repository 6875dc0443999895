"""dataset.prepare of ADE20K, Cityscapes, generated scenes and one's own pictures; and python -m dataset.classes."""
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from dataset.components import components
from dataset.demo import edges
from dataset.files import load_instance
from tests.archives import SKY, names_in, noise, picture
from tests.runner import says

pytestmark = pytest.mark.without_paddle

# ---- ADE20K and Cityscapes

def write_ade20k(folder):
    scenes = []
    for split, short, scene_names in (('training', 'train', ('street', 'bathroom', 'house_outdoor', 'misc')),
                                      ('validation', 'val', ('mountain_snowy', 'bedroom'))):
        for index, name in enumerate(scene_names, 1):
            stem = f'ADE_{short}_{index:08d}'
            scenes.append(f'{stem} {name}')
            label = np.zeros((40, 50))
            label[5:] = 150
            for kind, content in (('images', picture(noise(index, (40, 50)), 'JPEG')),
                                  ('annotations', picture(label, 'PNG'))):
                path = folder / 'ADEChallengeData2016' / kind / split / f'{stem}.{"jpg" if kind == "images" else "png"}'
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    (folder / 'ADEChallengeData2016' / 'sceneCategories.txt').write_text('\n'.join(scenes))


def test_ade20k_keeps_its_ids_and_has_no_instances(scripts, tmp_path):
    write_ade20k(tmp_path)
    said = scripts.prepared('ade20k', '--archives', tmp_path, '--output', tmp_path / 'set', '--link')
    assert says(said, '6 samples', 'problems: none', '--preset ade20k_paper')
    assert np.unique(load_instance(tmp_path / 'set' / 'train_label' / 'ADE_train_00000001.png')).tolist() == [0, 150]
    assert not (tmp_path / 'set' / 'train_inst').exists() and len(names_in(tmp_path / 'set' / 'val_img')) == 2


def test_outdoor_scenes_of_ade20k(scripts, tmp_path):
    write_ade20k(tmp_path)
    said = scripts.prepared('ade20k_outdoor', '--archives', tmp_path, '--output', tmp_path / 'set')
    assert says(said, '3 samples', '--preset ade20k_outdoor_paper')
    assert names_in(tmp_path / 'set' / 'train_img') == ['ADE_train_00000001', 'ADE_train_00000003']
    (tmp_path / 'mine.txt').write_text('ADE_train_00000002\nADE_val_00000002.jpg\n')
    scripts.prepared('ade20k_outdoor', '--archives', tmp_path, '--output', tmp_path / 'listed', '--list',
                     tmp_path / 'mine.txt')
    assert names_in(tmp_path / 'listed' / 'train_label') == ['ADE_train_00000002']


def test_cityscapes(scripts, tmp_path):
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
    said = scripts.prepared('cityscapes', '--archives', tmp_path, '--output', tmp_path / 'set')
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


def test_own_colours(scripts, tmp_path):
    arguments = write_own(tmp_path)
    said = scripts.prepared(*arguments, tmp_path / 'text', '--colours', tmp_path / 'table.txt', '--val', '0.3')
    assert says(said, 'problems: none', f'--dataroot {tmp_path}/text --output runs/text --log runs/text/log',
                '7 samples')
    assert classes.settings_of(tmp_path / 'text') == {'label_nc': 2, 'no_instance': True,
                                                      'contain_dontcare_label': True}
    said = scripts.prepared(*arguments, tmp_path / 'json', '--colours', tmp_path / 'table.json', '--val', '0.3',
                            '--instances',
                    'components')
    assert classes.settings_of(tmp_path / 'json') == {'label_nc': 3, 'no_instance': False,
                                                      'contain_dontcare_label': False}
    for split, count in (('train', 7), ('val', 3)):
        assert len(names_in(tmp_path / 'json' / f'{split}_inst')) == count
        for path in (tmp_path / 'json' / f'{split}_label').iterdir():
            ids = load_instance(tmp_path / 'ids' / path.name)
            assert (load_instance(path) == ids).all()
            found = load_instance(tmp_path / 'text' / f'{split}_label' / path.name)
            assert (found == np.where(ids == 2, 255, ids)).all()
            instance = load_instance(tmp_path / 'json' / f'{split}_inst' / path.name)
            assert (edges(instance) == edges(ids)).all()
    table = classes.read(tmp_path / 'json')
    assert table == {'names': ['red', 'green', 'blue'], 'colours': [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
                     'label_nc': 3,
                     'unlabelled': False, 'instances': True, 'highest': 2, 'width': [48, 48], 'height': [40, 40]}


def test_the_split_follows_the_seed(scripts, tmp_path):
    arguments = write_own(tmp_path)
    splits = []
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        scripts.prepared(*arguments, tmp_path / name, '--colours', tmp_path / 'table.txt', '--val', '0.3', '--seed',
                         seed)
        splits.append(names_in(tmp_path / name / 'val_img'))
    assert splits[0] == splits[1] != splits[2]


def test_unknown_colours_are_named(scripts, tmp_path):
    arguments = write_own(tmp_path, 3)
    pixels = np.array(Image.open(tmp_path / 'labels' / '1.png'))
    pixels[:2, :4] = 70, 250, 83
    (tmp_path / 'labels' / '1.png').write_bytes(picture(pixels, 'PNG'))
    scripts.prepared(*arguments, tmp_path / 'set', '--colours', tmp_path / 'table.txt', '--val', '0')
    assert says((tmp_path / 'set' / 'report.txt').read_text(), '1.png', 'around (70, 250, 83) in 8 pixels',
                '(0, 255, 0), id 1, green thing', '--colours')
    text = scripts.prepare_failure(*arguments, tmp_path / 'other')
    assert says(text, 'no sample could be made', 'mode RGB', '--colours')


@pytest.mark.parametrize('table, words', [
    ('0 1 2\n', ['line 1', 'id red green blue name']), ('0 1 2 3 a\n1 1 2 3 b\n', ['line 2', '(1, 2, 3)', 'id 0']),
    ('0 1 2 256 a\n', ['line 1', '255']), ('', ['no classes']), ('{"a": [1, 2]}', ['JSON']), ('{"a": ', []),
    ('[1]', ['JSON']), ('{"a": [1, 2, 3], "a": [4, 5, 6]}', ["'a' occurs twice"])])
def test_wrong_tables(scripts, tmp_path, table, words):
    arguments = write_own(tmp_path, 1)
    (tmp_path / 'wrong').write_text(table)
    assert says(scripts.prepare_failure(*arguments, tmp_path / 'set', '--colours', tmp_path / 'wrong'),
                tmp_path / 'wrong', *words)


def test_components_closed_form():
    label = np.array([[0, 0, 1, 0], [1, 0, 1, 0], [1, 1, 1, 255], [255, 0, 0, 0]])
    assert components(label).tolist() == [[1, 1, 2, 3], [2, 1, 2, 3], [2, 2, 2, 0], [0, 4, 4, 4]]
    assert components(np.zeros((3, 4), int)).tolist() == [[1] * 4] * 3
    spiral = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 0, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]])
    assert len(np.unique(components(spiral))) == 2


# ---- Generated scenes, and what a map holds

def test_demo(scripts, tmp_path):
    said = scripts.prepared('demo', '--output', tmp_path / 'set', '--train', 3, '--val', 1, '--height', 48, '--width',
                            64)
    assert says(said, 'problems: none', tmp_path / 'set' / 'sheet.jpg', '--preset demo --dataroot')


def test_classes_of_a_label_map(scripts, tmp_path):
    """Outside a set nothing is named: the number 1 is no bicycle there."""
    (tmp_path / 'a.png').write_bytes(picture([[SKY] * 6 + [1] * 3 + [255]], 'PNG'))
    process = scripts.run('-m', 'dataset.classes', tmp_path / 'a.png', '--out', tmp_path / 'c.png')
    assert says(process.stdout, 'classes.json is missing: classes are shown by number', '60.00%  156\n',
                '30.00%    1\n', '10.00%  255  unlabelled', tmp_path / 'c.png') and 'bicycle' not in process.stdout
    process = scripts.run('-m', 'dataset.classes', tmp_path / 'a.png', '--out', tmp_path / 'c.png')
    assert process.returncode == 1 and says(process.stderr, 'exists and was not changed', tmp_path / 'c.png')
    (tmp_path / 'mine/val_label').mkdir(parents=True)
    classes.write(tmp_path / 'mine', classes.content(['sky', 'grass', 'unlabelled'], colours={0: (1, 2, 3)}))
    (tmp_path / 'mine/val_label/b.png').write_bytes(picture([[0] * 3 + [1] * 6 + [255]], 'PNG'))
    process = scripts.run('-m', 'dataset.classes', tmp_path / 'mine/val_label/b.png', '--out', tmp_path / 'd.png')
    assert says(process.stdout, '60.00%    1  grass', '30.00%    0  sky', '10.00%  255  unlabelled')
    assert Image.open(tmp_path / 'd.png').getpixel((0, 0)) == (1, 2, 3)
    process = scripts.run('-m', 'dataset.classes', tmp_path / 'mine/val_label/b.png', '--label_nc', 9, '--out',
                          tmp_path / 'e.png')
    assert process.returncode == 1 and says(process.stderr, '--label_nc 9', 'mine/classes.json has 3 classes')
