"""The scoring network of one's own data set, made by result.train_segmenter: its folder, and whether it fits."""
import contextlib
import os
import re

import numpy as np

from dataset import classes
from dataset.contents import identity
from dataset.files import find_samples
from model.init import OPT
from model.weights import read_weights
from result.cache import file_digest
from result.networks.kinds import NETWORKS
from result.protocols import OWN, Dataset, network_for
from result.scores import LABELLED
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import Unfit, anything, listing, nullable, number, record, text, whole

FOLDER = 'segmenter'                 # in the data set, unless --output named another
WEIGHTS, DESCRIPTION = 'segmenter.pdparams', 'segmenter.json'
STATE = 'training.pdstate'           # an interrupted training resumes from it
FOREIGN = ('not written by result.train_segmenter, which replaces only its own files: move it away, or name another '
           '--output')
MOST_CLASSES = 255                   # 255 itself means unlabelled
USUAL_SCORING = OPT().scoring        # folder of the published networks


def _is_size(value, field):
    if not isinstance(value, str) or not re.fullmatch(r'[1-9]\d{0,4}x[1-9]\d{0,4}', value):
        raise Unfit(f'{field}: found {str(value)[:60]!r}, expected a size such as 256x256')


SCHEMA = record(dict(size=_is_size, label_nc=whole(1, MOST_CLASSES), weights_sha256=text(), train=text(), val=text(),
                     ceiling=record(dict(mean_iou=number(0, 1)), others=anything)),
                optional=dict(classes=nullable(listing(text()))), others=anything)


def checked_label_nc(dataroot, label_nc=None):
    """label_nc, by default the number of classes in classes.json; InputError if it is unknown or out of range."""
    given = label_nc is not None
    if not given:
        content = classes.read(dataroot)
        if content is None:
            raise InputError(f'{os.path.join(dataroot, classes.FILE)}: missing, so the number of classes is unknown: '
                             'add --label_nc, or make the set with python -m dataset.prepare folder')
        label_nc = classes.number_of_classes(content)
    if label_nc == 1:
        raise InputError(f'{dataroot}: 1 class (label_nc), so every pixel of any picture would be correct: label the '
                         'rest as a class too, not as 255 (unlabelled)')
    if not 1 < label_nc <= MOST_CLASSES:
        raise InputError(f'--label_nc {label_nc}: allowed: 2 .. {MOST_CLASSES}' if given else
                         f'{os.path.join(dataroot, classes.FILE)}: {label_nc} classes (label_nc), allowed: 2 .. '
                         f'{MOST_CLASSES}: if the highest id means unlabelled, make the set again with dataset.prepare '
                         f'folder --void {label_nc - 1}; else number the classes from 0 without gaps')
    return label_nc


def scores(opt):
    """Whether an own network scores the pictures of `opt`: opt.dataset is OWN, or is empty and the set has a network.

    InputError if that network has another number of classes, or a named opt.scoring holds no network at all.
    """
    if opt.dataset != OWN and (opt.dataset or not folder_of(opt.dataroot, opt.scoring) and
                               (not _is_named(opt.scoring) or _has_published(opt.scoring))):
        return False
    label_nc = read(_located(opt.dataroot, opt.scoring))['label_nc']
    if label_nc != opt.label_nc:
        raise InputError(f'label_nc {opt.label_nc}: the scoring network of {opt.dataroot} was trained for {label_nc} '
                         f'classes: {network_for(opt.dataroot, f"--label_nc {opt.label_nc} --restart")}, or turn '
                         'scoring off')
    return True


def folder_of(dataroot, scoring):
    """The folder of the network of the set in dataroot; None without one.

    Looked up in a `scoring` that the user named, and only there; else in the set's own folder, then in the default.
    """
    places = [scoring] if _is_named(scoring) else [os.path.join(dataroot, FOLDER), scoring]
    return next((place for place in places if os.path.exists(os.path.join(place, DESCRIPTION))), None)


def _is_named(scoring):
    return os.path.normpath(scoring) != os.path.normpath(USUAL_SCORING)


def _has_published(folder):
    return any(os.path.exists(os.path.join(folder, network.file)) for network in NETWORKS.values()
               if network.file != WEIGHTS)


