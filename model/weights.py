"""Our weights: .pdparams and .pdopt files, which paddle.load reads too and which cannot run code here; and the folder
of a run: n_[gde].pdparams, n_g_ema.pdparams, opt.json.
"""
import importlib
import io
import os
import pickle
import re

import numpy as np
import paddle

from runtime import pickle_file, pickled_arrays
from runtime.errors import InputError
from runtime.writing import writing

AVERAGED = 'n_g_ema.pdparams'
EPOCH_LARGEST = 1024     # bytes of a current_epoch.npy
# file -> name of the network that it holds
NETWORKS = {'n_g.pdparams': 'generator', 'n_d.pdparams': 'discriminator', 'n_e.pdparams': 'encoder',
            AVERAGED: 'averaged'}


# of the generator: the average that --ema_decay keeps, or the last step's
WEIGHTS = {'averaged': AVERAGED, 'last': 'n_g.pdparams'}


# ---- One file

def as_arrays(state):
    """dict of name -> tensor or array, as arrays."""
    return {name: value.numpy() if isinstance(value, paddle.Tensor) else np.asarray(value)
            for name, value in state.items()}


def save_weights(state, path):
    """Write a dict of name -> array or tensor as a .pdparams file, which paddle.load reads too."""
    arrays = as_arrays(state)
    with open(path, 'wb') as file:
        pickle.dump(arrays, file, protocol=4)
        file.flush()
        os.fsync(file.fileno())


def load_weights(layer, path):
    """Set all of `layer`'s state from a .pdparams file; InputError lists what is missing, unexpected or wrongly shaped.
    """
    set_weights(layer, read_weights(path), path)


def set_weights(layer, arrays, source):
    """Set all of `layer`'s state from a dict of name -> array; `source` names it in the InputError."""
    state = layer.state_dict()
    problems = []
    for title, names in (('missing', [name for name in state if name not in arrays]),
                         ('unexpected', [name for name in arrays if name not in state]),
                         ('wrongly shaped', [f'{name} {list(arrays[name].shape)} for {list(state[name].shape)}'
                                             for name in state
                                             if name in arrays and
                                             list(arrays[name].shape) != list(state[name].shape)])):
        if names:
            problems.append(f'{len(names)} {title}: {", ".join(names[:3])}{", ..." if len(names) > 3 else ""}')
    if problems:
        raise InputError(f'{source} does not fit these networks; {"; ".join(problems)}. Use the options it was trained '
                         'with')
    with np.errstate(over='ignore'):
        kinds = {name: str(tensor.dtype).split('.')[-1] for name, tensor in state.items()}
        spoilt = [name for name, kind in kinds.items() if not np.isfinite(arrays[name].astype(kind, copy=False)).all()]
    if spoilt:
        raise InputError(f'{source}: {len(spoilt)} of {len(state)} tensors hold NaN or infinite values, the first '
                         f'{spoilt[0]}: their training has diverged, or the file is damaged: take other weights')
    for name, tensor in state.items():
        tensor.set_value(arrays[name].astype(kinds[name]))


def read_weights(path, texts=()):
    """dict of name -> array in a .pdparams or .pdopt file,
    which can neither run code nor take more memory than it is long.

    texts: names whose arrays may hold text; all others hold numbers. Arrays may be read-only. InputError for any other
    content.
    """
    try:
        with open(path, 'rb') as file:
            source = pickle_file.Source(file, os.fstat(file.fileno()).st_size)
            state = pickle_file.load(source, pickled_arrays.names(source.size))
    except FileNotFoundError:
        raise InputError(f'{path}: the weights are missing') from None
    except (OSError, pickle_file.Refused) as error:
        raise InputError(f'{path}: cannot be read as Paddle weights: {error}') from None
    if not isinstance(state, dict):
        raise InputError(f'{path}: holds a {type(state).__name__}, expected a dict of arrays')
    state.pop('StructuredToParameterName@@', None)  # paddle.save's table of its internal names
    for name, value in state.items():
        array = getattr(value, 'array', None)
        if not isinstance(name, str) or not name.isprintable() or array is None or array.dtype.kind == 'U' and \
                name not in texts:
            raise InputError(f'{path}: {ascii(name):.100} is '
                             f'{"text" if array is not None else f"a {type(value).__name__}"}, expected names with '
                             'arrays of numbers')
        state[name] = array
    return state


# ---- The folder of a run: found, read strictly, written whole

