"""Pictures to score, matched to the label maps of a validation set by name."""
import os
from collections import namedtuple

from dataset.contents import labels_identity
from dataset.photo import load_photo
from dataset.picture_file import ENDINGS, DataError
from output import painted
from runtime.bar import bar
from runtime.errors import InputError
from runtime.writing import painter_of

LISTED = 5  # names that an error lists

Picture = namedtuple('Picture', 'stem path label photo')   # photo: the real one, None where nothing needs it


def images(folder):
    """dict: stem -> path of the images in `folder`; of one picture in two encodings the lossless PNG."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
    except OSError as error:
        raise InputError(f'{folder}: cannot list the pictures: {error.strerror}; name their folder with --pictures') \
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


def refuse_extra(folder, samples):
    """InputError if `folder` already holds pictures of other names, which would be refused after hours of painting."""
    files = images(folder) if os.path.isdir(folder) else {}
    extra = sorted(set(files) - {sample.stem for sample in samples})
    if extra:
        raise InputError(f'{folder}: holds {len(extra)} pictures without a label map of their name, the first '
                         f'{os.path.basename(files[extra[0]])}: name another --results, or remove them')


def matched(folder, samples, size, allow_missing):
    """[Picture] of `folder` that can be scored.

    samples: list of dataset.files.Sample; size: (width, height) that every picture must have. InputError unless all are
    there and readable; with allow_missing some suffice, and a line says what is left out. Each is decoded here too, to
    find damage before hours of measuring.
    """
    files = images(folder)
    stems = [sample.stem for sample in samples]
    problems = [(f'{stem}: missing', 'missing') for stem in stems if stem not in files]
    extra = sorted(set(files) - set(stems))
    problems += [(f'{os.path.basename(files[stem])}: no label map of this name', 'extra') for stem in extra]
    found = []
    with bar(len(samples), 'reading') as progress:
        for sample in samples:
            progress.update()
            if sample.stem not in files:
                continue
            path = files[sample.stem]
            try:
                found_size = load_photo(path, size).size
            except DataError:
                problems.append((f'{os.path.basename(path)}: unreadable', 'unreadable'))
                continue
            if found_size != size:
                found_size = f'{found_size[0]}x{found_size[1]}'
                raise InputError(f'{path}: {found_size} pixels, but pictures of this data set have '
                                 f'{size[0]}x{size[1]}: paint at that size, or say --size {found_size}')
            found.append(Picture(sample.stem, path, sample.label, sample.photo))
    if problems:
        kinds = [kind for _, kind in problems]
        counted = ', '.join(f'{kinds.count(kind)} {kind}' for kind in dict.fromkeys(kinds))
        listed = '; '.join(text for text, _ in problems[:LISTED]) + ('; ...' if len(problems) > LISTED else '')
        if not allow_missing or not found:
            remedy = 'complete the folder, or score what is there with --allow-missing'
            raise InputError(f'{folder} and {os.path.dirname(samples[0].label)} do not match: {counted} ({listed}): '
                             f'{remedy if found else "name the right folder"}')
        print(f'{folder}: left out: {counted} ({listed})')
    record = painted.read(folder) or {}
    _refuse_mixture(folder, [picture.path for picture in found], record.get('painter'))
    if not problems and 'labels' in record and record['labels'] != labels_identity(samples):
        raise InputError(f'{folder}: was painted from other label maps than {os.path.dirname(samples[0].label)} holds '
                         f'now ({painted.RECORD}): paint the set again')
    return found


def _refuse_mixture(folder, paths, named):
    """InputError if the pictures `paths` of `folder` are of two models, or not of the one `named` in its record."""
    one_of = {painter_of(path): path for path in reversed(paths)}   # None: by another program
    if len(one_of) > 1:
        first, other, *_ = sorted(map(os.path.basename, one_of.values()))
        raise InputError(f'{folder}: mixes pictures of {len(one_of)} models, such as {first} and {other}: their scores '
                         'would be of neither; paint the whole set into one folder, or name another')
    if named and named not in one_of:
        raise InputError(f'{next(iter(one_of.values()))}: was not painted by the model that {painted.RECORD} beside it '
                         f'names: paint the set again, or, if the pictures belong together, remove {painted.RECORD}')
