"""Matches the pictures of a folder to the label maps of a validation set by name."""
import os
from collections import namedtuple

from dataset.contents import labels_identity
from dataset.photo import load_photo
from dataset.picture_file import ENDINGS, DataError
from output import painted
from runtime.bar import counted
from runtime.errors import InputError, printable
from runtime.writing import painter_of

LISTED = 5  # names that an error lists

Picture = namedtuple('Picture', 'stem path label photo')   # photo: the real one; None if nothing needs it


def images(folder, option='--pictures'):
    """dict: stem -> path of the images in `folder`, of `option`; a PNG wins over a lossy file of the same stem."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
    except OSError as error:
        raise InputError(f'{folder}: cannot list the pictures: {error.strerror}; name their folder with {option}') \
            from None
    files = {}
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() not in ENDINGS:
            continue
        other = files.get(stem)
        if other and '.png' not in (ending.lower(), os.path.splitext(other)[1].lower()):
            raise InputError(f'{folder}: {os.path.basename(other)} and {name} have the same name but for the ending: '
                             'remove one')
        if not other or ending.lower() == '.png':
            files[stem] = os.path.join(folder, name)
    return files


def paired(folders):
    """dict: stem -> its path in each folder; folders: dict of option -> folder.

    InputError unless all hold the pictures of the first two; others may hold more.
    """
    files = [images(folder, option) for option, folder in folders.items()]
    stems = sorted({*files[0], *files[1]})
    for (option, folder), found in zip(folders.items(), files):
        missing = [stem for stem in stems if stem not in found]
        if missing or not found:
            raise InputError(f'{option} {folder}: {len(missing)} of {len(stems)} pictures are missing: '
                             f'{", ".join(missing[:LISTED]) or "it is empty"}; files pair by name without ending: '
                             'complete the folder, or name another')
    return {stem: [found[stem] for found in files] for stem in stems}


def refuse_extra(folder, samples):
    """InputError if `folder` has pictures of other names, which scoring would refuse after hours of painting."""
    files = images(folder) if os.path.isdir(folder) else {}
    extra = sorted(set(files) - {sample.stem for sample in samples})
    if extra:
        raise InputError(f'{folder}: has {len(extra)} pictures without a label map of their name, the first '
                         f'{os.path.basename(files[extra[0]])}: name another --results, or remove them')


def matched(folder, samples, size, allow_missing):
    """[Picture] of `folder` that can be scored.

    samples: list of dataset.files.Sample; size: (width, height) of every picture. InputError if a picture is missing,
    extra or unreadable; with allow_missing a line lists these. Every picture is decoded, so that damage shows before
    hours of measuring.
    """
    files = images(folder)
    stems = [sample.stem for sample in samples]
    problems = [(f'{stem}: missing', 'missing') for stem in stems if stem not in files]
    problems += [(f'{os.path.basename(files[stem])}: no label map of this name', 'extra')
                 for stem in sorted(set(files) - set(stems))]
    pictures = []
    present = [sample for sample in samples if sample.stem in files]
    for sample in counted(present, len(present), 'reading'):
        path = files[sample.stem]
        try:
            actual = load_photo(path, size).size
        except DataError:
            problems.append((f'{os.path.basename(path)}: unreadable', 'unreadable'))
            continue
        if actual != size:
            actual = '{}x{}'.format(*actual)
            raise InputError(f'{path}: {actual} pixels, but pictures of this data set have {size[0]}x{size[1]}: paint '
                             f'at that size, or add --size {actual}')
        pictures.append(Picture(sample.stem, path, sample.label, sample.photo))
    labels = os.path.dirname(samples[0].label)
    if problems:
        kinds = [kind for _, kind in problems]
        summary = ', '.join(f'{kinds.count(kind)} {kind}' for kind in dict.fromkeys(kinds)) + \
            f' ({"; ".join(text for text, _ in problems[:LISTED])}{"; ..." if len(problems) > LISTED else ""})'
        if not allow_missing or not pictures:
            remedy = 'complete the folder, or score the rest with --allow-missing' if pictures else \
                'name the right folder'
            raise InputError(f'{folder} and {labels} do not match: {summary}: {remedy}')
        print(printable(f'{folder}: skipped: {summary}'))
    record = painted.read(folder) or {}
    _refuse_mixture(folder, [picture.path for picture in pictures], record.get('painter'))
    if not problems and 'labels' in record and record['labels'] != labels_identity(samples):
        raise InputError(f'{labels} has changed since {folder} was painted ({painted.RECORD}): paint the set again')
    return pictures


def _refuse_mixture(folder, paths, named):
    """InputError if the pictures `paths` are of several models, or not of `named`, the painter in their record."""
    one_of = {painter_of(path): path for path in reversed(paths)}   # None: another program
    if len(one_of) > 1:
        first, other, *_ = sorted(map(os.path.basename, one_of.values()))
        raise InputError(f'{folder}: mixes pictures of {len(one_of)} models, such as {first} and {other}: paint the '
                         'whole set into one folder, or name another folder')
    if named and named not in one_of:
        raise InputError(f'{next(iter(one_of.values()))}: not painted by the model in {painted.RECORD}: '
                         f'paint the set again; if the pictures belong together, remove {painted.RECORD}')
