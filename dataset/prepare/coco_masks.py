"""Masks of COCO regions: run lengths, and polygons filled as by the COCO API or by the official script.

The rules are those of cocodataset/cocoapi, common/maskApi.c (rleFrPoly, rleFrString, rleDecode, rleMerge).
"""
import numpy as np

from dataset.picture_file import DataError

UPSAMPLING = 5      # the COCO API walks along a polygon's border in fifths of a pixel
AT_ONCE = 1 << 18   # crossings of borders and columns computed together


def parts(segmentation, height, width):
    """Yield (box, bool mask of that box) for each part of a `segmentation`; box: slices of the picture. DataError."""
    if isinstance(segmentation, dict):
        yield (slice(height), slice(width)), run_lengths(segmentation, height, width)
    else:
        for corners in polygons(segmentation):
            yield polygon(corners, height, width)


def polygons(segmentation):
    """list of (corners, 2) float64 x, y of a segmentation that is a list of flat lists; DataError if it is not."""
    try:
        flat = [np.asarray(numbers, np.float64) for numbers in segmentation]
        if any(numbers.ndim != 1 or len(numbers) % 2 or len(numbers) < 2 for numbers in flat):
            raise ValueError('an odd number of coordinates, or none')
        if any((np.abs(numbers) > 1e6).any() or np.isnan(numbers).any() for numbers in flat):
            raise ValueError('coordinates beyond any picture')
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f'segmentation that is neither polygons [x, y, x, y, ...] nor run lengths ({error})',
                        'wrong segmentation') from None
    return [numbers.reshape(-1, 2) for numbers in flat]


