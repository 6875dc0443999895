"""Decodes a label or instance map: ids from any form of file, with notes on every change.

Ids are the stored numbers of a grey picture or the indices of a palette. An ambiguous file is refused with a remedy;
nothing is guessed.
"""
from collections import namedtuple

import numpy as np
from PIL import Image

from dataset.colour_coded import NEAR, of_colours
from dataset.palette import UNLABELLED
from dataset.photo import TURNS, is_deep
from dataset.picture_file import DataError, decoded, notes_of

# ids: integers (H, W)
# palette: the Palette whose indices are the ids, else None
# notes: dict of each change or ignored header -> pixels, 0 for all
# white: the id stored as white in grey of fewer than 8 bits, else None
# lacking: [(colour, pixels)] near no colour of the table, which got the id of a neighbour
LabelMap = namedtuple('LabelMap', 'ids palette notes white lacking', defaults=(None, ()))

# grey: whether all colours in use are grey; all_used: whether all colours are in use
Palette = namedtuple('Palette', 'colours grey all_used')

STRETCH = {'L;2': 85, 'L;4': 17}    # Pillow spreads the values of 2-bit and 4-bit grey over 0 .. 255
CARLA = 31                          # the simulator CARLA stores ids below this in one channel; colours are brighter
NO_GREY = 'GIF', 'BMP'              # formats that store grey as a palette
OWN_PALETTE = ('map the colours to ids: run python -m dataset.prepare folder --colours FILE, with lines "id '
               'red green blue name" in FILE')
SAVE_OTHERWISE = 'save the ids as grey, or the map as RGB in the colours of the set'


def read_map(file, what='label map', colours=None):
    """LabelMap of a path or io.BytesIO; DataError. what: the kind of map, for messages.

    colours: dict: colour -> id, for a single map of a set; RGB or a palette of these colours is read by colour. None: a
    map of a folder; dataset.agreement compares the folder's palettes.
    """
    opened = _lossless(file, what)
    image, notes = opened.image, notes_of(opened)
    if image.mode == 'P':
        return _of_palette(file, what, opened, colours, notes)
    values = _channel(file, what, opened, notes, colours)
    if isinstance(values, LabelMap):
        return values
    white = 1 if image.mode == '1' else 255 // STRETCH.get(opened.raw_mode[:3], 1)
    return LabelMap(_upright(opened, _whole(file, what, opened, values, notes), notes), None, notes,
                    white if white < 255 else None)


def read_instances(file):
    """LabelMap of an instance map, as from read_map; a colour is the id red * 65536 + green * 256 + blue."""
    opened = _lossless(file, 'instance map')
    if opened.image.mode not in ('RGB', 'RGBA', 'RGBX'):
        return read_map(file, 'instance map')
    notes = notes_of(opened)
    pixels = _colours(file, 'instance map', opened)
    if (pixels[..., :1] == pixels[..., 1:]).all():
        ids = pixels[..., 0]
    else:
        ids = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
        notes['in colours: each colour is one object'] = 0
    return LabelMap(_upright(opened, ids, notes), None, notes)


def read_colours(file, ids, near=NEAR, columns=slice(None)):
    """(LabelMap of a colour-coded map, [(pixels, unknown colour)]); its ids are None if a colour is unknown.

    ids: dict: colour -> id; columns: a slice, the part of the picture that is the map. Lossy files are allowed: a
    colour `near` a known one counts as that one (dataset.colour_coded).
    """
    opened = decoded(file)
    notes = notes_of(opened)
    pixels = _colours(file, 'label map', opened)[:, columns]
    label, off, unknown, lacking = of_colours(pixels, ids, near, bool(opened.lossy))
    if off:
        notes['in colours slightly off: the nearest of the table is used'] = off
    return LabelMap(None if unknown else _upright(opened, label, notes), None, notes, None, lacking), unknown


# ---- Pixels

def _lossless(file, what):
    """Opened of a file that can store every id exactly."""
    opened = decoded(file)
    if opened.lossy:
        raise DataError(f'{file}: {what} stored as {opened.lossy}, which changes ids, expected a lossless file: save '
                        'the original map as PNG, or for a map in colours run python -m dataset.prepare folder '
                        '--colours', 'lossy map')
    if opened.inverted and opened.image.mode != '1':
        raise DataError(f'{file}: {what} that stores white as 0 (TIFF, WhiteIsZero), which programs read differently: '
                        'save it as PNG', 'inverted map')
    return opened


