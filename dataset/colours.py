"""The dominant colours of a folder of label maps, as a table to be named: python -m dataset.colours FOLDER > table.txt

Pixels in flat areas count, so that blends on borders, smoothed or from JPEG, do not. Colours that JPEG alters count as
the most frequent one near them, as dataset.prepare --colours reads them.
"""
import argparse
from collections import Counter

import numpy as np

from dataset.colour_coded import NEAR
from dataset.files import by_stem, evenly_spaced
from dataset.photo import load_photo
from runtime.bar import counted
from runtime.errors import InputError, shown_in_one_line

FLAT = 12           # largest difference, in any channel, from the pixels on the right and below within an area
LEAST = 0.0005      # share of a colour
EXAMINED = 500      # files, evenly spaced
MOST = 1 << 12      # frequent exact colours that are merged


def dominant(pictures):
    """[((red, green, blue), share)], most frequent first, of uint8 pictures (H, W, 3)."""
    counts = Counter()
    for pixels in pictures:
        pixels = np.asarray(pixels, np.int32)
        here = pixels[:-1, :-1]
        flat = (np.abs(here - pixels[:-1, 1:]).max(2) <= FLAT) & (np.abs(here - pixels[1:, :-1]).max(2) <= FLAT)
        codes, number = np.unique(here[flat] @ (1 << 16, 1 << 8, 1), return_counts=True)
        counts.update(dict(zip(codes.tolist(), number.tolist())))
    found = {}
    for code, count in counts.most_common(MOST):
        colour = code >> 16, code >> 8 & 255, code & 255
        distance = [np.linalg.norm(np.subtract(colour, other)) for other in found]
        near = [*found][int(np.argmin(distance))] if distance and min(distance) <= NEAR else colour
        found[near] = found.get(near, 0) + count
    total = max(1, sum(counts.values()))
    return sorted(((colour, count / total) for colour, count in found.items() if count >= LEAST * total),
                  key=lambda entry: (-entry[1], entry[0]))


def main():
    parser = argparse.ArgumentParser(prog='python -m dataset.colours', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='FOLDER', help='label maps in colours')
    parser.add_argument('--half', choices=('left', 'right'), help='the side of the map in pictures side by side')
    given = parser.parse_args()
    files = evenly_spaced([*by_stem(given.folder, 'FOLDER').values()], EXAMINED)

    def pictures():
        for file in counted(files, len(files), 'colours', 'file', leave=False):
            pixels = np.asarray(load_photo(file))
            middle = pixels.shape[1] // 2
            yield {'left': pixels[:, :middle], 'right': pixels[:, middle:]}.get(given.half, pixels)
    found = dominant(pictures())
    if not found:
        raise InputError(f'{given.folder}: no areas of one colour in {len(files)} files: name a folder of label maps')
    print(f'# dominant colours of {len(files)} files: give each class its name, two colours of one class the same id, '
          'and unlabelled pixels id 255')
    for index, ((red, green, blue), share) in enumerate(found):
        print(f'{index} {red} {green} {blue} class_{index}  # {share:.2%}')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
