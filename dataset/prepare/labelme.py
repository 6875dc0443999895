"""LabelMe's annotations, one JSON file a photo: python -m dataset.prepare labelme.

Polygons, rectangles, circles and masks are drawn in the order of the file, as labelme does: later ones lie on top. Each
shape is an object of the instance map; shapes of one label and group_id are one. The label __ignore__ is unlabelled;
_background_ is the class of pixels outside all shapes.
"""
import base64
import functools
import math
import os

import numpy as np
from PIL import Image, ImageDraw

from dataset.files import letters
from dataset.palette import UNLABELLED, read_names
from dataset.picture_file import DataError, decoded
from dataset.prepare.annotated import Photos, make, map_size
from dataset.prepare.archive import LARGEST, Member, NamedBytes, read
from dataset.prepare.own import read_or_refuse
from dataset.prepare.pairs import below, row_of
from dataset.prepare.sources import Sources
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, listing, nullable, number, record, text, whole

IGNORED, BACKGROUND = '__ignore__', '_background_'   # labelme's names for unlabelled pixels, and for those of no shape
LEAST = {'polygon': 3, 'rotation': 3, 'rectangle': 2, 'circle': 2, 'mask': 2}   # points of a shape with an area
SHAPE = record(dict(label=text(100, 1), points=listing(listing(number(-1e6, 1e6), 2, 2))),
               dict(shape_type=nullable(text()), mask=nullable(text(LARGEST))), others=anything)
SIDE = nullable(whole(1, 1 << 16))
FILE = record(dict(shapes=listing(SHAPE)), dict(imagePath=nullable(text()), imageWidth=SIDE, imageHeight=SIDE,
                                                imageData=lambda value, field: None), others=anything)


def labelme(arguments):
    """Make the data set that the flags describe; return whether its check found problems."""
    arguments.images = arguments.images or arguments.annotations
    arguments.val_images = arguments.val_images or arguments.val_annotations
    found = {}
    sources = Sources(arguments, ['annotations', 'images'], functools.partial(_rows, found))
    names = [name for name in read_or_refuse(read_names, '--names', arguments.names) if name != IGNORED] \
        if arguments.names else sorted(found.keys() - {IGNORED})
    if BACKGROUND in names:
        arguments.background = arguments.background or BACKGROUND
    if not arguments.names:
        listed = [f'{name!r} in {len(found[name])} files' if len(found[name]) > 1 else f'{name!r} in {found[name][0]}'
                  for name in names]
        sources.guessed.append(f'ids of {len(names)} classes by their alphabet (or give --names): {", ".join(listed)}')
    ids = {name: index for index, name in enumerate(names)}
    return make(arguments, sources, names, functools.partial(draw_shapes, ids=ids))


def _rows(found, folders):
    """(Rows, lines) of dict: option -> folder, of annotations and photos; adds label -> files with it to the dict
    `found`.
    """
    (option, folder), (photo_option, photo_folder) = folders.items()
    files = below(folder, option, ('.json',))       # before the photos, which may be in the same folder
    photos, rows = Photos(photo_folder, photo_option), []
    for name in files:
        member = Member(folder, name)
        try:
            content = _content(read(member))
        except DataError:   # reported where the sample is made
            content = {'shapes': []}
        for label in {shape['label'] for shape in content['shapes']}:
            found.setdefault(label, []).append(name)
        path = content.get('imagePath') or ''
        photo = photos.find(path, os.path.dirname(name)) or photos.by_stem.get(letters(os.path.splitext(name)[0]))
        rows.append(row_of(photo, member))
    return photos.checked(rows, option)


def _content(file):
    try:
        return json_file.parsed(file.getvalue(), FILE, str(file), 'left out; save it with labelme again', LARGEST)
    except InputError as error:
        raise DataError(str(error), 'annotations') from None


def draw_shapes(job, ids, background):
    """(label, instance, notes) as for annotated.make. ids: dict: label -> id."""
    file = read(job.label)
    content, kinds = _content(file), set()
    size = map_size(job, file, *(content.get(name) for name in ('imagePath', 'imageWidth', 'imageHeight')))
    drawn, numbers, objects, of_class = Image.new('I', size), [0], {}, [background]
    for place, shape in enumerate(content['shapes'], 1):
        name, group, where = shape['label'], shape.get('group_id'), f'{file}: shape {place} ({shape["label"]})'
        if name != IGNORED and name not in ids:
            raise DataError(f'{where}: a label that --names lacks: left out; add it to --names', 'unknown class')
        of_class.append(ids.get(name, UNLABELLED))
        numbers.append(objects.setdefault((name, repr(group), place if group is None else 0), len(objects) + 1))
        kinds |= _draw(drawn, shape, place, where)
    place = np.asarray(drawn)
    notes = [('annotation file', f'with shapes of kind {kind}, which have no area and are not drawn', 0)
             for kind in sorted(kinds)]
    return np.array(of_class, np.int32)[place], np.array(numbers, np.int32)[place], notes


def _draw(image, shape, value, where):
    """Draw a shape into a Pillow image; -> set of its kind if it has no area."""
    kind, points = shape.get('shape_type') or 'polygon', [tuple(point) for point in shape['points']]
    if kind not in LEAST:
        return {kind}
    if len(points) < LEAST[kind]:
        raise DataError(f'{where}: a {kind} of {len(points)} points, expected {LEAST[kind]}: left out', 'annotations')
    draw, (across, down) = ImageDraw.Draw(image), zip(*points)
    box = min(across), min(down), max(across), max(down)
    if kind == 'rectangle':
        draw.rectangle(box, value, value)
    elif kind == 'circle':
        radius = math.dist(*points[:2])
        draw.ellipse([side + sign * radius for sign in (-1, 1) for side in points[0]], value, value)
    elif kind == 'mask':
        try:
            mask = decoded(NamedBytes(base64.b64decode(shape.get('mask') or ''), where)).image.convert('L')
        except ValueError as error:     # base64's, and DataError
            raise DataError(f'{where}: its mask is no picture ({error}): left out', 'annotations') from None
        inside = mask.point(lambda value: 255 * (value > 0))    # labelme writes 0 and 1
        image.paste(value, (round(box[0]), round(box[1])), inside)
    else:
        draw.polygon(points, value, value)
    return set()
