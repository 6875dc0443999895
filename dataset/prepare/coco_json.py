"""Annotations of one's own in COCO's formats, instances or panoptic: python -m dataset.prepare coco_json.

Ids are the places of the categories in the order of their numbers. Instances: regions are those of the COCO API; crowds
are painted first, then large objects before small ones; pixels outside are unlabelled, or --background NAME. Panoptic:
a PNG for each photo, whose colours are the numbers of its segments (red + 256 green + 65536 blue); each segment is an
object of the instance map.
"""
import functools
import json
import os
from collections import defaultdict

import numpy as np

from dataset.picture_file import DataError, decoded
from dataset.prepare.annotated import Photos, make, map_size
from dataset.prepare.archive import Member
from dataset.prepare.coco_annotations import elements
from dataset.prepare.coco_masks import parts
from dataset.prepare.job import label_bytes
from dataset.prepare.pairs import row_of
from dataset.prepare.sources import Sources
from runtime.errors import InputError

ARRAYS = 'categories', 'images', 'annotations'


def coco_json(arguments):
    """Make the data set that the flags describe; return whether its check found problems."""
    for prefix in ('', 'val_'):     # photos beside the file, segments in a folder of its name, unless named
        file = getattr(arguments, f'{prefix}annotations')
        if file and not getattr(arguments, f'{prefix}images'):
            setattr(arguments, f'{prefix}images', os.path.dirname(file) or '.')
    categories = {}
    sources = Sources(arguments, ['annotations', 'images'], functools.partial(_rows, categories, arguments))
    ids = {index: place for place, index in enumerate(sorted(categories))}
    names, are_things = zip(*(categories[index] for index in ids)) if ids else ((), ())
    things = None if all(are_things) else [place for place, thing in enumerate(are_things) if thing]
    return make(arguments, sources, list(names), functools.partial(_draw, ids=ids), things)


def _rows(categories, arguments, sources):
    """(Rows, lines) of dict: option -> path, of the file and of the photos; adds id -> (name, is a thing) to
    `categories`.
    """
    (option, path), (photo_option, folder) = sources.items()
    if not os.path.isfile(path):
        raise InputError(f'{option} {path}: no such file, expected a JSON file in COCO\'s format')
    file = Member(os.path.dirname(path) or '.', os.path.basename(path))
    segments = arguments.panoptic_val if option.startswith('--val') else arguments.panoptic
    segments = segments or os.path.splitext(path)[0]
    photos, images, of_image, used = Photos(folder, photo_option), {}, defaultdict(list), set()
    rows, panoptic = [], False
    with elements(file, ARRAYS, f'correct {option}') as values:
        for key, value, text in values:
            if key == 'images':
                images[value['id']] = value['file_name'], value.get('width'), value.get('height')
            elif key == 'annotations':
                panoptic = 'segments_info' in value
                of_image[value['image_id']].append((str(value['file_name']) if panoptic else '', text.encode()))
                used.update(entry['category_id'] for entry in (value['segments_info'] if panoptic else [value]))
            else:
                name, _ = categories.setdefault(value['id'], (value['name'], value.get('isthing') != 0))
                if type(name) is not str or name != value['name'] or type(value['id']) is not int:
                    raise ValueError(f'category {value["id"]} has the names {name} and {value["name"]}')
        for kind, unknown in (('images', of_image.keys() - images), ('categories', used - categories.keys())):
            if unknown:
                raise ValueError(f'annotations name {min(unknown, key=str)}, which is not in {kind}')
        for image, (name, width, height) in images.items():
            texts = [text for _, text in of_image[image]]
            if texts or not panoptic:
                label = Member(segments, of_image[image][0][0]) if panoptic else file
                rows.append(row_of(photos.find(name), label, details=(name, width, height, *texts)))
    if panoptic and not os.path.isdir(segments):
        raise InputError(f'{segments}: no such folder, expected the PNG files of {path}: name it with '
                         f'{option.replace("annotations", "panoptic")}')
    return photos.checked(rows, option)


def _draw(job, ids, background):
    """(label, instance, notes) as for annotated.make. ids: dict: category -> id."""
    name, width, height, *objects = job.details
    size, objects = map_size(job, job.label.name, name, width, height), list(map(json.loads, objects))
    try:
        if job.label.name.lower().endswith('.json'):
            label, instance = _painted(objects, ids, background, *size[::-1])
        else:
            label, instance = _segments(job, objects[0]['segments_info'], ids, background)
    except DataError as error:
        raise DataError(f'{name}: {error}: left out', error.kind) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f'{name}: annotations that are not COCO\'s ({type(error).__name__}: {error}): left out',
                        'annotations') from None
    return label, instance, []


def _painted(objects, ids, background, height, width):
    """(label, instance) int32 (height, width): class ids; objects from 1, in the order of the file."""
    label, instance = np.full((height, width), background, np.int32), np.zeros((height, width), np.int32)
    areas = []
    for number, entry in enumerate(objects):
        if not entry.get('segmentation'):
            raise DataError(f'annotation {number + 1} has no segmentation, and boxes make no label map', 'annotations')
        areas.append(sum(int(inside.sum()) for _, inside in parts(entry['segmentation'], height, width)))
    for number in sorted(range(len(objects)), key=lambda index: (not objects[index].get('iscrowd'), -areas[index])):
        for box, inside in parts(objects[number]['segmentation'], height, width):
            label[box][inside], instance[box][inside] = ids[objects[number]['category_id']], number + 1
    return label, instance


def _segments(job, segments, ids, background):
    """(label, instance) int32 (H, W) of a PNG of segments; pixels of 0 belong to none."""
    file = label_bytes(job)
    opened = decoded(file)
    if opened.lossy or opened.image.mode not in ('RGB', 'RGBA'):
        raise DataError(f'{file}: {opened.lossy or opened.image.mode}, expected a PNG in RGB', 'annotations')
    numbers, place = np.unique(np.asarray(opened.image, np.int32)[..., :3] @ (1, 256, 65536), return_inverse=True)
    of_number = {0: background, **{segment['id']: ids[segment['category_id']] for segment in segments}}
    if unknown := set(numbers.tolist()) - of_number.keys():
        raise DataError(f'{file}: segment {min(unknown)} is not in its segments_info', 'annotations')
    place = place.reshape(opened.image.size[::-1])
    label = np.array([of_number[number] for number in numbers.tolist()], np.int32)[place]
    return label, (place + (numbers[0] != 0)).astype(np.int32)
