"""Our weights: .pdparams and .pdopt files, and the folder of a run: n_[gde].pdparams, n_g_ema.pdparams, opt.json.

paddle.load reads the same files, but runs code in them; this reader does not.
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
# file -> name of its network
NETWORKS = {'n_g.pdparams': 'generator', 'n_d.pdparams': 'discriminator', 'n_e.pdparams': 'encoder',
            AVERAGED: 'averaged'}
# the generator's weights: the average of --ema_decay, or those of the last step
WEIGHTS = {'averaged': AVERAGED, 'last': 'n_g.pdparams'}
WEIGHTS_HELP = "of the generator: the average of --ema_decay, or the last step's [averaged, if it exists]"
EPOCH_LARGEST = 1024     # bytes of a current_epoch.npy


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
    """Set all of `layer`'s state from a .pdparams file; InputError as from set_weights."""
    set_weights(layer, read_weights(path), path)


def set_weights(layer, arrays, source):
    """Set all of `layer`'s state from a dict of name -> array.

    InputError, which names `source`: missing, unexpected, wrongly shaped or non-finite arrays.
    """
    state = layer.state_dict()
    wrong = {'missing': [name for name in state if name not in arrays],
             'unexpected': [name for name in arrays if name not in state],
             'wrongly shaped': [f'{name} {list(arrays[name].shape)} for {list(tensor.shape)}'
                                for name, tensor in state.items()
                                if name in arrays and list(arrays[name].shape) != list(tensor.shape)]}
    problems = [f'{len(names)} {title}: {", ".join(names[:3])}{", ..." if len(names) > 3 else ""}'
                for title, names in wrong.items() if names]
    if problems:
        raise InputError(f'{source} does not fit these networks; {"; ".join(problems)}. '
                         'Use the options it was trained with')
    with np.errstate(over='ignore'):
        arrays = {name: arrays[name].astype(str(tensor.dtype).split('.')[-1], copy=False)
                  for name, tensor in state.items()}
    spoilt = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if spoilt:
        raise InputError(f'{source}: {len(spoilt)} of {len(state)} tensors have NaN or infinite values, '
                         f'first {spoilt[0]}: the training has diverged, or the file is damaged: use other weights')
    for name, tensor in state.items():
        tensor.set_value(arrays[name])


def read_weights(path, texts=()):
    """dict of name -> array in a .pdparams or .pdopt file. Reading runs no code; memory is bounded by the file's size.

    texts: names whose arrays may be text; all others are numbers. float16, as `python -m model.export weights --half`
    writes it, becomes float32. Arrays may be read-only. InputError for other content.
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
        named = isinstance(name, str) and name.isprintable()
        if not named or array is None or array.dtype.kind == 'U' and name not in texts:
            kind = 'text' if array is not None else f'a {type(value).__name__}'
            raise InputError(f'{path}: {ascii(name):.100} is {kind}, expected names with arrays of numbers')
        state[name] = array.astype(np.float32) if array.dtype == np.float16 else array
    return state


# ---- The folder of a run

def folder_of(path, which_epoch=None, option='--lastoutput'):
    """The folder of the weights: `path`/model or `path` itself; with `which_epoch` `path`/epoch_<n>.

    Links are resolved, so that the folder stays the same if a run saves meanwhile.
    """
    if os.path.isfile(path):
        raise InputError(f'{option} {path}: a file, expected the folder of a run or of weights: name '
                         f'{os.path.dirname(path) or "."}')
    epoch = os.path.join(path, f'epoch_{which_epoch}')
    candidates = [os.path.join(path, 'model'), path] if which_epoch is None else [epoch]
    for candidate in candidates:
        if os.path.isfile(os.path.join(candidate, 'n_g.pdparams')):
            return os.path.realpath(candidate)
    epochs = sorted(int(name[len('epoch_'):]) for name in (os.listdir(path) if os.path.isdir(path) else ())
                    if re.fullmatch(r'epoch_\d+', name))
    if which_epoch is not None and (epochs or os.path.isdir(os.path.join(path, 'model'))):
        there = f'those of epochs {", ".join(map(str, epochs))}' if epochs else 'no copies'
        raise InputError(f'--which_epoch {which_epoch}: {epoch} is missing; {path} has {there} (training saves one '
                         'every --save_epoch_freq epochs); without --which_epoch the newest weights are used')
    if which_epoch is not None and os.path.isfile(os.path.join(path, 'n_g.pdparams')):
        raise InputError(f'--which_epoch {which_epoch}: {path} is a folder of weights without copies of epochs: omit '
                         '--which_epoch')
    there = f'no n_g.pdparams there or in {candidates[0]}' if os.path.isdir(path) else 'no such folder'
    raise InputError(f'{option} {path}: {there}: train first (python train.py), or name the folder of a run with '
                     f'{option} (pretrained/aerial comes with the project)')


def epoch_of(folder):
    """The epoch in `folder`'s current_epoch.npy, None without that file; InputError for other content."""
    path = os.path.join(folder, 'current_epoch.npy')
    try:
        with open(path, 'rb') as file:
            epoch = np.load(io.BytesIO(file.read(EPOCH_LARGEST)), allow_pickle=False)
        if epoch.shape in ((), (1,)) and epoch.dtype.kind in 'iu':
            return int(epoch.reshape(()))
        reason = f'an array of {epoch.dtype}, shape {epoch.shape}'
    except FileNotFoundError:
        return None
    except Exception as error:   # numpy raises nearly anything for damaged files
        reason = ' '.join(str(error).split())[:200]
    raise InputError(f'{path}: not the number of an epoch ({reason}): copy it again from the training machine, or '
                     'remove it')


