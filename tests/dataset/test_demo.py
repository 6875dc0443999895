"""Demo scenes: a pure function of the seed, maps that fit each other, and a set that is whole or absent."""
import argparse
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dataset import demo
from dataset.palette import COCO_STUFF
from model.init import OPT
from runtime.errors import InputError
from tests.runner import message, says

pytestmark = pytest.mark.without_paddle

THINGS = range(91)  # ids of countable objects in COCO-Stuff


@pytest.fixture(scope='module')
def scenes():
    return [demo.scene(seed, 64, 64) for seed in range(40)]


def tree(root):
    return {os.path.relpath(os.path.join(folder, name), root): open(os.path.join(folder, name), 'rb').read()
            for folder, _, names in os.walk(root) for name in names}


@pytest.mark.parametrize('height, width', [(64, 64), (48, 96), (96, 32), (17, 16), (128, 256)])
def test_scene_shapes_and_ranges(height, width):
    photo, label, instance = demo.scene(3, height, width)
    assert photo.shape == (height, width, 3) and label.shape == instance.shape == (height, width)
    assert photo.dtype == label.dtype == instance.dtype == np.uint8
    assert ((label < len(COCO_STUFF)) | (label == 255)).all()
    assert photo.std() > 20


def test_scene_is_a_function_of_its_arguments(scenes):
    again = demo.scene(5, 64, 64)
    assert all((a == b).all() for a, b in zip(scenes[5], again))
    assert (scenes[5][0] != scenes[6][0]).any()


def test_layout_is_the_same_at_every_size(scenes):
    for seed in range(4):
        large = demo.scene(seed, 128, 128)[1][::2, ::2]
        assert (large == scenes[seed][1]).mean() > 0.85


def test_an_instance_belongs_to_one_class(scenes):
    for _, label, instance in scenes:
        for owner in np.unique(instance):
            assert len(np.unique(label[instance == owner])) == 1
        assert ((label == 255) == (instance == 0)).all()


def test_stuff_has_one_instance_and_things_have_their_own(scenes):
    most = 0
    for _, label, instance in scenes:
        for name in np.unique(label):
            count = len(np.unique(instance[label == name]))
            assert name in THINGS or count == 1
            most = max(most, count)
    assert most >= 3


def test_scenes_are_varied_but_not_crowded(scenes):
    counts = [len(np.unique(label[label < 255])) for _, label, _ in scenes]
    assert min(counts) >= 4 and max(counts) <= 10
    assert len(set.union(*(set(label[label < 255].tolist()) for _, label, _ in scenes))) >= 25


def test_unlabelled_pixels_are_rare(scenes):
    share = np.array([(label == 255).mean() for _, label, _ in scenes])
    assert share.max() < 0.03 and (share == 0).any() and (share > 0).any()


def test_photo_follows_the_label(scenes):
    """Of a photo's variance, most is between its instances: edges of photo and maps coincide."""
    explained = []
    for photo, _, instance in scenes:
        grey = photo.mean(-1)
        means = np.array([grey[instance == i].mean() if (instance == i).any() else 0 for i in range(256)])
        explained.append(1 - ((grey - means[instance]) ** 2).mean() / grey.var())
    assert np.mean(explained) > 0.5


def test_write_makes_pairs(tmp_path):
    names = demo.write(tmp_path / 'set', train=3, val=2, height=32, width=64, seed=1)
    assert set(names) <= set(COCO_STUFF)
    for phase, count in (('train', 3), ('val', 2)):
        stems = [sorted(path.stem for path in (tmp_path / 'set' / f'{phase}_{kind}').iterdir())
                 for kind in ('img', 'label', 'inst')]
        assert stems[0] == stems[1] == stems[2] == [f'scene_{i:05d}' for i in range(count)]
    label = Image.open(tmp_path / 'set/val_label/scene_00001.png')
    photo = Image.open(tmp_path / 'set/val_img/scene_00001.jpg')
    assert label.mode == 'L' and photo.mode == 'RGB' and label.size == photo.size == (64, 32)
    assert Image.open(tmp_path / 'set/sheet.jpg').size == (5 * 64, 3 * 32)
    assert os.listdir(tmp_path) == ['set']


@pytest.mark.parametrize('preset', ['demo', 'demo_long'])
def test_a_preset_s_set_has_the_size_it_is_trained_at(tmp_path, preset):
    """Fewer scenes of it; test_train.py and test_readme.py train on all that the preset demo makes."""
    opt = OPT.preset(preset)
    demo.write(tmp_path / 'set', **{**demo.SETS[opt.dataroot], 'train': 2, 'val': 1})
    with Image.open(tmp_path / 'set/train_img/scene_00001.jpg') as photo:
        assert min(photo.size) >= opt.load_size


def test_write_twice_replaces_and_is_deterministic(tmp_path):
    demo.write(tmp_path / 'a', train=3, val=1, height=32, width=32)
    demo.write(tmp_path / 'b', train=1, val=2, height=32, width=32, seed=7)
    demo.write(tmp_path / 'b', train=3, val=1, height=32, width=32)
    assert tree(tmp_path / 'a') == tree(tmp_path / 'b')
    assert sorted(os.listdir(tmp_path)) == ['a', 'b']


def test_training_and_validation_differ(tmp_path):
    demo.write(tmp_path / 'set', train=1, val=1, height=32, width=32)
    files = tree(tmp_path / 'set')
    assert files['train_label/scene_00000.png'] != files['val_label/scene_00000.png']


@pytest.mark.parametrize('foreign', ['train_img/holiday.jpg', 'val_label/scene_1.png', 'notes.txt',
                                     'train_img/deep/scene_00000.jpg'])
