"""classes.json: names and colours of a set's classes, in its folder and beside every checkpoint trained on it.

    python -m dataset.classes FILE.png      prints the classes of a label map and draws it in colours

    {"names": ["person", ...], "colours": [[220, 20, 60], ...], "things": [0, 1, ...]}

Entries are in the order of label ids. `names` may have one entry more than label_nc, the name of unlabelled pixels:
"unlabelled". `things` (optional) are the ids of countable classes; the other classes are stuff. dataset.prepare and
dataset.demo write the file; in a set made by hand it is optional. A prepared set also records label_nc, unlabelled
(whether it has such pixels), instances, highest (id), width and height ([smallest, largest] in pixels); runs read their
settings there.
"""
import argparse
import json
import os

import numpy as np
from PIL import Image

from dataset.files import load_label
from dataset.label_map import read_map
from dataset.palette import (
    ADE20K,
    CITYSCAPES,
    CITYSCAPES_THINGS,
    COCO_STUFF,
    COCO_THINGS,
    UNLABELLED,
    colourize,
    palette,
    shares,
)
from model.init import OPT
from model.presets import PRESETS
from runtime import json_file
from runtime.errors import InputError, printable, shown_in_one_line
from runtime.json_file import flag, listing, text, whole
from runtime.writing import refuse_existing, writing

FILE = 'classes.json'
NO_CLASS = 'unlabelled', 'unlabeled'    # as the last name: the name of pixels without a class
REMEDY = 'correct or remove it; without it classes are numbers'
SCHEMA = json_file.record(
    dict(names=listing(text(100, 1)), colours=listing(listing(whole(0, 255), 3, 3))),
    dict(things=listing(whole()), label_nc=whole(1, 65536), highest=whole(0, 65535), unlabelled=flag(),
         instances=flag(), width=listing(whole(1), 2, 2), height=listing(whole(1), 2, 2)),
    others=json_file.anything)


def content(names, things=None, colours=None):
    """Content of classes.json. colours: dict by id; missing ones come from dataset.palette.palette."""
    given = {index: tuple(colour) for index, colour in (colours or {}).items()}
    free = (colour for colour in map(tuple, palette(len(names) + len(given)).tolist()) if colour not in given.values())
    chosen = [list(given[index] if index in given else next(free)) for index in range(len(names))]
    return {'names': [printable(name) for name in names], 'colours': chosen,
            **({} if things is None else {'things': list(things)})}


RELEASED = {   # sets that dataset.prepare knows by name
    'coco_stuff': content(COCO_STUFF, COCO_THINGS), 'ade20k': content(('unknown',) + ADE20K),
    'ade20k_outdoor': content(('unknown',) + ADE20K), 'cityscapes': content(CITYSCAPES, CITYSCAPES_THINGS)}
USUAL_FOLDERS = {os.path.normpath(PRESETS[f'{name}_paper'].get('dataroot', OPT().dataroot)): name for name in RELEASED}


def of_table(table, label_nc):
    """Content of classes.json from a colour table, a list of dataset.palette.Class; missing ids are named by number."""
    named, colours = {}, {}
    for entry in table:
        if entry.id != UNLABELLED:
            named.setdefault(entry.id, entry.name or str(entry.id))
            colours.setdefault(entry.id, entry.colour)
    return content([named.get(index, str(index)) for index in range(label_nc)], colours=colours)


def colours(found, label_nc):
    """uint8 (label_nc, 3): colours in the content of a classes.json; for None those of dataset.palette.palette."""
    return np.array(found['colours'][:label_nc], np.uint8) if found else palette(label_nc)


def number_of_classes(found):
    """label_nc of the content of a classes.json: as recorded, else the number of its names, without a last NO_CLASS."""
    return found.get('label_nc') or len(found['names']) - sum(name.lower() in NO_CLASS for name in found['names'][-1:])


def by_colour(found):
    """dict: colour -> first id of that colour in the content of classes.json; {} for None."""
    return {tuple(colour): index for index, colour in reversed(list(enumerate(found['colours'] if found else ())))}


def drawn(path):
    """uint8 (H, W, 3): a label map in the colours of its set, ../classes.json, else in default ones; InputError."""
    found = read(os.path.dirname(os.path.dirname(os.path.abspath(path))))
    known = colours(found, UNLABELLED)
    try:
        return colourize(read_map(path, colours=by_colour(found)).ids, len(known), known)
    except ValueError as error:     # of colourize; a DataError of read_map names the file
        raise error if isinstance(error, InputError) else InputError(f'{path}: {error}: correct the map') from None


def check(found, source, remedy='correct it'):
    """InputError, naming `source`, if `found` is not the content of a classes.json."""
    json_file.check(found, SCHEMA, source, remedy)
    names, highest = len(found['names']), max(found.get('things', ()), default=-1)
    if names != len(found['colours']):
        raise InputError(f'{source}: {names} names and {len(found["colours"])} colours, expected one for each name; '
                         f'{remedy}')
    if highest >= names:
        raise InputError(f'{source}: things: found {highest}, expected ids from 0 to {names - 1}; {remedy}')


def write(folder, found, left='nothing is left of it'):
    """Write classes.json; InputError, which reports what is `left`, if `found` is invalid or writing fails."""
    path = os.path.join(folder, FILE)
    check(found, path)
    with writing(path, left) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        json.dump(found, file, ensure_ascii=False)


def read(folder):
    """Content of a folder's classes.json, None without one; InputError if it is damaged."""
    path = os.path.join(folder, FILE)
    try:
        found = json_file.read(path, json_file.anything, REMEDY, largest=1 << 26)
    except FileNotFoundError:
        return None
    check(found, path, REMEDY)
    return found


