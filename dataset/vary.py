"""New label maps from a set's own, for predict.py to paint: flipped, warped, with rare objects of other maps.

    python -m dataset.vary --dataroot mine --count 500 --output maps/
    python predict.py --lastoutput RUN --label maps/ --instance maps/inst --out painted/   # --instance if there are

Map n is a function of the training maps, --seed and n. Rare are the classes of the less frequent half, by pixels. The
folder also has classes.json, vary.json (what its maps depend on), and sheet/sheet.jpg to look at.
"""
import json
import os
import shlex
from collections import defaultdict

import numpy as np
from PIL import Image

from dataset import classes
from dataset.components import components
from dataset.contents import identity
from dataset.files import Sample, by_stem, evenly_spaced, find_samples, load_images
from dataset.palette import UNLABELLED
from dataset.prepare.contact_sheet import contact_sheet
from dataset.prepare.job import png
from model.init import OPT
from runtime import json_file
from runtime.bar import counted
from runtime.commands import runnable
from runtime.errors import InputError, shown_in_one_line
from runtime.writing import refuse_existing, writing

SETTINGS = 'dataroot', 'label_nc', 'contain_dontcare_label', 'no_instance', 'max_dataset_size', 'seed'
RECORD = 'vary.json'    # in the folder: what its maps depend on
STREAM = 3              # of random numbers, beside those of dataset.labelled_images and result.own.images
EXAMINED = 1000         # maps in which classes are counted and objects are found
KNOTS, WARP = 4, 0.06   # of the warp along a side; largest shift of a knot, part of the side: too little to fold
MOST_PASTED = 3         # objects
LARGEST = 0.25          # of them, part of its map
UP = 0.03               # farthest from the object's own height, part of the side; sideways it goes anywhere


