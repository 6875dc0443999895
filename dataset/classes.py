"""Names and colours of a set's classes: classes.json in its folder, and beside every checkpoint trained on it.

    python -m dataset.classes FILE.png      which classes a label map holds, and the map in colours

    {"names": ["person", ...], "colours": [[220, 20, 60], ...], "things": [0, 1, ...]}

by label id. `names` may have one entry more than label_nc, the name of an unlabelled pixel, best "unlabelled".
`things`, if it is there, are the ids of what is counted; the rest is stuff. A set that dataset.prepare or dataset.demo
made has the file; one laid by hand may. What such a set knows of itself stands there too: label_nc, unlabelled (whether
there are such pixels), instances, highest (id), width and height (smallest and largest, in pixels): a training takes
its settings from it.
"""
import argparse
import json
import os

import numpy as np
from PIL import Image

from dataset.files import load_label
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
from runtime.json_file import flag, listing, whole
from runtime.writing import writing

FILE = 'classes.json'
NO_CLASS = 'unlabelled', 'unlabeled'    # as the last name: it is of the pixels without class
LONGEST = 100                           # characters of a name
REMEDY = 'mend it or remove it; without it classes are numbers'


def content(names, things=None, colours=None):
    """The content of classes.json; colours, a dict by id, that are not given are those of dataset.palette.palette."""
    given = {index: tuple(colour) for index, colour in (colours or {}).items()}
    free = (colour for colour in map(tuple, palette(len(names) + len(given)).tolist()) if colour not in given.values())
    chosen = [list(given[index] if index in given else next(free)) for index in range(len(names))]
    return {'names': [printable(name) for name in names], 'colours': chosen,
            **({} if things is None else {'things': list(things)})}


RELEASED = {   # the sets that dataset.prepare knows by name
    'coco_stuff': content(COCO_STUFF, COCO_THINGS),
    'ade20k': content(('unknown',) + ADE20K),
    'cityscapes': content(CITYSCAPES, CITYSCAPES_THINGS),
}
RELEASED['ade20k_outdoor'] = RELEASED['ade20k']
USUAL_FOLDERS = {os.path.normpath(dataroot): name for name, dataroot in (
    ('coco_stuff', 'dataset/coco_stuff'), ('ade20k', PRESETS['ade20k_paper']['dataroot']),
    ('ade20k_outdoor', PRESETS['ade20k_outdoor_paper']['dataroot']),
    ('cityscapes', PRESETS['cityscapes_paper']['dataroot']))}


def of_table(table, label_nc):
    """Classes of a colour table, a list of dataset.palette.Class: ids that it leaves out are called by their number."""
    named, colours = {}, {}
    for entry in table:
        if entry.id != UNLABELLED:
            named.setdefault(entry.id, entry.name or str(entry.id))
            colours.setdefault(entry.id, entry.colour)
    return content([named.get(index, str(index)) for index in range(label_nc)], colours=colours)


def colours(found, label_nc):
    """uint8 (label_nc, 3): the colours of the content of a classes.json,
    of dataset.palette.palette where there is none.
    """
    return np.array(found['colours'][:label_nc], np.uint8) if found else palette(label_nc)


def number_of_classes(found):
    """label_nc that the content of a classes.json says:
    as written, else its names, but for the optional last one of NO_CLASS.
    """
    return found.get('label_nc') or len(found['names']) - sum(name.lower() in NO_CLASS for name in found['names'][-1:])


def checked(found, source):
    """The content of a classes.json if `read` will take it;
    else an InputError that names `source`, where it comes from.
    """
    wrong = _wrong(found)
    if wrong:
        raise InputError(f'{source}: {wrong}: mend it')
    return found


def by_colour(found):
    """dict: colour -> id, of the content of classes.json, or of None; of two alike the first."""
    return {tuple(colour): index for index, colour in reversed(list(enumerate(found['colours'] if found else ())))}


def write(folder, found, left='nothing is left of it'):
    """Write classes.json; InputError, which says what is `left`, if it cannot be written, or if `read` would refuse it.
    """
    path = os.path.join(folder, FILE)
    checked(found, path)
    with writing(path, left) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        json.dump(found, file, ensure_ascii=False)


def read(folder):
    """The classes in a folder, None if it has no classes.json; InputError if that is damaged."""
    path = os.path.join(folder, FILE)
    try:
        found = json_file.read(path, json_file.anything, REMEDY, largest=1 << 26)
    except FileNotFoundError:
        return None
    wrong = _wrong(found)
    if wrong:
        raise InputError(f'{path}: {wrong}: {REMEDY}')
    return found


def _wrong(found):
    """What is wrong with the content of classes.json; '' if nothing is."""
    if not isinstance(found, dict) or not isinstance(found.get('names'), list) or \
            not isinstance(found.get('colours'), list):
        return 'expected {"names": [...], "colours": [[red, green, blue], ...]}'
    names, colours, things = found['names'], found['colours'], found.get('things', [])
    if len(colours) != len(names):
        return f'{len(names)} names and {len(colours)} colours, expected as many'
    for index, name in enumerate(names):
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST:
            length = f'a name of {len(name)} characters' if isinstance(name, str) else f'{name!r:.20}'
            return f'id {index}: found {length}, names must be texts of 1 to {LONGEST} characters'
    if not all(isinstance(colour, list) and len(colour) == 3 and
               all(type(part) is int and 0 <= part <= 255 for part in colour)
               for colour in colours):
        return 'colours must be [red, green, blue], whole numbers from 0 to 255'
    if not isinstance(things, list) or not all(type(index) is int and 0 <= index < len(names) for index in things):
        return f'things must be ids, 0 .. {len(names) - 1}'
    try:
        KNOWN(found, '')
    except json_file.Unfit as error:
        return str(error)
    return ''


