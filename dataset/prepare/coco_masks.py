"""Regions of the COCO annotations as masks: polygons as the COCO API fills them, run lengths, and the official script's polygons.

The rules are those of cocodataset/cocoapi, common/maskApi.c (rleFrPoly, rleFrString, rleDecode, rleMerge).
"""
import numpy as np

from dataset.files import DataError

UPSAMPLING = 5  # the COCO API walks along a polygon's border in fifths of a pixel


def region(segmentation, height, width):
    """bool (height, width) of an annotation's `segmentation`: list of polygons (their union) or run lengths; DataError."""
    if isinstance(segmentation, dict):
        return run_lengths(segmentation, height, width)
    mask = np.zeros((height, width), bool)
    for corners in polygons(segmentation):
        mask |= polygon(corners, height, width)
    return mask


def polygons(segmentation):
    """list of (corners, 2) float64 x, y of a segmentation that is a list of flat lists; DataError if it is not."""
    try:
        flat = [np.asarray(numbers, np.float64) for numbers in segmentation]
        if any(numbers.ndim != 1 or len(numbers) % 2 or len(numbers) < 2 for numbers in flat):
            raise ValueError('odd or missing numbers')
        if any((np.abs(numbers) > 1e6).any() or np.isnan(numbers).any() for numbers in flat):
            raise ValueError('coordinates beyond any picture')
    except (TypeError, ValueError) as error:
        raise DataError(f'segmentation that is neither polygons [x, y, x, y, ...] nor run lengths ({error})',
                        'wrong segmentation') from None
    return [numbers.reshape(-1, 2) for numbers in flat]


def polygon(corners, height, width):
    """bool (height, width): the pixels the COCO API gives to one polygon, corners (N, 2) in pixels.

    The border is walked in fifths of a pixel. Wherever it passes the middle of a column, everything below in that column, and
    all columns to the right, change sides: so overlapping parts of one polygon cancel.
    """
    # + 0.5 and a cut towards zero is the API's rounding, below zero too.
    corners = (UPSAMPLING * corners + 0.5).astype(np.int64)
    x, y = (np.concatenate(parts) for parts in zip(*map(_walk, corners, np.roll(corners, -1, 0))))
    step = x[1:] != x[:-1]
    x, y = np.where(x[1:] < x[:-1], x[1:], x[1:] - 1)[step], np.minimum(y[1:], y[:-1])[step]
    middle = UPSAMPLING // 2
    inside = (x % UPSAMPLING == middle) & (0 <= x) & (x // UPSAMPLING <= width - 1)
    column, row = x[inside] // UPSAMPLING, np.clip(-((middle - y[inside]) // UPSAMPLING), 0, height)
    changes = np.bincount(column * height + row, minlength=height * width)[:height * width]
    return (np.cumsum(changes) % 2 == 1).reshape(width, height).T


def _walk(start, end):
    """x and y of the points from one corner to the next, both included, one for every step along the longer side."""
    (dx, dy), longer = end - start, int(np.abs(end - start).max())
    along = 0 if abs(dx) >= abs(dy) else 1
    first, last = (end, start) if start[along] > end[along] else (start, end)
    steps = np.arange(longer + 1)
    slope = (last - first)[1 - along] / longer if longer else 0.0
    points = [None, None]
    points[along] = first[along] + steps
    points[1 - along] = (first[1 - along] + slope * steps + 0.5).astype(np.int64)
    return points if first is start else [part[::-1] for part in points]


def run_lengths(segmentation, height, width):
    """bool (height, width) of {'size': [height, width], 'counts': list or compressed string}; DataError if it does not fit.

    Runs go down the columns and begin with pixels outside.
    """
    try:
        size, counts = list(segmentation['size']), segmentation['counts']
        counts = np.asarray(decompressed(counts) if isinstance(counts, (str, bytes)) else counts, np.int64)
        fits = size == [height, width] and counts.ndim == 1 and (counts >= 0).all() and (
            counts <= height * width).all() and counts.sum() == height * width
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        fits = False
    if not fits:
        raise DataError(f'run lengths that do not fill a picture {width} wide and {height} high', 'wrong segmentation')
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def decompressed(text):
    """list of the run lengths in a compressed string; ValueError if it is cut off.

    Each number is written in 5-bit pieces, lowest first, as characters from '0' on, with 32 added where more follow and the
    sign in the last one's bit 16; from the fourth on it is the difference to the number two before.
    """
    counts, value, shift = [], 0, 0
    for character in text.encode() if isinstance(text, str) else text:
        piece = character - 48
        if not 0 <= piece < 64 or shift > 60:
            raise ValueError('no run lengths')
        value |= (piece & 31) << shift
        shift += 5
        if not piece & 32:
            if piece & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise ValueError('cut off')
    return counts


def official_polygon(corners, height, width):
    """bool (height, width): the pixels that NVlabs/SPADE's coco_generate_instance_map.py paints for one polygon.

    It takes 1 off all coordinates and fills with skimage.draw.polygon of that time: pixel centres inside by the even-odd rule,
    a border on the right or below left out (versions since draw it). That function draws no negative coordinates, so that
    nothing wraps to the opposite border: the maps released with the official code have no object in their last row or column.
    """
    x, y = (corners - 1).T
    x_before, y_before = np.roll(x, 1), np.roll(y, 1)
    rows = np.arange(height)[:, None]
    crossed = ((y <= rows) & (rows < y_before)) | ((y_before <= rows) & (rows < y))
    row, edge = np.nonzero(crossed)
    crossing = (x_before[edge] - x[edge]) * (row - y[edge]) / (y_before[edge] - y[edge]) + x[edge]
    changes = np.zeros((height, width + 1), np.int64)
    np.add.at(changes, (row, np.clip(np.ceil(crossing), 0, width).astype(np.int64)), 1)
    right_of = changes.sum(1, keepdims=True) - np.cumsum(changes, 1)  # crossings to the right of a pixel
    return right_of[:, :width] % 2 == 1
