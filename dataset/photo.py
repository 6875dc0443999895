"""Decodes a photo to upright 8-bit RGB, with notes on every change."""
from collections import namedtuple

import numpy as np
from PIL import Image, ImageCms

from dataset.picture_file import DataError, decoded, header, notes_of

# image: RGB; notes: dict of each change or ignored header -> 0; deep: the file has one channel of more than 8 bits
Photo = namedtuple('Photo', 'image notes deep')
Span = namedtuple('Span', 'low high')       # values that become 0 and 255

TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
FULL = Span(0, 65535)
TOO_FEW = 12                # of 16 bits, in use: such a photo would be darker than 16 of 255
DARK, FLAT = 32, 8          # of 255: dark: 99 % of the pixels below DARK; flat: 98 % of them within FLAT
UNTURNED = 'not turned by the EXIF tag, because the maps have the size as stored'
BY_PREPARE = ('python -m dataset.prepare folder makes 8-bit photos by the range of the whole folder; save a single '
              'photo with 8 bits a channel')
BY_HAND = 'save all photos with 8 bits a channel, multiplied by the same factor'


def load_photo(file, size=None):
    """RGB image of a photo; arguments and errors as for read_photo."""
    return read_photo(file, size).image


def read_photo(file, size=None, span=None):
    """Photo of a path or io.BytesIO, of any mode; DataError if it is broken or would become black.

    The EXIF orientation is applied unless only the unturned photo has `size`, the (width, height) of its maps.
    span: the Span (of span_of) that makes a deep photo 8-bit, if its file declares none. Without either the range is
    that of 16 bits; floating-point, negative and larger numbers are then a DataError.
    """
    opened = decoded(file)
    image, notes = opened.image, notes_of(opened)
    if image.mode == 'CMYK':
        notes['in CMYK, converted without a colour profile'] = 0
    alpha = image.mode[-1]
    if 'transparency' in image.info or alpha in 'Aa' and image.getchannel(alpha).getextrema()[0] < 255:
        notes['with transparent pixels, whose colour is used'] = 0
    deep = is_deep(image.mode)
    if deep:
        image = _eight_bit(file, opened, span, notes)
    elif ';16' in opened.raw_mode:
        if max(high for _, high in image.convert('RGB').getextrema()) < 1 << TOO_FEW - 8:
            raise _too_dark(file, 'a colour photo of 16 bits a channel that uses only the lowest 12', BY_HAND)
        notes['of 16 bits a channel, of which the upper 8 are used'] = 0
    image = _rgb(file, image)
    if opened.orientation in TURNS:
        upright = image.transpose(TURNS[opened.orientation])
        if image.size == size != upright.size:
            notes[UNTURNED] = 0
        else:
            image = upright
            notes['turned by the EXIF tag'] = 0
    elif opened.turned:
        notes['turned by the orientation tag'] = 0
    return Photo(image, notes, deep)


def _rgb(file, image):
    try:
        return image.convert('RGB')
    except (ValueError, ImageCms.PyCMSError) as error:   # of LAB
        raise DataError(f'{file}: the photo cannot be converted from mode {image.mode} to RGB ({error}): '
                        'save it as RGB', 'photo mode') from None


# ---- More than 8 bits

def is_deep(mode):
    """Whether an image of this mode holds one number of more than 8 bits per pixel."""
    return mode == 'F' or mode.startswith('I')


def _values(file, opened):
    """(H, W) numbers of a deep photo; DataError for NaN, infinity, or white stored as 0."""
    values = np.asarray(opened.image)
    if not np.isfinite(values).all():
        raise DataError(f'{file}: a photo with NaN or infinite values: fill them', 'photo range')
    if opened.inverted:
        raise DataError(f'{file}: a photo of more than 8 bits that stores white as 0: save it with 8 bits',
                        'photo range')
    return values


def _declared(opened):
    """Span that the file itself declares, else None."""
    if opened.raw_mode == 'I;12':
        return Span(0, 4095)
    return FULL if opened.maximum else None     # PGM, which Pillow scales to 16 bits


def _eight_bit(file, opened, span, notes):
    """Image of mode L of a deep photo; adds the range to `notes`."""
    values = _values(file, opened)
    chosen = _declared(opened) or span
    if not chosen:
        low, high = values.min(), values.max()
        if opened.image.mode == 'F' or low < 0 or high > FULL.high:
            raise _too_dark(file, f'a photo of numbers from {low:g} to {high:g}, without a declared black and white')
        if high < 1 << TOO_FEW:
            raise _too_dark(file, f'a 16-bit photo whose highest value is {high}')
        chosen = FULL
    notes[f'of more than 8 bits: {chosen.low:g} becomes black and {chosen.high:g} white'] = 0
    if values.dtype.kind != 'f' and chosen.low == 0:    # whole bits: the upper 8 are used
        levels = values.astype(np.int64) * 256 // (chosen.high + 1)
    else:
        levels = np.rint((values.astype(np.float64) - chosen.low) * 255 / (chosen.high - chosen.low))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _too_dark(file, found, remedy=BY_PREPARE):
    return DataError(f'{file}: {found}, so it would be nearly black: {remedy}', 'photo range')


def span_of(files):
    """Span that makes all deep photos of `files` 8-bit; None without such photos.

    Whole numbers from 0 up: 0 to the most that the bits of the highest hold, at least 8 bits. Fractions within
    0 .. 1: 0 to 1. Else lowest to highest. Unreadable files are skipped.
    """
    low, high, fractions = np.inf, -np.inf, False
    for file in files:
        try:
            mode, _ = header(file)
            opened = decoded(file) if is_deep(mode or '') else None
            if opened and not _declared(opened):
                values = _values(file, opened)
                low, high = min(low, float(values.min())), max(high, float(values.max()))
                fractions |= opened.image.mode == 'F'
        except DataError:
            continue
    if low > high:
        return None
    if fractions and 0 <= low and high <= 1:
        return Span(0, 1)
    if 0 <= low and high <= FULL.high and not fractions:
        return Span(0, (1 << max(8, int(high).bit_length())) - 1)
    return Span(low, max(high, low + 1))


# ---- Suspicious photos

def is_grey(photo):
    """Whether the channels of a photo (H, W, 3) are equal; for nearly all photos a few pixels decide it."""
    return all(bool((part[..., :1] == part[..., 1:]).all()) for part in (photo[::16, ::16], photo))


def flaws(photo):
    """list of reasons to suspect a photo (H, W, 3); mostly empty."""
    part = photo[::max(1, photo.shape[0] // 64), ::max(1, photo.shape[1] // 64)].reshape(-1, 3)
    low, high = np.percentile(part, (1, 99), axis=0)
    return ['nearly black'] * bool(high.max() < DARK) + ['of nearly one colour'] * bool((high - low).max() < FLAT)