def _channel(file, what, opened, notes, colours):
    """(H, W) numbers of a picture without palette; a LabelMap if it is in `colours`."""
    image = opened.image
    if image.mode in ('1', 'L') or is_deep(image.mode):
        values = np.array(image)
        greys = [(value,) * 3 for value in np.unique(values).tolist()] if image.mode == 'L' and colours else ()
        if greys and opened.raw_mode == 'L' and set(greys) <= set(colours) and any(
                colours[grey] != grey[0] >= len(colours) for grey in greys):
            return _in_greys(file, what, opened, values, greys, colours, notes)
        return values
    if _cut(opened):
        raise DataError(f'{file}: {what} of several channels with 16 bits, of which only 8 are read: save it with one '
                        'channel', 'colour-coded map')
    if image.mode == 'LA':
        _check_opaque(file, what, image)
        return np.array(image.getchannel('L'))
    if image.mode not in ('RGB', 'RGBA', 'RGBX'):
        raise _colour_coded(file, what, image.mode)
    pixels = _colours(file, what, opened)
    if colours:
        label, _, unknown, _ = of_colours(pixels, colours)
        if not unknown:
            notes['in the colours of the set'] = 0
            return LabelMap(_upright(opened, label, notes), None, notes)
    if (pixels[..., :1] == pixels[..., 1:]).all():
        notes['with three equal channels, of which one is used'] = 0
        return pixels[..., 0]
    filled = pixels.any((0, 1))
    if filled.sum() > 1 or pixels.max() >= CARLA:
        if colours:
            listed = ', '.join(f'{colour} ({count} pixels)' for count, colour in unknown[:3])
            raise DataError(f'{file}: {what} in colours, {len(unknown)} of which classes.json does not have: {listed}'
                            f'{", ..." if len(unknown) > 3 else ""}: give these pixels a colour of classes.json, '
                            'without smoothed borders, or save the map as ids', 'colour-coded map')
        raise _colour_coded(file, what, image.mode)
    notes[f'with ids only in the {("red", "green", "blue")[filled.argmax()]} channel, as CARLA stores them'] = 0
    return pixels[..., filled.argmax()]


def _in_greys(file, what, opened, values, greys, colours, notes):
    """LabelMap of grey values that are all colours of the set; DataError if they can be ids too, 255 unlabelled."""
    if all(value < len(colours) or value == UNLABELLED for value, *_ in greys):
        raise DataError(f'{file}: {what} of the greys {", ".join(str(value) for value, *_ in greys)}, which can be '
                        'ids (255: unlabelled) or colours of this set: save it as RGB in the colours of the '
                        'set', 'colour-coded map')
    notes['in the colours of the set'] = 0
    ids = np.array([colours.get((value,) * 3, 0) for value in range(256)], np.int32)
    return LabelMap(_upright(opened, ids[values], notes), None, notes)


def _cut(opened):
    """Whether Pillow has reduced channels of 16 bits to 8."""
    return not is_deep(opened.image.mode) and (';16' in opened.raw_mode or (opened.maximum or 0) > 255)


def _colour_coded(file, what, mode):
    return DataError(f'{file}: {what} coded in colours (mode {mode}), expected one number per pixel (8-bit, 16-bit or '
                     f'palette PNG): {OWN_PALETTE}', 'colour-coded map')


def _colours(file, what, opened):
    """uint8 (H, W, 3) of an opaque picture; deep grey is accepted if its values fit 8 bits."""
    _check_opaque(file, what, opened.image)
    if _cut(opened):
        raise DataError(f'{file}: {what} in colours of 16 bits a channel: save it with 8', 'colour-coded map')
    if is_deep(opened.image.mode):
        values = np.asarray(opened.image)
        if not (0 <= values.min() and values.max() <= 255):
            raise DataError(f'{file}: {what} with values from {values.min():g} to {values.max():g}, colours have 0 to '
                            '255: save it with 8 bits a channel', 'colour-coded map')
        return np.repeat(values[..., None].astype(np.uint8), 3, 2)
    return np.array(opened.image.convert('RGB'))


def _check_opaque(file, what, image):
    if image.mode in ('LA', 'RGBA', 'PA', 'La', 'RGBa') and image.getchannel(image.mode[-1]).getextrema()[0] < 255:
        raise DataError(f'{file}: {what} with transparent pixels: give them an id or a colour of their own and save it '
                        'without transparency', 'transparent map')


