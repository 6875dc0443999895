"""How pictures are scored, by name: papers differ in picture size, void pixels, classes and reference statistics."""
import os
from collections import namedtuple

from dataset.classes import USUAL_FOLDERS
from dataset.palette import ADE20K, COCO_STUFF
from dataset.prepare.record import maker_of
from result.scores import ALL, EITHER, LABELLED
from runtime.errors import InputError

# full_size: the picture is enlarged to the label's own size; else the label is made as small as the picture (nearest).
# void_counted: pixels without true class count as wrong; else they are left out.
Protocol = namedtuple('Protocol', 'full_size void_counted')

PROTOCOLS = {'spade': Protocol(False, False), 'full_size': Protocol(True, False), 'void_counted': Protocol(False, True)}

OWN = 'own'   # the data set that is not one of DATASETS: result.own tells its classes, its network and its size

# label_nc: as in OPT; network: a key of result.networks.kinds.NETWORKS; size: (width, height) of SPADE's pictures;
# names: of the classes that are scored; ids: the label files' id of each, where it is not the same number;
# mean_iou_over: the rule of the evaluation code that was published with the network (result/scores.py).
Dataset = namedtuple('Dataset', 'dataroot label_nc network size names ids mean_iou_over')

# Cityscapes' 35 ids -> the 19 classes that are evaluated (cityscapesScripts, helpers/labels.py); other ids are void.
CITYSCAPES = {7: 'road', 8: 'sidewalk', 11: 'building', 12: 'wall', 13: 'fence', 17: 'pole', 19: 'traffic light',
              20: 'traffic sign', 21: 'vegetation', 22: 'terrain', 23: 'sky', 24: 'person', 25: 'rider', 26: 'car',
              27: 'truck', 28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'}

DATASETS = {
    'coco_stuff': Dataset('dataset/coco_stuff/', 182, 'deeplab', (256, 256), COCO_STUFF, None, LABELLED),
    # In the files 0 is unknown, and class 0 of the network is their id 1.
    'ade20k': Dataset('dataset/ade20k/', 150, 'upernet', (256, 256), ADE20K, tuple(range(1, 151)), ALL),
    'cityscapes': Dataset('dataset/cityscapes/', 35, 'drn', (512, 256), tuple(CITYSCAPES.values()), tuple(CITYSCAPES),
                          EITHER),
}

# What made a set (dataset.prepare's record) -> whose classes its label ids are.
PREPARED = {'dataset.prepare coco_stuff': 'coco_stuff', 'dataset.prepare ade20k': 'ade20k',
            'dataset.prepare ade20k_outdoor': 'ade20k', 'dataset.prepare cityscapes': 'cityscapes'}


def dataset_of(opt):
    """Key of DATASETS whose network knows the classes of opt.dataroot: named by opt.dataset, or by the set's record.

    Their number says nothing: pictures of another set with 182 classes would get plausible nonsense. A set without a
    record is taken for the one that usually lies there (dataset.classes.USUAL_FOLDERS). InputError if neither is known.
    """
    if opt.dataset:
        if opt.dataset not in DATASETS:
            raise InputError(f'option dataset: found {opt.dataset!r}, allowed: {", ".join([*DATASETS, OWN])}')
        found = opt.dataset
    else:
        made_by = maker_of(opt.dataroot)
        found = PREPARED.get(made_by or f'dataset.prepare {USUAL_FOLDERS.get(os.path.normpath(opt.dataroot))}')
        if found is None:
            own = made_by == 'dataset.prepare folder'
            whose = f'a set of your own ({made_by})' if own else 'not known whose it is'
            height, width = opt.picture_size
            raise InputError(f'{opt.dataroot}: {whose}, and its number of classes, {opt.label_nc}, does not tell: the '
                             f'published segmentation networks are for {", ".join(DATASETS)}; name that one with '
                             '--dataset if the label ids are the same, train one with python -m result.train_segmenter '
                             f'--dataroot {opt.dataroot} --size {width}x{height}, or leave scoring out')
    if DATASETS[found].label_nc != opt.label_nc:
        raise InputError(f'dataset {found} has {DATASETS[found].label_nc} classes (label_nc), found {opt.label_nc} here'
                         ': name the right --dataset, or leave scoring out')
    return found
