"""dataset.prepare folder again: it follows its sources, names what it remade,
and touches nothing that it did not make.
"""
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import classes
from dataset.prepare.split import set_aside
from tests.archives import Coco, box, names_in, noise, picture, stuff_and
from tests.runner import contents, says

pytestmark = pytest.mark.without_paddle

HEIGHT, WIDTH = 40, 48


def write_source(folder, count=6, top=3):
    for part in ('photos', 'maps'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        ids = np.random.default_rng(index).integers(0, top, (5, 6)).repeat(8, 0).repeat(8, 1)
        (folder / f'photos/{index}.png').write_bytes(picture(noise(index, ids.shape), 'PNG'))
        (folder / f'maps/{index}.png').write_bytes(picture(ids, 'PNG'))
    return ['folder', '--images', folder / 'photos', '--labels', folder / 'maps', '--output', folder / 'set', '--val',
            0]


def relabel(path, old, new):
    ids = np.array(Image.open(path))
    ids[ids == old] = new
    Image.fromarray(ids).save(path)


def test_corrected_files_are_remade(scripts, tmp_path):
    """At 204147d the old ids stayed: 'problems: none'."""
    words = write_source(tmp_path)
    scripts.prepared(*words)
    for index in (1, 4):
        relabel(tmp_path / f'maps/{index}.png', 2, 1)
    (tmp_path / 'photos/5.png').write_bytes(picture(noise(99, (HEIGHT, WIDTH)), 'PNG'))
    said = scripts.prepared(*words)
    assert says(said, '3 remade', ': 1, 4, 5')
    for index in range(6):
        for part, source in (('label', 'maps'), ('img', 'photos')):
            made, given = (np.array(Image.open(path)) for path in (tmp_path / f'set/train_{part}/{index}.png',
                                                                   tmp_path / f'{source}/{index}.png'))
            assert np.array_equal(made, given)
    assert 'no sample changed' in scripts.prepared(*words)


def test_what_a_repeated_command_makes_equals_a_first_one(scripts, tmp_path):
    """Files, record and classes: after added, removed, renamed and corrected sources, and another table of names."""
    words = write_source(tmp_path)
    scripts.prepared(*words)
    (tmp_path / 'photos/0.png').unlink()
    (tmp_path / 'maps/0.png').unlink()
    for part in ('photos', 'maps'):
        (tmp_path / part / '1.png').rename(tmp_path / part / 'one.png')
        shutil.copy(tmp_path / part / '2.png', tmp_path / part / 'new.png')
    relabel(tmp_path / 'maps/3.png', 2, 0)
    (tmp_path / 'names').write_text('sky\nroad\ntree\n')
    words += ['--names', tmp_path / 'names']
    said = scripts.prepared(*words)
    assert says(said, 'settings changed: names', '2 new: new, one', '2 removed', '0, 1', '1 remade', ': 3')
    again = contents(tmp_path / 'set')
    shutil.rmtree(tmp_path / 'set')
    scripts.prepared(*words)
    assert contents(tmp_path / 'set') == again


def test_new_dates_alone_remake_nothing(scripts, tmp_path):
    words = write_source(tmp_path)
    scripts.prepared(*words)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'set/train_label').iterdir()}
    for path in [*(tmp_path / 'maps').iterdir(), *(tmp_path / 'photos').iterdir()]:
        os.utime(path, (1, 1))
    assert 'no sample changed' in scripts.prepared(*words)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'set/train_label').iterdir()} == before


def test_one_more_colour(scripts, tmp_path):
    """At 204147d: 'made with other settings or from other sources ... remove'. Two colours may share an id, 255 too."""
    words = write_source(tmp_path)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])
    for path in (tmp_path / 'maps').iterdir():
        path.write_bytes(picture(colours[np.array(Image.open(path))], 'PNG'))
    table = tmp_path / 'table.txt'
    table.write_text('0 255 0 0 roof\n1 0 255 0 grass\n')
    words += ['--colours', table]
    assert says(scripts.prepare_failure(*words), 'no sample could be made', '(0, 0, 255)')
    table.write_text('0 255 0 0 roof\n1 0 255 0 grass\n255 0 0 255 water\n')
    assert says(scripts.prepared(*words), '6 samples; 0 left out')
    table.write_text('255 255 0 0 roof\n1 0 255 0 grass\n255 0 0 255 water\n')
    assert says(scripts.prepared(*words), 'settings changed: colours', '6 remade')
    assert set(np.unique(np.array(Image.open(tmp_path / 'set/train_label/0.png')))) == {1, 255}


