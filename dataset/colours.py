"""The dominant colours of a folder of label maps, as a table to be named: python -m dataset.colours FOLDER > table.txt

Colours that JPEG alters count as the frequent one near them, as dataset.prepare --colours reads them. A colour without
flat areas is a class of thin objects, or a blend on borders: it is listed in a comment.
"""
import argparse
from collections import Counter

import numpy as np
from PIL import Image

from dataset.colour_coded import merged
from dataset.files import by_stem, evenly_spaced
from dataset.photo import load_photo
from dataset.prepare.side_by_side import half
from runtime.bar import counted
from runtime.errors import InputError, shown_in_one_line

FLAT = 12           # largest difference, in any channel, from the pixels on the right and below within an area
EXAMINED = 500      # files, evenly spaced
LEAST = 0.0005      # share of a colour that is listed


def dominant(pictures):
    """[((red, green, blue), share, whether it has flat areas)], most frequent first, of uint8 pictures (H, W, 3)."""
    counts, areas = Counter(), Counter()
    for pixels in pictures:
        right, below = (np.abs(np.diff(pixels.astype(int), axis=axis)).max(2) for axis in (1, 0))
        flat = pixels[:-1, :-1][np.maximum(right[:-1], below[:, :-1]) <= FLAT]
        for counter, part in ((counts, pixels), (areas, flat[None])):
            counter.update({colour: number for number, colour in Image.fromarray(part).getcolors(part.size + 1)})
    centres = [colour for colour, number in merged(areas) if number >= LEAST * sum(areas.values())]
    total = sum(counts.values())
    return [(colour, number / total, colour in centres) for colour, number in merged(counts, centres)
            if number >= LEAST * total]


def main():
    parser = argparse.ArgumentParser(prog='python -m dataset.colours', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='FOLDER', help='label maps in colours')
    parser.add_argument('--half', choices=('left', 'right'), help='the side of the map in pictures side by side')
    given = parser.parse_args()
    files = evenly_spaced([*by_stem(given.folder, 'FOLDER').values()], EXAMINED)
    pictures = map(np.asarray, map(load_photo, counted(files, len(files), 'colours', 'file', leave=False)))
    found = dominant(pixels[:, half(pixels.shape[1], given.half)] for pixels in pictures)
    if not any(has_areas for *_, has_areas in found):
        raise InputError(f'{given.folder}: no areas of one colour in {len(files)} files: name a folder of label maps')
    print(f'# dominant colours of {len(files)} files: give each class its name, two colours of one class the same id, '
          'and unlabelled pixels id 255')
    for index, (colour, share, _) in enumerate(entry for entry in found if entry[2]):
        print(index, *colour, f'class_{index}  # {share:.2%}')
    for colour, share, has_areas in found:
        if not has_areas:
            print('# no flat areas, a class of thin objects or a blend on borders:', *colour, f'{share:.2%}')
    print(f'# not listed: {1 - sum(share for _, share, _ in found):.2%} of the pixels')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
