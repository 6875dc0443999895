"""One's own photos and label maps: colours become ids, instances are found or copied, a part is set aside."""
import filecmp
import functools
import os

import numpy as np
from PIL import Image

from dataset.files import DataError, by_stem, load_ids, load_instance, load_photo
from dataset.palette import UNLABELLED, of_colours, read_table
from dataset.prepare.archive import Member, read
from dataset.prepare.samples import Job, label_bytes, paired, photo_and_sizes, png
from runtime.errors import InputError

SHAPES_DIFFER = 0.02   # part by which width / height of map and photo may differ with --fit photo: rounding, no more


def jobs(arguments):
    """(jobs, []): photos and label maps paired by name.

    For validation those of arguments.val_images, or else a fraction arguments.val of all, drawn by arguments.seed.
    """
    if not 0 <= arguments.val < 1:
        raise InputError(f'--val {arguments.val}: allowed: 0 to less than 1, the fraction of the samples for validation')
    rows = _rows(arguments, '')
    if _own_split(arguments):
        return sorted([Job('train', *row) for row in rows] + [Job('val', *row) for row in _rows(arguments, 'val_')]), []
    order = np.random.default_rng(arguments.seed).permutation(len(rows))
    val = set(order[:round(len(rows) * arguments.val)].tolist())
    return sorted(Job('val' if index in val else 'train', *row) for index, row in enumerate(rows)), []


def _own_split(arguments):
    """Whether the set comes with validation folders; InputError if one of them is missing."""
    given = arguments.instances not in ('none', 'components')
    wanted = ['val_images', 'val_labels'] + ['val_instances'] * given
    found = [name for name in ('val_images', 'val_labels', 'val_instances') if getattr(arguments, name)]
    if found and found != wanted:
        raise InputError(f'--{" and --".join(found)} given: a set with its own validation folders needs --{" and --".join(wanted)}')
    return bool(found)


def trained_on(arguments):
    """Validation photos of a set with its own split, as paths, that are training photos too, to the byte."""
    if not _own_split(arguments):
        return []
    photos = [[os.path.join(*photo) for _, photo, *_ in _rows(arguments, split) if photo] for split in ('', 'val_')]
    of_size = {}
    for path in photos[0]:
        of_size.setdefault(os.path.getsize(path), []).append(path)
    return [path for path in photos[1] if any(filecmp.cmp(path, other, shallow=False)
                                              for other in of_size.get(os.path.getsize(path), ()))]


def _rows(arguments, split):
    """Rows of `paired` from the folders that --images, --labels and --instances name, or with split 'val_' --val_images, ..."""
    given = arguments.instances not in ('none', 'components')
    parts = ['images', 'labels'] + ['instances'] * given
    folders = [(getattr(arguments, split + part), f'--{split}{part}') for part in parts]
    return paired(*({stem: Member(folder, os.path.basename(path)) for stem, path in by_stem(folder, option).items()}
                    for folder, option in folders))


def table_of(path):
    """list of dataset.palette.Class from the file of --colours; InputError."""
    try:
        return read_table(path)
    except OSError as error:
        raise InputError(f'--colours {path}: cannot read it: {error.strerror}') from None
    except ValueError as error:
        raise InputError(f'--colours {path}: {" ".join(str(error).split())}') from None


def names_of(path, void=()):
    """list of the class names in the file of --names, by id, without those of the last ids if these are void; InputError."""
    try:
        with open(path, encoding='utf-8') as file:
            found = [line.split('#')[0].strip() for line in file.read().splitlines() if not line.startswith('#')]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'--names {path}: cannot read it: {getattr(error, "strerror", None) or error}') from None
    while found and not found[-1]:
        found.pop()
    if not found or '' in found:
        raise InputError(f'--names {path}: line {found.index("") + 1 if found else 1} is empty, expected a name for each id, in '
                         'the order of the ids, one a line')
    while len(found) - 1 in void:
        found.pop()
    return found


def maker(arguments):
    """What dataset.prepare.samples.prepare calls for each sample."""
    table = table_of(arguments.colours) if arguments.colours else None
    classes = len(names_of(arguments.names, arguments.void)) if arguments.names else None
    return functools.partial(_make, table=table, instances=arguments.instances, link=arguments.link, void=arguments.void,
                             classes=classes, fit=arguments.fit)


