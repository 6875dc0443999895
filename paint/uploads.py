"""Files that a page sends: limits are checked on their first bytes, before anything is decoded."""
import io
import struct

import numpy as np
from PIL import Image

from dataset.label_map import read_colours, read_instances, read_map
from dataset.labelled_images import whole_picture
from dataset.photo import load_photo
from dataset.picture_file import DataError
from dataset.prepare.archive import NamedBytes
from model.init import DONTCARE
from paint.maps import kept
from paint.refusal import Refused

LARGEST_FILE = 32 << 20                      # bytes
MOST_SIDE = 1 << 15                          # pixels: Pillow keeps a pointer for each row
MAP_PIXELS, PHOTO_PIXELS = 1 << 24, 1 << 26  # a photo of 64 million pixels takes 200 MB once decoded
PHOTO_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP')
GREY, PALETTE, GREY_AND_ALPHA = 0, 3, 4     # colour types of PNG
SHOWN = 8   # unknown colours and values that are listed


def kept_maps(content, instance_content, opt, classes):
    """bytes of `opened_maps`, as the page keeps them."""
    return kept(*opened_maps(content, instance_content, opt, classes), opt.label_nc)


def opened_maps(content, instance_content, opt, classes):
    """(label, instance) int32 (H, W) at the size of the picture, as predict.py reads them; instance None without a file.

    The label map may hold ids, or colours of `classes` (dicts with id and colour). Refused says what is wrong.
    """
    ids = _ids(content, 'label', opt, classes)
    images = {'label': Image.fromarray(ids)}
    if instance_content:
        _png_header(instance_content, 'instance', sixteen_bit=True)
        instance = _decoded(read_instances, instance_content, 'instance').ids.astype(np.int32)
        if instance.shape != ids.shape:
            raise Refused('other_size', f'the instance map is {instance.shape[1]} x {instance.shape[0]} pixels, the label map '
                          f'{ids.shape[1]} x {ids.shape[0]}: they must have the same size',
                          found=f'{instance.shape[1]} x {instance.shape[0]}', expected=f'{ids.shape[1]} x {ids.shape[0]}')
        images['instance'] = Image.fromarray(instance)
    arrays = whole_picture(images, opt)
    return arrays['label'], arrays.get('instance')


def opened_photo(content, opt):
    """bytes of the photo, float32 (3, H, W) in [-1, 1], at the size of the picture."""
    try:
        with Image.open(io.BytesIO(content), formats=PHOTO_FORMATS) as image:
            size, animated = image.size, image.format != 'MPO' and getattr(image, 'n_frames', 1) > 1
    except Image.DecompressionBombError:    # Pillow's own limit, which lies above ours
        raise Refused('pixels', f'photo: more than {PHOTO_PIXELS >> 20} million pixels, the most that are read', 413,
                      found=f'> {PHOTO_PIXELS}', most=PHOTO_PIXELS >> 20, what='photo') from None
    except Exception:   # broken files make Pillow raise nearly anything
        raise Refused('not_photo', 'this is no photo that can be read: JPEG, PNG, WebP and BMP can', what='photo') from None
    _check_pixels(*size, PHOTO_PIXELS, 'photo')
    if animated:
        raise Refused('animated', 'the photo is animated: save one picture of it', what='photo')
    photo = _decoded(load_photo, content, 'photo')
    return whole_picture({'image': photo}, opt)['image'].tobytes()


def _ids(content, what, opt, classes):
    _png_header(content, what, opt.label_nc > 255)
    ids = _map(content, {tuple(entry['colour']): entry['id'] for entry in classes})
    if opt.contain_dontcare_label:
        ids[ids == DONTCARE] = opt.label_nc
    wrong, counts = np.unique(ids[(ids < 0) | (ids > opt.highest_label)], return_counts=True)
    if len(wrong):
        listed = [f'{value} ({count})' for value, count in zip(wrong.tolist()[:SHOWN], counts.tolist())]
        raise Refused('ids', f'the label map holds values that are no class here: {", ".join(listed)} (pixels of each); allowed: 0 '
                      f'to {opt.highest_label}{" and 255" if opt.contain_dontcare_label else ""}',
                      values=listed, highest=opt.highest_label)
    return ids


def _map(content, colours):
    """int32 (H, W) ids of a label map; a colour is a class only if it is exactly that of the palette."""
    try:
        return _decoded(read_map, content, 'label', colours=colours).ids.astype(np.int32)
    except Refused as refused:
        if refused.code != 'coded':
            raise
    _, unknown = _decoded(read_colours, content, 'label', ids=colours, near=0)
    listed = ['#{:02x}{:02x}{:02x} ({})'.format(*colour, count) for count, colour in unknown[:SHOWN]]
    raise Refused('colours', f'{len(unknown)} colours are not in the palette: {", ".join(listed)} (pixels of each); none is guessed: '
                  'smoothed borders are no labels', colours=listed, count=len(unknown))


def _png_header(content, what, sixteen_bit):
    """Refused for a file that is no PNG to be decoded, before a pixel or a profile is."""
    if content[:8] != b'\x89PNG\r\n\x1a\n' or content[12:16] != b'IHDR' or len(content) < 33:
        raise Refused('not_png', f'the {what} map is no PNG file', what=what)
    width, height, depth, kind = struct.unpack('>IIBB', content[16:26])
    _check_pixels(width, height, MAP_PIXELS, what)
    chunks = _chunks(content)
    if b'acTL' in chunks:
        raise Refused('animated', f'the {what} map is animated: save one picture of it', what=what)
    if b'iCCP' in chunks:
        raise Refused('profile', f'the {what} map has a colour profile, under which its values may mean others: save it without',
                      what=what)
    if depth == 16 and (kind != GREY or not sixteen_bit):
        raise Refused('sixteen_bit', f'the {what} map has 16 bits a channel: save it with 8', what=what)
    if kind not in (GREY, PALETTE, GREY_AND_ALPHA) and what == 'instance':
        raise Refused('not_grey', 'the instance map is in colours: it must hold one number a pixel', what=what)


def _chunks(content):
    """set of the names of the chunks up to the pixels."""
    names, position = set(), 8
    while position + 8 <= len(content) and b'IDAT' not in names:
        length, name = struct.unpack('>I4s', content[position:position + 8])
        names.add(name)
        position += 12 + length
    return names


def _check_pixels(width, height, most, what):
    if not 0 < width * height <= most:
        raise Refused('pixels', f'{what}: {width} x {height} pixels; at most {most >> 20} million are read', 413,
                      found=f'{width} x {height}', most=most >> 20, what=what)
    if max(width, height) > MOST_SIDE:
        raise Refused('side', f'{what}: {width} x {height} pixels; at most {MOST_SIDE} in a row or column are read', 413,
                      found=f'{width} x {height}', most=MOST_SIDE, what=what)


def _decoded(read, content, what, **settings):
    """What a decoder of dataset makes of a file, else Refused as the page says it, or in the decoder's words."""
    try:
        return read(NamedBytes(content, f'the {what} map' if what != 'photo' else 'the photo'), **settings)
    except DataError as error:
        if error.kind == 'too large':   # for the memory that there is: limits of size were checked before
            raise MemoryError from None
        if error.kind == 'unreadable image':
            raise Refused('unreadable', f'{what}: this file is damaged or cut off', what=what) from None
        raise Refused({'transparent map': 'transparent', 'colour-coded map': 'coded'}.get(error.kind, 'file'), str(error)) from None
