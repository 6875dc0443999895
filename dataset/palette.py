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
NEAR = 24       # distance of two colours: what JPEG of fair quality changes inside an area
BORDER = 4      # pixels: how deep JPEG blurs a border, from each side; smoothing half of that
STRAY, STRAY_ROUNDS = 0.001, 16     # so few pixels farther from any border are filled too, so deep
FREQUENT = 4    # pixels of one colour that is no blend: a class that the table lacks, not the corner of three

Class = namedtuple('Class', 'id colour name')  # colour: (red, green, blue), 0 .. 255

# Lines of a colour table; the first form that fits every line is taken. The third is CamVid's and CVAT's, the last
# class_dict.csv's.
NUMBER, GAP = r'(\d+)', r'[\s,;]+'
FORMS = {
    'id red green blue name': re.compile(GAP.join([NUMBER] * 4) + rf'(?:{GAP}(?P<name>.*))?'),
    'red green blue name': re.compile(GAP.join([NUMBER] * 3) + rf'{GAP}(?P<name>.*)'),
    'name:red,green,blue::': re.compile(r'(?P<name>[^:]*):' + ','.join([NUMBER] * 3) + ':.*'),
    'name,red,green,blue': re.compile(rf'(?P<name>.*?){GAP}' + GAP.join([NUMBER] * 3)),
}
ID_AND_NAME = re.compile(r'(\d+)\s*[,;\t]\s*(.*)')


