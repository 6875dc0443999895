"""Annotations of one's own in COCO's formats, instances or panoptic: python -m dataset.prepare coco_json.

Ids are the places of the categories in the order of their numbers. Instances: regions are those of the COCO API; crowds
are painted first, then large objects before small ones; pixels outside are unlabelled, or --background NAME. Panoptic:
in a folder of the file's name, a PNG for each photo, whose colours are the numbers of its segments (red + 256 green +
65536 blue); each segment is an object of the instance map.
"""
import functools
import os
from collections import defaultdict

import numpy as np

from dataset.picture_file import DataError, decoded
from dataset.prepare import annotated
from dataset.prepare.archive import Member, read
from dataset.prepare.coco_masks import parts
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, listing, nullable, record, text, whole

LARGEST = 1 << 30   # bytes of a file
SIDE = nullable(whole(1))
SEGMENT = record(dict(id=whole(), category_id=whole()), others=anything)
FILE = record(
    dict(categories=listing(record(dict(id=whole(), name=text(100, 1)), others=anything)),
         images=listing(record(dict(id=whole(), file_name=text()), dict(width=SIDE, height=SIDE), anything)),
         annotations=listing(record(dict(image_id=whole()), dict(
             segmentation=lambda value, field: None, file_name=text(), segments_info=listing(SEGMENT)), anything))),
    others=anything)


def coco_json(arguments):
    """Make the data set that the flags describe; return whether its check found problems."""
    categories = {}
    sources = annotated.sources(arguments, functools.partial(_annotations, categories))
    ids = {index: place for place, index in enumerate(sorted(categories))}
    things = [place for index, place in ids.items() if categories[index].get('isthing') != 0]
    return annotated.make(arguments, sources, [categories[index]['name'] for index in ids],
                          functools.partial(_drawn, ids=ids), things if len(things) < len(ids) else None)


def _annotations(categories, option, path):
    """annotations_of annotated.sources; adds id -> category to `categories`."""
    try:
        content = json_file.read(path, FILE, f'correct {option}', LARGEST)
    except FileNotFoundError:
        raise InputError(f'{option} {path}: no such file, expected a JSON file in COCO\'s format') from None
    for entry in content['categories']:
        if categories.setdefault(entry['id'], entry)['name'] != entry['name']:
            raise InputError(f'{option} {path}: category {entry["id"]} has the names {entry["name"]} and '
                             f'{categories[entry["id"]]["name"]}: keep one')
    of_image, used = defaultdict(list), set()
    for entry in content['annotations']:
        of_image[entry['image_id']].append(entry)
        used.update(part.get('category_id') for part in entry.get('segments_info', [entry]))
    images = {entry['id'] for entry in content['images']}
    for kind, unknown in (('images', of_image.keys() - images), ('categories', used - categories.keys())):
        if unknown:
            raise InputError(f'{option} {path}: annotations name {min(unknown, key=str)}, which is not in {kind}: '
                             'correct it')
    panoptic = any('segments_info' in entry for entry in content['annotations'])
    segments = os.path.splitext(path)[0]
    if panoptic and not os.path.isdir(segments):
        raise InputError(f'{segments}: no such folder, expected the PNG files of {path}: put them there')
    result = []
    for entry in content['images']:
        name, objects = entry['file_name'], of_image[entry['id']]
        label = Member(os.path.dirname(path) or '.', os.path.basename(path))
        if panoptic and objects:
            label = Member(segments, objects[0].get('file_name') or f'{os.path.splitext(name)[0]}.png')
        if objects or not panoptic:
            result.append(([name], label, (name, entry.get('width'), entry.get('height'), objects)))
    return result


def _drawn(job, size, ids):
    """(objects, classes) as for annotated.make. ids: dict: category -> id."""
    *_, objects = job.details
    if objects and 'segments_info' in objects[0]:
        return _segments(read(job.label), {entry['id']: ids[entry['category_id']]
                                           for entry in objects[0]['segments_info']})
    return _painted(objects, *size[::-1]), [ids[entry['category_id']] for entry in objects]


def _painted(objects, height, width):
    """int32 (height, width): numbers of objects, from 1, in the order of the file; 0 outside."""
    result, areas = np.zeros((height, width), np.int32), []
    for number, entry in enumerate(objects, 1):
        if not entry.get('segmentation'):
            raise DataError(f'annotation {number} has no segmentation, and boxes make no label map', 'annotations')
        areas.append(sum(int(inside.sum()) for _, inside in parts(entry['segmentation'], height, width)))
    for index in sorted(range(len(objects)), key=lambda index: (not objects[index].get('iscrowd'), -areas[index])):
        for box, inside in parts(objects[index]['segmentation'], height, width):
            result[box][inside] = index + 1
    return result


def _segments(file, class_of):
    """(objects, classes) of a PNG of segments, numbered by class_of, dict: number -> id; pixels of 0 belong to none."""
    opened = decoded(file)
    if opened.lossy or opened.image.mode not in ('RGB', 'RGBA'):
        raise DataError(f'{file}: {opened.lossy or opened.image.mode}, expected a PNG in RGB', 'annotations')
    pixels = np.asarray(opened.image, np.int32)[..., :3] @ (1, 256, 65536)
    numbers, place = np.unique(np.append(0, pixels), return_inverse=True)
    if unknown := set(numbers[1:].tolist()) - class_of.keys():
        raise DataError(f'{file}: segment {min(unknown)} is not in its segments_info', 'annotations')
    return place[1:].reshape(pixels.shape), [class_of[number] for number in numbers[1:].tolist()]
