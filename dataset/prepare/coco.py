"""COCO-Stuff from its four archives: photos and label maps as they are, instance maps from the annotations."""
import functools
import os

import numpy as np

from dataset.files import DataError, load_label
from dataset.prepare.archive import Member, members, source
from dataset.prepare.coco_annotations import annotations_by_stem, parsed
from dataset.prepare.coco_masks import official_polygon, parts, polygons
from dataset.prepare.samples import Job, label_bytes, paired, photo_and_facts, png
from model.init import DONTCARE, OPT
from runtime.errors import InputError

STUFFTHINGMAPS = 'stuffthingmaps_trainval2017'


def jobs(arguments):
    """(jobs, names left aside) of arguments.archives; --link needs the photos unpacked."""
    directory, found, hostile = arguments.archives, [], []
    annotations = source(directory, 'annotations_trainval2017.zip', 'annotations')
    label_source = source(directory, STUFFTHINGMAPS + '.zip', STUFFTHINGMAPS, inside=STUFFTHINGMAPS)
    for split in ('train', 'val'):
        photo_source = source(directory, f'{split}2017.zip', f'{split}2017', arguments.link)
        photos, unsafe_photos = _by_stem(photo_source, f'{split}2017/', '.jpg')
        labels, unsafe_labels = _by_stem(label_source, f'{split}2017/', '.png')
        if not photos or not labels:
            empty = label_source if photos else photo_source
            raise InputError(f'{empty}: no files {split}2017/*.{"png" if photos else "jpg"} in it: download it again')
        objects = annotations_by_stem(Member(annotations, f'annotations/instances_{split}2017.json'))
        found += [Job(split, stem, photo, label, None, objects.get(stem, ()))
                  for stem, photo, label, _ in paired(photos, labels)]
        hostile += unsafe_photos + unsafe_labels
    return found, sorted(set(hostile))


def _by_stem(archive, prefix, ending):
    names, hostile = members(archive, prefix)
    return {os.path.splitext(os.path.basename(name))[0]: Member(archive, name) for name in names
            if name.lower().endswith(ending) and name.count('/') == prefix.count('/')}, hostile


def maker(arguments):
    """What dataset.prepare.samples.prepare calls for each sample."""
    return functools.partial(_make, official=arguments.official_ids, link=arguments.link)


def _make(job, official, link):
    label_file = label_bytes(job)
    label = load_label(label_file, OPT.preset('coco_stuff_paper'))
    label[label == OPT.preset('coco_stuff_paper').label_nc] = DONTCARE  # as stored
    photo, facts = photo_and_facts(job, label, link=link)
    try:
        instance = (official_instances if official else instances)(label, list(map(parsed, job.details)))
    except DataError as error:
        raise DataError(f'{job.photo.name}: {error}: left out', error.kind) from None
    linked = link and os.path.isdir(job.label.archive)
    return {'img': photo, 'label': ('.png', job.label if linked else label_file.getvalue()),
            'inst': ('.png', png(instance))}, facts


def instances(label, annotations):
    """Integers (H, W): every object has a number that no class of the picture's label map (H, W) and no other object
    has.

    Where no object is, a pixel keeps its class. Crowds are painted first and large objects before small ones, so that
    the number of a small object in front is seen. Numbers are the lowest free ones, and pass 255 only if those run out.
    """
    height, width = label.shape
    order = sorted(range(len(annotations)), key=lambda index: (not annotations[index][2], -annotations[index][1]))
    taken = set(np.unique(label).tolist()) | {DONTCARE}
    free = (number for number in range(len(annotations) + len(taken)) if number not in taken)
    numbers = dict(zip(range(len(annotations)), free))
    result = label.astype(np.int32)
    for index in order:
        for box, inside in parts(annotations[index][0], height, width):
            result[box][inside] = numbers[index]
    return result


def official_instances(label, annotations):
    """uint8 (H, W) as NVlabs/SPADE's coco_generate_instance_map.py paints it: objects 0, 1, 2, ... over the classes.

    In the order of the file; regions given as run lengths are passed over and not counted. An object may have the
    number of a class beside it.
    """
    result, count = label.astype(np.uint8), 0
    for segmentation, _, _ in annotations:
        if isinstance(segmentation, dict):
            continue
        for corners in polygons(segmentation):
            box, inside = official_polygon(corners, *label.shape)
            result[box][inside] = count % 256  # numpy of that time wrapped 8-bit numbers
        count += 1
    return result