class Maps:
    """The training maps of a set. varied(n) -> integers (1, H, W), ids, or (2, H, W), ids and instances."""

    def __init__(self, opt):
        self.opt, self.samples = opt, find_samples(opt, 'train', photos=False)
        self.holders = defaultdict(list)    # class -> samples that have it
        pixels = np.zeros(opt.label_nc, np.int64)
        examined = evenly_spaced(self.samples, EXAMINED)
        for sample in counted(examined, len(examined), 'classes of the set', 'map', leave=False):
            counts = np.bincount(self.read(sample)[0].ravel(), minlength=opt.label_nc)[:opt.label_nc]
            pixels += counts
            for index in np.flatnonzero(counts).tolist():
                self.holders[index].append(sample)
        present = sorted(self.holders, key=lambda index: (pixels[index], index))
        self.rare = present[:len(present) // 2]

    def read(self, sample):
        images = load_images(sample, self.opt)
        return np.stack([np.asarray(images[part], np.int32) for part in ('label', 'instance') if part in images])

    def varied(self, number):
        rng = np.random.default_rng(np.random.SeedSequence(self.opt.seed, spawn_key=(STREAM, number)))
        maps = warped(self.read(self.samples[rng.integers(len(self.samples))]), rng)
        for _ in range(rng.integers(MOST_PASTED + 1) if self.rare else 0):
            kind = self.rare[rng.integers(len(self.rare))]
            other = self.read(self.holders[kind][rng.integers(len(self.holders[kind]))])
            paste(maps, kind, warped(other, rng), rng)
        return maps


def warped(maps, rng):
    """maps (parts, H, W), flipped or not, each pixel taken from a smoothly shifted place."""
    maps = maps[..., ::-1] if rng.integers(2) else maps
    places = []
    for side, places_of_side in zip(maps.shape[1:], np.indices(maps.shape[1:], sparse=True)):
        knots = Image.fromarray(rng.uniform(-WARP * side, WARP * side, (KNOTS, KNOTS)).astype(np.float32))
        shift = np.asarray(knots.resize(maps.shape[:0:-1], Image.Resampling.BICUBIC))
        places.append(np.clip(np.rint(places_of_side + shift).astype(int), 0, side - 1))
    return maps[:, places[0], places[1]]


def paste(maps, kind, other, rng):
    """Paste an object of class `kind` from the maps `other` into `maps`, in place, at its own height; unless too large.

    An object: an instance of the class; without instance maps, a connected region.
    """
    inside = other[0] == kind
    objects = np.where(inside, other[1] if len(other) > 1 else components(np.where(inside, kind, UNLABELLED)), -1)
    ids = np.unique(objects[inside])
    if not len(ids):    # warped out of the map
        return
    where = np.argwhere(objects == ids[rng.integers(len(ids))])
    if len(where) > LARGEST * inside.size:
        return
    size = np.array(maps.shape[1:])
    centre = (where.mean(0)[0] / len(inside) + rng.uniform(-UP, UP), rng.uniform()) * size
    where = where + np.rint(centre - where.mean(0)).astype(int)
    rows, columns = where[((where >= 0) & (where < size)).all(1)].T
    maps[0, rows, columns] = kind
    if len(maps) > 1:
        maps[1, rows, columns] = maps[1].max() + 1


def write(folder, maps, count, made):
    """Write `count` maps, their instances, classes.json, the sheet and the record `made` to a new folder."""
    opt, content = maps.opt, classes.of_set(maps.opt)
    with writing(folder) as unfinished:
        for name in ['sheet'] + ['inst'] * (not opt.no_instance):
            os.makedirs(os.path.join(unfinished, name))
        for number in counted(range(count), count, 'label maps', 'map'):
            label, *instances = maps.varied(number)
            if opt.contain_dontcare_label:
                label[label == opt.label_nc] = UNLABELLED
            # instances are numbered from 0, since a PNG holds 16 bits
            instances = [np.unique(ids, return_inverse=True)[1].reshape(ids.shape) for ids in instances]
            for part, ids in zip(('', 'inst'), (label, *instances)):
                with open(os.path.join(unfinished, part, f'{number:05d}.png'), 'wb') as file:
                    file.write(png(ids))
        samples = [Sample(stem, path, os.path.join(unfinished, 'inst', f'{stem}.png') if instances else None, None)
                   for stem, path in by_stem(unfinished, '--output').items()]
        sheet = contact_sheet([(sample, ()) for sample in samples], classes.colours(content, opt.label_nc), folder)
        sheet.save(os.path.join(unfinished, 'sheet', 'sheet.jpg'), quality=95)
        if content:
            classes.write(unfinished, content)
        with open(os.path.join(unfinished, RECORD), 'w', encoding='utf-8') as file:
            json.dump(made, file)


def main():
    parser = OPT.parser(__doc__, SETTINGS)
    parser.add_argument('--count', type=int, required=True, metavar='N', help='maps to make')
    parser.add_argument('--output', required=True, metavar='DIR', help='new folder for the maps, and inst/ in it')
    arguments = parser.parse_args()
    if arguments.count < 1:
        raise InputError(f'--count {arguments.count}: must be at least 1')
    folder = os.path.normpath(arguments.output)
    refuse_existing(folder, lambda path: os.path.isfile(os.path.join(path, RECORD)))
    opt, of_the_set = classes.settled(arguments, refuse=False)
    if of_the_set:
        print(of_the_set)
    samples = find_samples(opt, 'train', photos=False)
    made = {'maps': identity(samples, opt.dataroot), 'count': arguments.count, 'seed': opt.seed,
            **{name: getattr(opt, name) for name in ('label_nc', 'contain_dontcare_label', 'no_instance')}}
    if complete := os.path.exists(folder):
        remedy = 'name another --output, or remove the folder to make it again'
        before = json_file.read(os.path.join(folder, RECORD), json_file.mapping(json_file.anything), remedy)
        if different := json_file.differences(before, made, {'maps': 'the training maps changed'}):
            raise InputError(f'{folder}: made with other settings: {different}: {remedy}')
    else:
        write(folder, Maps(opt), arguments.count, made)
    print(f'{folder}: {arguments.count} maps{", already complete" * complete}')
    painted = folder[:-4] + 'painted' if folder.endswith('maps') else f'{folder}_painted'
    maps, painted, root = map(shlex.quote, (f'{folder}/', f'{painted}/', opt.dataroot))
    instance = '' if opt.no_instance else f' --instance {shlex.quote(f"{folder}/inst")}'
    print(runnable(f'look at: {folder}/sheet/sheet.jpg\n'
                   f'paint:   python predict.py --lastoutput RUN --label {maps}{instance} --out {painted}\n'
                   '         (RUN: --output of train.py; a model with styles or noise: add --style random)\n'
                   f'then:    python -m result.train_segmenter --dataroot {root} --size WxH --add {painted} '
                   f'--add_labels {maps}\n'
                   '         (WxH: the size of the painted pictures, such as 128x128)'))


if __name__ == '__main__':
    with shown_in_one_line():
        main()
