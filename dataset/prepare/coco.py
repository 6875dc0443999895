"""COCO-Stuff from its four archives: unaltered photos and label maps, and instance maps made from the annotations."""
import functools
import os

import numpy as np

from dataset.files import load_label
from dataset.picture_file import DataError
from dataset.prepare.archive import Member, files_by_stem, source
from dataset.prepare.coco_annotations import annotations_by_stem, parsed
from dataset.prepare.coco_masks import official_polygon, parts, polygons
from dataset.prepare.job import jobs_of, label_bytes, photo_and_facts, png
from model.init import DONTCARE, OPT
from runtime.errors import InputError

STUFFTHINGMAPS = 'stuffthingmaps_trainval2017'


def jobs(arguments):
    """(jobs, names of unsafe members) of arguments.archives; --link needs unpacked photos."""
    directory, found, unsafe = arguments.archives, [], set()
    annotations = source(directory, 'annotations_trainval2017.zip', 'annotations')
    maps = source(directory, STUFFTHINGMAPS + '.zip', STUFFTHINGMAPS, inside=STUFFTHINGMAPS)
    for split in ('train', 'val'):
        photos = source(directory, f'{split}2017.zip', f'{split}2017', arguments.link)
        photo_of = files_by_stem(photos, f'{split}2017/', '.jpg', unsafe)
        label_of = files_by_stem(maps, f'{split}2017/', '.png', unsafe)
        if not photo_of or not label_of:
            raise InputError(f'{maps if photo_of else photos}: no files {split}2017/*.{"png" if photo_of else "jpg"} '
                             'in it: download it again')
        objects = annotations_by_stem(Member(annotations, f'annotations/instances_{split}2017.json'))
        found += jobs_of(split, photo_of, label_of, details=objects)
    return found, sorted(unsafe)


def maker(arguments):
    """`make` of dataset.prepare.samples.prepare."""
    return functools.partial(_make, official=arguments.official_ids, link=arguments.link)


def _make(job, official, link):
    opt, label_file = OPT.preset('coco_stuff_paper'), label_bytes(job)
    label = load_label(label_file, opt)
    label[label == opt.label_nc] = DONTCARE  # as in the file
    photo, facts = photo_and_facts(job, label, link=link)
    try:
        instance = (official_instances if official else instances)(label, list(map(parsed, job.details)))
    except DataError as error:
        raise DataError(f'{job.photo.name}: {error}: left out', error.kind) from None
    linked = link and os.path.isdir(job.label.archive)
    return {'img': photo, 'label': ('.png', job.label if linked else label_file.getvalue()),
            'inst': ('.png', png(instance))}, facts


def instances(label, annotations):
    """Integers (H, W): each object's number differs from all classes of the label map (H, W) and all other objects.

    Pixels without an object have the id of their class. Crowds are painted first, then large objects before small ones,
    so that small ones in front are visible. Objects get the lowest free numbers, above 255 only if no lower one is
    free.
    """
    height, width = label.shape
    order = sorted(range(len(annotations)), key=lambda index: (not annotations[index][2], -annotations[index][1]))
    used = set(np.unique(label).tolist()) | {DONTCARE}
    free = (number for number in range(len(annotations) + len(used)) if number not in used)
    numbers = dict(zip(range(len(annotations)), free))
    result = label.astype(np.int32)
    for index in order:
        for box, inside in parts(annotations[index][0], height, width):
            result[box][inside] = numbers[index]
    return result


def official_instances(label, annotations):
    """uint8 (H, W) as NVlabs/SPADE's coco_generate_instance_map.py paints it: objects 0, 1, 2, ... over the classes.

    Objects are in the order of the file; run lengths are skipped without a number. An object may have the number of a
    neighbouring class.
    """
    result, count = label.astype(np.uint8), 0
    for segmentation, _, _ in annotations:
        if isinstance(segmentation, dict):
            continue
        for corners in polygons(segmentation):
            box, inside = official_polygon(corners, *label.shape)
            result[box][inside] = count % 256  # numpy of that time reduced 8-bit numbers modulo 256
        count += 1
    return result
