"""Tables of class names and colours, and label maps in colours.

COCO-Stuff ids are those of its pixel maps (stuffthingmaps), COCO's category number minus one: person is 0, things with
COCO's gaps are 0 .. 90, stuff is 91 .. 181, and 255 is unlabelled.
"""
import json
import os
import re
from collections import namedtuple

import numpy as np

from runtime import json_file

UNLABELLED = 255

Class = namedtuple('Class', 'id colour name')  # colour: (red, green, blue), 0 .. 255

# Forms of a line in a colour table: the one that fits most lines is used, the first of several. The third form is
# CamVid's and CVAT's, the last class_dict.csv's.
NUMBER, GAP = r'(\d+)', r'[\s,;]+'
FORMS = {
    'id red green blue name': re.compile(GAP.join([NUMBER] * 4) + rf'(?:{GAP}(?P<name>.*))?'),
    'red green blue name': re.compile(GAP.join([NUMBER] * 3) + rf'{GAP}(?P<name>.*)'),
    'name:red,green,blue::': re.compile(r'(?P<name>[^:]*):' + ','.join([NUMBER] * 3) + ':.*'),
    'name,red,green,blue': re.compile(rf'(?P<name>.*?){GAP}' + GAP.join([NUMBER] * 3)),
}
ID_AND_NAME = re.compile(r'(\d+)\s*[,;\t]\s*(.*)')


def text_of(path):
    """Text of a file in UTF-8, or in UTF-16 with a byte order mark; without the mark. OSError, ValueError."""
    with open(path, 'rb') as file:
        content = file.read()
    try:
        return content.decode('utf-16' if content[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'byte {error.start} is not UTF-8: save the file as UTF-8') from None


def read_table(path):
    """list of Class from a file. ValueError names the wrong line; OSError if unreadable. Colours may share an id.

    Text: lines of one of FORMS; without ids, lines are numbered. '#' begins a comment; a first line without a digit is
    a heading. JSON: {name: [red, green, blue], ...}; names that are numbers are the ids, other entries are numbered.
    """
    text = text_of(path)
    rows = _json_rows(text) if text.lstrip()[:1] in ('{', '[') else _text_rows(text)
    colours = {}
    for where, index, *colour, _ in rows:
        if max(colour) > 255 or index > 65535:
            raise ValueError(f'{where}: id {index} with colour {tuple(colour)}, allowed are ids up to 65535 and '
                             'colours up to 255')
        if colours.setdefault(tuple(colour), index) != index:
            raise ValueError(f'{where}: colour {tuple(colour)} for id {index} already belongs to id '
                             f'{colours[tuple(colour)]}')
    if not rows:
        raise ValueError('found no classes, expected lines of id red green blue name')
    return [Class(index, tuple(colour), name) for _, index, *colour, name in rows]


def _text_rows(text):
    """Rows (where, id, red, green, blue, name) of the lines of a table."""
    lines = [(number, line.split('#')[0].strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    if lines and not re.search(r'\d', lines[0][1]):
        lines = lines[1:]
    fitting = {form: [pattern.fullmatch(line) for _, line in lines] for form, pattern in FORMS.items()}
    form, matches = max(fitting.items(), key=lambda entry: sum(map(bool, entry[1])))
    rows = []
    for order, ((number, line), match) in enumerate(zip(lines, matches)):
        if not match:
            raise ValueError(f'line {number}: found {line[:60]!r}, expected {form}'
                             + ('' if any(matches) else f', or one of {", ".join(list(FORMS)[1:])}'))
        numbers = [int(part) for place, part in enumerate(match.groups(), 1) if place != match.re.groupindex['name']]
        numbers = numbers if form.startswith('id') else [order, *numbers]
        rows.append((f'line {number}', *numbers, (match['name'] or str(numbers[0])).strip()))
    return rows


def read_names(path):
    """list of class names in the order of ids; ValueError, OSError.

    Text: one name per line, in the order of ids, or lines 'id, name' as in Roboflow's _classes.csv, where an id without
    a line is named by its number. '#' begins a comment.
    """
    lines = [line.split('#')[0].strip() for line in text_of(path).splitlines() if not line.startswith('#')]
    while lines and not lines[-1]:
        lines.pop()
    numbered = [ID_AND_NAME.fullmatch(line) for line in lines]
    if len(lines) > 1 and not re.search(r'\d', lines[0]) and all(numbered[1:]):
        numbered = numbered[1:]    # the first line is a heading
    if lines and all(numbered):
        names = {int(match[1]): match[2] for match in numbered}
        if len(names) < len(numbered) or max(names) > 65535:
            raise ValueError('an id occurs twice or is above 65535')
        return [names.get(index) or str(index) for index in range(max(names) + 1)]
    if not lines or '' in lines:
        raise ValueError(f'line {lines.index("") + 1 if lines else 1} is empty, expected one name per line, in the '
                         'order of ids')
    return lines


def _json_rows(text):
    try:
        table = json.loads(text, object_pairs_hook=json_file.unique)
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
# Ids as in the label files (cityscapesScripts, helpers/labels.py).
CITYSCAPES = ('unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'static', 'dynamic', 'ground', 'road',
              'sidewalk', 'parking', 'rail track', 'building', 'wall', 'fence', 'guard rail', 'bridge', 'tunnel',
              'pole', 'polegroup', 'traffic light', 'traffic sign', 'vegetation', 'terrain', 'sky', 'person', 'rider',
              'car', 'truck', 'bus', 'caravan', 'trailer', 'train', 'motorcycle', 'bicycle', 'license plate')
CITYSCAPES_THINGS = tuple(range(24, 34))


def palette(count):
    """uint8 (count, 3): a fixed colour for every class id, all distinct, none black.

    It is Pascal VOC's bit-interleaved colour map, shifted by one id because its first colour, black, means unlabelled
    here. COCO-Stuff's number of classes gets the colours of coco_stuff_classes.txt: the same map, with natural
    colours for well-known classes.
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
    """Integer ids (...) -> uint8 RGB (..., 3); unlabelled pixels, 255 or label_nc, are black. ValueError for other ids.

    colours: uint8 (label_nc, 3) of a set (dataset.classes.colours); None: palette(label_nc).
    """
    label = np.asarray(label)
    unlabelled = (label == label_nc) | (label == UNLABELLED)
    known = np.where(unlabelled, label_nc, label)
    if known.size and not 0 <= known.min() <= known.max() <= label_nc:
        wrong = known[(known < 0) | (known > label_nc)].flat[0]
        raise ValueError(f'label id {wrong}: expected 0 .. {label_nc - 1}, or {label_nc} or {UNLABELLED} for '
                         'unlabelled')
    return np.vstack([palette(label_nc) if colours is None else colours, np.zeros((1, 3), np.uint8)])[known]


def shares(label, label_nc):
    """list of (id, pixels) in a label map, most pixels first; id label_nc is unlabelled (255 or label_nc)."""
    label = np.where(np.asarray(label) == UNLABELLED, label_nc, label)
    ids, counts = np.unique(label, return_counts=True)
    return sorted(zip(ids.tolist(), counts.tolist()), key=lambda pair: (-pair[1], pair[0]))
