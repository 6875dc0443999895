"""Ids of a colour-coded label map: exact colours, colours altered by JPEG, and blends along borders."""
import math
from collections import Counter

import numpy as np

NEAR = 24       # distance of two colours: JPEG of fair quality changes areas by less
BORDER = 4      # pixels on each side of a border that JPEG blurs; smoothing blurs half as many
STRAY, STRAY_ROUNDS = 0.001, 16     # largest share of unknown pixels beyond BORDER to fill, and how deep
FREQUENT = 4    # pixels of one colour, not a blend, that indicate a class missing in the table
MOST = 1 << 12  # frequent exact colours that are merged


def of_colours(pixels, ids, near=0, lossy=False):
    """(int32 (H, W) ids of uint8 RGB (H, W, 3), number of inexact pixels, [(pixels, unknown colour)], most first,
    [(colour, pixels)] of those that got the id of a neighbour, most first).

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
    label = known[inverse]
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
    filled = Counter(dict(zip(map(tuple, found[known < 0].tolist()), counts[known < 0].tolist())))
    return None if unknown else label, int(counts[~exact].sum()), unknown, [] if unknown else merged(filled)


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


def merged(counts, centres=()):
    """[(colour, number)], highest first, of a Counter of colours: near ones count as the most frequent of them.

    centres: colours that others join first.
    """
    found = Counter(dict.fromkeys(centres, 0))
    for colour, number in counts.most_common(MOST):
        near = min(found, key=lambda other: math.dist(colour, other), default=colour)
        found[near if math.dist(colour, near) <= NEAR else colour] += number
    return found.most_common()


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
