"""Ids of a colour-coded label map: exact colours, colours altered by JPEG, and blends along borders."""
from itertools import islice

import numpy as np

NEAR = 24       # distance of two colours: JPEG of fair quality changes areas by less
BORDER = 4      # pixels on each side of a border that JPEG blurs; smoothing blurs half as many
STRAY, STRAY_ROUNDS = 0.001, 16     # largest share of unknown pixels beyond BORDER to fill, and how deep
FREQUENT = 4    # pixels of one colour, not a blend, that indicate a class missing in the table
BIN, STARTS = 16, 8     # side of the cubes of colours in which clusters begin, and how many are tried
LEAST = 0.0005  # share of a colour that is a class
LACKING = 3     # clusters that a label map names
LUMA = (.299, .587, .114), (-.169, -.331, .5), (.5, -.419, -.081)   # JPEG's brightness and chroma of red, green, blue


def of_colours(pixels, ids, near=0, lossy=False):
    """(int32 (H, W) ids of uint8 RGB (H, W, 3), number of inexact pixels, [(pixels, unknown colour)], most first,
    [(pixels, colour)] of classes that `ids` seems to lack among the border pixels).

    ids: dict: colour -> id. The returned ids are None if a colour is unknown. near: a colour within this distance of a
    known one, and twice as far from any other id, counts as the known one. A border pixel whose colour is a
    blend of two classes (smoothing, JPEG) gets the id of a neighbour. Wider areas of such colours are unknown, and so
    is a frequent colour in a lossless file unless it is a blend.
    """
    packed = np.asarray(pixels, np.int64) @ (1 << 16, 1 << 8, 1)
    codes, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    found = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)
    known = np.array([ids.get(tuple(colour), -1) for colour in found.tolist()], np.int32)
    exact = known >= 0
    if near and not exact.all():
        known[~exact] = _nearest(found[~exact], ids, near)
        # in a lossless file, a frequent colour near an exact one is another id, unless it is a blend
        other = ~exact & (counts >= FREQUENT) & np.isin(known, known[exact & (known >= 0)]) & (known >= 0) & (not lossy)
        other[other] = ~_blends(found[other], found[exact], near)
        known[other] = -1
    inverse = inverse.reshape(packed.shape)
    label, lacking = known[inverse], []
    if near and (known < 0).any() and (known >= 0).any():
        lossy = lossy or counts[exact].sum() < packed.size / 2      # a lossless file that was lossy before
        foreign = (known < 0) & (counts >= FREQUENT) & (not lossy)
        foreign[foreign] = ~_blends(found[foreign], found[exact], near)
        if not foreign.any():
            label = _filled(label, BORDER if lossy else BORDER // 2)
            label = _filled(label, STRAY_ROUNDS) if lossy and (label < 0).mean() <= STRAY else label
    left = np.bincount(inverse[label < 0], minlength=len(codes))
    unknown = [(int(count), tuple(colour)) for count, colour in zip(left, found.tolist()) if count]
    unknown.sort(reverse=True)
    if not unknown and (known < 0).any():
        present = [colour for colour, index in ids.items() if index in known]
        lacking = list(islice(missing(found[known < 0], counts[known < 0], present), LACKING))
    return None if unknown else label, int(counts[~exact].sum()), unknown, lacking


def _nearest(colours, ids, near):
    """int32 (N,): for each colour (N, 3) the id of the nearest one in `ids` within `near`, else -1."""
    table, of_entry = np.array(list(ids)), np.array(list(ids.values()), np.int32)
    result = np.full(len(colours), -1, np.int32)
    for begin in range(0, len(colours), 4096):   # a lossy map has many colours
        distance = np.sqrt(((colours[begin:begin + 4096, None] - table) ** 2).sum(-1))
        first, lowest = distance.argmin(1), distance.min(1)
        others = np.where(of_entry == of_entry[first][:, None], np.inf, distance).min(1)
        good = (lowest <= near) & (2 * lowest <= others)
        result[begin:begin + 4096][good] = of_entry[first][good]
    return result


def _blends(colours, ends, near):
    """bool (N,): whether each colour (N, 3) lies within `near` of a line between two of `ends` (K, 3)."""
    result = np.zeros(len(colours), bool)
    for one in range(len(ends)):
        for other in range(one):
            way = ends[other] - ends[one]
            share = np.clip((colours - ends[one]) @ way / (way @ way), 0, 1)
            result |= ((colours - ends[one] - share[:, None] * way) ** 2).sum(1) <= near ** 2
    return result


def clusters(colours, counts):
    """Yields (pixels, mean colour) of the colours within NEAR of each other, most pixels first.

    colours: integers (N, 3), of which each occurs `counts` times.
    """
    while len(colours):
        cubes, place = np.unique(colours // BIN @ (1 << 16, 1 << 8, 1), return_inverse=True)
        balls = [((colours - np.average(colours[place == cube], 0, counts[place == cube])) ** 2).sum(1) <= NEAR ** 2
                 for cube in np.bincount(place, counts).argsort()[-STARTS:]]
        inside = max(balls, key=lambda ball: counts[ball].sum())
        mean = np.average(colours[inside], 0, counts[inside]).round().astype(int)
        yield int(counts[inside].sum()), tuple(mean.tolist())
        colours, counts = colours[~inside], counts[~inside]


def missing(colours, counts, table):
    """`clusters` of the colours (N, 3) that neither a colour of `table` nor a border between two of them explains."""
    _, place = np.unique(colours // 4 @ (1 << 16, 1 << 8, 1), return_inverse=True)      # fewer, for speed
    total = np.bincount(place, counts)
    colours = np.stack([np.bincount(place, counts * channel) for channel in colours.T], 1) / total[:, None]
    for colour in table:
        far = ((colours - colour) ** 2).sum(1) > NEAR ** 2
        colours, total = colours[far], total[far]
    far = ~_mixtures(colours, np.array(table))
    return clusters(colours[far].round().astype(int), total[far].round().astype(int))


def _mixtures(colours, ends):
    """bool (N,): whether each colour (N, 3) lies within NEAR of a mixture of two of `ends` (K, 3).

    Brightness and chroma mix by different shares: JPEG stores chroma at half the resolution.
    """
    result = np.zeros(len(colours), bool)
    (luma, *chroma), (lumas, *chromas) = np.array(LUMA) @ np.transpose(colours), np.array(LUMA) @ np.transpose(ends)
    chroma, chromas = np.transpose(chroma), np.transpose(chromas)
    for one in range(len(ends)):
        for other in range(one):
            way = chromas[other] - chromas[one]
            share = np.clip((chroma - chromas[one]) @ way / max(way @ way, 1), 0, 1)
            off = luma - np.clip(luma, *sorted((lumas[one], lumas[other])))
            result |= ((chroma - chromas[one] - share[:, None] * way) ** 2).sum(1) + off ** 2 <= NEAR ** 2
    return result


def _filled(label, rounds):
    """label (H, W), in which negative pixels up to `rounds` pixels deep get the id of a neighbour."""
    label = label.copy()
    for _ in range(rounds):
        before = label.copy()
        for to, source in (((slice(1, None),), (slice(None, -1),)), ((slice(None, -1),), (slice(1, None),)),
                           ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
                           ((slice(None), slice(None, -1)), (slice(None), slice(1, None)))):
            label[to] = np.where(label[to] < 0, before[source], label[to])
    return label
