"""LabelMe's annotations, one JSON file a photo: python -m dataset.prepare labelme.

Polygons and rectangles are drawn in the order of the file, as labelme does: later ones lie on top. Each shape is an
object of the instance map; shapes of one label and group_id are one. The label __ignore__ is unlabelled;
_background_ is the class of pixels outside all shapes.
"""
import functools
import os
from collections import Counter

import numpy as np
from PIL import Image, ImageDraw

from dataset.palette import UNLABELLED, read_names
from dataset.picture_file import DataError
from dataset.prepare import annotated
from dataset.prepare.archive import LARGEST, Member, read
from dataset.prepare.own import read_or_refuse
from dataset.prepare.pairs import below
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, listing, nullable, number, one_of, record, text, whole

IGNORED, BACKGROUND = '__ignore__', '_background_'   # labelme's names for unlabelled pixels, and for those of no shape
SHAPE = record(dict(label=text(100, 1), points=listing(listing(number(-1e6, 1e6), 2, 2), 2)),
               dict(shape_type=nullable(one_of('polygon', 'rectangle'))), others=anything)
SIDE = nullable(whole(1, 1 << 16))
FILE = record(dict(shapes=listing(SHAPE)), dict(imagePath=nullable(text()), imageWidth=SIDE, imageHeight=SIDE,
                                                imageData=lambda value, field: None), others=anything)


def labelme(arguments):
    """Make the data set that the flags describe; return whether its check found problems."""
    found = Counter()
    sources = annotated.sources(arguments, functools.partial(_annotations, found))
    names = read_or_refuse(read_names, '--names', arguments.names) if arguments.names else sorted(found)
    names = [name for name in names if name != IGNORED]
    if BACKGROUND in names:
        arguments.background = arguments.background or BACKGROUND
    if not arguments.names:
        listed = ', '.join(f'{name!r} in {found[name]}' for name in names)
        sources.guessed.append(f'ids of {len(names)} classes by their alphabet (or give --names); files: {listed}')
    ids = {name: index for index, name in enumerate(names)}
    return annotated.make(arguments, sources, names, functools.partial(_drawn, ids=ids))


def _annotations(found, option, folder):
    """annotations_of annotated.sources; counts the files of each label in `found`. The last detail: the file's shapes,
    or why it cannot be read.
    """
    result = []
    for name in below(folder, option, ('.json',)):
        member, stem = Member(folder, name), os.path.splitext(name)[0]
        try:
            content = json_file.parsed(read(member).getvalue(), FILE, name, 'left out; correct it in labelme', LARGEST)
            found.update({shape['label'] for shape in content['shapes']})
        except InputError as error:
            content = {'shapes': str(error)}
        path = content.get('imagePath') or stem
        result.append(([os.path.join(os.path.dirname(name), path), path, stem], member,
                       (path, content.get('imageWidth'), content.get('imageHeight'), content['shapes'])))
    return result


def _drawn(job, size, ids):
    """(objects, classes) as for annotated.make. ids: dict: label -> id."""
    *_, shapes = job.details
    if isinstance(shapes, str):
        raise DataError(shapes, 'annotations')
    image, objects = Image.new('I', size), {}
    for place, shape in enumerate(shapes, 1):
        name, group, points = shape['label'], shape.get('group_id'), list(map(tuple, shape['points']))
        if shape.get('shape_type') == 'rectangle':
            (left, top), (right, bottom) = map(min, zip(*points)), map(max, zip(*points))
            points = [(left, top), (right, top), (right, bottom), (left, bottom)]
        if len(points) < 3 or name not in ids and name != IGNORED:
            wrong = f'a polygon of {len(points)} points, expected 3 or more' if len(points) < 3 else \
                'a label that --names lacks'
            raise DataError(f'{job.label.name}: shape {place} ({name}): {wrong}: left out; correct it', 'annotations')
        number = objects.setdefault((name, repr(group), place if group is None else 0), len(objects) + 1)
        ImageDraw.Draw(image).polygon(points, number, number)
    return np.asarray(image), [ids.get(name, UNLABELLED) for name, *_ in objects]