def _whole(file, what, opened, values, notes):
    """The stored numbers, without Pillow's scaling."""
    mode = opened.image.mode
    if mode == 'F':
        if not (np.isfinite(values) & (values == np.rint(values))).all():
            raise DataError(f'{file}: {what} with fractions or NaN, expected whole numbers: save it with whole '
                            'numbers', 'label value')
        if np.abs(values).max() >= 1 << 31:
            raise DataError(f'{file}: {what} with values of 2147483648 and more, allowed are whole numbers of 32 '
                            'bits: renumber the ids', 'label value')
        values = values.astype(np.int64)
        notes['stored as floating-point numbers, all of them whole'] = 0
    elif opened.maximum:    # of PGM
        scale = 65535 if is_deep(mode) else 255
        values = (values.astype(np.int64) * opened.maximum * 2 + scale) // (2 * scale)
    elif mode == 'L' and opened.raw_mode[:3] in STRETCH:
        values = values // STRETCH[opened.raw_mode[:3]]
    elif mode == 'L' and opened.signed:
        values = values.view(np.int8).astype(np.int32)
    elif mode == '1' and opened.inverted:
        notes['of 1 bit, in which white is id 1'] = 0
    _note_declared(opened, values, notes)
    return values


def _note_declared(opened, values, notes):
    """Note that values declared as transparent or as no data remain ids."""
    transparent = opened.image.info.get('transparency')
    if isinstance(transparent, bytes):      # by index
        transparent = [index for index, alpha in enumerate(transparent) if alpha < 255]
    pixels = 0 if transparent is None else int(np.isin(values, transparent).sum())
    if pixels:
        notes['with pixels declared transparent: they keep their ids'] = pixels
    try:
        absent = float(str(opened.no_data).strip('\0 '))
    except ValueError:
        return
    pixels = int((values == absent).sum())
    if pixels and absent != UNLABELLED:
        notes[f'with {absent:g} declared as no data: it stays an id (--void {absent:g} makes it unlabelled)'] = pixels


def _upright(opened, ids, notes):
    """The ids, turned as the file's EXIF tag says; Pillow has turned TIFF already."""
    if opened.orientation in TURNS:
        notes['turned by the EXIF tag'] = 0
        image = Image.fromarray(ids if ids.dtype == np.uint8 else ids.astype(np.int32))
        ids = np.asarray(image.transpose(TURNS[opened.orientation]))
    elif opened.turned:
        notes['turned by the orientation tag'] = 0
    return ids


# ---- Palettes

def _of_palette(file, what, opened, colours, notes):
    index, table = np.array(opened.image), table_of(*opened.palette)
    used = {number: table[number] if number < len(table) else (0, 0, 0) for number in np.unique(index).tolist()}
    _note_declared(opened, index, notes)
    if all(colour == (number,) * 3 for number, colour in used.items()):
        return LabelMap(_upright(opened, index, notes), None, notes)
    filled = [number for number, colour in enumerate(table) if any(colour) or number in used]   # the rest is padding
    palette = Palette(table, all(len(set(colour)) == 1 for colour in used.values()), len(used) >= len(filled))
    if palette.grey and opened.image.format in NO_GREY and not set(used.values()) <= set(colours or ()):
        notes['with a palette of greys, which are the ids: GIF and BMP store grey only so'] = 0
        greys = np.array([used.get(number, (0,))[0] for number in range(256)], np.uint8)
        return LabelMap(_upright(opened, greys[index], notes), None, notes)
    if colours is not None:
        index, palette = _by_the_set(file, what, index, used, palette, colours, notes)
    if palette:
        notes['with a palette, whose indices are the ids'] = 0
    return LabelMap(_upright(opened, index, notes), palette, notes)


def _by_the_set(file, what, index, used, palette, by_colour, notes):
    """(ids, palette or None) of a single map: by colour if its colours are those of the set."""
    known = [number for number, colour in used.items() if colour in by_colour]
    other = [number for number in known if by_colour[used[number]] != number]
    # a table of classes rather than the colours of one picture
    whole_table = len(set(palette.colours)) >= len(by_colour)
    if other and (len(known) < len(used) or whole_table) or palette.grey and len(known) < len(used):
        number = other[0] if other else next(number for number, colour in used.items() if colour != (number,) * 3)
        meant = f'the colour of id {by_colour[used[number]]} in this set' if other else 'a grey'
        raise DataError(f'{file}: {what} with a palette in which index {number} is {used[number]}, {meant}: '
                        f'either the index or the colour may be the id: {SAVE_OTHERWISE}', 'palette')
    if not other:
        return index, None if len(known) == len(used) else palette
    notes['whose palette has the colours of the set: these give the ids, not the indices'] = 0
    return np.array([by_colour.get(used.get(number), 0) for number in range(max(used) + 1)], np.int32)[index], None


def table_of(raw, mode):
    """tuple of the colours (red, green, blue) in the bytes of a palette of this raw mode."""
    four = mode in ('RGBA', 'BGRX')
    row = Image.frombytes('RGBA' if mode == 'RGBA' else 'RGB', (len(raw) // (3 + four), 1), raw, 'raw', mode)
    return tuple(map(tuple, np.asarray(row)[0, :, :3].tolist()))
