"""What FID compares with: mean and covariance of the Inception features of photos, made once and kept, or read from a file."""
import json
import os
import zipfile

import numpy

from result.measure import digest
from result.scores import Moments
from runtime.errors import InputError
from runtime.writing import writing

TOGETHER = 64  # features that are taken into the moments together


def moments(features, paths, title):
    """scores.Moments of the pictures in the files `paths`; features: a result.measure.Features."""
    result, rows = Moments(features.kind.features), []
    for row in features.of(paths, title):
        rows.append(row)
        if len(rows) == TOGETHER:
            result.add(rows)
            rows = []
    if rows:
        result.add(rows)
    return result


def of_photos(features, photos, split, dataset, folder):
    """Statistics (as `read` gives them) of the files `photos` of a split, from folder/statistics, where they are kept."""
    if len(photos) < 2:
        raise InputError(f'{os.path.dirname(photos[0])}: FID needs two photos at least, found {len(photos)}: leave FID out with '
                         '--no_fid')
    # A photo's size stands for its bytes: reading 118287 photos to see that they are the same would take longer than it saves.
    key = digest(json.dumps([[os.path.basename(path), os.path.getsize(path)] for path in photos]).encode())
    size = f'{features.size[0]}x{features.size[1]}'
    path = os.path.join(folder, 'statistics', f'{dataset}_{split}_{size}_{features.checksum[:8]}_{key[:8]}.npz')
    if not os.path.exists(path):
        found = moments(features, photos, f'photos ({split})')
        what = f'{len(photos)} photos of {split}_img at {size} (bicubic), photos {key[:16]}'
        with writing(path, alone=False) as unfinished:
            numpy.savez(unfinished, mu=found.mean, sigma=found.covariance, what=what)
    return read(path, features.kind.features)


def read(path, features):
    """dict: 'mu' (features), 'sigma' (features, features), float64, and 'what' in words, of an .npz file, ours or pytorch-fid's."""
    try:
        with numpy.load(path, allow_pickle=False) as file:
            mu, sigma = file['mu'].astype(numpy.float64), file['sigma'].astype(numpy.float64)
            what = str(file['what']) if 'what' in file else f'{os.path.basename(path)}, SHA-256 of mu {digest(mu.tobytes())[:16]}'
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:   # TypeError: .npy
        raise InputError(f'{path}: no reference statistics: {error}; --statistics takes val, train or an .npz file of mu and '
                         'sigma') from None
    if mu.shape != (features,) or sigma.shape != (features, features):
        raise InputError(f'{path}: mu has shape {mu.shape} and sigma {sigma.shape}, expected ({features},) and '
                         f'({features}, {features})')
    return {'mu': mu, 'sigma': sigma, 'what': what}
