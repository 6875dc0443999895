"""What annotation files of one's own share: photos found by the names in them, and the set that is made."""
import functools
import os
import posixpath
from collections import defaultdict

import numpy as np

from dataset import classes
from dataset.files import letters
from dataset.palette import UNLABELLED
from dataset.photo import load_photo
from dataset.picture_file import DataError, check_size
from dataset.prepare.archive import Member, read
from dataset.prepare.job import checked_photo
from dataset.prepare.own import completed, made
from dataset.prepare.own_sample import Whole
from dataset.prepare.pairs import below, distinct, row_of
from dataset.prepare.sources import Sources
from runtime.errors import InputError


def sources(arguments, annotations_of):
    """Sources of the annotations and the photos that they name, below the same folder without --images.

    annotations_of(option, path) -> [(places of the photo, the likeliest first, with or without ending, Member of its
    annotations, details: its name, width and height or None, and what `draw` needs)].
    """
    for prefix in '', 'val_':
        place = getattr(arguments, f'{prefix}annotations')
        if place and not getattr(arguments, f'{prefix}images'):
            setattr(arguments, f'{prefix}images', place if os.path.isdir(place) else os.path.dirname(place) or '.')
    return Sources(arguments, ['annotations', 'images'], functools.partial(_rows, annotations_of))


def _rows(annotations_of, folders):
    """(Rows, no guesses) of dict: option -> path; InputError if a photo is annotated twice."""
    (option, place), (photo_option, folder) = folders.items()
    annotations, rows, photos = annotations_of(option, place), {}, defaultdict(list)
    members = [Member(folder, name) for name in below(folder, photo_option)]
    for member in members:
        path = letters(member.name)
        for name in path, posixpath.splitext(path)[0], f'/{posixpath.basename(path)}':     # the last: anywhere
            photos[name].append(member)
    for places, label, details in annotations:
        places = [letters(place.replace('\\', '/')) for place in places]
        names = [*map(posixpath.normpath, places), f'/{posixpath.basename(places[0])}']
        photo = next((photos[name][0] for name in names if len(photos[name]) == 1), None)
        if photo and photo in rows:
            raise InputError(f'{option}: {photo.name} is annotated twice, the second time in {label.name}: remove one')
        row = row_of(photo or Member(folder, details[0]), label, details=details)
        rows[photo or (details[0], label)] = row._replace(photo=photo)
    return distinct([*rows.values(), *(row_of(photo, None) for photo in members if photo not in rows)]), []


def make(arguments, found, names, draw, things=None):
    """Make the data set of the Sources `found`; return whether its check found problems.

    names: of the classes, by id; draw(job, (width, height)) -> (integers (H, W): numbers of objects, 0 outside; the
    class id of each); things: ids of countable classes.
    """
    if arguments.background and arguments.background not in names:
        names = [*names, arguments.background]
    if len(names) > UNLABELLED:
        raise InputError(f'--annotations {arguments.annotations}: {len(names)} classes, allowed: {UNLABELLED}')
    content = classes.content(names, things)
    classes.check(content, f'--annotations {arguments.annotations}')
    background = names.index(arguments.background) if arguments.background else UNLABELLED
    outcome = made(arguments, found, {'instances': True, 'names': names, 'background': background},
                   functools.partial(_whole, draw, background))
    return completed(arguments, found, outcome, content, len(names), True)


def _whole(draw, background, job):
    if job.label is None:
        raise DataError(f'{job.photo.archive}: {job.photo.name}: no annotations of that photo', 'unpaired files')
    name, width, height, *_ = job.details
    if job.photo is None:
        raise DataError(f'{job.label.name}: its photo {name} is missing: left out; name its folder with --images',
                        'unpaired files')
    size = (width, height) if width and height else load_photo(read(job.photo)).size
    check_size(job.label.name, *size)
    objects, of_object = draw(job, size)
    label = np.array([background, *of_object], np.int32)[objects]
    content, photo = checked_photo(job, label)
    return Whole(label, objects, photo, [], content, None)
