"""The scoring network of one's own data set: where result.train_segmenter keeps it, whether it fits what is scored."""
import os
import re

from dataset import classes
from dataset.contents import identity
from dataset.files import find_samples
from model.init import OPT
from result.measure import file_digest
from result.protocols import OWN, Dataset
from result.scores import LABELLED
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import Unfit, anything, listing, nullable, number, record, text, whole

FOLDER = 'segmenter'                 # in the data set, unless --output named another
WEIGHTS, DESCRIPTION = 'segmenter.pdparams', 'segmenter.json'
MOST_CLASSES = 255                   # the next number means unlabelled
USUAL_SCORING = OPT().scoring        # where the published networks lie


def _is_size(value, field):
    if not isinstance(value, str) or not re.fullmatch(r'[1-9]\d{0,4}x[1-9]\d{0,4}', value):
        raise Unfit(f'{field}: found {str(value)[:60]!r}, expected a size such as 256x256')


SCHEMA = record(dict(size=_is_size, label_nc=whole(1, MOST_CLASSES), weights_sha256=text(), train=text(), val=text(),
                     ceiling=record(dict(mean_iou=number(0, 1)), others=anything)),
                optional=dict(classes=nullable(listing(text()))), others=anything)


def checked_label_nc(dataroot, label_nc=None):
    """label_nc as given, else the number of classes that the set names; InputError if nobody says it."""
    if label_nc is None:
        found = classes.read(dataroot)
        if found is None:
            raise InputError(f'{os.path.join(dataroot, classes.FILE)}: missing, so the number of classes is not known: '
                             'name --label_nc, or make the set with python -m dataset.prepare folder')
        label_nc = classes.number_of_classes(found)
    if label_nc == 1:
        raise InputError(f'{dataroot}: 1 class (label_nc): every pixel of any picture would count as right; label the '
                         'rest as a class too, not as 255 (unlabelled)')
    if not 1 < label_nc <= MOST_CLASSES:
        raise InputError(f'--label_nc {label_nc}: allowed: 2 .. {MOST_CLASSES}')
    return label_nc


def scores(opt):
    """Whether an own network scores what `opt` paints: opt.dataset says so, or is empty and this set has one.

    InputError if that network has another number of classes.
    """
    if opt.dataset != OWN and (opt.dataset or not folder_of(opt.dataroot, opt.scoring)):
        return False
    label_nc = description(opt.dataroot, opt.scoring)[1]['label_nc']
    if label_nc != opt.label_nc:
        raise InputError(f'label_nc {opt.label_nc}: the scoring network of {opt.dataroot} was trained for {label_nc} '
                         f'classes: train it again with result.train_segmenter --label_nc {opt.label_nc} --restart, or '
                         'leave scoring out')
    return True


def folder_of(dataroot, scoring):
    """The folder that holds the network of the set in dataroot; None if there is none.

    `scoring`, else its place in the set; where `scoring` is the default, which nobody has named, the set goes first.
    """
    places = [scoring, os.path.join(dataroot, FOLDER)]
    if os.path.normpath(scoring) == os.path.normpath(USUAL_SCORING):
        places.reverse()
    return next((place for place in places if os.path.exists(os.path.join(place, DESCRIPTION))), None)


def read(folder):
    """The content of `folder`'s segmenter.json, size as (width, height); InputError if either file is damaged."""
    path = os.path.join(folder, DESCRIPTION)
    found = json_file.read(path, SCHEMA, f'move {folder} away and train the network again')
    found['size'] = tuple(map(int, found['size'].split('x')))
    if file_digest(os.path.join(folder, WEIGHTS)) != found['weights_sha256']:
        raise InputError(f'{folder}: {WEIGHTS} is not what {DESCRIPTION} describes: move the folder away and train '
                         'the network again')
    return found


def description(dataroot, scoring):
    """(folder, content of its segmenter.json); InputError if it is missing, damaged, or of another data set."""
    folder = folder_of(dataroot, scoring)
    if folder is None:
        place = os.path.join(dataroot, FOLDER, DESCRIPTION)
        raise InputError(f'{place}: this set has no scoring network yet: train it (to its end) with python -m '
                         f'result.train_segmenter --dataroot {dataroot}, or name its folder with --scoring')
    found = read(folder)
    opt = OPT(dataroot=dataroot, label_nc=found['label_nc'], no_instance=True)
    if identity(find_samples(opt, 'val', photos=False), dataroot, found['val']) != found['val']:
        raise InputError(f'{os.path.join(folder, DESCRIPTION)}: its network knows another data set than {dataroot} now '
                         'holds (val_label differs): its scores would mean nothing; train one with python -m '
                         'result.train_segmenter, or name its folder with --scoring')
    return folder, found


def dataset(dataroot, scoring):
    """(result.protocols.Dataset of one's own set in dataroot, folder of its network, its description)."""
    folder, found = description(dataroot, scoring)
    names = found.get('classes') or [str(index) for index in range(found['label_nc'])]
    return Dataset(dataroot, found['label_nc'], 'segmenter', found['size'], tuple(names), None, LABELLED), folder, found
