"""Scoring protocols and data sets, by name: papers differ in picture size, void pixels, classes and FID's reference."""
import os
import shlex
from collections import namedtuple

from dataset.classes import USUAL_FOLDERS
from dataset.palette import ADE20K, COCO_STUFF
from dataset.prepare.record import maker_of
from result.scores import ALL, EITHER, LABELLED
from runtime.errors import InputError

# full_size: the picture is enlarged to the label's size; else the label is reduced to the picture's (nearest).
# void_counted: pixels without a true class count as wrong; else they are ignored.
Protocol = namedtuple('Protocol', 'full_size void_counted')

PROTOCOLS = {'spade': Protocol(False, False), 'full_size': Protocol(True, False), 'void_counted': Protocol(False, True)}

OWN = 'own'   # any data set not in DATASETS; result.own.scoring_network has its classes, network and size

# label_nc: as in OPT; network: a key of result.networks.kinds.NETWORKS; size: (width, height) of SPADE's pictures;
# names: of the scored classes; ids: their ids in the label files, None: 0, 1, ...;
# mean_iou_over: the rule of the evaluation code published with the network (result/scores.py).
Dataset = namedtuple('Dataset', 'dataroot label_nc network size names ids mean_iou_over')

# Cityscapes' 35 ids -> the 19 evaluated classes (cityscapesScripts, helpers/labels.py); other ids are void.
CITYSCAPES = {7: 'road', 8: 'sidewalk', 11: 'building', 12: 'wall', 13: 'fence', 17: 'pole', 19: 'traffic light',
              20: 'traffic sign', 21: 'vegetation', 22: 'terrain', 23: 'sky', 24: 'person', 25: 'rider', 26: 'car',
              27: 'truck', 28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'}

DATASETS = {
    'coco_stuff': Dataset('dataset/coco_stuff/', 182, 'deeplab', (256, 256), COCO_STUFF, None, LABELLED),
    # Id 0 is unknown; id 1 is the network's class 0.
    'ade20k': Dataset('dataset/ade20k/', 150, 'upernet', (256, 256), ADE20K, tuple(range(1, 151)), ALL),
    'cityscapes': Dataset('dataset/cityscapes/', 35, 'drn', (512, 256), tuple(CITYSCAPES.values()), tuple(CITYSCAPES),
                          EITHER),
}

# The command that made a set (dataset.prepare's record) -> the data set with the same classes.
PREPARED = {'dataset.prepare coco_stuff': 'coco_stuff', 'dataset.prepare ade20k': 'ade20k',
            'dataset.prepare ade20k_outdoor': 'ade20k', 'dataset.prepare cityscapes': 'cityscapes'}


def network_for(dataroot, flags=''):
    """What to do for a scoring network of the classes in `dataroot`; flags: of result.train_segmenter."""
    if not os.path.isdir(os.path.join(dataroot, 'train_img')):
        return ('name the folder of a network of these classes with --scoring, or a set that has training photos with '
                f'--dataroot ({dataroot} has no train_img for python -m result.train_segmenter)')
    return (f'train one (to its end) with python -m result.train_segmenter --dataroot {shlex.quote(dataroot)} {flags}'
            .rstrip() + ', or name the folder of one with --scoring')


def dataset_of(opt):
    """Key of DATASETS for opt.dataroot: opt.dataset, else by the set's record, else by its usual folder.

    The number of classes does not count: pictures of another set with 182 classes would get plausible nonsense.
    InputError if the data set is unknown.
    """
    if opt.dataset:
        if opt.dataset not in DATASETS:
            raise InputError(f'option dataset: found {opt.dataset!r}, allowed: {", ".join([*DATASETS, OWN])}')
        name = opt.dataset
    else:
        made_by = maker_of(opt.dataroot)
        name = PREPARED.get(made_by or f'dataset.prepare {USUAL_FOLDERS.get(os.path.normpath(opt.dataroot))}')
        if name is None:
            origin = f'a set of your own ({made_by})' if made_by else 'a set of unknown origin'
            height, width = opt.picture_size
            raise InputError(f'{opt.dataroot}: {origin}; its {opt.label_nc} classes do not identify it. The published '
                             f'segmentation networks are for {", ".join(DATASETS)}. Name one with --dataset if the '
                             f'label ids are the same, {network_for(opt.dataroot, f"--size {width}x{height}")}, or '
                             'turn scoring off')
    if DATASETS[name].label_nc != opt.label_nc:
        raise InputError(f'dataset {name} has {DATASETS[name].label_nc} classes (label_nc), found {opt.label_nc} here: '
                         'name the right --dataset, or turn scoring off')
    return name
