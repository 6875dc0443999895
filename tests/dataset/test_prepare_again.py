"""dataset.prepare killed, repeated and refused; damaged files; and the chain prepare, train, val."""
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from dataset.picture_file import DataError
from dataset.prepare import samples
from dataset.prepare.archive import Member, read
from dataset.scenes.scene import scene
from runtime.writing import is_marked, staged
from tests.archives import HEIGHT, WIDTH, Coco, names_in, picture, runs, small_coco, stuff_and
from tests.dataset.test_prepare_files import grey, write_own
from tests.forked import kill, until
from tests.runner import TINY, contents, says


@pytest.mark.without_paddle
def test_killed_and_restarted_equals_uninterrupted(scripts, tmp_path):
    source = small_coco(pictures=200).write(tmp_path / 'archives')
    arguments = ['coco_stuff', '--archives', source, '--output']
    scripts.prepared(*arguments, tmp_path / 'whole', fresh=True)
    whole = contents(tmp_path / 'whole')
    for attempt, after in enumerate((0, 30, 80)):
        root = tmp_path / f'killed_{attempt}'
        process = scripts.start_command(['-m', 'dataset.prepare', *arguments, root], os.devnull)
        until(lambda: (root / 'prepared.jsonl').exists() and (root / 'prepared.jsonl').read_text().count('\n') > after,
              process=process)
        kill(process)
        assert not (root / 'sheet.jpg').exists()
        with open(root / 'prepared.jsonl', 'a') as file:
            file.write('{"split": "tr')  # a line that the kill cut off
        scripts.prepared(*arguments, root)
        again = contents(root)
        assert again == whole
    scripts.prepared(*arguments, tmp_path / 'whole')
    assert contents(tmp_path / 'whole') == whole


def test_the_same_command_makes_corrected_samples(scripts, tmp_path):
    coco, arguments = Coco(), ['coco_stuff', '--archives', tmp_path / 'archives', '--output', tmp_path / 'set']
    for split, stem in (('train', 'a'), ('train', 'broken'), ('train', 'z'), ('val', 'b')):
        coco.add(split, stem, stuff_and())
    whole, name = dict(coco.photos), 'train2017/broken.jpg'
    coco.photos[name] = whole[name][:500]
    coco.write(tmp_path / 'archives')
    assert '3 samples; 1 left out' in scripts.prepared(*arguments)
    shutil.rmtree(tmp_path / 'archives')
    coco.photos = whole
    coco.write(tmp_path / 'archives')
    assert '4 samples; 0 left out' in scripts.prepared(*arguments)
    assert (tmp_path / 'set' / 'train_img' / 'broken.jpg').read_bytes() == whole[name]
    stems = [json.loads(line)['stem'] for line in (tmp_path / 'set' / 'prepared.jsonl').read_text().splitlines()[1:]]
    assert stems == ['a', 'broken', 'z', 'b']


def test_nothing_of_another_origin_is_touched(scripts, archives, coco, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'train_img').write_text('precious')
    text = scripts.prepare_failure('coco_stuff', '--archives', archives, '--output', tmp_path / 'mine')
    assert says(text, tmp_path / 'mine', 'found train_img', 'will not overwrite', '--output')
    assert contents(tmp_path / 'mine') == {'train_img': b'precious'}
    before = contents(coco[0])
    text = scripts.prepare_failure('coco_stuff', '--archives', archives, '--output', coco[0], '--official-ids')
    assert says(text, coco[0], 'other settings', '--output') and contents(coco[0]) == before


def test_a_report_or_sheet_of_the_user_is_refused_and_unchanged(scripts, tmp_path):
    """At 7292076 both were rewritten. Those of earlier versions have no mark, and are replaced."""
    arguments, _ = write_own(tmp_path, grey)
    scripts.prepared(*arguments)
    report, sheet = tmp_path / 'set/report.txt', tmp_path / 'set/sheet.jpg'
    lines = report.read_text().splitlines(True)
    report.write_text(''.join([lines[0], *lines[2:]]))
    Image.open(sheet).save(sheet)
    scripts.prepared(*arguments)
    assert is_marked(report) and is_marked(sheet) and report.read_text() == ''.join(lines)
    for path in (report, sheet):
        written = path.read_bytes()
        path.write_text('my notes')
        assert says(scripts.prepare_failure(*arguments), path, 'was not changed') and path.read_text() == 'my notes'
        path.write_bytes(written)