def folder_of(path, which_epoch=None, option='--lastoutput'):
    """The folder with the weights: `path`/model, or with `which_epoch` `path`/epoch_<n>, or `path` itself.

    Links are resolved, so that reading from it is not disturbed by a training that saves meanwhile.
    """
    candidates = [os.path.join(path, 'model'),
                  path] if which_epoch is None else [os.path.join(path, f'epoch_{which_epoch}')]
    for candidate in candidates:
        if os.path.isfile(os.path.join(candidate, 'n_g.pdparams')):
            return os.path.realpath(candidate)
    kept = sorted(int(name[len('epoch_'):]) for name in (os.listdir(path) if os.path.isdir(path) else ())
                  if re.fullmatch(r'epoch_\d+', name))
    if which_epoch is not None and (kept or os.path.isdir(os.path.join(path, 'model'))):
        there = f'those of epochs {", ".join(map(str, kept))}' if kept else 'no copies'
        raise InputError(f'--which_epoch {which_epoch}: {candidates[0]} is not there; {path} has {there} (training '
                         'keeps one every --save_epoch_freq epochs); without --which_epoch the newest weights are '
                         'taken')
    raise InputError(f'{candidates[0]}: no n_g.pdparams there; train first (python train.py), or name the folder of '
                     f'the run with {option}')


def epoch_of(folder):
    """The epoch that current_epoch.npy in `folder` holds, None without one; InputError if it holds anything else."""
    path = os.path.join(folder, 'current_epoch.npy')
    try:
        with open(path, 'rb') as file:
            found = np.load(io.BytesIO(file.read(EPOCH_LARGEST)), allow_pickle=False)
        if found.shape in ((), (1,)) and found.dtype.kind in 'iu':
            return int(found.reshape(()))
        reason = f'an array of {found.dtype}, shape {found.shape}'
    except FileNotFoundError:
        return None
    except Exception as error:   # damaged files make numpy raise nearly anything
        reason = ' '.join(str(error).split())[:200]
    raise InputError(f'{path}: not the number of an epoch ({reason}): copy it again from where the run was trained, or '
                     'remove it')


def foreign_model(folder):
    """(OPT, states as `load_networks` takes them) of weights of ctkindle/SPADE-Paddle that lie in `folder` as they are;
    None of ours.

    They come without options: says what is read off their shapes, and what is assumed.
    """
    path = os.path.join(folder, 'n_g.pdparams')
    if os.path.exists(os.path.join(folder, 'opt.json')) or not any('.spade_0.' in name for name in read_weights(path)):
        return None
    # by name: it stands on this file
    opt, states, lines = importlib.import_module('model.convert.ctkindle').read(folder)
    print('\n'.join([f'{folder} holds weights of ctkindle/SPADE-Paddle, converted on the fly:', *lines,
                     'where an assumption is wrong, give the right one to python -m model.convert ctkindle']))
    return opt, states


def generator_weights(folder, wanted=None):
    """One of WEIGHTS, averaged where they are there; InputError if they are wanted and are not."""
    if os.path.exists(os.path.join(folder, AVERAGED)):
        return wanted or 'averaged'
    if wanted == 'averaged':
        raise InputError(f'--weights averaged: {folder} has no {AVERAGED}: it was trained without --ema_decay; take '
                         '--weights last, or leave --weights out')
    return 'last'


def load_networks(owner, folder, optional=(), files=NETWORKS, states=None):
    """Load each of `files` whose network `owner` has from `folder`,
    or from `states` (dict: file name -> name -> array) instead.

    A missing one is an error unless its name is in `optional`.

    Returns the names of the files left out.
    """
    left_out = []
    for file, name in files.items():
        network = getattr(owner, name, None)
        if network is None:
            continue
        path = os.path.join(folder, file)
        if file in optional and not os.path.exists(path):
            left_out.append(file)
        elif states is None:
            load_weights(network, path)
        elif file in states:
            set_weights(network, states[file], path)
        else:
            raise InputError(f'{path}: the weights are missing')
    return left_out


def load_training(train_step, folder, optional=()):
    """load_networks of a TrainStep; an average of the generator that is not there begins anew.
    Names of other files left out.
    """
    left_out = load_networks(train_step, folder, (*optional, AVERAGED))
    if AVERAGED in left_out:
        train_step.average.restart()
        print(f'{AVERAGED} is not in {folder}: the average of the generator begins now, with its weights there')
    return [file for file in left_out if file != AVERAGED]


def write_model(folder, opt, states, licence=None):
    """Make `folder` of options and state dicts (file name -> name -> array);
    `licence`: a line that exported files repeat.
    """
    with writing(folder) as unfinished:
        os.mkdir(unfinished)
        for file, state in states.items():
            save_weights(state, os.path.join(unfinished, file))
        opt.save(os.path.join(unfinished, 'opt.json'))
        if licence:
            with open(os.path.join(unfinished, 'licence.txt'), 'w') as file:
                file.write(f'{licence}\n')
