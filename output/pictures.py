"""Arrays in [-1, 1] -> picture files to look at."""
import numpy as np
from PIL import Image, PngImagePlugin

from dataset.palette import colourize
from runtime.errors import InputError
from runtime.writing import is_marked, mark, refuse_existing, writing

GAP = 4  # pixels between the pictures of a row


def to_uint8(images):
    """Tensor or array (N, 1 or 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3); InputError for another number of channels."""
    values = np.asarray(images, np.float32).transpose(0, 2, 3, 1)
    if values.shape[3] not in (1, 3):
        raise InputError(f'output_nc {values.shape[3]}: a picture file has 1 channel or 3; this network paints '
                         'something else')
    pixels = np.clip(np.rint((values + 1) * 127.5), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def rows(label, fake, photo, colours):
    """uint8 picture with a row per sample:
    label map in `colours`, uint8 (label_nc, 3), generated, photo (left out if None).
    """
    columns = [colourize(label, len(colours), colours), to_uint8(fake)] + ([] if photo is None else [to_uint8(photo)])
    return _joined([_joined(pictures, 1) for pictures in zip(*columns)], 0)


def grid(cells, columns):
    """uint8 picture of pictures (H, W, 3) of one size, `columns` in a row; places that are left over are white."""
    rest = [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    cells = [*cells, *rest]
    return _joined([_joined(cells[start:start + columns], 1) for start in range(0, len(cells), columns)], 0)


def _joined(pictures, axis):
    gap = np.full([GAP if n == axis else length for n, length in enumerate(pictures[0].shape)], 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)


def is_training_picture(path, size):
    """Whether a file in output/pics is ours:
    it has our mark, or, of earlier versions, is a JPEG with three columns of `size`.

    size: (height, width) of the run's pictures; None: the mark alone counts.
    """
    if is_marked(path) or size is None:
        return is_marked(path)
    try:
        with Image.open(path, formats=['JPEG']) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return width == 3 * size[1] + 2 * GAP and (height + GAP) % (size[0] + GAP) == 0


def save(pixels, path, painter='', ours=is_marked):
    """Write uint8 (H, W, 3) as JPEG or PNG, by the ending of `path`;
    the file is whole or not there, and carries our mark.

    painter: what identifies the networks (output/folder.py). InputError if there is a file that is not `ours`.
    """
    refuse_existing(path, ours)
    note = PngImagePlugin.PngInfo()
    note.add_text('Comment', mark(painter))
    with writing(path, alone=False) as unfinished:
        Image.fromarray(np.ascontiguousarray(pixels)).save(unfinished, quality=95, comment=mark(painter), pnginfo=note)
