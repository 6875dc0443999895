"""Whether the label maps of a folder agree on what their values mean, which one file cannot tell."""
import numpy as np

from dataset.label_map import OWN_PALETTE, Palette, read_map, table_of
from dataset.picture_file import DataError, header

COMPARED = 64                       # files whose palettes are compared where a run starts: enough, and no wait
# more levels are rather ids
WHITE_RAMPS = (0, 255), (0, 128, 255), (0, 85, 170, 255), (0, 64, 128, 191, 255), (0, 65535)
MASKS = ('the label maps hold 0 and 255 alone, and 255 means unlabelled: if it is white, a class of its own, python -m '
         'dataset.prepare folder --colours FILE makes it one, FILE two lines: "0 0 0 0 ground" and "1 255 255 255 '
         'object"; if it is unlabelled, there is one class to learn: --label_nc 1')


def palette_in(file, colours=None):
    """Palette of a label map whose indices are its ids, else None; mostly its header tells. colours: see read_map."""
    mode, palette = header(file)
    if mode != 'P':
        return None
    table = table_of(*palette)
    if colours is None and any(len(set(colour)) > 1 for colour in table):
        return Palette(table, False, False)
    try:
        return read_map(file, colours=colours).palette
    except DataError:   # whoever reads it says so
        return None


def masks(files, most=None):
    """list of the values, where all the label maps, paths, hold greys from 0 to white to look at alone, such as 0 and
    255; else [].

    255 is white there, and unlabelled in a label map. most: as for check_palettes.
    """
    found = set()
    for file in _spaced(files, most):
        try:
            found |= set(np.unique(read_map(file).ids).tolist())
        except DataError:   # whoever reads the map says so
            continue
        if not any(all(any(abs(value - level) <= 1 for level in ramp) for value in found) for ramp in WHITE_RAMPS):
            return []
    values = sorted(found)
    whole = [ramp for ramp in WHITE_RAMPS if len(ramp) == len(values) and np.abs(np.subtract(ramp, values)).max() <= 1]
    return values if whole and values[0] == 0 and values[-1] == whole[0][-1] else []


def _spaced(files, most):
    """So many of the files, evenly spaced, or all."""
    chosen = np.linspace(0, len(files) - 1, min(most or len(files), len(files))).round().astype(int)
    return [files[index] for index in np.unique(chosen)]


class Palettes:
    """The palettes of a folder's label maps: the index is the id only where all files agree on what it means."""

    def __init__(self):
        self.first = self.colours = None
        self.others, self.count, self.grey = [], 0, True

    def add(self, file, palette):
        """`palette`: that of the LabelMap of `file`, or None."""
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
        """DataError if indices are no ids."""
        if self.others:
            raise DataError(f'palette: the index is taken as the id, but {len(self.others)} of {self.count} files have '
                            f'another palette than {self.first}, such as {self.others[0]}: '
                            f'{remedy}', 'different palettes')
        if self.count and self.grey:
            greys = ', '.join(str(colour[0]) for colour in self.colours[:8])
            raise DataError(f'{self.first}: a palette of the greys {greys}, none of them unused: they may be the ids, '
                            f'not their indices, as pngquant and optipng store grey pictures: {remedy}', 'grey palette')


def check_palettes(files, remedy=OWN_PALETTE, most=None, colours=None):
    """The colours of the palette of all label maps, paths, or None; DataError if palettes differ.

    most: of so many files, evenly spaced, not of all; colours: as for read_map.
    """
    palettes = Palettes()
    for file in _spaced(files, most):
        palettes.add(file, palette_in(file, colours))
    palettes.check(remedy)
    return palettes.colours