def test_corrected_annotations_of_coco(scripts, tmp_path):
    for right in (30, 44):
        coco = Coco()
        for split, stem, border in (('train', 'same', 20), ('train', 'other', right), ('val', 'same', 20)):
            coco.add(split, stem, stuff_and((0, 10, 10, 50, 40)), [(0, [box(10, 10, border, 40)], 0)],
                     picture(noise(len(stem)), 'JPEG'))
        shutil.rmtree(tmp_path / 'archives', ignore_errors=True)
        said = scripts.prepared('coco_stuff', '--archives', coco.write(tmp_path / 'archives'), '--output',
                                tmp_path / 'set')
    assert says(said, '1 remade', ': other')


def test_a_first_attempt_that_made_nothing_does_not_fix_the_flags(scripts, tmp_path):
    words = write_source(tmp_path)
    wrong = [str(word).replace('/maps', '/photos2') for word in words]
    shutil.copytree(tmp_path / 'photos', tmp_path / 'photos2')
    assert 'no sample could be made' in scripts.prepare_failure(*wrong)
    assert '6 samples; 0 left out' in scripts.prepared(*words)


def test_another_source_is_refused_and_a_moved_one_is_not(scripts, tmp_path):
    """At 204147d the set of A remained, silently."""
    words = write_source(tmp_path / 'a')
    write_source(tmp_path / 'b')
    scripts.prepared(*words)
    before = contents(tmp_path / 'a/set')
    other = [str(word).replace('/a/photos', '/b/photos').replace('/a/maps', '/b/maps') for word in words]
    said = scripts.prepare_failure(*other)
    assert says(said, tmp_path / 'a/set', 'made from other sources', tmp_path / 'a/maps', tmp_path / 'b/maps',
                '--output')
    assert contents(tmp_path / 'a/set') == before
    (tmp_path / 'a/maps').rename(tmp_path / 'a/moved')
    moved = [str(word).replace('/a/maps', '/a/moved') for word in words]
    assert 'no sample changed' in scripts.prepared(*moved)


def test_what_was_edited_in_the_set_is_not_replaced(scripts, tmp_path):
    words = write_source(tmp_path)
    scripts.prepared(*words)
    edited = tmp_path / 'set/train_label/2.png'
    relabel(edited, 0, 1)
    (tmp_path / 'set/train_label/mine.png').write_bytes(b'precious')
    mine = edited.read_bytes()
    relabel(tmp_path / 'maps/2.png', 1, 2)
    assert says(scripts.prepare_failure(*words), edited, 'changed since dataset.prepare wrote it')
    assert edited.read_bytes() == mine and (tmp_path / 'set/train_label/mine.png').read_bytes() == b'precious'
    for part in ('photos', 'maps'):
        (tmp_path / part / '2.png').unlink()   # gone: the photo that it made goes too, the edited map stays
    process = scripts.run('-m', 'dataset.prepare', *words)
    assert edited.read_bytes() == mine and not (tmp_path / 'set/train_img/2.png').exists()
    assert process.returncode == 1 and 'unpaired files' in process.stdout


def test_a_record_cannot_name_foreign_files(scripts, tmp_path):
    words = write_source(tmp_path)
    scripts.prepared(*words)
    (tmp_path / 'victim.png').write_text('precious')
    record = tmp_path / 'set/prepared.jsonl'
    lines = record.read_text().splitlines()
    entry = json.loads(lines[1])
    record.write_text('\n'.join([*lines, json.dumps({**entry, 'stem': '../../victim'})]) + '\n')
    assert says(scripts.prepare_failure(*words), record, 'line 8', 'without folder')
    assert (tmp_path / 'victim.png').read_text() == 'precious'


def test_a_set_of_an_earlier_version_is_remade(scripts, tmp_path):
    """Its record names neither sources nor files."""
    words = write_source(tmp_path)
    scripts.prepared(*words)
    relabel(tmp_path / 'maps/0.png', 2, 0)
    record = tmp_path / 'set/prepared.jsonl'
    head = {'made by': 'dataset.prepare folder', 'link': False, 'instances': False, 'colours': None, 'seed': 0,
            'val': 0.0, 'instances from': 'none'}
    lines = [json.loads(line) for line in record.read_text().splitlines()[1:]]
    record.write_text('\n'.join(map(json.dumps,
                                    [head, *({name: line[name] for name in ('split', 'stem', 'highest', 'unlabelled',
                                                                                       'grey')} for line in lines)])) +
                      '\n')
    assert '6 remade' in scripts.prepared(*words)
    assert np.array_equal(np.array(Image.open(tmp_path / 'set/train_label/0.png')),
                          np.array(Image.open(tmp_path / 'maps/0.png')))


