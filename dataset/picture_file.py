"""Opens picture files: formats, sizes, and headers that change the meaning of pixels."""
import io
import re
import warnings
from collections import Counter, namedtuple

from PIL import Image

from runtime.errors import InputError

FORMATS = 'PNG', 'JPEG', 'BMP', 'TIFF', 'WEBP', 'PPM', 'GIF'   # no others: Pillow starts Ghostscript to read EPS
ENDINGS = ('.png', '.jpg', '.jpeg', '.jfif', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.pbm', '.pnm', '.gif')
MOST_PIXELS = 178_956_970   # Pillow's own limit, twice Image.MAX_IMAGE_PIXELS
LONGEST_SIDE = 1 << 16
ORIENTATION, INVERTED, NO_DATA, KIND_OF_PAGE, SIGN = 274, 262, 42113, 254, 339  # tags of TIFF, the first of EXIF too
REDUCED, MASK = 1, 4        # kinds of page that are not pictures: overviews and transparency
LOSSY_TIFF = 'jpeg', 'tiff_jpeg', 'webp'

warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)     # for more than half of MOST_PIXELS
warnings.filterwarnings('ignore', 'Corrupt EXIF data')  # such a photo counts as upright

# image: loaded, as stored (TIFF: upright); raw_mode: Pillow's name of the file's kind of samples; lossy: name of the
# compression, or ''; orientation: 1 to 8; turned: whether Pillow has applied the orientation, as it does with TIFF;
# inverted: whether the file stores white as 0; maximum: PGM's declared maximum if Pillow has scaled by it, else None;
# no_data: the value that TIFF declares; signed: whether TIFF's numbers have a sign; palette: (bytes, raw mode) or None
Opened = namedtuple('Opened', 'image raw_mode lossy orientation turned inverted maximum no_data signed palette')


class DataError(InputError):
    """A problem of the data; `kind` is its heading in the summary of dataset.check."""

    def __init__(self, message, kind='other'):
        super().__init__(message)
        self.kind = kind


def unreadable(file, error):
    """DataError for a file that cannot be read to its end."""
    if isinstance(error, FileNotFoundError):
        return DataError(f'{file}: unreadable: {error.strerror}: check the name', 'unreadable image')
    if isinstance(error, MemoryError):
        return DataError(f'{file}: not enough memory to decode it: make the picture smaller or cut it into tiles',
                         'too large')
    reason = getattr(error, 'strerror', None) or ' '.join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
        reason = 'not a file of a known format: ' + ', '.join(FORMATS)
        if _bytes(file, 4) in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'):
            reason = ('a TIFF with samples that Pillow does not read, such as 64-bit numbers or more than four '
                      'channels: save it as PNG')
    return DataError(f'{file}: unreadable or truncated image ({reason}): replace the file', 'unreadable image')


def decoded(file):
    """Opened of a path or io.BytesIO, read to its end; DataError if broken, too large or with several pictures."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            check_size(file, *image.size)
            if getattr(image, 'is_animated', False) and image.format != 'MPO':  # MPO: a photo and its previews
                _check_pages(file, image)
            raw_mode, maximum = _samples(image)
            tags = getattr(image, 'tag_v2', {})
            turned, no_data, inverted = tags.get(ORIENTATION, 1) != 1, tags.get(NO_DATA), tags.get(INVERTED) == 0
            lossy, palette, signed = _lossy(file, image), _palette(image), 2 in (tags.get(SIGN) or ())
            image.load()
            orientation = 1 if tags else _orientation(image)
            return Opened(image, raw_mode, lossy, orientation, turned, inverted or raw_mode == '1;I', maximum, no_data,
                          signed, palette)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(file, f'{re.findall("[0-9]+", str(error))[0]} pixels') from None
    except Exception as error:  # broken files make Pillow raise nearly anything: SyntaxError, struct.error, ...
        raise unreadable(file, error) from None


def header(file):
    """(mode, palette: (bytes, raw mode) or None) of a picture, without its pixels; (None, None) if unreadable."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            return image.mode, _palette(image)
    except Exception:   # the reader of the picture reports it
        return None, None


