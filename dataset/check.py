"""Contents and problems of a data set: python -m dataset.check --dataroot FOLDER [--label_nc 12 ...]

Checks train and val on all cores, lists all problems, and exits with status 1 if there are any.
"""
import contextlib
import functools
import os
import sys
from collections import defaultdict, namedtuple

import numpy as np

from dataset import classes, contents
from dataset.agreement import MASKS, Palettes
from dataset.files import check_same_size, checked_label, pair_files, split_folders
from dataset.label_map import read_instances, read_map
from dataset.labelled_images import check_sizes, checked_size, global_batch
from dataset.photo import flaws, is_grey, read_photo
from dataset.picture_file import DataError, Notes, noted
from dataset.workers import WorkerKilled, Workers
from model.init import DONTCARE, OPT
from runtime.bar import counted
from runtime.cores import cores
from runtime.errors import InputError, shown_in_one_line
from runtime.writing import is_marked, mark, refuse_existing, writing

SETTINGS = ('label_nc', 'contain_dontcare_label', 'no_instance', 'output_nc', 'crop_size', 'aspect_ratio', 'batchSize',
            'accumulate', 'dataroot', 'preprocess_mode', 'load_size', 'max_dataset_size')
SHOWN = 20  # problems of each kind on the screen; --report FILE lists all

# problems [(kind, line)]; size (width, height); counts: pixels of each id; grey: a photo without
# colour, None if unreadable; notes [(kind of file, note, pixels)]; label, palette: arguments of
# dataset.agreement.Palettes.add; mask: whether the label map has only 0 and 255
Found = namedtuple('Found', 'problems size counts grey notes label palette mask')


def examine(sample, opt, crop):
    """Found: problems and contents of one sample's files; `crop`: check its size for the crop too."""
    problems, read, notes, palette, mask = [], {}, [], None, False

    def add(what, path, decoded, pixels):
        read[path] = pixels
        notes.extend(noted(what, decoded))

    @contextlib.contextmanager
    def collected():
        try:
            yield
        except DataError as error:
            problems.append((error.kind, str(error)))

    with collected():
        decoded = read_map(sample.label)
        palette, mask = decoded.palette, bool(((decoded.ids == 0) | (decoded.ids == DONTCARE)).all())
        add('label map', sample.label, decoded, checked_label(sample.label, decoded.ids, opt))
        pixels = int((decoded.ids == opt.label_nc).sum()) if opt.contain_dontcare_label else 0
        if pixels and opt.label_nc != DONTCARE:
            notes.append(('label map', f'with id {opt.label_nc}, which means unlabelled like 255', pixels))
    if sample.instance:
        with collected():
            decoded = read_instances(sample.instance)
            add('instance map', sample.instance, decoded, decoded.ids)
    if sample.photo:
        with collected():
            decoded = read_photo(sample.photo, read[sample.label].shape[::-1] if sample.label in read else None)
            add('photo', sample.photo, decoded, np.asarray(decoded.image))
            notes.extend(('photo', flaw, 0) for flaw in flaws(read[sample.photo]))
    sizes = {path: array.shape[1::-1] for path, array in read.items()}
    size = next(iter(sizes.values()), None)
    with collected():
        check_same_size(sizes)
        if crop and size:
            checked_size(opt, *size, sample.photo or sample.label)
    counts = np.bincount(read[sample.label].ravel(), minlength=opt.label_nc + 1) if sample.label in read else None
    grey = is_grey(read[sample.photo]) if sample.photo in read else None
    return Found(problems, size, counts, grey, notes, sample.label, palette, mask)


class Tally:
    """Contents of a split's samples, added up."""

    def __init__(self, opt):
        self.opt, self.samples, self.photos, self.grey = opt, 0, 0, 0
        self.pixels = np.zeros(opt.label_nc + 1, np.int64)
        self.least = self.most = None  # (width, height)
        # masks: whether all maps have only 0 and 255
        self.notes, self.palettes, self.masks = Notes(), Palettes(), True

    def add(self, found):
        self.samples += 1
        self.photos += found.grey is not None
        self.grey += bool(found.grey)
        self.notes.add(found.notes)
        self.palettes.add(found.label, found.palette)
        self.masks &= found.mask
        if found.counts is not None:
            self.pixels += found.counts
        if found.size:
            self.least = np.minimum(found.size, found.size if self.least is None else self.least)
            self.most = np.maximum(found.size, found.size if self.most is None else self.most)

    def lines(self):
        yield f'{self.samples} samples'
        if self.most is not None:
            yield f'width {self.least[0]} .. {self.most[0]}, height {self.least[1]} .. {self.most[1]} pixels'
        if self.pixels.any():
            unused = np.flatnonzero(self.pixels[:-1] == 0)
            listed = f'; not used: {named(self.opt, unused)}' if len(unused) else ''
            yield f'classes used: {self.opt.label_nc - len(unused)} of {self.opt.label_nc}{listed}'
            yield f'unlabelled pixels: {self.pixels[-1] / self.pixels.sum():.2%}'
        if self.photos:
            yield f'grey photos: {self.grey} of {self.photos} ({self.grey / self.photos:.2%})'
        yield from self.notes.lines()
        if self.masks and self.pixels[-1]:
            yield MASKS

    def problems(self):
        """Yields (kind, line) for each problem that only all samples together show."""
        try:
            self.palettes.check()
        except DataError as error:
            yield error.kind, str(error)