def test_a_set_of_an_earlier_version_keeps_its_validation_samples(scripts, tmp_path):
    """Otherwise runs of that version would score on photos they were trained on. Places as drawn by numpy's
    default_rng(3).
    """
    words = [*write_source(tmp_path, 8), '--val', 0.25, '--seed', 3]
    scripts.prepared(*words)
    drawn = sorted(map(str, np.random.default_rng(3).permutation(8)[:2]))
    assert names_in(tmp_path / 'set/val_img') != drawn     # as this version draws them
    head = {'made by': 'dataset.prepare folder', 'link': False, 'instances': False, 'colours': None, 'seed': 3,
            'val': 0.25, 'instances from': 'none'}
    for split in 'train', 'val':
        for part in 'img', 'label':
            shutil.rmtree(tmp_path / f'set/{split}_{part}')
    lines = [{'split': 'val' if str(index) in drawn else 'train', 'stem': str(index), 'highest': 2,
              'unlabelled': False, 'grey': False} for index in range(8)]
    (tmp_path / 'set/prepared.jsonl').write_text(''.join(f'{json.dumps(line)}\n' for line in [head, *lines]))
    for _ in range(2):      # the first time writes a record of this version
        assert 'as the earlier version did' in scripts.prepared(*words)
        assert names_in(tmp_path / 'set/val_img') == names_in(tmp_path / 'set/val_label') == drawn
    scripts.prepared(*words[:-1], 4)
    assert names_in(tmp_path / 'set/val_img') != drawn


def test_names_written_into_a_set_by_hand_remain(scripts, tmp_path):
    words = write_source(tmp_path)
    scripts.prepared(*words)
    found = classes.read(tmp_path / 'set')
    classes.write(tmp_path / 'set', {**found, 'names': ['sky', 'road', 'tree']})
    scripts.prepared(*words)
    assert classes.read(tmp_path / 'set')['names'] == ['sky', 'road', 'tree']


# ---- Validation

def test_validation_is_drawn_from_complete_samples(scripts, tmp_path):
    """At 204147d: val_label empty or missing, and an error that named the wrong remedy."""
    words = write_source(tmp_path, 40)[:-2]
    for index in range(5, 40):
        (tmp_path / f'maps/{index}.png').unlink()
    said = scripts.prepared(*words, '--val', 0.4)
    assert says(said, '5 samples; 35 left out', 'validation: 2 of 5 samples', 'problems: none')
    for index in range(5):   # whichever is drawn
        if (tmp_path / f'set/val_img/{index}.png').exists():
            os.truncate(tmp_path / f'photos/{index}.png', 500)
            break
    said = scripts.prepared(*words, '--val', 0.4)
    assert says(said, '4 samples; 36 left out', 'validation: 2 of 4 samples', 'problems: none')
    assert len(names_in(tmp_path / 'set/val_img')) == len(names_in(tmp_path / 'set/val_label')) == 2
    assert str(index) not in names_in(tmp_path / 'set/val_img') + names_in(tmp_path / 'set/train_label')


@pytest.mark.parametrize('stem', ['city{}_{}_{}', 'area{}_2020_0{}_0{}', '{}_0{}_0{}', 'img-{}-r{}-c{}', '{}_1_{}_{}',
                                  'a {}_x{}_y{}'])
def test_tiles_of_a_photograph_are_not_divided(stem):
    """Neighbours overlap in content: at 204147d tiles of every photograph were on both sides."""
    names = [stem.format(photo, row, column) for photo in range(20) for row in range(4) for column in range(3)]
    val, said = set_aside(names, [''] * len(names), 0.1, 0)
    assert len(val) == 24 and 'all of 2 of 20 photographs' in said
    of = {name: index // 12 for index, name in enumerate(names)}
    assert {of[name] for name in val}.isdisjoint({of[name] for name in names if name not in val})


@pytest.mark.parametrize('names, folders, said', [
    ([f'IMG_20200{index % 9}0{index % 7}_12{index:04d}' for index in range(60)], None, 'drawn one by one'),
    ([f'IMG_{2015 + index % 4}_{1 + index % 12:02d}_{1 + index % 28:02d}' for index in range(60)], None,
     'drawn one by one'),
    ([f'{index:06d}' for index in range(60)], None, 'drawn one by one'),
    ([f'x_{row}_{column}' for row in range(9) for column in range(9)], None,
     'training may use neighbours of validation samples'),
    ([str(index) for index in range(60)], [str(index % 10) for index in range(60)], 'all of 1 of 10 folders')])
def test_names_that_are_not_tiles(names, folders, said):
    val, sentence = set_aside(names, folders or [''] * len(names), 0.1, 0)
    assert said in sentence and len(val) == round(len(names) * 0.1)


def test_a_new_sample_moves_few_others():
    names = [str(index) for index in range(200)]
    before, _ = set_aside(names, [''] * 200, 0.1, 0)
    after, _ = set_aside([*names, 'new'], [''] * 201, 0.1, 0)
    assert len(before & after) >= 19


def test_a_set_within_its_own_sources_is_refused(scripts, tmp_path):
    words = write_source(tmp_path)
    words[words.index('--output') + 1] = tmp_path / 'photos/set'
    assert says(scripts.prepare_failure(*words), '--output', 'lies within --images', 'name another')
    assert not (tmp_path / 'photos/set').exists()
