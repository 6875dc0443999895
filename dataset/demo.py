"""Generated scenes to train on without a download: landscapes, animals, beaches, streets and rooms.

    python -m dataset.demo --output dataset/demo --train 64 --val 8 --height 128 --width 128

writes photos, label maps (COCO-Stuff ids) and instance maps that match pixel by pixel, and sheet.jpg to look at. python
-m dataset.prepare demo is the same command.
"""
import argparse
import json
import os
import shlex
import sys

import numpy as np
from PIL import Image

from dataset import classes, contents
from dataset.check import check
from dataset.palette import COCO_STUFF, UNLABELLED, colourize
from dataset.scenes.scene import scene
from model.edges import instance_edges
from model.init import OPT
from model.presets import PRESETS
from runtime import json_file
from runtime.bar import counted
from runtime.commands import runnable
from runtime.errors import InputError, shown_in_one_line
from runtime.writing import remove, staged

FOLDERS = tuple(f'{phase}_{kind}' for phase in ('train', 'val') for kind in ('img', 'label', 'inst'))
SHEET, SHEET_SAMPLES = 'sheet.jpg', 8
RECORD = 'demo.json'
SCHEMA = json_file.record({'made by': json_file.one_of('dataset.demo'),
                           'files': json_file.mapping(json_file.text(32, 32))})
# Demo sets that train.py writes for its presets if missing: arguments of `write`.
SETS = {PRESETS['demo']['dataroot']: {},
        PRESETS['demo_long']['dataroot']: dict(train=600, val=8, height=144, width=144)}
PHASE_SEEDS = 10 ** 6  # scene seeds of each phase: training and validation never share a scene


def preset_without_data(arguments):
    """The preset of a command line without --preset: demo, and a line, if there is no data set to train on; else None.
    """
    root = OPT().dataroot
    if 'dataroot' in arguments or any(os.path.isdir(os.path.join(root, f'train_{part}'))
                                      for part in ('label', 'inst', 'img')):
        return None
    print(f'no data set in {root} and none named with --dataroot: training on generated scenes (--preset demo)')
    return 'demo'


def write_if_missing(root):
    """Write the demo set that belongs in `root`; nothing if none does, or if root exists."""
    if root in SETS and not os.path.isdir(root):
        write(root, **SETS[root])


def write(root, train=64, val=8, height=128, width=128, seed=0):
    """Write root/{train,val}_{img,label,inst}/scene_00000.{jpg,png}, ..., sheet.jpg, classes.json; -> class names.

    The set is made in a folder beside root, which is then renamed to root, so that a kill leaves no partial set. It
    replaces an earlier demo set, whose files demo.json records; InputError if root has any other file.
    """
    size = 16, 4096
    limits = {'train': (train, 0, PHASE_SEEDS), 'val': (val, 0, PHASE_SEEDS), 'seed': (seed, 0, 10 ** 9),
              'height': (height, *size), 'width': (width, *size)}
    for name, (value, least, most) in limits.items():
        if not least <= value <= most:
            raise InputError(f'{name}: found {value}, expected {least} to {most}')
    root = os.path.realpath(root)
    partial, replaced = (staged(path, os.getpid()) for path in (root, f'{root}.replaced'))
    try:
        known = _recorded(root)
        if known:
            _refuse_foreign(root, known)
        present = write_folders(partial, {'train': train, 'val': val}, height, width, seed)
        made = _files(partial)
        with open(os.path.join(partial, RECORD), 'w', encoding='utf-8') as file:
            json.dump({'made by': 'dataset.demo', 'files': made}, file, indent=1)
        if _files(root) != made:    # unless another process or an earlier command has made the same set
            if os.path.lexists(root):
                _refuse_foreign(root, known or made)
                os.rename(root, replaced)
            _rename(partial, root, made)
    except OSError as error:
        raise InputError(f'{root}: the demo set cannot be written: {error}') from None
    finally:
        remove(partial)
    remove(replaced)
    return present


def _rename(partial, root, made):
    """Rename the set to `root`, unless another process has just made the same one."""
    try:
        os.rename(partial, root)
    except OSError:
        if _files(root) != made:
            raise


def _files(root):
    """dict: path within `root` -> digest of each file but the set's records; None for links and other non-files."""
    found = {}
    for folder, subfolders, files in os.walk(root):
        for path in (os.path.join(folder, name) for name in subfolders + files):
            if os.path.islink(path) or not os.path.isdir(path):
                is_file = os.path.isfile(path) and not os.path.islink(path)
                found[os.path.relpath(path, root)] = contents.digest_of(path) if is_file else None
    for name in [RECORD] + [contents.FILE] * bool(contents.read(root)):
        found.pop(name, None)
    return found