def upright_size(file):
    """(width, height) of a picture as its orientation tag turns it, without its pixels; None if it is unreadable."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            check_size(file, *image.size)
            return image.size[::-1] if image.format != 'TIFF' and _orientation(image) > 4 else image.size
    except Exception:   # the reader of the picture reports it
        return None


def _palette(image):
    return (bytes(image.palette.palette), image.palette.rawmode or image.palette.mode) if image.mode == 'P' else None


def check_size(file, width, height):
    """DataError for a picture too large to decode."""
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise _too_large(file, f'{width} wide and {height} high')


def _too_large(file, found):
    return DataError(f'{file}: {found}, allowed are {MOST_PIXELS // 10 ** 6} million pixels and sides of '
                     f'{LONGEST_SIDE}: make the picture smaller or cut it into tiles', 'too large')


def _bytes(file, count=-1):
    """The first `count` bytes of a path or io.BytesIO, or all."""
    if isinstance(file, io.BytesIO):
        return file.getvalue()[:count if count >= 0 else None]
    with open(file, 'rb') as opened:
        return opened.read(count)


def _samples(image):
    """(Pillow's name of the file's kind of samples, PGM's declared maximum if Pillow scales by it)."""
    if not image.tile:
        return image.mode, None
    decoder, arguments = image.tile[0][0], image.tile[0][3]
    if decoder in ('ppm', 'ppm_plain') and isinstance(arguments, tuple):
        return image.mode, arguments[1]
    found = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return (found if isinstance(found, str) else image.mode), None


def _orientation(image):
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:   # unreadable EXIF: no orientation
        return 1
    return found if found in range(1, 9) else 1


def _lossy(file, image):
    if image.format in ('JPEG', 'MPO'):
        return 'JPEG'
    if image.format == 'TIFF' and image.info.get('compression') in LOSSY_TIFF:
        return 'TIFF with lossy compression'
    return 'lossy WebP' if image.format == 'WEBP' and b'VP8 ' in _chunks(file) else ''


def _chunks(file):
    """set of the names of the chunks of a WebP file."""
    content = _bytes(file)
    names, position = set(), 12
    while position + 8 <= len(content):
        names.add(content[position:position + 4])
        position += 8 + (int.from_bytes(content[position + 4:position + 8], 'little') + 1) // 2 * 2   # even lengths
    return names


def _check_pages(file, image):
    """DataError if a file holds several pictures; a TIFF's overviews and masks do not count."""
    count, size = image.n_frames, image.size
    if image.format == 'TIFF':
        pages = 0
        for index in range(count):
            image.seek(index)
            pages += image.size == size and not image.tag_v2.get(KIND_OF_PAGE, 0) & (REDUCED | MASK)
        image.seek(0)
        count = pages
    if count > 1:
        raise DataError(f'{file}: {count} pictures in one file ({image.format}), expected one: save one of them as a '
                        'file of its own', 'several pictures')


def notes_of(opened):
    """dict: a note on each header field that is not applied to the pixels -> 0."""
    info, notes = opened.image.info, {}
    profile = info.get('icc_profile')
    if profile and b'sRGB' not in profile and 'sRGB'.encode('utf-16-be') not in profile:
        notes['with a colour profile other than sRGB, which is not applied'] = 0
    if opened.image.format == 'TIFF' and 'X' in opened.raw_mode:
        notes['with further channels, which are not read'] = 0
    if abs(info.get('gamma', 1 / 2.2) - 1 / 2.2) > 0.01 and 'srgb' not in info:
        notes['with a gamma other than 1/2.2, which is not applied'] = 0
    return notes


def noted(what, decoded):
    """[(kind of file, note, pixels or 0)] of one decoded file."""
    return [(what, note, pixels) for note, pixels in decoded.notes.items()]


class Notes:
    """The results of `noted` for many files, counted."""

    def __init__(self):
        self.files, self.pixels = Counter(), Counter()

    def add(self, notes):
        for what, note, pixels in notes:
            self.files[what, note] += 1
            self.pixels[what, note] += pixels

    def lines(self):
        for (what, note), files in self.files.items():
            pixels = self.pixels[what, note]
            yield f'{files} {what}{"s" * (files > 1)} {note}' + (f' ({pixels} pixels)' if pixels else '')