def _make(job, table, instances, link, void=(), classes=None, fit='none'):
    label_file = label_bytes(job)
    label = ids_of_colours(label_file, table) if table else load_ids(label_file, 'label map')
    label = np.where(np.isin(label, void), UNLABELLED, label) if void else label
    if label.min(initial=0) < 0 or label.max(initial=0) > 65535:
        raise DataError(f'{label_file}: label values {label.min()} .. {label.max()}, allowed: 0 .. 65535: left out', 'label value')
    known = label[label != UNLABELLED]
    facts = {'highest': int(known.max(initial=0)), 'unlabelled': bool(known.size < label.size)}
    if classes is not None and facts['highest'] >= classes:
        raise DataError(f'{label_file}: label value {facts["highest"]}, but --names has {classes} names, for 0 .. '
                        f'{classes - 1}: left out; add its name, or its id to --void', 'label value')
    if fit == 'photo':
        label, facts['fitted'] = _fitted(label_file, label, job)
    maps, files = [], {}
    if instances == 'components':
        files['inst'] = '.png', png(components(label))
    elif instances != 'none':
        if job.instance is None:
            raise DataError(f'{label_file}: no instance map of that name in {instances}: left out', 'unpaired files')
        instance_file = read(job.instance)
        instance = load_instance(instance_file)
        if fit == 'photo':
            instance, changed = _fitted(instance_file, instance, job)
        maps = [(str(instance_file), instance)]
        ending = os.path.splitext(job.instance.name)[1]
        files['inst'] = ending, job.instance if link else instance_file.getvalue()
        if fit == 'photo' and changed:
            files['inst'] = '.png', png(instance)
    photo, facts['grey'] = photo_and_sizes(job, label, *maps)
    files['img'] = os.path.splitext(job.photo.name)[1], job.photo if link else photo.getvalue()
    files['label'] = '.png', png(label)
    return files, facts


def _fitted(file, ids, job):
    """(ids (H, W) at the size of the job's photo, by nearest pixel, whether that is another); DataError for another shape."""
    if job.photo is None:
        return ids, False   # which photo_and_sizes says
    width, height = load_photo(read(job.photo)).size
    if ids.shape == (height, width):
        return ids, False
    if abs(ids.shape[1] * height / (ids.shape[0] * width) - 1) > SHAPES_DIFFER:
        raise DataError(f'{file}: {ids.shape[1]} wide and {ids.shape[0]} high, its photo {width} and {height}: another shape, '
                        'which --fit photo would distort: left out; is it turned, or cut?', 'different sizes')
    return np.asarray(Image.fromarray(ids.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)), True


def ids_of_colours(file, table):
    """int32 (H, W) ids of a colour-coded picture; DataError naming the colours that are not in `table` and the nearest known."""
    label, unknown = of_colours(np.asarray(load_photo(file)), {entry.colour: entry.id for entry in table})
    if unknown:
        known = np.array([entry.colour for entry in table])
        named = []
        for count, colour in unknown[:3]:
            nearest = table[int(((known - colour) ** 2).sum(1).argmin())]
            named.append(f'{colour} in {count} pixels (nearest known: {nearest.colour}, id {nearest.id}, {nearest.name})')
        more = f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''
        raise DataError(f'{file}: {len(unknown)} unknown colours: {", ".join(named)}{more}: add them to the table of --colours, or '
                        'mend the picture; smoothed borders are no labels', 'unknown colour')
    return label


def components(label):
    """int64 (H, W): a number, from 1, for each 4-connected region of one class in `label` (H, W); unlabelled pixels are 0.

    Touching objects of one class stay one region: labels alone cannot tell them apart.
    """
    height, width = label.shape
    begins = np.ones((height, width), bool)
    begins[:, 1:] = label[:, 1:] != label[:, :-1]
    run = np.cumsum(begins).reshape(height, width) - 1  # horizontal runs of one class, numbered
    joined = label[1:] == label[:-1]
    upper, lower = np.unique(np.stack([run[:-1][joined], run[1:][joined]]), axis=1)
    root = np.arange(int(begins.sum()))
    while True:
        low = np.minimum(root[upper], root[lower])
        if (low == root[upper]).all() and (low == root[lower]).all():
            break
        for ends in (upper, lower):
            np.minimum.at(root, root[ends], low)
        while (root[root] != root).any():
            root = root[root]
    number = root[run]
    number = np.where(label == UNLABELLED, -1, number)
    ids, inverse = np.unique(number, return_inverse=True)
    return inverse.reshape(label.shape) + (ids[0] != -1)