def read(folder):
    """The content of `folder`'s segmenter.json, size as (width, height); InputError if either file is damaged."""
    content = json_file.read(os.path.join(folder, DESCRIPTION), SCHEMA,
                             f'move {folder} away and train the network again')
    content['size'] = tuple(map(int, content['size'].split('x')))
    if file_digest(os.path.join(folder, WEIGHTS)) != content['weights_sha256']:
        raise InputError(f'{folder}: {WEIGHTS} does not match {DESCRIPTION}: move the folder away and train '
                         'the network again')
    return content


def _located(dataroot, scoring):
    folder = folder_of(dataroot, scoring)
    if folder is None:
        named = f'--scoring {scoring}: {DESCRIPTION} is missing there' if _is_named(scoring) else ''
        place = scoring if named else os.path.join(dataroot, FOLDER)
        if os.path.exists(os.path.join(place, STATE)):
            why = 'its training is not complete: the same command of result.train_segmenter resumes it'
        elif named:
            why = f'no network of result.train_segmenter: check the name, or omit --scoring to use {FOLDER}/ in the set'
        else:
            why = f'this set has no scoring network yet: {network_for(dataroot)}'
        raise InputError(f'{named or os.path.join(place, DESCRIPTION)}: {why}')
    return folder


def dataset(dataroot, scoring):
    """(result.protocols.Dataset of the set in dataroot, folder of its network, content of its segmenter.json).

    InputError if the network is missing, damaged or, in the set's own folder, of other data. A network that `scoring`
    names may be of another set with the same classes; content['maps'] is the identity of this set's maps.
    """
    folder = _located(dataroot, scoring)
    content = read(folder)
    opt = OPT(dataroot=dataroot, label_nc=content['label_nc'], no_instance=True)
    content['maps'] = identity(find_samples(opt, 'val', photos=False), dataroot, content['val'])
    if content['maps'] != content['val'] and \
            os.path.normpath(folder) == os.path.normpath(os.path.join(dataroot, FOLDER)):
        raise InputError(f'{os.path.join(folder, DESCRIPTION)}: trained on other data: {dataroot}/val_label has '
                         'changed; replace the network: python -m result.train_segmenter --dataroot {} --size {}x{} '
                         '--restart; or name the folder of another with --scoring'.format(dataroot, *content['size']))
    names = tuple(content.get('classes') or map(str, range(content['label_nc'])))
    own = classes.read(dataroot)
    if own and content.get('classes') and own['names'][:len(names)] != list(names):
        raise InputError(f'{os.path.join(folder, DESCRIPTION)}: trained for the classes {", ".join(names)}, but '
                         f'{os.path.join(dataroot, classes.FILE)} names {", ".join(own["names"][:len(names)])}: name '
                         'the network of a set with these classes')
    return Dataset(dataroot, content['label_nc'], 'segmenter', content['size'], names, None, LABELLED), folder, content


# ---- The files of a training

def refuse_foreign(folder):
    """InputError for a file in `folder` that a training would replace, but did not write."""
    state, weights = os.path.join(folder, STATE), os.path.join(folder, WEIGHTS)
    best, digest = None, None
    if os.path.lexists(state):
        best = {name[len('best/'):]: value for name, value in read_state(state)[0].items() if name.startswith('best/')}
    with contextlib.suppress(FileNotFoundError):
        digest = json_file.read(os.path.join(folder, DESCRIPTION), SCHEMA, FOREIGN)['weights_sha256']
    if not os.path.lexists(weights) or digest is not None and file_digest(weights) == digest:
        return
    # After a kill the weights may lack their description; they are then the best ones of the state.
    with contextlib.suppress(InputError):
        if best and _equal(read_weights(weights), best):
            return
    raise InputError(f'{weights}: {FOREIGN}')


def _equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def read_state(path):
    """(dict of name -> array, settings) of an interrupted training; InputError for other content."""
    try:
        state = read_weights(path, texts=('about',))
    except InputError as error:
        raise InputError(f'{error}: {FOREIGN}') from None
    if 'about' not in state or getattr(state.get('history'), 'ndim', None) != 2:
        raise InputError(f'{path}: not the state of a training: {FOREIGN}')
    return state, json_file.parsed(str(state.pop('about')), json_file.mapping(json_file.anything), path, FOREIGN)