def named(opt, ids, most=10):
    """Text of up to `most` class ids, with their names if the set has them."""
    found = classes.of_set(opt)
    names = [f'{index} {found["names"][index]}' if found else str(index) for index in ids[:most]]
    return ', '.join(names) + (', ...' if len(ids) > most else '')


def check_split(opt, split, crop):
    """(problems [(kind, line)], lines on the contents of the split, pixels of each id); None without its folders."""
    folders = split_folders(opt, split)
    if not any(map(os.path.isdir, folders.values())):
        return None
    photos = split == 'train' or os.path.isdir(folders['photo'])
    samples, problems = pair_files(opt, split, photos)
    problems = [(error.kind, str(error)) for error in problems]
    if split == 'train' and 0 < len(samples) < global_batch(opt):
        problems.append(('fewer samples than one batch',
                         f'{folders["label"]}: {len(samples)} complete samples, a batch is {global_batch(opt)} '
                         '(batchSize x accumulate): add samples or set a smaller --batchSize'))
    work = functools.partial(examine, opt=opt, crop=crop and (split == 'train' or opt.shows_middle))
    tally = Tally(opt)
    try:
        with Workers(cores(), work) as workers:
            for found in counted(workers(samples), len(samples), split, 'sample'):
                problems += found.problems
                tally.add(found)
    except WorkerKilled:
        raise InputError(f'{opt.dataroot}: a process that checks {split} was killed, perhaps for lack of memory: free '
                         'memory and check again') from None
    problems += tally.problems()
    without = [] if photos else [f'no folder {folders["photo"]}: styles are random, and nothing can be scored']
    return problems, [*tally.lines(), *without], tally.pixels


def show(problems, report=None):
    """Print problems [(kind, line)] by kind, up to SHOWN of each; write all of them to the file `report`."""
    kinds = defaultdict(list)
    for kind, line in problems:
        kinds[kind].append(line)
    for kind, lines in kinds.items():
        print(f'\n{kind} ({len(lines)}):')
        print('\n'.join(f'  {line}' for line in lines[:SHOWN]))
        if len(lines) > SHOWN:
            print(f'  ... and {len(lines) - SHOWN} more (all with --report FILE)')
    if report:
        with writing(report) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
            file.writelines([f'{mark()}\n', *(f'{kind}: {line}\n' for kind, lines in kinds.items() for line in lines)])
    print('\nproblems: ' + (', '.join(f'{len(lines)} x {kind}' for kind, lines in kinds.items()) or 'none'))


def check(opt, report=None):
    """Print contents and problems of opt.dataroot's train and val -> whether there are problems."""
    problems, splits = [], {}
    try:
        check_sizes(opt)
    except DataError as error:
        problems.append((error.kind, str(error)))
    crop = not problems
    for split in ('train', 'val'):
        splits[split] = check_split(opt, split, crop)
    if not any(splits.values()):
        raise InputError(f'{opt.dataroot}: no data set there, neither train_label, train_img, ... nor '
                         f'val_label, val_img, ...: put them there or name another --dataroot')
    for split, content in splits.items():
        found, lines, _ = content or ([], [f'absent: {opt.dataroot!r} has no {split}_label, {split}_inst, {split}_img'],
                                      None)
        problems += found
        print(f'{split}: ' + '\n       '.join(lines))
    if all(splits.values()):
        train, val = (pixels[:-1] > 0 for *_, pixels in splits.values())
        lacking = np.flatnonzero(train & ~val)
        if val.any() and len(lacking):
            print(f'suspicious: val lacks classes of train, so no score shows them: {named(opt, lacking)}')
    show(problems, report)
    return bool(problems)


def main():
    parser = OPT.parser('Check a data set (folders, pairs, readability, sizes, ids) and summarize its contents.',
                        SETTINGS)
    parser.add_argument('--report', metavar='FILE', default=None, help='write all problems to this file, one per line')
    arguments = parser.parse_args()
    opt, of_the_set = classes.settled(arguments, refuse=False)
    if of_the_set:
        print(of_the_set)
    if arguments.report:
        refuse_existing(arguments.report, is_marked)
    wrong = check(opt, arguments.report)
    if os.path.exists(os.path.join(opt.dataroot, contents.FILE)):   # made by dataset.prepare
        contents.keep(opt.dataroot)
    sys.exit(wrong)


if __name__ == '__main__':
    with shown_in_one_line():
        main()
