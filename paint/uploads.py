"""Reads a page's files like predict.py. Their size is checked before a pixel is decoded."""
import io
import json

import numpy as np
from PIL import Image, UnidentifiedImageError

from dataset.label_map import read_colours, read_instances, read_map
from dataset.labelled_images import whole_picture
from dataset.photo import read_photo
from dataset.picture_file import FORMATS, DataError, Notes, noted
from dataset.prepare.archive import NamedBytes
from model.init import DONTCARE
from paint.maps import CANVAS_SIDE, kept
from paint.refusal import Refused

LARGEST_FILE = 32 << 20                      # bytes
MOST_SIDE = 1 << 15                          # pixels: Pillow stores a pointer for each row
MAP_PIXELS, PHOTO_PIXELS = 1 << 24, 1 << 26  # decoded, a photo of 64 million pixels takes 200 MB
SHOWN = 8                                    # unknown colours and values listed in a refusal
NAMES = {'label': 'label map', 'instance': 'instance map', 'photo': 'photo'}
CODES = {'unreadable image': 'unreadable', 'several pictures': 'animated', 'transparent map': 'transparent',
         'lossy map': 'lossy'}


def sent_maps(content, instance_content, opt, classes, largest):
    """bytes: a line of JSON with notes on the files, then the maps of `opened_maps`, as from maps.kept."""
    notes = Notes()
    label, instance = opened_maps(content, instance_content, opt, classes, notes, largest)
    return _line(notes, label.shape) + kept(label, instance, opt.label_nc)


def opened_maps(content, instance_content, opt, classes, notes=None, largest=0):
    """(label, instance) int32 (H, W) as predict.py reads them; instance None without file.

    At the size of the picture; or at their own, if the generator paints any and they have at most `largest` pixels.

    The label map has ids, or colours of `classes` (dicts with id and colour). Refused for any other.
    notes: as for dataset.files.load_images.
    """
    label = _map(content, {tuple(entry['colour']): entry['id'] for entry in reversed(classes)})
    ids = _checked(label.ids.astype(np.int32), opt)
    images, read, instance = {'label': Image.fromarray(ids)}, {'label': label}, None
    if instance_content:
        read['instance'] = _decoded(read_instances, instance_content, 'instance', MAP_PIXELS)
        instance = read['instance'].ids.astype(np.int32)
        if instance.shape != ids.shape:
            found, expected = (f'{width} x {height}' for height, width in (instance.shape, ids.shape))
            raise Refused('other_size', f'the instance map is {found} pixels, the label map {expected}: they must have '
                          'the same size', found=found, expected=expected)
        images['instance'] = Image.fromarray(instance)
    for what, decoded in read.items() if notes else ():
        notes.add(noted(NAMES[what], decoded))
    if opt.any_size and ids.size <= largest and max(ids.shape) <= CANVAS_SIDE:
        return ids, instance
    arrays = whole_picture(images, opt)
    return arrays['label'], arrays.get('instance')


def opened_photo(content, opt):
    """bytes: the same line, then the photo, float32 (3, H, W) in [-1, 1], at the size of the picture."""
    photo = _decoded(read_photo, content, 'photo', PHOTO_PIXELS)
    notes = Notes()
    notes.add(noted('photo', photo))
    return _line(notes, opt.picture_size) + whole_picture({'image': photo.image}, opt)['image'].tobytes()


def _line(notes, size):
    return json.dumps({'notes': list(notes.lines()), 'size': size}).encode() + b'\n'


def _map(content, colours):
    """LabelMap of a label map; a colour is a class only if it equals one of the palette."""
    try:
        return _decoded(read_map, content, 'label', MAP_PIXELS, colours=colours)
    except Refused as refused:
        if refused.code != 'colour-coded map':
            raise
    _, unknown = _decoded(read_colours, content, 'label', MAP_PIXELS, ids=colours, near=0)
    listed = ['#{:02x}{:02x}{:02x} ({})'.format(*colour, count) for count, colour in unknown[:SHOWN]]
    raise Refused('colours', f'{len(unknown)} colours are not in the palette: {", ".join(listed)} (pixels of each); '
                             'save the map without smoothed borders', colours=listed, count=len(unknown))


def _checked(ids, opt):
    if opt.contain_dontcare_label:
        ids[ids == DONTCARE] = opt.label_nc
    wrong, counts = np.unique(ids[(ids < 0) | (ids > opt.highest_label)], return_counts=True)
    if len(wrong):
        listed = [f'{value} ({count})' for value, count in zip(wrong.tolist()[:SHOWN], counts.tolist())]
        raise Refused('ids', f'the label map has values that are no class here: {", ".join(listed)} (pixels of each); '
                             f'allowed: 0 to {opt.highest_label}{" and 255" if opt.contain_dontcare_label else ""}',
                      values=listed, highest=opt.highest_label)
    return ids


def _decoded(read, content, what, most, **settings):
    """The result of a decoder of dataset/ for a file of at most `most` pixels; Refused with our text or its."""
    _check_header(content, what, most)
    try:
        return read(NamedBytes(content, f'the {NAMES[what]}'), **settings)
    except DataError as error:
        if error.kind == 'too large':   # for lack of memory: the size was checked before
            raise MemoryError from None
        raise Refused(CODES.get(error.kind, error.kind), str(error), what=what) from None


def _check_header(content, what, most):
    named, facts, found = f'the {NAMES[what]}', {'what': what}, None
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:    # Pillow's limit, which is above ours
        found = f'more than {most}'
    except UnidentifiedImageError:
        raise Refused('not_picture', f'{named} is not a readable picture; formats: {", ".join(FORMATS)}', **facts,
                      formats=', '.join(FORMATS)) from None
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise Refused('unreadable', f'{named} is damaged or cut off ({error})', **facts) from None
    if found or not 0 < width * height <= most:
        found = found or f'{width} x {height}'
        raise Refused('pixels', f'{named} has {found} pixels; at most {most >> 20} million are allowed', 413, **facts,
                      found=found, most=most >> 20)
    if max(width, height) > MOST_SIDE:
        raise Refused('side', f'{named} has {width} x {height} pixels; at most {MOST_SIDE} in a row or column are '
                              'allowed',
                      413, **facts, found=f'{width} x {height}', most=MOST_SIDE)
