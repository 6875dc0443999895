"""Measurements of a picture are cached; pictures are matched to label maps by name."""
import collections
import contextlib
import json
import os
import shutil
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dataset.contents import labels_identity
from dataset.files import Sample
from output import pictures
from result import measure
from result.cache import Cache, file_digest, prune
from result.matching import matched, refuse_extra
from runtime import bar
from runtime.errors import InputError
from tests.runner import says


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f'{index}.bin' for index in range(7)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index % 5]))   # the last two have the bytes of the first two
    return [(str(path),) for path in paths]


def test_each_file_is_hashed_once_and_each_array_loaded_once(tmp_path, files, monkeypatch):
    cache, calls = Cache(str(tmp_path / 'cache'), {}), collections.Counter()

    def count(name, function):
        def counted(*arguments):
            calls[name] += 1
            return function(*arguments)
        return counted
    monkeypatch.setattr(measure, 'file_digest', count('hashed', measure.file_digest))
    monkeypatch.setattr(np, 'load', count('loaded', np.load))

    def lengths(entries):
        for key, (path,) in entries.items():
            calls['measured'] += 1
            yield key, np.array([open(path, 'rb').read()[0], 1])
    for known in (0, 3, 5):
        if known:
            for path in sorted((tmp_path / 'cache').glob('*/*.npy'))[known:]:
                path.unlink()
        calls.clear()
        found = [row[0] for row in measure.measured(cache, files, lengths, 1, 'bytes')]
        assert found == [0, 1, 2, 3, 4, 0, 1]
        assert calls['hashed'] == 7 and calls['measured'] == 5 - known and calls['loaded'] <= 7


def test_damaged_entries_of_the_cache_are_measured_again(tmp_path, files):
    cache = Cache(str(tmp_path / 'cache'), {})

    def ones(entries):
        yield from ((key, np.ones(2)) for key in entries)
    assert len(list(measure.measured(cache, files, ones, 2, 'ones'))) == 7
    stored = sorted((tmp_path / 'cache').glob('*/*.npy'))
    stored[0].write_bytes(stored[0].read_bytes()[:90])
    assert all((row == 1).all() for row in measure.measured(cache, files, ones, 2, 'ones'))
    assert (np.load(stored[0]) == 1).all() and not list((tmp_path / 'cache').glob('*/.unfinished*'))


def test_matching_lists_what_is_wrong(tmp_path, capsys):
    samples = [Sample(stem, str(tmp_path / f'val_label/{stem}.png'), None, None) for stem in 'abc']
    (tmp_path / 'pics').mkdir()
    for name, size in (('a.jpg', (8, 4)), ('a.png', (8, 4)), ('d.png', (8, 4))):
        Image.new('RGB', size).save(tmp_path / 'pics' / name)
    (tmp_path / 'pics/b.png').write_bytes(b'none')
    with pytest.raises(InputError) as caught:
        matched(str(tmp_path / 'pics'), samples, (8, 4), False)
    assert says(str(caught.value), f'{tmp_path}/val_label do not match: 1 missing, 1 extra, 1 unreadable',
                '--allow-missing')
    capsys.readouterr()
    found = matched(str(tmp_path / 'pics'), samples, (8, 4), True)
    assert [picture.path for picture in found] == [str(tmp_path / 'pics/a.png')]
    assert capsys.readouterr().out == (f'{tmp_path}/pics: skipped: 1 missing, 1 extra, 1 unreadable '
                                       '(c: missing; d.png: no label map of this name; b.png: unreadable)\n')
    with pytest.raises(InputError, match='8x4 pixels, but pictures of this data set have 4x8'):
        matched(str(tmp_path / 'pics'), samples, (4, 8), True)
    with pytest.raises(InputError, match='has 1 pictures without a label map of their name, the first d.png'):
        refuse_extra(str(tmp_path / 'pics'), samples)
    refuse_extra(str(tmp_path / 'nowhere'), samples)


# of the pictures; None: another program
PAINTERS = st.lists(st.sampled_from([None, 'a' * 16, 'b' * 16]), min_size=2, max_size=3)


