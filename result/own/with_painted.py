"""Whether painted pictures help a segmenter: result.train_segmenter --add.

The same network, number of steps and class weights, on real photos alone and on real and painted ones; scores on the
real validation photos. An epoch has as many samples as real photos, drawn from all.
"""
import argparse
import os

import numpy as np

from dataset import classes
from dataset.contents import identity
from dataset.files import Sample, by_stem, load_label
from log.score_log import LOW
from model.init import OPT
from output.folder import partners
from result.own.scoring_network import checked_label_nc
from runtime.errors import InputError

FOLDER = 'segmenter_added'      # in the data set: a folder for each network
FEW = 20                        # validation photos below which the sentence says so
# 97.5 % quantile of Student's t with 2 n - 2 degrees of freedom, by the runs n on each side
T = {2: 4.303, 3: 2.776, 4: 2.447, 5: 2.306, 6: 2.228, 7: 2.179, 8: 2.145, 9: 2.120, 10: 2.101}
SIDES = 'real', 'real and painted'


def compare(settings, train):
    """Train with train(settings, added samples) -> content of segmenter.json, on each side for each seed; print both.

    settings: of result.train_segmenter. Networks that are there already are kept, so a kill loses no more than it does
    in a single training.
    """
    if settings.seeds not in T:
        raise InputError(f'--seeds {settings.seeds}: allowed: {min(T)} .. {max(T)}')
    added, found = painted_samples(settings), {side: [] for side in SIDES}
    digest, output = identity(added, settings.add)[:8], settings.output or os.path.join(settings.dataroot, FOLDER)
    for number in range(settings.seeds):
        for side, samples, name in zip(SIDES, ((), added), ('real', f'added_{digest}')):
            seed = settings.seed + number
            print(f'\nseed {seed}, {side}', flush=True)
            found[side].append(train(argparse.Namespace(**{
                **vars(settings), 'seed': seed, 'patience': settings.epochs,   # all take the same number of steps
                'output': os.path.join(output, f'{name}_{seed}')}), samples))
    first = found['real'][0]
    print(f'\ntrained on {first["training_photos"]} real photos, alone and with {len(added)} painted pictures; on '
          f'{first["validation_photos"]} real validation photos, mean (lowest to highest) of {settings.seeds} seeds:')
    print(*table(*found.values()), sep='\n')
    print(verdict(*([run['ceiling']['mean_iou'] for run in found[side]] for side in SIDES), first['validation_photos']))


def painted_samples(settings):
    """list of Sample: the pictures in --add, with the label maps that they were painted from; InputError."""
    labels = partners(by_stem(settings.add, '--add'), settings.add_labels, '--add_labels')
    pictures = partners(labels, settings.add, '--add')
    validation = os.path.join(settings.dataroot, 'val_label')
    if os.path.isdir(validation) and os.path.samefile(validation, settings.add_labels):
        raise InputError(f'--add_labels {settings.add_labels}: the maps that score: add pictures of others, such as '
                         'those of python -m dataset.vary')
    opt = OPT(label_nc=checked_label_nc(settings.dataroot, settings.label_nc), no_instance=True)
    own, theirs = ((classes.read(folder) or {}).get('names') for folder in (settings.dataroot, settings.add_labels))
    if own and theirs and own[:opt.label_nc] != theirs[:opt.label_nc]:
        raise InputError(f'--add_labels {settings.add_labels}: its classes.json names other classes than that of '
                         f'{settings.dataroot}: make the maps from this set')
    samples = [Sample(stem, path, None, pictures[stem]) for stem, path in labels.items()]
    for sample in samples:
        load_label(sample.label, opt)    # InputError before hours of training
    return samples


def table(real, painted):
    """Lines: mean IoU and the IoU of each class, mean and range of both sides, from contents of segmenter.json."""
    names = ['mean IoU', *(real[0]['classes'] or map(str, range(real[0]['label_nc'])))]
    rows = zip(names, *(np.array([[run['ceiling']['mean_iou'], *run['ceiling_class_iou']] for run in side], float).T
                        for side in (real, painted)))
    width = max(map(len, names))
    return [f'{"":{width}}  {SIDES[0]:26}  {SIDES[1]:26}  difference', *(
        f'{name:{width}}  {_spread(one):26}  {_spread(two):26}  {np.mean(two) - np.mean(one):+.4f}'
        for name, one, two in rows if not np.isnan([one, two]).any())]


def _spread(values):
    return f'{np.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})'


def verdict(real, painted, photos):
    """One sentence: do painted pictures help? The 95 % interval of the difference of the mean IoUs decides.

    photos: how many they were validated on; the sentence says if those are few, or a network cannot score pictures.
    """
    difference = np.mean(painted) - np.mean(real)
    half = T[len(real)] * np.sqrt((np.var(real, ddof=1) + np.var(painted, ddof=1)) / len(real))
    answer = 'painted pictures help' if difference - half > 0 else \
        'painted pictures do not help, they harm' if difference + half < 0 else 'too close to say'
    doubts = [f'; networks below {LOW}: train longer first (--epochs N --restart)'] * (min(*real, *painted) < LOW) + \
        [f'; {photos} validation photos: validate on {FEW} or more'] * (photos < FEW)
    return (f'{answer}: mean IoU {difference:+.4f}, 95 % interval {difference - half:+.4f} to {difference + half:+.4f} '
            'over seeds' + ''.join(doubts))
