"""The dominant colours of a folder of label maps, as a table to be named: python -m dataset.colours FOLDER > table.txt

Colours of flat areas are listed, and of thin objects unless they may be blends on borders, smoothed or from JPEG.
Colours that JPEG alters count as the one near them, as dataset.prepare --colours reads them. The last line tells the
share of the other pixels.
"""
import argparse
from collections import Counter

import numpy as np

from dataset.colour_coded import LEAST, NEAR, missing
from dataset.files import by_stem, evenly_spaced
from dataset.photo import load_photo
from runtime.bar import counted
from runtime.errors import InputError, shown_in_one_line

FLAT = 12           # largest difference, in any channel, from the pixels on the right and below within an area
EXAMINED = 500      # files, evenly spaced
MOST = 1 << 12      # frequent exact colours that are merged


def dominant(pictures):
    """([((red, green, blue), share)], most frequent first; (most frequent colour, share) of all pixels near none of
    these, None without any) of uint8 pictures (H, W, 3).
    """
    counts, areas = Counter(), Counter()
    for pixels in pictures:
        codes = np.asarray(pixels, np.int32) @ (1 << 16, 1 << 8, 1)
        here = np.asarray(pixels[:-1, :-1], np.int32)
        flat = (np.abs(here - pixels[:-1, 1:]).max(2) <= FLAT) & (np.abs(here - pixels[1:, :-1]).max(2) <= FLAT)
        for counter, part in ((counts, codes), (areas, codes[:-1, :-1][flat])):
            counter.update(dict(zip(*(values.tolist() for values in np.unique(part, return_counts=True)))))
    found = {}
    for code, count in areas.most_common(MOST):
        colour = code >> 16, code >> 8 & 255, code & 255
        distance = [np.linalg.norm(np.subtract(colour, other)) for other in found]
        near = [*found][int(np.argmin(distance))] if distance and min(distance) <= NEAR else colour
        found[near] = found.get(near, 0) + count
    listed = [colour for colour, count in found.items() if count >= LEAST * sum(areas.values())]
    codes, number = np.array([*counts], int), np.array([*counts.values()], int)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)
    while listed:       # thin objects, which have no areas
        pixels, colour = next(missing(colours, number, listed), (0, None))
        if pixels < LEAST * number.sum():
            break
        listed.append(colour)
    if not listed:
        return [], None
    distance = np.stack([((colours - colour) ** 2).sum(1) for colour in listed], 1)
    place = np.where(distance.min(1) <= NEAR ** 2, distance.argmin(1), len(listed))
    *shares, rest = (np.bincount(place, number, len(listed) + 1) / number.sum()).tolist()
    other = tuple(colours[(number * (place == len(listed))).argmax()].tolist())
    return sorted(zip(listed, shares), key=lambda entry: (-entry[1], entry[0])), (other, rest) if rest else None


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
    found, rest = dominant(pictures())
    if not found:
        raise InputError(f'{given.folder}: no areas of one colour in {len(files)} files: name a folder of label maps')
    print(f'# dominant colours of {len(files)} files: give each class its name, two colours of one class the same id, '
          'and unlabelled pixels id 255')
    for index, ((red, green, blue), share) in enumerate(found):
        print(f'{index} {red} {green} {blue} class_{index}  # {share:.2%}')
    if rest:
        (red, green, blue), share = rest
        print(f'# not listed: {share:.2%} of the pixels, mostly blends on borders; the most frequent: '
              f'{red} {green} {blue}')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