@given(painters=PAINTERS, named=st.sampled_from([None, '', 'a' * 16, 'b' * 16]))
def test_a_folder_of_two_models_is_refused(tmp_path_factory, painters, named):
    """Unless all pictures are by one model, and that is the one that painted.json names, where it does."""
    folder = tmp_path_factory.mktemp('pics')
    samples = [Sample(stem, f'val_label/{stem}.png', None, None) for stem in 'abc'[:len(painters)]]
    for sample, painter in zip(samples, painters):
        path = str(folder / f'{sample.stem}.png')
        if painter:
            pictures.save(np.zeros((4, 8, 3), np.uint8), path, painter)
        else:
            Image.new('RGB', (8, 4)).save(path)
    if named is not None:
        record = {'weights': '0' * 64, **({'painter': named} if named else {})}    # without: of an earlier version
        (folder / 'painted.json').write_text(json.dumps(record))
    try:
        matched(str(folder), samples, (8, 4), False)
        assert len(set(painters)) == 1 and (not named or named == painters[0])
    except InputError as error:
        assert '\n' not in str(error) and str(folder) in str(error)
        if len(set(painters)) > 1:
            assert says(str(error), f'mixes pictures of {len(set(painters))} models', 'a.png')
        else:
            assert named and named != painters[0] and says(str(error), 'not painted by the model in')


def test_pictures_of_changed_label_maps_are_refused(tmp_path):
    """Wherever the set lies now; without a word where nothing is known of what was painted from."""
    for stem in 'ab':
        (tmp_path / 'set/val_label').mkdir(parents=True, exist_ok=True)
        (tmp_path / 'pics').mkdir(exist_ok=True)
        Image.new('L', (8, 4)).save(tmp_path / f'set/val_label/{stem}.png')
        Image.new('RGB', (8, 4)).save(tmp_path / f'pics/{stem}.png')

    def samples(place):
        return [Sample(stem, str(tmp_path / f'{place}/val_label/{stem}.png'), None, None) for stem in 'ab']
    (tmp_path / 'pics/painted.json').write_text(json.dumps({'weights': '0' * 64,
                                                            'labels': labels_identity(samples('set'))}))
    shutil.copytree(tmp_path / 'set', tmp_path / 'moved')
    assert len(matched(str(tmp_path / 'pics'), samples('moved'), (8, 4), False)) == 2
    Image.new('L', (8, 4), 3).save(tmp_path / 'set/val_label/b.png')
    with pytest.raises(InputError, match='val_label has changed since .*pics was painted'):
        matched(str(tmp_path / 'pics'), samples('set'), (8, 4), False)
    (tmp_path / 'pics/painted.json').unlink()
    assert len(matched(str(tmp_path / 'pics'), samples('set'), (8, 4), False)) == 2


def test_two_pictures_of_one_name_are_refused(tmp_path):
    """A lossless one beside a JPEG, as val.py paints them, is accepted."""
    for name in 'a.jpg', 'a.png', 'b.jpg', 'b.jpeg':
        Image.new('RGB', (8, 4)).save(tmp_path / name)
    samples = [Sample(stem, f'val_label/{stem}.png', None, None) for stem in 'ab']
    with pytest.raises(InputError, match='b.jpeg and b.jpg have the same name but for the ending'):
        matched(str(tmp_path), samples, (8, 4), False)
    (tmp_path / 'b.jpeg').unlink()
    assert [os.path.basename(found.path)
            for found in matched(str(tmp_path), samples, (8, 4), False)] == ['a.png', 'b.jpg']


def test_omissions_are_one_line(tmp_path, capsys):
    """A part of a large set is scored: the names of the rest would fill screens."""
    samples = [Sample(f'{number:03}', f'val_label/{number:03}.png', None, None) for number in range(500)]
    Image.new('RGB', (8, 4)).save(tmp_path / '007.png')
    assert len(matched(str(tmp_path), samples, (8, 4), True)) == 1
    said = capsys.readouterr().out
    assert said.count('\n') == 1 and len(said) < 300 and says(said, '499 missing', '000: missing', '...')


def test_a_bar_without_a_terminal_is_a_line_a_minute(monkeypatch, capsys):
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(bar.time, 'monotonic', lambda: next(clock))
    with bar.bar(8, 'segmentation') as shown:
        for _ in range(8):
            shown.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ['segmentation: 3 of 8 pictures, left: 0:02:05', 'segmentation: 6 of 8 pictures, left: 0:00:50']


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(bar.sys.stderr, 'isatty', lambda: True, raising=False)
    with bar.bar(3, 'paint') as shown:
        shown.update(3)
    assert says(capsys.readouterr().err, 'paint: 100%', '3/3', 'picture')


