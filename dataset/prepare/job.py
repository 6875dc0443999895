"""One sample to prepare: the places of its files, and the steps common to all makers."""
import os
from collections import namedtuple

import numpy as np
from PIL import Image

from dataset.files import check_same_size
from dataset.photo import flaws, is_grey, read_photo
from dataset.picture_file import DataError, noted
from dataset.prepare.archive import NamedBytes, read

# photo, label, instance: dataset.prepare.archive.Member or None; details: further input of the maker, of any type;
# tile: (row, column) of the tile of the photograph that the sample is, else None
Job = namedtuple('Job', 'split stem photo label instance details tile', defaults=(None, (), None))


def jobs_of(split, photos, labels, instances=None, details=None):
    """list of Job, sorted, for all stems in the dicts stem -> Member; missing parts are None."""
    instances, details = instances or {}, details or {}
    return [Job(split, stem, photos.get(stem), labels.get(stem), instances.get(stem), details.get(stem, ()))
            for stem in sorted({*photos, *labels})]


def label_bytes(job):
    """NamedBytes of the label map; DataError without one."""
    if job.label is None:
        raise DataError(f'{job.photo.archive}: {job.photo.name}: no label map of that name', 'unpaired files')
    return read(job.label)


def photo_and_facts(job, label, *others, link=False):
    """((ending, bytes or Member) of the photo, facts for the record); arguments and errors as for checked_photo."""
    content, photo = checked_photo(job, label, *others)
    return photo_file(job, content, photo, link), facts_of(photo)


def checked_photo(job, label, *others, span=None):
    """(NamedBytes, dataset.photo.Photo) of the photo; DataError if broken or not of the maps' size.

    label: (H, W); others: (name, (H, W)) of more maps; span: as for read_photo.
    """
    if job.photo is None:
        raise DataError(f'{job.label.archive}: {job.label.name}: no photo of that name', 'unpaired files')
    content = read(job.photo)
    photo = read_photo(content, label.shape[::-1], span)
    sizes = {name: array.shape[::-1] for name, array in ((f'{job.label.archive}: {job.label.name}', label), *others)}
    check_same_size({**sizes, str(content): photo.image.size})
    return content, photo


def photo_file(job, content, photo, link):
    """(ending, bytes or Member) of a photo as it is in the file `content`; a PNG without one or if it is deep."""
    if content and not photo.deep:
        return os.path.splitext(job.photo.name)[1], job.photo if link else content.getvalue()
    target = NamedBytes(b'', 'png')
    (photo.image.getchannel(0) if photo.deep else photo.image).save(target, 'PNG')
    return '.png', target.getvalue()


def facts_of(photo):
    """Facts on a Photo for the record."""
    pixels = np.asarray(photo.image)
    return {'grey': is_grey(pixels), 'size': list(photo.image.size), 'notes': noted('photo', photo),
            'flaws': [('photo', flaw, 0) for flaw in flaws(pixels)]}


def png(ids):
    """bytes of a PNG of integer ids (H, W): 8-bit if they fit, else 16-bit; DataError beyond that."""
    highest = int(ids.max(initial=0))
    if highest > 65535:
        raise DataError(f'{highest} instances in one picture, allowed: 65535', 'too many instances')
    target = NamedBytes(b'', 'png')
    Image.fromarray(ids.astype(np.uint8 if highest <= 255 else np.uint16)).save(target, 'PNG')
    return target.getvalue()
