"""A resumed run compares the files with those at its start: changed ones are named, and a copy of the set is the same
set.
"""
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import contents
from dataset.files import find_samples
from model.init import OPT
from tests.runner import TINY, message, says


@pytest.fixture
def run(scripts, tmp_path):
    """(folder of a run that is half done, its set)."""
    shutil.copytree(scripts.data, tmp_path / 'set')
    scripts.trained(tmp_path, dataroot=tmp_path / 'set', niter=1)
    return tmp_path, tmp_path / 'set'


def test_photos_that_were_turned_are_named(scripts, run):
    """At 204147d: 'training is already complete', then trained on, without a word."""
    folder, root = run
    for path in sorted((root / 'train_img').iterdir()):
        Image.fromarray(np.asarray(Image.open(path))[::-1]).save(path)
    said = scripts.train_refusal(folder, dataroot=root, niter=2)
    count = len(list((root / 'train_img').iterdir()))
    assert says(said, folder / 'output/model', 'another data set', f'{count} changed: train_img/000.png', '--restart')


@pytest.mark.parametrize('part', ('train_inst', 'train_img', 'train_label'))
def test_one_file_of_the_same_size(scripts, run, part):
    folder, root = run
    path = root / part / '003.png'
    content = bytearray(path.read_bytes())
    content[-6] ^= 1    # of the last chunk's checksum, which Pillow passes over
    path.write_bytes(content)
    assert says(scripts.train_refusal(folder, dataroot=root, niter=2), 'another data set')
    if part != 'train_label':
        assert says(scripts.train_refusal(folder, dataroot=root, niter=2), f'1 changed: {part}/003.png')


def test_a_copy_resumes(scripts, run):
    """Other dates and another place: contents are compared once; the next start has recorded the new dates."""
    folder, root = run
    shutil.copytree(root, folder / 'copy', copy_function=shutil.copyfile)
    said = scripts.trained(folder, dataroot=folder / 'copy', niter=2)
    assert 'resumed from' in said
    progress = json.loads((folder / 'output/model/progress.json').read_text())
    files = contents.Contents.of_samples(find_samples(OPT(dataroot=str(folder / 'copy'), label_nc=TINY['label_nc']),
                                                      'train'), str(folder / 'copy'))
    assert progress['files'] == files.summary


def test_a_checkpoint_without_records_resumes_and_gets_them(scripts, run):
    """Written as by 204147d: names and 16 label maps are compared, as in that version."""
    folder, root = run
    path = folder / 'output/model/progress.json'
    progress = json.loads(path.read_text())
    before = progress.pop('files')
    path.write_text(json.dumps(progress))
    (folder / 'output/checkpoints/contents.json').unlink()
    assert 'resumed from' in scripts.trained(folder, dataroot=root, niter=2)
    assert json.loads(path.read_text())['files'] == before and (folder / 'output/checkpoints/contents.json').exists()


def test_digests_come_from_the_set_if_size_and_date_fit(scripts, tmp_path, monkeypatch):
    root = shutil.copytree(scripts.data, tmp_path / 'set')
    samples = find_samples(OPT(dataroot=str(root), label_nc=TINY['label_nc']), 'train')
    first = contents.Contents.of_samples(samples, str(root))
    first.write(str(root))
    (root / 'train_img/001.png').write_bytes((root / 'train_img/002.png').read_bytes())
    read, digest_of = [], contents.digest_of
    monkeypatch.setattr(contents, 'digest_of', lambda path: read.append(path) or digest_of(path))
    second = contents.Contents.of_samples(samples, str(root))
    assert second.summary['contents'] != first.summary['contents'] and read == [str(root / 'train_img/001.png')]
    assert second.changes(first.summary, str(root)) == '1 changed: train_img/001.png'


def test_a_foreign_contents_json_is_refused_and_unchanged(scripts, tmp_path):
    """In a set made by hand; 204147d had no such file, a later version replaced it."""
    root = shutil.copytree(scripts.data, tmp_path / 'set')
    (root / 'contents.json').write_text('{"mine": 1}')
    assert says(message(contents.keep, str(root)), root / 'contents.json', 'remove it')
    assert (root / 'contents.json').read_text() == '{"mine": 1}'