# ---- What the cache may grow to

def cached(root, what, ages):
    """A cache in `root` whose arrays, of 128 + 8 bytes, were used `ages` seconds ago; their names, the oldest first."""
    cache, paths = Cache(str(root), what), {}
    for age in ages:
        cache.put(f'{age:064x}', np.zeros(1))
        paths[age] = os.path.join(cache.folder, f'{age:064x}.npy')
        os.utime(paths[age], (time.time() - age, 0))
    return [paths[age] for age in sorted(paths, reverse=True)]


def test_the_least_recently_used_is_removed_first(tmp_path):
    old, new = cached(tmp_path, {'weights': 'a'}, [50, 40, 30]), cached(tmp_path, {'weights': 'b'}, [35, 20])
    size = os.path.getsize(old[0])
    prune(str(tmp_path), 5 * size)
    assert all(map(os.path.exists, old + new))
    Cache(str(tmp_path), {'weights': 'a'}).get(f'{50:064x}')     # used now
    prune(str(tmp_path), 3 * size)
    assert [os.path.exists(path) for path in old + new] == [True, False, True, False, True]
    prune(str(tmp_path), 0)
    assert not any(map(os.path.exists, old + new))
    prune(str(tmp_path / 'nowhere'), 0)


NAMES = st.sampled_from(['0' * 64 + '.npy', 'f' * 64 + '.npy', 'cache.json', 'photo.npy', '0' * 64, 'thesis.txt',
                         '0' * 16])


@given(own=st.lists(st.integers(1, 99), unique=True, max_size=3),
       theirs=st.dictionaries(st.lists(NAMES, min_size=1, max_size=3, unique=True).map('/'.join), st.binary(max_size=9),
                              max_size=6))
def test_foreign_files_are_never_removed(tmp_path_factory, own, theirs):
    """Whatever lies in the folder, under whatever name, in folders named like caches too, and links to them."""
    root = tmp_path_factory.mktemp('cache')
    ours = cached(root, {'weights': 'a'}, own)
    for name, content in theirs.items():
        with contextlib.suppress(OSError):   # one name is the folder of another
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    outside = tmp_path_factory.mktemp('outside') / ('1' * 64 + '.npy')
    outside.write_bytes(b'theirs')
    if ours:
        os.symlink(outside, os.path.join(os.path.dirname(ours[0]), outside.name))
        (root / 'mine').mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in root.rglob('*') if path.is_file() and str(path) not in ours}
    prune(str(root), 0)
    assert {path: path.read_bytes() for path in root.rglob('*') if path.is_file()} == before and outside.exists()
    assert not any(map(os.path.exists, ours))


def test_the_boundary_of_picture_and_label_map_counts(tmp_path):
    """One byte moved from the end of a file to the beginning of the next is another pair."""
    for name, content in (('a', b'12'), ('b', b'3'), ('c', b'1'), ('d', b'23')):
        (tmp_path / name).write_bytes(content)
    assert file_digest(tmp_path / 'a', tmp_path / 'b') != file_digest(tmp_path / 'c', tmp_path / 'd')


@pytest.mark.parametrize('upright', [True, False])
def test_a_photo_is_turned_like_its_label_map(tmp_path, upright):
    """A photo whose EXIF tag turns it, and a map drawn over the upright photo, or over the pixels as stored."""
    photo, exif = Image.new('RGB', (40, 20), 'black'), Image.Exif()
    photo.paste('white', (0, 0, 20, 20))
    exif[0x0112] = 6      # to be turned by a quarter, clockwise: the left half comes on top
    photo.save(tmp_path / 'photo.png', exif=exif)
    Image.new('L', (20, 40) if upright else (40, 20)).save(tmp_path / 'label.png')
    features = measure.Features.__new__(measure.Features)
    features.size, features.window = (40, 40), False
    rgb = features._read(str(tmp_path / 'photo.png'), str(tmp_path / 'label.png'))
    assert (rgb[2, 37] > 200).all() == upright and (rgb[2, 2] > 200).all() and (rgb[37, 2] > 200).all() != upright
