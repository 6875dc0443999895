"""Names and colours of classes: with the set, and with every checkpoint trained on it."""
import json
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from dataset.palette import ADE20K, COCO_STUFF, Class
from model.init import OPT
from runtime.errors import InputError
from tests.forked import REPOSITORY
from tests.runner import says


def test_released_sets():
    assert classes.RELEASED['coco_stuff']['names'] == list(COCO_STUFF)
    assert classes.RELEASED['ade20k']['names'][1:] == list(ADE20K) and len(classes.RELEASED['ade20k']['names']) == 151
    cityscapes = classes.RELEASED['cityscapes']
    assert len(cityscapes['names']) == 35 and cityscapes['names'][7] == 'road' and cityscapes['names'][26] == 'car'
    assert 26 in cityscapes['things'] and 7 not in cityscapes['things']
    for found in classes.RELEASED.values():
        assert len(found['colours']) == len(set(map(tuple, found['colours']))) == len(found['names'])


def test_a_table_gives_colours_and_missing_names_are_numbers():
    table = [Class(0, (128, 0, 0), 'sky'), Class(3, (9, 9, 9), 'boat'), Class(3, (9, 9, 8), 'ship'),
             Class(255, (0, 0, 0), 'void')]
    found = classes.of_table(table, 4)
    assert found['names'] == ['sky', '1', '2', 'boat']
    assert found['colours'][0] == [128, 0, 0] and found['colours'][3] == [9, 9, 9]
    assert len(set(map(tuple, found['colours']))) == 4


def test_the_number_of_classes_identifies_no_set(tmp_path):
    assert classes.of_set(OPT(dataroot=str(tmp_path), label_nc=182)) is None
    assert classes.of_set(OPT(dataroot='dataset/coco_stuff/', label_nc=182))['names'][0] == 'person'
    assert classes.of_set(OPT(dataroot='dataset/coco_stuff/', label_nc=7)) is None
    assert classes.of_set(OPT(dataroot='dataset/ade20k', label_nc=150))['names'][150] == 'flag'


def test_the_name_of_unlabelled_pixels_is_not_a_class():
    for last, count in (('unlabelled', 3), ('Unlabeled', 3), ('unlabelled weeds', 4)):
        assert classes.number_of_classes(classes.content(['sky', 'unlabelled', 'sea', last])) == count


def test_a_kill_leaves_the_old_or_the_new_names(tmp_path, monkeypatch):
    """The file is never torn."""
    old, new = classes.content(['sky', 'sea']), classes.content(['road'] * 2000)
    classes.write(tmp_path, old)

    def half(content, file, **options):
        file.write(json.dumps(content)[:1000])
        file.flush()
        raise KeyboardInterrupt
    with monkeypatch.context() as context:
        context.setattr(classes.json, 'dump', half)
        with pytest.raises(KeyboardInterrupt):
            classes.write(tmp_path, new)
    assert classes.read(tmp_path) == old
    classes.write(tmp_path, new)
    assert classes.read(tmp_path) == new and [path.name for path in tmp_path.iterdir()] == ['classes.json']


@pytest.mark.parametrize('content, said', [
    ('{', 'cannot be read'), ('[]', 'expected'), ('{"names": ["a"], "colours": []}', '1 names and 0 colours'),
    ('{"names": [""], "colours": [[0, 0, 0]]}', 'names[0]: found ""'),
    ('{"names": ["a"], "colours": [[0, 0, 256]]}', 'colours[0][2]: found 256'),
    ('{"names": ["a"], "colours": [[0, 0, 0]], "things": [1]}', 'things: found 1, expected ids from 0 to 0')])
def test_damaged_files_are_named(tmp_path, content, said):
    (tmp_path / 'classes.json').write_text(content)
    with pytest.raises(InputError) as caught:
        classes.read(tmp_path)
    assert says(str(caught.value), tmp_path / 'classes.json', said)


def test_a_checkpoint_stores_names_and_colours(scripts, tmp_path):
    """classes.json is written beside the options, copied with epochs, and refused if its number of classes differs.
    Training pictures show label maps in the set's own colours.
    """
    colours = {index: (200, 20 * index, 10) for index in range(9)}
    own = classes.content([f'class {index}' for index in range(9)], things=[2], colours=colours)
    shutil.copytree(scripts.data, tmp_path / 'set')
    (tmp_path / 'set/classes.json').write_text(json.dumps(own))
    scripts.trained(tmp_path, dataroot=tmp_path / 'set', niter=1, save_epoch_freq=1, max_dataset_size=2, display_freq=1)
    for name in ('val_0001', '1_1'):
        shown = np.asarray(Image.open(tmp_path / f'output/pics/{name}.jpg'))[:32, :32].reshape(-1, 3)
        assert (abs(shown[:, 0].astype(int) - 200) < 30).mean() > 0.6 and shown[:, 2].mean() < 60, name
    for folder in ('model', 'epoch_1'):
        assert classes.of_checkpoint(tmp_path / 'output' / folder, OPT(label_nc=9)) == own
    with pytest.raises(InputError, match='9 classes, but label_nc is 7'):
        classes.of_checkpoint(tmp_path / 'output/model', OPT(label_nc=7))


@pytest.mark.parametrize('link', [False, True])
@pytest.mark.parametrize('command', ['check --report', 'classes --out'])
def test_a_full_disk_leaves_no_part_and_no_link_is_followed(tiny_set, tmp_path, command, link):
    name, flag = command.split()
    out = tmp_path / 'out.png'
    if link:
        out.symlink_to(tmp_path / 'mine.png')
    words = {'check': ['--dataroot', tiny_set], 'classes': [next((tiny_set / 'val_label').iterdir())]}[name]
    done = subprocess.run([sys.executable, '-B', '-m', f'dataset.{name}', *words, flag, out], cwd=REPOSITORY, text=True,
                          capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert done.returncode == 1 and done.stderr.startswith(f'error: {out}') and done.stderr.count('\n') == 1
    assert list(tmp_path.iterdir()) == ([out] if link else [])