def polygon(corners, height, width):
    """(box, bool mask of that box): the pixels that the COCO API fills for one polygon, corners (N, 2) in pixels.

    The API walks along the border in fifths of a pixel, in steps along the longer direction of each edge. Where the
    walk crosses the middle of a column, all pixels below change sides, so that overlapping parts of a polygon cancel.
    Only the part of the walk inside the picture is computed; corners may lie anywhere.
    """
    # The API rounds by adding 0.5 and truncating, negative numbers too.
    start = (UPSAMPLING * corners + 0.5).astype(np.int64)
    end = np.roll(start, -1, 0)
    (left, top), (right, bottom) = start.min(0), start.max(0)
    left, right = max(0, _columns_from(left)), min(width, _columns_from(right))
    top, bottom = (int(np.clip(_row(y), 0, height)) for y in (top, bottom))
    box = slice(top, bottom), slice(left, max(left, right))
    shape = max(0, right - left), bottom - top + 1
    changes = np.zeros(shape, np.uint8)
    if not changes.size:
        return box, np.zeros((shape[1] - 1, shape[0]), bool)
    first_column = np.clip(_columns_from(np.minimum(start[:, 0], end[:, 0])), left, right)
    crossings = np.clip(_columns_from(np.maximum(start[:, 0], end[:, 0])), left, right) - first_column
    for edges, edge, offset in _spread(crossings):
        column = first_column[edges][edge] + offset
        row = np.clip(_row(_height_of_crossing(start[edges], end[edges], edge, UPSAMPLING * column + UPSAMPLING // 2)),
                      top, bottom)
        passed = np.bincount((column - left) * shape[1] + row - top, minlength=changes.size)
        changes += passed.reshape(shape).astype(np.uint8)     # modulo 256: an odd number stays one
    return box, (np.cumsum(changes, 1, np.uint8)[:, :-1] % 2 == 1).T


def _columns_from(x):
    """The first column whose middle is not left of x, in fifths of a pixel."""
    return -((UPSAMPLING // 2 - x) // UPSAMPLING)


def _row(y):
    """The first row that changes sides below a border that passes at y, in fifths of a pixel."""
    return -((UPSAMPLING // 2 - y) // UPSAMPLING)


def _spread(counts):
    """Yield (edges, edge, offset), offset 0 .. counts[edge] - 1 for every edge in the slice edges."""
    first, total = 0, np.append(0, np.cumsum(counts))
    while first < len(counts):
        last = max(first + 1, int(np.searchsorted(total, total[first] + AT_ONCE, 'right')) - 1)
        some = counts[first:last]
        edge = np.repeat(np.arange(len(some)), some)
        yield slice(first, last), edge, np.arange(len(edge)) - (total[first:last] - total[first])[edge]
        first = last


def _height_of_crossing(start, end, edge, x):
    """y of the upper end of the walk's step between x and x + 1, for edges of these numbers; start, end (E, 2)."""
    along = (np.abs(end - start)[:, 1] > np.abs(end - start)[:, 0]).astype(int)   # 0: a step for each x, 1: for each y
    turned = np.take_along_axis(start, along[:, None], 1) > np.take_along_axis(end, along[:, None], 1)
    first, last = np.where(turned, end, start), np.where(turned, start, end)
    longer = np.abs(end - start).max(1)
    slope = np.where(along == 1, *(last - first).T) / np.maximum(longer, 1)
    first, slope, along = first[edge], slope[edge], along[edge] == 1
    by_x = x - first[:, 0]
    y = np.minimum(*((first[:, 1] + slope * (by_x + step) + 0.5).astype(np.int64) for step in range(2)))
    # Along y: estimate the last step before the walk changes sides, then correct it by the rounding of the walk.
    with np.errstate(divide='ignore', invalid='ignore'):
        by_y = np.where(along, np.floor((x + 0.5 - first[:, 0]) / np.where(slope == 0, 1, slope)),
                        0).astype(np.int64) - 2
    before = [((first[:, 0] + slope * (by_y + step) + 0.5).astype(np.int64) <= x) == (slope > 0)
              for step in range(1, 5)]
    return np.where(along, first[:, 1] + by_y + sum(map(np.int64, before)), y)


def run_lengths(segmentation, height, width):
    """bool (height, width) of {'size': [height, width], 'counts': list or compressed string}; DataError.

    Runs follow the columns downwards; the first is outside.
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
    """list of the run lengths in a compressed string; ValueError if it is truncated.

    A number has 5-bit parts, lowest first, each a character from '0' on. Bit 0x20 means that more parts follow; bit
    0x10 of the last is the sign. Each number from the fourth on is stored as its difference from the one two before.
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
        raise ValueError('truncated')
    return counts


def official_polygon(corners, height, width):
    """(box, bool mask of that box): the pixels that NVlabs/SPADE's coco_generate_instance_map.py fills for one polygon.

    It subtracts 1 from all coordinates and fills with skimage.draw.polygon of its time: pixels whose centre is inside
    by the even-odd rule, without a border on the right or below (later versions draw it), nor at negative
    coordinates. So the released maps have no object in their last row or column.
    """
    x, y = (corners - 1).T
    x_before, y_before = np.roll(x, 1), np.roll(y, 1)
    top, bottom = (int(np.clip(np.ceil(side), 0, height)) for side in (y.min(), y.max()))
    # One more column on each side, since crossings are rounded.
    left, right = (int(np.clip(np.ceil(side), 0, width)) for side in (x.min() - 1, x.max() + 1))
    first_row, last_row = (np.clip(np.ceil(side(y, y_before)), top, bottom).astype(np.int64)
                           for side in (np.minimum, np.maximum))
    changes = np.zeros((bottom - top, right - left + 1), np.uint8)
    for edges, edge, offset in _spread(last_row - first_row):
        row = first_row[edges][edge] + offset
        (x_0, y_0), (x_1, y_1) = ((side[0][edges][edge], side[1][edges][edge])
                                  for side in ((x, y), (x_before, y_before)))
        crossing = (x_1 - x_0) * (row - y_0) / (y_1 - y_0) + x_0
        column = np.clip(np.ceil(crossing), left, right).astype(np.int64)
        passed = np.bincount((row - top) * changes.shape[1] + column - left, minlength=changes.size)
        changes += passed.reshape(changes.shape).astype(np.uint8)
    left_of = np.cumsum(changes, 1, np.uint8)[:, :-1]   # crossings up to a pixel; as many or one more are to its right
    return (slice(top, bottom), slice(left, right)), left_of % 2 == 1