def foreign_model(folder):
    """(OPT, states for `load_networks`) of unconverted weights of ctkindle/SPADE-Paddle in `folder`; None for ours.

    Prints the options that their shapes give, and the assumed ones.
    """
    path = os.path.join(folder, 'n_g.pdparams')
    if os.path.exists(os.path.join(folder, 'opt.json')) or not any('.spade_0.' in name for name in read_weights(path)):
        return None
    # imported by name, since it imports this file
    opt, states, lines = importlib.import_module('model.convert.ctkindle').read(folder)
    print('\n'.join([f'{folder} has weights of ctkindle/SPADE-Paddle, converted on the fly:', *lines,
                     'to correct an assumption: python -m model.convert ctkindle']))
    return opt, states


def generator_weights(folder, wanted=None):
    """A name of WEIGHTS: `wanted`; by default averaged, if they exist. InputError if the wanted ones are missing."""
    if os.path.exists(os.path.join(folder, AVERAGED)):
        return wanted or 'averaged'
    if wanted == 'averaged':
        raise InputError(f'--weights averaged: {folder} has no {AVERAGED}: it was trained without --ema_decay; use '
                         '--weights last, or omit --weights')
    return 'last'


def load_networks(owner, folder, optional=(), files=NETWORKS, states=None):
    """Load the networks of `owner` from `files` in `folder`, or from `states` (dict: file -> name -> array).

    Returns the missing files among `optional`; any other missing file is an InputError.
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


def load_training(train_step, folder, optional=(), states=None):
    """load_networks of a TrainStep. A missing average of the generator starts from its weights and is not returned."""
    left_out = load_networks(train_step, folder, (*optional, AVERAGED), states=states)
    if AVERAGED in left_out:
        train_step.average.restart()
        print(f'{folder} has no {AVERAGED}: the average of the generator starts from its current weights')
    return [file for file in left_out if file != AVERAGED]


def write_model(folder, opt, states, licence=None):
    """Write `folder`: opt.json, state dicts (file -> name -> array), and the `licence` line that exports repeat."""
    with writing(folder) as unfinished:
        os.mkdir(unfinished)
        for file, state in states.items():
            save_weights(state, os.path.join(unfinished, file))
        opt.save(os.path.join(unfinished, 'opt.json'))
        if licence:
            with open(os.path.join(unfinished, 'licence.txt'), 'w') as file:
                file.write(f'{licence}\n')
