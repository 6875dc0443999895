"""A photo, decoded: RGB of 8 bits, upright, and what was done for that."""
from collections import namedtuple

import numpy as np
from PIL import Image, ImageCms

from dataset.picture_file import DataError, decoded, header, notes_of

# RGB; dict: what was done to it, or left aside -> 0; whether the file has more than 8 bits, which the image is made of
Photo = namedtuple('Photo', 'image notes deep')
Span = namedtuple('Span', 'low high')       # the values that become 0 and 255

TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
FULL = Span(0, 65535)
TOO_FEW = 12                # bits: of 16, so many in use would be shown as less than 16 of 255
DARK, FLAT = 32, 8          # of 255: the brightest 1 % of a dark photo is below; 98 % of a flat one lie within
UNTURNED = 'not turned as their EXIF tag says, for their maps fit them as they are stored'
BY_PREPARE = ('python -m dataset.prepare folder makes 8-bit photos by the range of all of them; a single one: save it '
              'with 8 bits a channel')
BY_HAND = 'save all photos with 8 bits a channel, multiplied by the same factor'


def load_photo(file, size=None):
    """RGB image of a photo; arguments as for read_photo."""
    return read_photo(file, size).image


def read_photo(file, size=None, span=None):
    """Photo of a path or io.BytesIO, of any mode; DataError if it is broken or would be black.

    It is turned as its EXIF tag says, unless only the unturned photo has `size` (width, height), that of its maps.
    `span`: the Span of values that photos of more than 8 bits are made 8-bit by, as span_of finds it; None: as
    declared, which numbers with a sign, of 32 bits or with a fraction are not.
    """
    opened = decoded(file)
    image, notes = opened.image, notes_of(opened)
    if image.mode == 'CMYK':
        notes['in CMYK, converted without a colour profile'] = 0
    alpha = image.mode[-1]
    if 'transparency' in image.info or alpha in 'Aa' and image.getchannel(alpha).getextrema()[0] < 255:
        notes['with transparent pixels, of which the colours beneath are taken'] = 0
    deep = is_deep(image.mode)
    if deep:
        image = _eight_bit(file, opened, span, notes)
    elif ';16' in opened.raw_mode:
        if max(high for _, high in image.convert('RGB').getextrema()) < 1 << TOO_FEW - 8:
            raise _too_dark(file, 'a colour photo of 16 bits a channel that uses the lowest 12 at most', BY_HAND)
        notes['of 16 bits a channel, of which the upper 8 are taken'] = 0
    image = _rgb(file, image)
    if opened.orientation in TURNS:
        upright = image.transpose(TURNS[opened.orientation])
        if image.size == size != upright.size:
            notes[UNTURNED] = 0
        else:
            image = upright
            notes['turned as their EXIF tag says'] = 0
    elif opened.turned:
        notes['turned as their orientation tag says'] = 0
    return Photo(image, notes, deep)


def _rgb(file, image):
    try:
        return image.convert('RGB')
    except (ValueError, ImageCms.PyCMSError) as error:   # of LAB
        raise DataError(f'{file}: a photo of mode {image.mode}, which cannot be made RGB ({error}): save it as RGB',
                        'photo mode') from None


# ---- More than 8 bits

def is_deep(mode):
    """Whether an image of that mode holds one number of more than 8 bits a pixel."""
    return mode == 'F' or mode.startswith('I')


def _values(file, opened):
    """(H, W) numbers of a deep photo; DataError if some are none."""
    values = np.asarray(opened.image)
    if not np.isfinite(values).all():
        raise DataError(f'{file}: a photo with values that are no number (NaN or infinite): fill them', 'photo range')
    if opened.inverted:
        raise DataError(f'{file}: a photo of more than 8 bits that stores white as 0: save it with 8 bits',
                        'photo range')
    return values


def _declared(opened):
    """The Span that the file itself declares, None if it does not."""
    if opened.raw_mode == 'I;12':
        return Span(0, 4095)
    if opened.maximum:      # of PGM: Pillow has scaled to 16 bits by it
        return FULL
    return None


def _eight_bit(file, opened, span, notes):
    """Image of mode L of a deep photo; `notes` gains how."""
    values = _values(file, opened)
    chosen = _declared(opened) or span
    if not chosen:
        low, high = values.min(), values.max()
        if opened.image.mode == 'F' or low < 0 or high > FULL.high:
            raise _too_dark(file, f'a photo of numbers from {low:g} to {high:g}, which do not say what is black and '
                                  'what white')
        if high < 1 << TOO_FEW:
            raise _too_dark(file, f'a 16-bit photo whose highest value is {high}')
        chosen = FULL
    notes[f'of more than 8 bits: {chosen.low:g} is made black and {chosen.high:g} white'] = 0
    if values.dtype.kind != 'f' and chosen.low == 0:    # bits: the upper 8 of them
        levels = values.astype(np.int64) * 256 // (chosen.high + 1)
    else:
        levels = np.rint((values.astype(np.float64) - chosen.low) * 255 / (chosen.high - chosen.low))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _too_dark(file, found, remedy=BY_PREPARE):
    return DataError(f'{file}: {found}: as it is, it would be black or nearly so: {remedy}', 'photo range')


def span_of(files):
    """Span by which all the photos of more than 8 bits in `files` are made 8-bit; None if none has to be.

    Whole numbers from 0: the bits that the highest needs, 8 at least; fractions within 0 .. 1: these; else lowest to
    highest. Files that cannot be read are passed over.
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


# ---- What a photo is not likely to be

def is_grey(photo):
    """Whether the channels of a photo (H, W, 3) are equal: first on a few pixels, which settles it for nearly all."""
    return all(bool((part[..., :1] == part[..., 1:]).all()) for part in (photo[::16, ::16], photo))


def flaws(photo):
    """list of what makes a photo (H, W, 3) suspicious: none for nearly all."""
    part = photo[::max(1, photo.shape[0] // 64), ::max(1, photo.shape[1] // 64)].reshape(-1, 3)
    low, high = np.percentile(part, (1, 99), axis=0)
    return ['nearly black'] * bool(high.max() < DARK) + ['of nearly one colour'] * bool((high - low).max() < FLAT)