def text_of(path):
    """Text of a file in UTF-8 or, with its mark, UTF-16, without the mark; OSError, ValueError."""
    with open(path, 'rb') as file:
        content = file.read()
    try:
        return content.decode('utf-16' if content[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'byte {error.start} is no text in UTF-8: save the file as UTF-8') from None


def read_table(path):
    """list of Class from a file; ValueError that says which line is wrong. Two colours may have one id.

    Text: lines of one of FORMS, ids in their order where they have none; '#' begins a comment, and a first line without
    a digit is a heading. JSON: {name: [red, green, blue], ...}, ids in that order, or, where the names are numbers,
    those are the ids. OSError if it cannot be read.
    """
    text = text_of(path)
    rows = _json_rows(text) if text.lstrip()[:1] in ('{', '[') else _text_rows(text)
    colours = {}
    for where, index, *colour, _ in rows:
        if max(colour) > 255 or index > 65535:
            raise ValueError(f'{where}: id {index} with colour {tuple(colour)}: ids go to 65535, colours to 255')
        if colours.setdefault(tuple(colour), index) != index:
            raise ValueError(f'{where}: colour {tuple(colour)} for id {index}, which id {colours[tuple(colour)]} has '
                             'already')
    if not rows:
        raise ValueError('no classes in it, expected lines of id red green blue name')
    return [Class(index, tuple(colour), name) for _, index, *colour, name in rows]


def _text_rows(text):
    """Rows (where, id, red, green, blue, name) of the lines of a table."""
    lines = [(number, line.split('#')[0].strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    if lines and not re.search(r'\d', lines[0][1]):
        lines = lines[1:]
    fitting = {form: [pattern.fullmatch(line) for _, line in lines] for form, pattern in FORMS.items()}
    # of those that fit alike the first
    form, found = max(fitting.items(), key=lambda entry: sum(map(bool, entry[1])))
    rows = []
    for order, ((number, line), match) in enumerate(zip(lines, found)):
        if not match:
            raise ValueError(f'line {number}: found {line[:60]!r}, expected {form}'
                             + ('' if any(found) else f', or one of {", ".join(list(FORMS)[1:])}'))
        numbers = [int(part) for place, part in enumerate(match.groups(), 1) if place != match.re.groupindex['name']]
        numbers = numbers if form.startswith('id') else [order, *numbers]
        rows.append((f'line {number}', *numbers, (match['name'] or str(numbers[0])).strip()))
    return rows


def read_names(path):
    """list of class names, by id; ValueError, OSError.

    Text: a name a line, in the order of the ids, or lines 'id, name', as in Roboflow's _classes.csv, where ids that are
    left out are called by their number. Lines that begin with '#' are left out, and so is what follows a '#'.
    """
    found = [line.split('#')[0].strip() for line in text_of(path).splitlines() if not line.startswith('#')]
    while found and not found[-1]:
        found.pop()
    numbered = [ID_AND_NAME.fullmatch(line) for line in found]
    if found and not re.search(r'\d', found[0]) and len(found) > 1 and all(numbered[1:]):
        numbered = numbered[1:]    # the first is a heading
    if found and all(numbered):
        names = {int(match[1]): match[2] for match in numbered}
        if len(names) < len(numbered) or max(names) > 65535:
            raise ValueError('an id stands twice, or is above 65535')
        return [names.get(index) or str(index) for index in range(max(names) + 1)]
    if not found or '' in found:
        raise ValueError(f'line {found.index("") + 1 if found else 1} is empty, expected a name for each id, in the '
                         'order of the ids, one a line')
    return found


def _json_rows(text):
    try:
        table = json.loads(text)
    except RecursionError:
        table = None
    if not isinstance(table, dict) or not all(
            isinstance(colour, list) and len(colour) == 3 and all(type(part) is int and part >= 0 for part in colour)
            for colour in table.values()):
        raise ValueError('expected {name: [red, green, blue], ...} in the JSON file')
    numbered = all(name.isdecimal() for name in table)
    return [(f'{name!r}', int(name) if numbered else index, *colour, name)
            for index, (name, colour) in enumerate(table.items())]


_HERE = os.path.dirname(os.path.abspath(__file__))
_COCO_STUFF_TABLE = read_table(os.path.join(_HERE, 'coco_stuff_classes.txt'))
COCO_STUFF = tuple(entry.name for entry in _COCO_STUFF_TABLE)
with open(os.path.join(_HERE, 'ade20k_classes.txt')) as _file:
    ADE20K = tuple(_line.strip() for _line in _file if not _line.startswith('#'))
COCO_THINGS = tuple(range(91))
# Ids as in the files (cityscapesScripts, helpers/labels.py); those of its objects have instances.
CITYSCAPES = ('unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'static', 'dynamic', 'ground', 'road',
              'sidewalk',
              'parking', 'rail track', 'building', 'wall', 'fence', 'guard rail', 'bridge', 'tunnel', 'pole',
              'polegroup',
              'traffic light', 'traffic sign', 'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus',
              'caravan', 'trailer', 'train', 'motorcycle', 'bicycle', 'license plate')
CITYSCAPES_THINGS = tuple(range(24, 34))


def palette(count):
    """uint8 (count, 3): a fixed colour for every class id, all distinct, none black.

    The bit-interleaved colour map of Pascal VOC, shifted by one id, since VOC's first colour is the black that stands
    for unlabelled here. With as many classes as COCO-Stuff has: the colours of coco_stuff_classes.txt, the same map but
    for well-known classes, which have natural ones.
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
    """Integer ids (...) -> uint8 RGB (..., 3); unlabelled pixels, 255 or label_nc, are black. ValueError for any other
    id.

    colours: uint8 (label_nc, 3), those of a set (dataset.classes.colours); None: those of `palette`.
    """
    label = np.asarray(label)
    unlabelled = (label == label_nc) | (label == UNLABELLED)
    known = np.where(unlabelled, label_nc, label)
    if known.size and not 0 <= known.min() <= known.max() <= label_nc:
        wrong = known[(known < 0) | (known > label_nc)].flat[0]
        raise ValueError(f'label id {wrong}: expected 0 .. {label_nc - 1}, or {label_nc} or {UNLABELLED} for '
                         'unlabelled')
    return np.vstack([palette(label_nc) if colours is None else colours, np.zeros((1, 3), np.uint8)])[known]


def of_colours(pixels, ids, near=0, lossy=False):
    """(int32 (H, W): the ids of uint8 RGB (H, W, 3), pixels that are not exact, [(pixels, unknown colour)], most pixels
    first).

    `ids`: dict: colour -> id. Where a colour is unknown, the ids are None. With `near` a colour within that distance of
    one in `ids`, and twice as far from any other id, counts as it; what lies between two classes on their border,
    smoothed or lossy, takes the class of the pixel beside. A wider area, or in a file that is not `lossy` a frequent
    colour that is no blend, is unknown.
    """
    packed = np.asarray(pixels, np.int64) @ (1 << 16, 1 << 8, 1)
    codes, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    found = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)
    known = np.array([ids.get(tuple(colour), -1) for colour in found.tolist()], np.int32)
    exact = known >= 0
    if near and not exact.all():
        known[~exact] = _nearest(found[~exact], ids, near)
    inverse = inverse.reshape(packed.shape)
    label = known[inverse]
    if near and (known < 0).any() and (known >= 0).any():
        lossy = lossy or counts[exact].sum() < packed.size / 2      # or was once, whatever it is stored as
        foreign = (known < 0) & (counts >= FREQUENT) & (not lossy)
        foreign[foreign] = ~_blends(found[foreign], found[exact], near)
        if not foreign.any():
            label = _filled(label, BORDER if lossy else BORDER // 2)
            label = _filled(label, STRAY_ROUNDS) if lossy and (label < 0).mean() <= STRAY else label
    left = np.bincount(inverse[label < 0], minlength=len(codes))
    unknown = [(int(count), tuple(colour)) for count, colour in zip(left, found.tolist()) if count]
    unknown.sort(reverse=True)
    return None if unknown else label, int(counts[~exact].sum()), unknown


def _nearest(colours, ids, near):
    """int32 (N,): the ids of colours (N, 3) that are near one in `ids`, -1 for the others."""
    table, of_entry = np.array(list(ids)), np.array(list(ids.values()), np.int32)
    result = np.full(len(colours), -1, np.int32)
    for begin in range(0, len(colours), 4096):   # a lossy map has many colours
        distance = np.sqrt(((colours[begin:begin + 4096, None] - table) ** 2).sum(-1))
        first = distance.argmin(1)
        lowest = distance.min(1)
        others = np.where(of_entry == of_entry[first][:, None], np.inf, distance).min(1)
        good = (lowest <= near) & (2 * lowest <= others)
        result[begin:begin + 4096][good] = of_entry[first][good]
    return result


def _blends(colours, ends, near):
    """bool (N,): whether colours (N, 3) lie within `near` of a line between two of `ends` (K, 3)."""
    result = np.zeros(len(colours), bool)
    for one in range(len(ends)):
        for other in range(one):
            way = ends[other] - ends[one]
            share = np.clip((colours - ends[one]) @ way / (way @ way), 0, 1)
            result |= ((colours - ends[one] - share[:, None] * way) ** 2).sum(1) <= near ** 2
    return result


def _filled(label, rounds):
    """label (H, W) whose negative pixels take the id of a pixel beside, so many pixels deep."""
    label = label.copy()
    for _ in range(rounds):
        before = label.copy()
        for to, source in (((slice(1, None),), (slice(None, -1),)), ((slice(None, -1),), (slice(1, None),)),
                           ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
                           ((slice(None), slice(None, -1)), (slice(None), slice(1, None)))):
            label[to] = np.where(label[to] < 0, before[source], label[to])
    return label


def shares(label, label_nc):
    """list of (id, pixels) in a label map, most pixels first; id label_nc stands for unlabelled (255 or label_nc)."""
    label = np.where(np.asarray(label) == UNLABELLED, label_nc, label)
    ids, counts = np.unique(label, return_counts=True)
    return sorted(zip(ids.tolist(), counts.tolist()), key=lambda pair: (-pair[1], pair[0]))
