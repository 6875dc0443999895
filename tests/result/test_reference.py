"""The reference of FID: statistics stored by content, and users' .npz files."""
import io
import os
import shutil
import struct
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.files import Sample
from result import reference
from result.cache import Cache
from runtime.errors import InputError
from tests.runner import says

pytestmark = pytest.mark.without_paddle

FEATURES = 3


@pytest.fixture
def features(tmp_path):
    """Stands for measure.Features: a picture's mean colour; calls counts the pictures that were looked at."""
    def of(entries, title):
        for path, _ in entries:
            found.calls += 1
            yield np.asarray(Image.open(path).convert('RGB'), np.float64).mean((0, 1))
    found = SimpleNamespace(kind=SimpleNamespace(features=FEATURES, file='network.pdparams'), size=(4, 4), window=False,
                            of=of, calls=0, folder=str(tmp_path / 'weights'),
                            cache=Cache(str(tmp_path / 'cache'), {'features': 1}))
    return found


def photos(folder, seed):
    """Four BMP files: all sets of them have the same names and sizes."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for name in 'abcd':
        Image.fromarray(draw.integers(0, 256, (4, 4, 3), np.uint8)).save(folder / f'{name}.bmp')
    Image.new('L', (4, 4)).save(folder / 'label.png')
    return [Sample(name, str(folder / 'label.png'), None, str(folder / f'{name}.bmp')) for name in 'abcd']


def test_photos_of_the_same_names_and_sizes_have_their_own_statistics(features, tmp_path):
    one, other = photos(tmp_path / 'one', 0), photos(tmp_path / 'other', 1)
    assert [os.path.getsize(sample.photo) for sample in one] == [os.path.getsize(sample.photo) for sample in other]
    found = [reference.of_photos(features, samples, 'val', 'mine') for samples in (one, other)]
    assert not np.allclose(found[0]['mu'], found[1]['mu']) and found[0]['what'] != found[1]['what'] and \
        features.calls == 8
    shutil.copytree(tmp_path / 'one', tmp_path / 'copy')     # the same photos elsewhere, with other dates
    again = reference.of_photos(features, [Sample(*(path and path.replace('/one/', '/copy/') for path in sample))
                                           for sample in one],
                                'val', 'mine')
    assert np.array_equal(again['mu'], found[0]['mu']) and features.calls == 8
    features.cache.what = 'other weights'
    reference.of_photos(features, one, 'val', 'mine')
    assert features.calls == 12


def test_damaged_statistics_are_computed_again(features, tmp_path):
    samples = photos(tmp_path / 'one', 0)
    made = reference.of_photos(features, samples, 'val', 'mine')
    kept, = (tmp_path / 'weights/statistics').iterdir()
    kept.write_bytes(kept.read_bytes()[:200])
    assert np.array_equal(reference.of_photos(features, samples, 'val', 'mine')['sigma'], made['sigma'])
    assert np.array_equal(reference.read(kept, FEATURES)['sigma'], made['sigma']) and features.calls == 8


def test_statistics_that_cannot_be_stored_are_reported(features, tmp_path, capsys):
    """Weights in a read-only data set: the score is still computed."""
    (tmp_path / 'weights').write_text('no folder')
    found = reference.of_photos(features, photos(tmp_path / 'one', 0), 'val', 'mine')
    assert found['mu'].shape == (FEATURES,) and says(capsys.readouterr().out, 'cannot be written', 'are not stored')


# ---- Files

MU, SIGMA = np.arange(FEATURES, dtype=np.float64), np.eye(FEATURES)


def npz(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('kind', [np.float32, np.float64, np.int64])
def test_files_of_others_are_read(tmp_path, compressed, kind):
    path = npz(tmp_path / 'theirs.npz', compressed, mu=MU.astype(kind), sigma=SIGMA.astype(kind))
    found = reference.read(path, FEATURES)
    assert found['mu'].dtype == found['sigma'].dtype == np.float64 and (found['mu'] == MU).all() and \
        'theirs.npz' in found['what']


def header(shape):
    """Bytes of a .npy file whose header promises float64 of `shape`, and that ends there."""
    text = repr({'descr': '<f8', 'fortran_order': False, 'shape': shape}).encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text


def zipped(path, members, **how):
    with zipfile.ZipFile(path, 'w', **how) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def bytes_of(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def encrypted(path):
    """A file whose members say that a password is needed."""
    content = bytearray(npz(path, mu=MU, sigma=SIGMA).read_bytes())
    for signature, offset in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
        start = -1
        while (start := content.find(signature, start + 1)) >= 0:
            content[start + offset] |= 1
    path.write_bytes(content)
    return path


BROKEN = {
    'nan': (lambda path: npz(path, mu=MU * np.nan, sigma=SIGMA), 'mu holds NaN'),
    'infinite': (lambda path: npz(path, mu=MU, sigma=np.full((3, 3), np.inf)), 'sigma holds NaN or infinity'),
    'shape': (lambda path: npz(path, mu=MU, sigma=np.eye(2)), 'sigma has shape (2, 2), expected (3, 3)'),
    'complex': (lambda path: npz(path, mu=MU * 1j, sigma=SIGMA), 'complex128, expected real numbers'),
    'text': (lambda path: npz(path, mu=np.array(['a', 'b', 'c']), sigma=SIGMA), 'expected real numbers'),
    'objects': (lambda path: npz(path, mu=np.array([1, None, 2], object), sigma=SIGMA), 'not reference statistics'),
    'asymmetric': (lambda path: npz(path, mu=MU, sigma=np.triu(np.ones((3, 3)))), 'not a covariance'),
    'negative': (lambda path: npz(path, mu=MU, sigma=-SIGMA), 'not a covariance'),
    'missing': (lambda path: npz(path, mu=MU), 'sigma'),
    'large': (lambda path: npz(path, True, mu=np.zeros(10 ** 7), sigma=SIGMA),
              'mu: larger than an array of shape (3,)'),
    'promised': (lambda path: zipped(path, {'mu.npy': header((10 ** 14,)), 'sigma.npy': bytes_of(SIGMA)}),
                 'not reference statistics'),
    'encrypted': (encrypted, 'not reference statistics'),
    'npy': (lambda path: path.write_bytes(bytes_of(MU)), 'not reference statistics'),
    'empty': (lambda path: path.write_bytes(b''), 'not reference statistics'),
    'text file': (lambda path: path.write_text('mu, sigma'), 'not reference statistics'),
    'not npy': (lambda path: zipped(path, {'mu.npy': b'no', 'sigma.npy': b'array'}), 'not reference statistics'),
    'folder': (lambda path: path.mkdir(), 'not reference statistics')}


@pytest.mark.parametrize('name', BROKEN)
def test_files_other_than_statistics_end_in_a_line(tmp_path, name):
    make, said = BROKEN[name]
    path = tmp_path / 'theirs.npz'
    make(path)
    with pytest.raises(InputError) as caught:
        reference.read(path, FEATURES)
    assert says(str(caught.value), path, said, '--statistics takes') and '\n' not in str(caught.value)


@settings(deadline=None)
@given(data=st.data(), compressed=st.booleans())
def test_any_damage_is_refused_or_harmless(tmp_path_factory, data, compressed):
    """Cut anywhere, or with bytes changed anywhere, a file is refused in a line, or gives finite numbers."""
    path = tmp_path_factory.mktemp('damaged') / 'theirs.npz'
    content = bytearray(npz(path, compressed, mu=MU, sigma=SIGMA).read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        found = reference.read(path, FEATURES)
        assert np.isfinite(found['mu']).all() and np.isfinite(found['sigma']).all()
    except InputError as error:
        assert '\n' not in str(error)