def test_hand_edited_names_of_a_released_set_remain(scripts, archives, tmp_path):
    """At 7292076 the same command rewrote classes.json."""
    command = ['coco_stuff', '--archives', archives, '--output', tmp_path / 'set']
    scripts.prepared(*command)
    found = classes.read(str(tmp_path / 'set'))
    edited = {**found, 'names': ['human', *found['names'][1:]]}
    classes.write(str(tmp_path / 'set'), edited)
    scripts.prepared(*command)
    assert classes.read(str(tmp_path / 'set')) == edited


def test_only_our_own_unfinished_files_are_removed(tmp_path):
    """At 204147d every name that begins with .unfinished_ was removed."""
    for folder in (tmp_path, tmp_path / 'train_img'):
        folder.mkdir(exist_ok=True)
        (folder / '.unfinished_photo.jpg').write_text('mine')
        Path(staged(folder / 'photo.jpg')).write_text('half')
    samples._sweep(tmp_path)
    assert contents(tmp_path) == dict.fromkeys(('.unfinished_photo.jpg', 'train_img/.unfinished_photo.jpg'), b'mine')


def test_missing_and_damaged_archives(scripts, archives, tmp_path):
    to = '--output', tmp_path / 'a'
    assert says(scripts.prepare_failure('coco_stuff', '--archives', tmp_path, *to, fresh=True),
                tmp_path / 'annotations_trainval2017.zip', 'missing', '--archives')
    assert says(scripts.prepare_failure('coco_stuff', '--archives', archives, *to, '--link'), archives / 'train2017',
                '--link')
    broken = tmp_path / 'broken'
    broken.mkdir()
    for path in archives.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    with zipfile.ZipFile(broken / 'annotations_trainval2017.zip', 'w') as archive:
        for split in ('train', 'val'):
            archive.writestr(f'annotations/instances_{split}2017.json', '{"images": [{}]}')
    assert says(scripts.prepare_failure('coco_stuff', '--archives', broken, *to), 'instances_train2017.json',
                'not the annotations of COCO')
    (broken / 'val2017.zip').write_bytes(b'PK not a zip')
    (broken / 'annotations_trainval2017.zip').write_bytes((archives / 'annotations_trainval2017.zip').read_bytes())
    assert says(scripts.prepare_failure('coco_stuff', '--archives', broken, *to), 'val2017.zip',
                'not a readable zip archive')
    assert not (tmp_path / 'a').exists()


def test_members_of_absurd_size_are_not_read(archives):
    with pytest.raises(DataError, match='more than 10 bytes'):
        read(Member(str(archives / 'train2017.zip'), 'train2017/many.jpg'), 10)


def test_links_to_unpacked_photos(scripts, archives, coco, tmp_path):
    for name in ('train2017', 'val2017', 'annotations_trainval2017', 'stuffthingmaps_trainval2017'):
        with zipfile.ZipFile(archives / f'{name}.zip') as archive:
            folder = tmp_path / (name if name.startswith('stuff') else '')
            archive.extractall(folder,
                               [info for info in archive.namelist() if 'evil' not in info and 'link' not in info])
    scripts.prepared('coco_stuff', '--archives', tmp_path, '--output', tmp_path / 'set', '--link')
    assert all((tmp_path / 'set' / name).is_symlink() for name in ('train_img/many.jpg', 'val_label/touching.png'))
    ours, other = contents(tmp_path / 'set'), contents(coco[0])
    assert all(ours[name] == other[name] for name in other if name.startswith(('train_', 'val_')))


# ---- The chain

def pack_sample(sample, coco, split):
    """Real maps as annotations: of things, a region for each official instance id."""
    for photo in sorted(Path(sample, f'{split}_img').iterdir()):
        label, instance = (np.array(Image.open(Path(sample, f'{split}_{part}', f'{photo.stem}.png')))
                           for part in ('label', 'inst'))
        regions = [(label < 91) & (instance == index) for index in np.unique(instance[label < 91])]
        coco.add(split, photo.stem, label,
                 [(0, {'size': list(label.shape), 'counts': runs(region)}, 0) for region in regions],
                 photo.read_bytes())


@pytest.mark.thorough
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
    scripts.prepared('coco_stuff', '--archives', coco.write(tmp_path / 'archives'), '--output', root)
    settings = {**TINY, 'label_nc': 182, 'niter': 1, 'dataroot': root, 'max_dataset_size': 4}
    scripts.trained(tmp_path, **settings)
    process = scripts.run('val.py', '--lastoutput', tmp_path / 'output', '--results', tmp_path / 'val')
    assert process.returncode == 0, process.stderr
    drawn = {path.stem for path in (tmp_path / 'val' / 'pics').glob('*.jpg')}
    assert drawn and drawn <= set(names_in(root / 'val_img'))
