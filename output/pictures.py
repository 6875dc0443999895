"""Arrays in [-1, 1] -> picture files."""
import numpy as np
from PIL import Image, PngImagePlugin

from dataset.palette import colourize
from runtime.errors import InputError
from runtime.writing import is_marked, mark, refuse_existing, writing

GAP = 4  # pixels between pictures in a row or grid


def to_uint8(images):
    """Tensor or array (N, 1 or 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3); InputError for other numbers of channels."""
    values = np.asarray(images, np.float32).transpose(0, 2, 3, 1)
    check_channels(values.shape[3])
    values = np.nan_to_num(values)  # the NaN of a diverged run, without numpy's warning: the run ends with a message
    pixels = np.clip(np.rint((values + 1) * 127.5), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def check_channels(count):
    """InputError if no picture file can have `count` channels."""
    if count not in (1, 3):
        raise InputError(f'output_nc {count}: a picture file has 1 or 3 channels')


def rows(label, fake, photo, colours):
    """uint8 (H, W, 3): a row per sample: label map in `colours`, uint8 (label_nc, 3), generated, photo unless None."""
    columns = [colourize(label, len(colours), colours), to_uint8(fake)] + ([] if photo is None else [to_uint8(photo)])
    return _joined([_joined(pictures, 1) for pictures in zip(*columns)], 0)


def grid(cells, columns):
    """uint8 (H, W, 3): pictures of one size, `columns` per row; empty cells are white."""
    cells = [*cells, *[np.full_like(cells[0], 255)] * (-len(cells) % columns)]
    return _joined([_joined(cells[start:start + columns], 1) for start in range(0, len(cells), columns)], 0)


def _joined(pictures, axis):
    gap = np.full([GAP if n == axis else length for n, length in enumerate(pictures[0].shape)], 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)


def is_training_picture(path, size):
    """Whether a file in output/pics is ours: marked or, from earlier versions, a JPEG with three columns of `size`.

    size: (height, width) of the run's pictures; with None only the mark counts.
    """
    if is_marked(path) or size is None:
        return is_marked(path)
    try:
        with Image.open(path, formats=['JPEG']) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return width == 3 * size[1] + 2 * GAP and (height + GAP) % (size[0] + GAP) == 0


def save(pixels, path, painter='', ours=is_marked, inputs=''):
    """Write uint8 (H, W, 3) with our mark as JPEG or PNG, by the ending of `path`, whole or not at all.

    painter, inputs: their identities (output/painted.py, output/folder.py). InputError if `path` exists, unless
    ours(path).
    """
    refuse_existing(path, ours)
    note, comment = PngImagePlugin.PngInfo(), mark(painter, inputs)
    note.add_text('Comment', comment)
    with writing(path, alone=False) as unfinished:
        Image.fromarray(np.ascontiguousarray(pixels)).save(unfinished, quality=95, comment=comment, pnginfo=note)