def _recorded(root):
    """_files(root) as `write` recorded it; {} without a record, as in sets of earlier versions."""
    try:
        return json_file.read(os.path.join(root, RECORD), SCHEMA, 'choose another --output', 1 << 30)['files']
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _refuse_foreign(root, known):
    """InputError for the first file in `root` that is not in `known` or has changed."""
    if not os.path.isdir(root):
        raise InputError(f'{root}: found a file, expected a folder for the demo set')
    for path, digest in _files(root).items():
        if digest is None or known.get(path) != digest:
            raise InputError(f'{os.path.join(root, path)}: not made by dataset.demo, or changed since, or '
                             f'made by an earlier version; the whole folder {root} would be replaced: move it away, or '
                             'choose another --output')


def write_folders(root, counts, height, width, seed):
    """Write folders, sheet and classes.json -> sorted names of the classes that occur."""
    for folder in FOLDERS:
        if counts[folder.split('_')[0]]:
            os.makedirs(os.path.join(root, folder))
    jobs = [(phase, index) for phase in ('train', 'val') for index in range(counts[phase])]
    classes.write(root, classes.RELEASED['coco_stuff'])
    samples, present = [], set()
    for phase, index in counted(jobs, len(jobs), 'demo scenes', 'scene'):
        photo, label, instance = scene(seed * 2 * PHASE_SEEDS + (phase == 'val') * PHASE_SEEDS + index, height, width)
        for kind, pixels, ending in (('img', photo, 'jpg'), ('label', label, 'png'), ('inst', instance, 'png')):
            options = {'quality': 95, 'subsampling': 0} if ending == 'jpg' else {}
            name = os.path.join(root, f'{phase}_{kind}', f'scene_{index:05d}.{ending}')
            Image.fromarray(pixels).save(name, **options)
        present.update(COCO_STUFF[i] for i in np.unique(label) if i != UNLABELLED)
        if len(samples) < SHEET_SAMPLES:
            samples.append((photo, label, instance))
    if samples:
        Image.fromarray(sheet(samples)).save(os.path.join(root, SHEET), quality=95)
    return sorted(present)


def sheet(samples):
    """uint8 RGB with a column for each (photo, label, instance): photo, coloured labels, instance edges."""
    return np.hstack([np.vstack([photo, colourize(label, len(COCO_STUFF)), edges(instance)])
                      for photo, label, instance in samples])


def edges(instance):
    """uint8 RGB of integers (H, W): the networks' edges in white, on both sides of each border."""
    return np.repeat(np.uint8(instance_edges(instance[None])[0] * 255)[..., None], 3, -1)


def add_flags(parser):
    for name, default, help in (('train', 64, 'training scenes'), ('val', 8, 'validation scenes'),
                                ('height', 128, 'pixels'), ('width', 128, 'pixels'), ('seed', 0, 'seed of the scenes')):
        parser.add_argument(f'--{name}', type=int, default=default, help=f'{help} [{default}]')
    parser.add_argument('--output', metavar='DIR', default=PRESETS['demo']['dataroot'],
                        help=f'folder to make; replaces an earlier demo set [{PRESETS["demo"]["dataroot"]}]')


def make(arguments):
    """Write the set of these flags, check it and print the next commands -> whether the check found problems."""
    root = arguments.output
    present = write(root, arguments.train, arguments.val, arguments.height, arguments.width, arguments.seed)
    print(f'{root}: {arguments.train} training and {arguments.val} validation scenes, {arguments.height} high and '
          f'{arguments.width} wide, {len(present)} of the {len(COCO_STUFF)} COCO-Stuff classes')
    wrong = check(OPT.preset('demo', dataroot=root, batchSize=1))
    print(f'look at: {os.path.join(root, SHEET)}')
    print('train:   ' + runnable(f'python train.py --preset demo --dataroot {shlex.quote(root)}'))
    return wrong


def main():
    parser = argparse.ArgumentParser(
        prog='python -m dataset.demo',
        description='Generate scenes to train SPADE on: photos, label maps with COCO-Stuff ids, instance maps, and '
                    'sheet.jpg to look at. The same as python -m dataset.prepare demo.')
    add_flags(parser)
    sys.exit(make(parser.parse_args()))


if __name__ == '__main__':
    with shown_in_one_line():
        main()
