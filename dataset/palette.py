"""Tables of class names and colours, and label maps in colours.

Ids are those of the COCO-Stuff pixel maps (stuffthingmaps): COCO's category number minus one, so that person is 0,
things with COCO's gaps are 0 .. 90, stuff is 91 .. 181, and 255 is unlabelled. Imports nothing of ours.
"""
import json
import os
import re
from collections import namedtuple

import numpy as np

UNLABELLED = 255
LINE = re.compile(r'(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\d+)(?:[\s,]+(.*))?')

Class = namedtuple('Class', 'id colour name')  # colour: (red, green, blue), 0 .. 255


def read_table(path):
    """list of Class from a file; ValueError that says which line is wrong. Two colours may have one id.

    Text: lines 'id red green blue name', '#' begins a comment. JSON: {name: [red, green, blue], ...}, ids in that order, or,
    where the names are numbers, those are the ids. OSError if it cannot be read.
    """
    with open(path, encoding='utf-8') as file:
        text = file.read()
    if text.lstrip()[:1] in ('{', '['):
        rows = _json_rows(text)
    else:
        rows = []
        for number, line in enumerate(text.splitlines(), 1):
            found = LINE.fullmatch(line.split('#')[0].strip())
            if found:
                rows.append((f'line {number}', *map(int, found.groups()[:4]), (found[5] or found[1]).strip()))
            elif line.split('#')[0].strip():
                raise ValueError(f'line {number}: found {line.strip()[:60]!r}, expected id red green blue name')
    colours = {}
    for where, index, *colour, name in rows:
        if max(colour) > 255 or index > 65535:
            raise ValueError(f'{where}: id {index} with colour {tuple(colour)}: ids go to 65535, colours to 255')
        if colours.setdefault(tuple(colour), index) != index:
            raise ValueError(f'{where}: colour {tuple(colour)} for id {index}, which id {colours[tuple(colour)]} has already')
    if not rows:
        raise ValueError('no classes in it, expected lines of id red green blue name')
    return [Class(index, tuple(colour), name) for _, index, *colour, name in rows]


def _json_rows(text):
    table = json.loads(text)
    if not isinstance(table, dict) or not all(
            isinstance(colour, list) and len(colour) == 3 and all(type(part) is int and part >= 0 for part in colour)
            for colour in table.values()):
        raise ValueError('expected {name: [red, green, blue], ...} in the JSON file')
    numbered = all(name.isdecimal() for name in table)
    return [(f'{name!r}', int(name) if numbered else index, *colour, name) for index, (name, colour) in enumerate(table.items())]


_HERE = os.path.dirname(os.path.abspath(__file__))
_COCO_STUFF_TABLE = read_table(os.path.join(_HERE, 'coco_stuff_classes.txt'))
COCO_STUFF = tuple(entry.name for entry in _COCO_STUFF_TABLE)
with open(os.path.join(_HERE, 'ade20k_classes.txt')) as _file:
    ADE20K = tuple(_line.strip() for _line in _file if not _line.startswith('#'))
COCO_THINGS = tuple(range(91))
# Ids as in the files (cityscapesScripts, helpers/labels.py); those of its objects have instances.
CITYSCAPES = ('unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'static', 'dynamic', 'ground', 'road', 'sidewalk',
              'parking', 'rail track', 'building', 'wall', 'fence', 'guard rail', 'bridge', 'tunnel', 'pole', 'polegroup',
              'traffic light', 'traffic sign', 'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'caravan',
              'trailer', 'train', 'motorcycle', 'bicycle', 'license plate')
CITYSCAPES_THINGS = tuple(range(24, 34))


def palette(count):
    """uint8 (count, 3): a fixed colour for every class id, all distinct, none black.

    The bit-interleaved colour map of Pascal VOC, shifted by one id, since VOC's first colour is the black that stands for
    unlabelled here. With as many classes as COCO-Stuff has: the colours of coco_stuff_classes.txt, the same map but for
    well-known classes, which have natural ones.
    """
    if count == len(COCO_STUFF):
        return np.array([entry.colour for entry in _COCO_STUFF_TABLE], np.uint8)
    codes = np.arange(1, count + 1)
    colours = np.zeros((count, 3), int)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (codes >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def colourize(label, label_nc, colours=None):
    """Integer ids (...) -> uint8 RGB (..., 3); unlabelled pixels, 255 or label_nc, are black. ValueError for any other id.

    colours: uint8 (label_nc, 3), those of a set (dataset.classes.colours); None: those of `palette`.
    """
    label = np.asarray(label)
    unlabelled = (label == label_nc) | (label == UNLABELLED)
    known = np.where(unlabelled, label_nc, label)
    if known.size and not 0 <= known.min() <= known.max() <= label_nc:
        wrong = known[(known < 0) | (known > label_nc)].flat[0]
        raise ValueError(f'label id {wrong}: expected 0 .. {label_nc - 1}, or {label_nc} or {UNLABELLED} for unlabelled')
    return np.vstack([palette(label_nc) if colours is None else colours, np.zeros((1, 3), np.uint8)])[known]


def of_colours(pixels, ids):
    """(int32 (H, W): the ids of uint8 RGB (H, W, 3), [(pixels, colour) not in the dict `ids`: colour -> id], most pixels first).

    Where there are such colours, the ids are None: none is guessed.
    """
    packed = np.asarray(pixels, np.int64) @ (1 << 16, 1 << 8, 1)
    found, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in found]
    unknown = sorted(((int(count), colour) for count, colour in zip(counts, colours) if colour not in ids), reverse=True)
    if unknown:
        return None, unknown
    return np.array([ids[colour] for colour in colours], np.int32)[inverse.reshape(packed.shape)], []


def shares(label, label_nc):
    """list of (id, pixels) in a label map, most pixels first; id label_nc stands for unlabelled (255 or label_nc)."""
    label = np.where(np.asarray(label) == UNLABELLED, label_nc, label)
    ids, counts = np.unique(label, return_counts=True)
    return sorted(zip(ids.tolist(), counts.tolist()), key=lambda pair: (-pair[1], pair[0]))
