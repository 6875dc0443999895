"""The reference of FID: mean and covariance of the features of photos, computed once or read from a file."""
import hashlib
import io
import os
import zipfile
import zlib

import numpy as np

from result.cache import file_digest
from result.scores import Moments
from runtime.errors import InputError
from runtime.writing import writing

BATCH = 64         # features added to the moments together
HEADER = 1 << 16   # bytes of an array's header and of a text, at most
DAMAGE = OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error


def moments(features, entries, title):
    """scores.Moments of the pictures of `entries`; arguments as for result.measure.Features.of."""
    result, rows = Moments(features.kind.features), []
    for row in features.of(entries, title):
        rows.append(row)
        if len(rows) == BATCH:
            result.add(rows)
            rows = []
    result.add(rows)
    if not np.isfinite(result.scatter).all():
        raise InputError(f'{os.path.join(features.folder, features.kind.file)}: gives features that are not finite: '
                         'the weights are damaged; convert them again')
    return result


def of_photos(features, samples, split, dataset):
    """Statistics (as of `read`) of the photos of a split's `samples`, stored in `statistics` beside the weights.

    The file is named by a digest of all samples and of the weights. A damaged file is replaced.
    """
    if len(samples) < 2:
        raise InputError(f'{os.path.dirname(samples[0].photo)}: FID needs at least two photos, found {len(samples)}: '
                         'skip FID with --no_fid')
    entries = [(sample.photo, sample.label) for sample in samples]
    contents = ' '.join([features.cache.what, *(file_digest(*entry) for entry in entries)])
    key = hashlib.sha256(contents.encode()).hexdigest()[:16]
    size = '{}x{}'.format(*features.size)
    path = os.path.join(features.folder, 'statistics', f'{dataset}_{split}_{size}_{key}.npz')
    try:
        return read(path, features.kind.features)
    except InputError:
        computed = moments(features, entries, f'photos ({split})')
    cut = 'middle windows' if features.window else 'bicubic'
    statistics = {'mu': computed.mean, 'sigma': computed.covariance,
                  'what': f'{len(entries)} photos of {split}_img at {size} ({cut}), photos {key}'}
    try:
        with writing(path, alone=False) as unfinished:
            np.savez(unfinished, **statistics)
    except InputError as error:   # a read-only data set or folder of weights
        print(f'{error}: the statistics of the photos are not stored; the next score will compute them again')
    return statistics


def read(path, features):
    """dict of an .npz file: 'mu' (features), 'sigma' (features, features), float64, and 'what', text.

    InputError for other content; no array larger than these is read.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            mu = _array(file, 'mu', (features,))
            sigma = _array(file, 'sigma', (features, features))
            what = str(_array(file, 'what', ())) if 'what.npy' in names else \
                f'{os.path.basename(path)}, SHA-256 of mu {hashlib.sha256(mu.tobytes()).hexdigest()[:16]}'
        scale = np.abs(sigma).max()
        if np.abs(sigma - sigma.T).max() > 1e-6 * scale or np.linalg.eigvalsh(sigma)[0] < -1e-6 * scale:
            raise ValueError('sigma is not a covariance: it is asymmetric, or has negative eigenvalues')
    except DAMAGE as error:
        raise InputError(f'{path}: not reference statistics: {" ".join(str(error).split())}; --statistics takes val, '
                         f'train or an .npz file of mu ({features}) and sigma ({features}, {features})') from None
    return {'mu': mu, 'sigma': sigma, 'what': what}


def _array(file, name, shape):
    """The array `name` of an open .npz: finite float64, or text if shape is (); ValueError for any other content."""
    size = HEADER + 16 * int(np.prod(shape))
    with file.open(f'{name}.npy') as member:
        content = member.read(size + 1)
    if len(content) > size:
        raise ValueError(f'{name}: larger than an array of shape {shape}')
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    if array.shape != shape:
        raise ValueError(f'{name} has shape {array.shape}, expected {shape}')
    if not shape:
        return array
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'{name}: found {array.dtype}, expected real numbers')
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f'{name} holds NaN or infinity')
    return array
