"""One's own photos and label maps: colours become ids, instances are found or copied, a part is set aside."""
import functools
import os

import numpy as np

from dataset.classes import UNLABELLED, read_table
from dataset.files import ENDINGS, DataError, load_instance, load_photo
from dataset.prepare.archive import Member, read
from dataset.prepare.samples import Job, label_bytes, paired, photo_and_sizes, png
from model.errors import InputError


def jobs(arguments):
    """(jobs, []): photos and label maps paired by name; a fraction arguments.val of them, drawn by arguments.seed, is for val."""
    if not 0 <= arguments.val < 1:
        raise InputError(f'--val {arguments.val}: allowed: 0 to less than 1, the fraction of the samples for validation')
    photos, labels = _by_stem(arguments.images, '--images'), _by_stem(arguments.labels, '--labels')
    given = arguments.instances not in ('none', 'components')
    rows = paired(photos, labels, _by_stem(arguments.instances, '--instances') if given else None)
    order = np.random.default_rng(arguments.seed).permutation(len(rows))
    val = set(order[:round(len(rows) * arguments.val)].tolist())
    return sorted(Job('val' if index in val else 'train', *row) for index, row in enumerate(rows)), []


def _by_stem(folder, option):
    try:
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith(ENDINGS) and not name.startswith('.'))
    except OSError as error:
        raise InputError(f'{option} {folder}: cannot list the folder: {error.strerror}') from None
    if not names:
        raise InputError(f'{option} {folder}: no images in it, expected files that end in {" ".join(ENDINGS)}')
    found = {}
    for name in names:
        stem = os.path.splitext(name)[0]
        if stem in found:
            raise InputError(f'{option} {folder}: {found[stem].name} and {name} have the same name but for the ending: remove one')
        found[stem] = Member(folder, name)
    return found


def table_of(path):
    """list of dataset.classes.Class from the file of --colours; InputError."""
    try:
        return read_table(path)
    except OSError as error:
        raise InputError(f'--colours {path}: cannot read it: {error.strerror}') from None
    except ValueError as error:
        raise InputError(f'--colours {path}: {" ".join(str(error).split())}') from None


def maker(arguments):
    """What dataset.samples.prepare calls for each sample."""
    table = table_of(arguments.colours) if arguments.colours else None
    return functools.partial(_make, table=table, instances=arguments.instances, link=arguments.link)


def _make(job, table, instances, link):
    label_file = label_bytes(job)
    label = ids_of_colours(label_file, table) if table else load_instance(label_file)
    if label.min(initial=0) < 0 or label.max(initial=0) > 65535:
        raise DataError(f'{label_file}: label values {label.min()} .. {label.max()}, allowed: 0 .. 65535: left out', 'label value')
    known = label[label != UNLABELLED]
    facts = {'highest': int(known.max(initial=0)), 'unlabelled': bool(known.size < label.size)}
    maps, files = [], {}
    if instances == 'components':
        files['inst'] = '.png', png(components(label))
    elif instances != 'none':
        if job.instance is None:
            raise DataError(f'{label_file}: no instance map of that name in {instances}: left out', 'unpaired files')
        instance_file = read(job.instance)
        instance = load_instance(instance_file)
        maps = [(str(instance_file), instance)]
        ending = os.path.splitext(job.instance.name)[1]
        files['inst'] = ending, job.instance if link else instance_file.getvalue()
    photo, facts['grey'] = photo_and_sizes(job, label, *maps)
    files['img'] = os.path.splitext(job.photo.name)[1], job.photo if link else photo.getvalue()
    files['label'] = '.png', png(label)
    return files, facts


def ids_of_colours(file, table):
    """int32 (H, W) ids of a colour-coded picture; DataError naming the colours that are not in `table` and the nearest known."""
    pixels = np.asarray(load_photo(file), np.int64)
    packed = pixels @ (1 << 16, 1 << 8, 1)
    found, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    ids = {entry.colour: entry.id for entry in table}
    colours = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in found]
    unknown = sorted(((int(count), colour) for count, colour in zip(counts, colours) if colour not in ids), reverse=True)
    if unknown:
        known = np.array([entry.colour for entry in table])
        named = []
        for count, colour in unknown[:3]:
            nearest = table[int(((known - colour) ** 2).sum(1).argmin())]
            named.append(f'{colour} in {count} pixels (nearest known: {nearest.colour}, id {nearest.id}, {nearest.name})')
        more = f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''
        raise DataError(f'{file}: {len(unknown)} unknown colours: {", ".join(named)}{more}: add them to the table of --colours, or '
                        'mend the picture; smoothed borders are no labels', 'unknown colour')
    return np.array([ids[colour] for colour in colours], np.int32)[inverse.reshape(packed.shape)]


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
