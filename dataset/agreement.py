"""Ambiguities that only a whole folder of label maps resolves: palettes, and masks of 0 and 255."""
from collections import namedtuple

import numpy as np

from dataset.files import evenly_spaced
from dataset.label_map import OWN_PALETTE, Palette, read_map, table_of
from dataset.picture_file import DataError, header

COMPARED = 64   # files compared at the start of a run, which takes no noticeable time
WHITES = 255, 65535
LEAST_STEP = 5  # between the greys of masks that people look at; ids are closer
MASKS = ('the label maps hold 0 and 255 alone, and 255 means unlabelled: if 255 is a class, run python -m '
         'dataset.prepare folder --colours FILE, with two lines in FILE: "0 0 0 0 ground" and "1 255 255 255 object"; '
         'if it is unlabelled, set --label_nc 1, for there is one class')

# values: the greys, sorted; other: a file that stores them as numbers different from the rest, or None
Masks = namedtuple('Masks', 'values other')


def palette_in(file, colours=None):
    """Palette of a label map if its indices are its ids, else None; mostly from the header.

    colours: as for read_map.
    """
    mode, palette = header(file)
    if mode != 'P':
        return None
    table = table_of(*palette)
    if colours is None and any(len(set(colour)) > 1 for colour in table):
        return Palette(table, False, False)
    try:
        return read_map(file, colours=colours).palette
    except DataError:   # reported where the map is read
        return None


def masks(files, most=None):
    """Masks if all label maps `files` hold evenly spaced greys up to white, such as 0 and 255; else None.

    White is 255 there, and 255 means unlabelled in a label map. PNG optimizers store the greys of some files as 0 and
    1, or in fewer bits; in those files the same number is another class. most: as for check_palettes.
    """
    found, steps, plain, other = set(), set(), set(), None
    for file in evenly_spaced(files, most):
        try:
            label = read_map(file)
        except DataError:   # reported where the map is read
            continue
        values = set(np.unique(label.ids).tolist())
        white = label.white or (1 if values <= {0, 1} else 255)
        if white == 255:
            plain |= values
        elif values != {0}:
            other = other or file
            steps.add(255 // white)
        found |= {value * 255 // white for value in values}
        if np.diff(sorted(found)).min(initial=LEAST_STEP) < LEAST_STEP - 2:
            return None
    values = sorted(found)
    even = bool(values) and values[-1] in WHITES and (
        len(values) == 1 or np.abs(np.linspace(0, values[-1], len(values)) - values).max() <= 1)
    same = bool(steps) and not any(value % min(steps) for value in plain)
    return Masks(values, other) if plain - {0} and (even or same) else None


class Palettes:
    """Palettes of a folder's label maps: an index is an id only if all files agree on its colour."""

    def __init__(self):
        self.first = self.colours = None
        self.others, self.count, self.grey = [], 0, True

    def add(self, file, palette):
        """palette: that of the LabelMap of `file`, or None."""
        if palette is None:
            return
        self.count += 1
        self.first = self.first or str(file)
        self.grey &= palette.grey and palette.all_used
        shorter, longer = sorted((palette.colours, self.colours or ()), key=len)
        if longer[:len(shorter)] != shorter:
            self.others.append(str(file))
        else:
            self.colours = longer

    def check(self, remedy=OWN_PALETTE):
        """DataError if the indices are not ids."""
        if self.others:
            raise DataError(f'palettes differ, so the indices are not ids: {len(self.others)} of {self.count} files '
                            f'have another palette than {self.first}, such as {self.others[0]}: '
                            f'{remedy}', 'different palettes')
        if self.count and self.grey:
            greys = ', '.join(str(colour[0]) for colour in self.colours[:8])
            raise DataError(f'{self.first}: a palette of the greys {greys}, all in use: the ids may be the greys '
                            f'instead of the indices, since pngquant and optipng store grey pictures like this: '
                            f'{remedy}',
                            'grey palette')


def check_palettes(files, remedy=OWN_PALETTE, most=None, colours=None):
    """Colours of the palette that all label maps `files` share, or None; DataError if palettes differ.

    most: compare only this many files, evenly spaced; colours: as for read_map.
    """
    palettes = Palettes()
    for file in evenly_spaced(files, most):
        palettes.add(file, palette_in(file, colours))
    palettes.check(remedy)
    return palettes.colours