def test_foreign_files_are_refused_and_unchanged(tmp_path, foreign):
    path = tmp_path / 'set' / foreign
    path.parent.mkdir(parents=True)
    path.write_text('mine')
    with pytest.raises(InputError, match=path.name if 'deep' not in foreign else 'deep'):
        demo.write(tmp_path / 'set', train=1, val=0, height=32, width=32)
    assert path.read_text() == 'mine' and os.listdir(tmp_path) == ['set']


def test_interrupted_write_leaves_the_earlier_set(tmp_path, monkeypatch):
    demo.write(tmp_path / 'set', train=2, val=1, height=32, width=32)
    before, scene, calls = tree(tmp_path / 'set'), demo.scene, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return scene(*arguments)
    monkeypatch.setattr(demo, 'scene', interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.write(tmp_path / 'set', train=4, val=1, height=32, width=32, seed=3)
    assert tree(tmp_path / 'set') == before and os.listdir(tmp_path) == ['set']


def small(root, **more):
    return demo.write(root, **{**dict(train=2, val=1, height=32, width=32), **more})


@pytest.mark.parametrize('foreign',
                         ['train_img/scene_00000.jpg', 'train_img/scene_00002.jpg', 'sheet.jpg', 'demo.json'])
def test_a_foreign_file_with_a_name_of_ours_is_refused_and_unchanged(tmp_path, foreign):
    """In place of a made file, or beside those; before the set is remade with other settings, and without a set.
    """
    small(tmp_path / 'set')
    for place in ('set', 'none'):
        path = tmp_path / place / foreign
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('mine')
        before = tree(tmp_path)
        assert says(message(small, tmp_path / place, seed=3), path)
        assert tree(tmp_path) == before


@pytest.mark.parametrize('name', ['set.partial', 'set.replaced'])
def test_folders_beside_the_set_are_unchanged(tmp_path, name):
    small(tmp_path / 'set')
    (tmp_path / name / 'train_img').mkdir(parents=True)
    (tmp_path / name / 'train_img/scene_00000.jpg').write_text('mine')
    small(tmp_path / 'set', seed=3)
    assert (tmp_path / name / 'train_img/scene_00000.jpg').read_text() == 'mine'
    assert sorted(os.listdir(tmp_path)) == ['set', name]


def test_a_set_of_an_earlier_version_is_made_again_if_it_is_the_same(tmp_path):
    """It has no record; the remade set shows whether its files are the demo's."""
    small(tmp_path / 'set')
    (tmp_path / 'set/demo.json').unlink()
    before = tree(tmp_path)
    small(tmp_path / 'set')
    assert tree(tmp_path) == before
    assert says(message(small, tmp_path / 'set', seed=3), tmp_path / 'set', 'by an earlier version',
                'choose another --output')
    assert tree(tmp_path) == before


def test_two_first_runs_at_once(tmp_path, monkeypatch):
    """A second process makes the set at any moment of the first one's work; both succeed, with one set."""
    small(tmp_path / 'expected')
    expected, rename = tree(tmp_path / 'expected'), os.rename
    for moment in (0, 1):
        root = tmp_path / f'set{moment}'

        def renamed(source, target, moment=moment, root=root):
            monkeypatch.setattr(os, 'rename', rename)
            if moment:      # both have seen that no set was there
                shutil.copytree(tmp_path / 'expected', root)
            rename(source, target)
        if moment == 0:
            shutil.copytree(tmp_path / 'expected', root)
        monkeypatch.setattr(os, 'rename', renamed)
        small(root)
        assert tree(root) == expected
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == ['expected', 'set0', 'set1']


@pytest.mark.parametrize('wrong', [{'train': -1}, {'height': 8}, {'seed': -1}])
def test_wrong_numbers_are_named(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        demo.write(tmp_path / 'set', **wrong)
    assert not os.listdir(tmp_path)


def test_edges_are_those_the_networks_see():
    instance = np.array([[1, 1, 1, 1], [1, 2, 2, 1], [1, 1, 1, 1]])
    assert demo.edges(instance)[..., 0].tolist() == [[0, 255, 255, 0], [255, 255, 255, 255], [0, 255, 255, 0]]
    assert not demo.edges(np.full((3, 5), 7)).any() and demo.edges(instance).shape == (3, 4, 3)


def test_a_split_without_scenes_has_no_folders(tmp_path, capsys):
    arguments = argparse.Namespace(output=str(tmp_path / 'set'), train=2, val=0, height=32, width=32, seed=0)
    assert not demo.make(arguments)
    assert not any(name.startswith('val') for name in os.listdir(tmp_path / 'set'))
    assert 'problems: none' in capsys.readouterr().out


def test_command_line(tmp_path):
    command = [sys.executable, '-m', 'dataset.demo', '--output', str(tmp_path / 'set'), '--train', '2', '--val', '1',
               '--height', '32', '--width', '32']
    house = os.path.dirname(os.path.dirname(os.path.abspath(demo.__file__)))
    done = subprocess.run(command, capture_output=True, text=True, cwd=house, check=True)
    assert str(tmp_path / 'set') in done.stdout and '2 training' in done.stdout and not done.stderr
    other = [sys.executable, '-m', 'dataset.prepare', 'demo', *command[3:]]
    other[other.index(str(tmp_path / 'set'))] = str(tmp_path / 'other')
    again = subprocess.run(other, capture_output=True, text=True, cwd=house, check=True)
    assert again.stdout.replace(str(tmp_path / 'other'), str(tmp_path / 'set')) == done.stdout
    assert tree(tmp_path / 'other') == tree(tmp_path / 'set')
    (tmp_path / 'set/train_img/other.jpg').write_text('')
    refused = subprocess.run(command, capture_output=True, text=True, cwd=house)
    assert refused.returncode == 1 and refused.stderr.startswith('error:') and 'other.jpg' in refused.stderr