# ---- What a set knows of itself

KNOWN = json_file.record({},
                         dict(label_nc=whole(1, 65536), unlabelled=flag(), instances=flag(), highest=whole(0, 65535),
                                  width=listing(whole(1), 2, 2), height=listing(whole(1), 2, 2)),
                         others=json_file.anything)


def settings_of(dataroot):
    """dict of what a set says of a training's settings: label_nc, contain_dontcare_label, no_instance;
    empty without classes.json.
    """
    found = read(dataroot)
    if found is None:
        return {}
    instances = any(os.path.isdir(os.path.join(dataroot, f'{split}_inst')) for split in ('train', 'val'))
    return {'label_nc': number_of_classes(found), 'no_instance': not found.get('instances', instances),
            **({'contain_dontcare_label': found['unlabelled']} if 'unlabelled' in found else {})}


def settled(arguments, preset=None, before=None, refuse=True):
    """(OPT of a command line, line that says what of it the set decided, or '').

    A flag or preset wins over the set, where the ids in its files fit; else InputError, if it is to `refuse`. `before`:
    the OPT of a run that goes on, which keeps what nobody has named: the settings that it began with.
    """
    given = {**PRESETS.get(preset, {}), **OPT().update(arguments).__dict__}
    opt = OPT(**given)
    known = {name: value for name, value in settings_of(opt.dataroot).items() if name not in given}
    if before is not None:
        for name, value in known.items():
            if getattr(before, name) != value:
                known[name] = getattr(before, name)
    opt = OPT(**{**known, **given})
    if refuse and before is None:
        _check_fits(opt, given, read(opt.dataroot) or {})
    listed = [f'{name} {value}' for name, value in known.items() if value != getattr(OPT(), name)]
    if known and of_set(opt) is None:
        listed.append(f'names and colours left aside, since label_nc is {opt.label_nc}')
    return opt, f'from {os.path.join(opt.dataroot, FILE)}: {", ".join(listed)}' if listed else ''


def _check_fits(opt, given, found):
    """InputError if a setting that was given does not fit the files, as far as the set knows them."""
    path = os.path.join(opt.dataroot, FILE)
    needed = min(number_of_classes(found), found['highest'] + 1) if 'highest' in found else 0
    if 'label_nc' in given and opt.label_nc < needed:
        raise InputError(f'--label_nc {opt.label_nc}: the label maps have ids up to {found["highest"]} ({path}): leave '
                         f'it out, or set it to {number_of_classes(found)}')
    if given.get('contain_dontcare_label') is False and found.get('unlabelled'):
        raise InputError(f'--contain_dontcare_label false: the label maps have unlabelled pixels ({path}): leave it '
                         'out')
    if given.get('no_instance') is False and found.get('instances') is False:
        raise InputError(f'--no_instance false: the set has no instance maps ({path}): leave it out, or make the set '
                         'with dataset.prepare folder --instances')


def of_set(opt):
    """The classes of the set in opt.dataroot:
    those it brings along, else those of the released set that the folder is named for.

    None if there are none, or if they are not as many as label_nc, or one more. The number alone says nothing.
    """
    found = read(opt.dataroot) or RELEASED.get(USUAL_FOLDERS.get(os.path.normpath(opt.dataroot)))
    return found if found and len(found['names']) in (opt.label_nc, opt.label_nc + 1) else None


def of_checkpoint(folder, opt):
    """The classes beside a checkpoint, else those of its data set; None where neither knows them."""
    found = read(folder)
    if found and len(found['names']) not in (opt.label_nc, opt.label_nc + 1):
        raise InputError(f'{os.path.join(folder, FILE)}: {len(found["names"])} classes, but label_nc is '
                         f'{opt.label_nc}: mend it or remove it; without it classes are numbers')
    return found or of_set(opt)


def main():
    parser = argparse.ArgumentParser(prog='python -m dataset.classes',
                                     description='Print which classes a label map holds, by share'
                                     ', and draw it in colours.')
    parser.add_argument('file', metavar='FILE.png', help='label map: a class id for each pixel')
    parser.add_argument('--label_nc', type=int,
                        help='number of classes [those of classes.json in the folder of the map\'s set]')
    parser.add_argument('--out', help='picture to write [FILE_colours.png in the current folder]')
    given = parser.parse_args()
    folder = os.path.dirname(os.path.dirname(os.path.abspath(given.file)))
    found = read(folder) or RELEASED.get(USUAL_FOLDERS.get(os.path.relpath(folder)))
    label_nc = given.label_nc or (number_of_classes(found) if found else UNLABELLED)
    if not found:
        print(f'{os.path.join(folder, FILE)}: not there: classes have numbers, no names, and the colours of no set')
    elif len(found['names']) not in (label_nc, label_nc + 1):
        raise InputError(f'--label_nc {label_nc}: {os.path.join(folder, FILE)} has {len(found["names"])} classes: '
                         'leave --label_nc out')
    known = found['names'] if found else label_nc * ['']
    label = load_label(given.file, OPT(label_nc=label_nc), by_colour(found))
    for index, count in shares(label, label_nc):
        print(f'{count / label.size:8.2%}  {UNLABELLED if index == label_nc else index:3d}  '
              f'{"unlabelled" if index == label_nc else known[index]}'.rstrip())
    out = given.out or os.path.splitext(os.path.basename(given.file))[0] + '_colours.png'
    if os.path.exists(out):
        raise InputError(f'{out}: is there already, and nothing is overwritten: name another --out')
    try:
        Image.fromarray(colourize(label, label_nc, colours(found, label_nc))).save(out)
    except (OSError, ValueError) as error:
        raise InputError(f'{out}: cannot write the picture: {error}') from None
    print(f'in colours: {out}')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
