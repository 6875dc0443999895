"""One sample to prepare: where its files lie, and what every maker does with them."""
import os
from collections import namedtuple

import numpy as np
from PIL import Image

from dataset.files import check_same_size
from dataset.photo import flaws, is_grey, read_photo
from dataset.picture_file import DataError, noted
from dataset.prepare.archive import NamedBytes, read

# photo, label, instance: dataset.prepare.archive.Member or None; details: more for the maker, of any kind
Job = namedtuple('Job', 'split stem photo label instance details', defaults=(None, ()))


def jobs_of(split, photos, labels, instances=None, details=None):
    """list of Job, sorted, for all stems of dicts stem -> Member; parts without a partner are None."""
    instances, details = instances or {}, details or {}
    return [Job(split, stem, photos.get(stem), labels.get(stem), instances.get(stem), details.get(stem, ()))
            for stem in sorted({*photos, *labels})]


def label_bytes(job):
    """NamedBytes of the label map; DataError without one."""
    if job.label is None:
        raise DataError(f'{job.photo.archive}: {job.photo.name}: no label map of that name', 'unpaired files')
    return read(job.label)


def photo_and_facts(job, label, *others, span=None, link=False):
    """((ending, bytes or Member) of the photo, facts for the record); DataError if broken or not of the maps' size.

    label: (H, W); others: (name, (H, W)) of more maps. A deep photo becomes an 8-bit PNG by `span`
    (dataset.photo.Span).
    """
    if job.photo is None:
        raise DataError(f'{job.label.archive}: {job.label.name}: no photo of that name', 'unpaired files')
    content = read(job.photo)
    photo = read_photo(content, label.shape[::-1], span)
    sizes = {name: array.shape[::-1] for name, array in ((f'{job.label.archive}: {job.label.name}', label), *others)}
    check_same_size({**sizes, str(content): photo.image.size})
    pixels = np.asarray(photo.image)
    facts = {'grey': is_grey(pixels), 'size': list(photo.image.size), 'notes': noted('photo', photo),
             'flaws': [('photo', flaw, 0) for flaw in flaws(pixels)]}
    if photo.deep:
        return ('.png', png(pixels[..., 0])), facts
    return (os.path.splitext(job.photo.name)[1], job.photo if link else content.getvalue()), facts


def png(ids):
    """bytes of a PNG of integer ids (H, W): 8-bit if they fit, else 16-bit; DataError beyond that."""
    highest = int(ids.max(initial=0))
    if highest > 65535:
        raise DataError(f'{highest} instances in one picture, allowed: 65535', 'too many instances')
    target = NamedBytes(b'', 'png')
    Image.fromarray(ids.astype(np.uint8 if highest <= 255 else np.uint16)).save(target, 'PNG')
    return target.getvalue()
