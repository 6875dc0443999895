"""What FID compares with: mean and covariance of the features of photos, made once and kept, or read from a file."""
import hashlib
import io
import os
import zipfile
import zlib

import numpy

from result.measure import file_digest
from result.scores import Moments
from runtime.errors import InputError
from runtime.writing import writing

TOGETHER = 64      # features that are taken into the moments together
HEADER = 1 << 16   # bytes of an array's header and of a text, at most
DAMAGE = OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error


def moments(features, entries, title):
    """scores.Moments of the pictures of `entries`; both arguments as for result.measure.Features.of."""
    result, rows = Moments(features.kind.features), []
    for row in features.of(entries, title):
        rows.append(row)
        if len(rows) == TOGETHER:
            result.add(rows)
            rows = []
    if rows:
        result.add(rows)
    if not numpy.isfinite(result.scatter).all():
        raise InputError(f'{os.path.join(features.folder, features.kind.file)}: gives features that are not finite: '
                         'the weights are damaged; convert them again')
    return result


def of_photos(features, samples, split, dataset):
    """Statistics (as `read` gives them) of the photos of a split's `samples`, kept in `statistics` beside the weights.

    The file is named after the bytes of all samples and of the weights. What is kept and cannot be read is made again.
    """
    if len(samples) < 2:
        raise InputError(f'{os.path.dirname(samples[0].photo)}: FID needs two photos at least, found {len(samples)}: '
                         'leave FID out with --no_fid')
    entries = [(sample.photo, sample.label) for sample in samples]
    contents = ' '.join([features.cache.what, *(file_digest(*entry) for entry in entries)])
    key = hashlib.sha256(contents.encode()).hexdigest()[:16]
    size = f'{features.size[0]}x{features.size[1]}'
    path = os.path.join(features.folder, 'statistics', f'{dataset}_{split}_{size}_{key}.npz')
    try:
        return read(path, features.kind.features)
    except InputError:
        found = moments(features, entries, f'photos ({split})')
    known = {'mu': found.mean, 'sigma': found.covariance,
             'what': f'{len(entries)} photos of {split}_img at {size} (bicubic), photos {key}'}
    try:
        with writing(path, alone=False) as unfinished:
            numpy.savez(unfinished, **known)
    except InputError as error:   # a data set or weights that may not be written to
        print(f'{error}: the statistics of the photos are not kept and will be computed again')
    return known


def read(path, features):
    """dict: 'mu' (features), 'sigma' (features, features), float64, and 'what', text, of an .npz file.

    InputError for anything else; no array is read that is larger than these.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            mu = _array(file, 'mu', (features,))
            sigma = _array(file, 'sigma', (features, features))
            what = str(_array(file, 'what', ())) if 'what.npy' in names else \
                f'{os.path.basename(path)}, SHA-256 of mu {hashlib.sha256(mu.tobytes()).hexdigest()[:16]}'
        scale = numpy.abs(sigma).max()
        if numpy.abs(sigma - sigma.T).max() > 1e-6 * scale or numpy.linalg.eigvalsh(sigma)[0] < -1e-6 * scale:
            raise ValueError('sigma is no covariance: it is not symmetric, or has negative eigenvalues')
    except DAMAGE as error:
        raise InputError(f'{path}: no reference statistics: {" ".join(str(error).split())}; --statistics takes val, '
                         f'train or an .npz file of mu ({features}) and sigma ({features}, {features})') from None
    return {'mu': mu, 'sigma': sigma, 'what': what}


def _array(file, name, shape):
    """The array `name` of an open .npz: float64 and finite, but for the text of shape (); ValueError for another."""
    size = HEADER + 16 * int(numpy.prod(shape))
    with file.open(f'{name}.npy') as member:
        content = member.read(size + 1)
    if len(content) > size:
        raise ValueError(f'{name}: larger than an array of shape {shape}')
    array = numpy.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    if array.shape != shape:
        raise ValueError(f'{name} has shape {array.shape}, expected {shape}')
    if not shape:
        return array
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'{name}: found {array.dtype}, expected real numbers')
    array = array.astype(numpy.float64)
    if not numpy.isfinite(array).all():
        raise ValueError(f'{name} holds NaN or infinity')
    return array