def naming(folder, label_nc):
    """Content of a folder's classes.json if it names label_nc classes, and maybe unlabelled pixels; else None."""
    found = read(folder)
    return found if found and _fits(found, label_nc) else None


# ---- Settings recorded in a set

def settings_of(dataroot):
    """dict of a set's settings: label_nc, contain_dontcare_label, no_instance; {} without classes.json."""
    found = read(dataroot)
    if found is None:
        return {}
    instances = any(os.path.isdir(os.path.join(dataroot, f'{split}_inst')) for split in ('train', 'val'))
    return {'label_nc': number_of_classes(found), 'no_instance': not found.get('instances', instances),
            **({'contain_dontcare_label': found['unlabelled']} if 'unlabelled' in found else {})}


def settled(arguments, preset=None, before=None, refuse=True):
    """(OPT of a command line, line on the settings taken from the set, or '').

    A flag or preset overrides the set; with `refuse`, InputError if it contradicts the set's files. before: OPT of a
    run to resume; its settings override those of the set.
    """
    given = {**(OPT.preset(preset).__dict__ if preset else {}), **OPT().update(arguments).__dict__}
    opt = OPT(**given)
    known = {name: value if before is None else getattr(before, name)
             for name, value in settings_of(opt.dataroot).items() if name not in given}
    opt = OPT(**{**known, **given})
    if refuse and before is None:
        _check_fits(opt, given, read(opt.dataroot) or {})
    listed = [f'{name} {value}' for name, value in known.items() if value != getattr(OPT(), name)]
    if known and of_set(opt) is None:
        listed.append(f'names and colours ignored, because label_nc is {opt.label_nc}')
    return opt, f'from {os.path.join(opt.dataroot, FILE)}: {", ".join(listed)}' if listed else ''


def _check_fits(opt, given, found):
    """InputError if a given setting contradicts what the set records of its files."""
    path = os.path.join(opt.dataroot, FILE)
    needed = min(number_of_classes(found), found['highest'] + 1) if 'highest' in found else 0
    if 'label_nc' in given and opt.label_nc < needed:
        raise InputError(f'--label_nc {opt.label_nc}: the label maps have ids up to {found["highest"]} ({path}): omit '
                         f'--label_nc, or set it to {number_of_classes(found)}')
    if given.get('contain_dontcare_label') is False and found.get('unlabelled'):
        raise InputError(f'--contain_dontcare_label false: the label maps have unlabelled pixels ({path}): omit the '
                         'flag')
    if given.get('no_instance') is False and found.get('instances') is False:
        raise InputError(f'--no_instance false: the set has no instance maps ({path}): omit the flag, or make the set '
                         'with dataset.prepare folder --instances')


# ---- Classes of a set or checkpoint

def _fits(found, label_nc):
    return len(found['names']) in (label_nc, label_nc + 1)


def of_set(opt):
    """Content of opt.dataroot's classes.json, else that of the released set whose preset names this folder.

    None without either, or if the number of names is neither label_nc nor label_nc + 1. A number of classes alone
    identifies no set.
    """
    found = read(opt.dataroot) or RELEASED.get(USUAL_FOLDERS.get(os.path.normpath(opt.dataroot)))
    return found if found and _fits(found, opt.label_nc) else None


def of_checkpoint(folder, opt):
    """Content of the classes.json beside a checkpoint, else of its data set; None without either."""
    found = read(folder)
    if found and not _fits(found, opt.label_nc):
        raise InputError(f'{os.path.join(folder, FILE)}: {len(found["names"])} classes, but label_nc is '
                         f'{opt.label_nc}: {REMEDY}')
    return found or of_set(opt)


def main():
    parser = argparse.ArgumentParser(prog='python -m dataset.classes',
                                     description='Print the classes of a label map by their share of pixels, and draw '
                                                 'the map in colours.')
    parser.add_argument('file', metavar='FILE.png', help='label map: a class id for each pixel')
    parser.add_argument('--label_nc', type=int,
                        help='number of classes [from classes.json in the folder of the map\'s set]')
    parser.add_argument('--out', help='picture to write [FILE_colours.png in the current folder]')
    given = parser.parse_args()
    folder = os.path.dirname(os.path.dirname(os.path.abspath(given.file)))
    found = read(folder) or RELEASED.get(USUAL_FOLDERS.get(os.path.relpath(folder)))
    label_nc = given.label_nc or (number_of_classes(found) if found else UNLABELLED)
    if not found:
        print(f'{os.path.join(folder, FILE)} is missing: classes are shown by number, in default colours')
    elif not _fits(found, label_nc):
        raise InputError(f'--label_nc {label_nc}: {os.path.join(folder, FILE)} has {len(found["names"])} classes: '
                         'omit --label_nc')
    names = found['names'] if found else label_nc * ['']
    label = load_label(given.file, OPT(label_nc=label_nc), by_colour(found))
    for index, count in shares(label, label_nc):
        print(f'{count / label.size:8.2%}  {UNLABELLED if index == label_nc else index:3d}  '
              f'{"unlabelled" if index == label_nc else names[index]}'.rstrip())
    out = given.out or os.path.splitext(os.path.basename(given.file))[0] + '_colours.png'
    refuse_existing(out)
    try:
        with writing(out) as unfinished:
            Image.fromarray(colourize(label, label_nc, colours(found, label_nc))).save(unfinished)
    except ValueError as error:     # Pillow's, for an unknown ending
        raise error if isinstance(error, InputError) else InputError(f'{out}: {error}: name a .png file') from None
    print(f'in colours: {out}')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
