"""Our weights: .pdparams and .pdopt files, which paddle.load reads too and which cannot run code here; and the folder of a run:
n_[gde].pdparams, n_g_ema.pdparams, opt.json."""
import io
import os
import pickle
import re

import numpy as np
import paddle

from runtime.errors import InputError
from runtime.writing import writing

AVERAGED = 'n_g_ema.pdparams'
# file -> name of the network that it holds
NETWORKS = {'n_g.pdparams': 'generator', 'n_d.pdparams': 'discriminator', 'n_e.pdparams': 'encoder', AVERAGED: 'averaged'}


# ---- One file

def as_arrays(state):
    """dict of name -> tensor or array, as arrays."""
    return {name: value.numpy() if isinstance(value, paddle.Tensor) else np.asarray(value) for name, value in state.items()}


def save_weights(state, path):
    """Write a dict of name -> array or tensor as a .pdparams file, which paddle.load reads too."""
    arrays = as_arrays(state)
    with open(path, 'wb') as file:
        pickle.dump(arrays, file, protocol=4)
        file.flush()
        os.fsync(file.fileno())


def load_weights(layer, path):
    """Set all of `layer`'s state from a .pdparams file; InputError lists what is missing, unexpected or wrongly shaped."""
    set_weights(layer, read_weights(path), path)


def set_weights(layer, arrays, source):
    """Set all of `layer`'s state from a dict of name -> array; `source` names it in the InputError."""
    state = layer.state_dict()
    problems = []
    for title, names in (('missing', [name for name in state if name not in arrays]),
                         ('unexpected', [name for name in arrays if name not in state]),
                         ('wrongly shaped', [f'{name} {list(arrays[name].shape)} for {list(state[name].shape)}' for name in state
                                             if name in arrays and list(arrays[name].shape) != list(state[name].shape)])):
        if names:
            problems.append(f'{len(names)} {title}: {", ".join(names[:3])}{", ..." if len(names) > 3 else ""}')
    if problems:
        raise InputError(f'{source} does not fit these networks; {"; ".join(problems)}. Use the options it was trained with')
    for name, tensor in state.items():
        tensor.set_value(arrays[name].astype(str(tensor.dtype).split('.')[-1]))


def read_weights(path):
    """dict of name -> array in a .pdparams or .pdopt file, read without running what a hostile pickle might hold."""
    try:
        with open(path, 'rb') as file:
            state = _ArraysOnly(io.BytesIO(file.read())).load()
    except FileNotFoundError:
        raise InputError(f'{path}: the weights are missing') from None
    except (OSError, EOFError, pickle.UnpicklingError, ValueError, AttributeError, ImportError, IndexError, KeyError,
            MemoryError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f'{path}: cannot be read as Paddle weights: {error}') from None
    if not isinstance(state, dict):
        raise InputError(f'{path}: holds a {type(state).__name__}, expected a dict of arrays')
    state.pop('StructuredToParameterName@@', None)  # paddle.save's table of its internal names
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray) or value.dtype.hasobject:
            raise InputError(f'{path}: {name!r} is a {type(value).__name__}, expected names with arrays of numbers')
    return state


class _ArraysOnly(pickle.Unpickler):
    """Admits what numpy arrays are pickled with, and nothing else."""

    ADMITTED = {('numpy', 'ndarray'), ('numpy', 'dtype')} | {
        (module, name) for module in ('numpy.core.multiarray', 'numpy._core.multiarray', 'numpy.core.numeric',
                                      'numpy._core.numeric') for name in ('_reconstruct', 'scalar', '_frombuffer')}

    def find_class(self, module, name):
        if (module, name) in self.ADMITTED:
            return super().find_class(module, name)
        if (module, name) == ('_codecs', 'encode'):  # how numpy's bytes were pickled by Python 2 protocols
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f'it would call {module}.{name}, which no weights file needs: do not trust it')


# ---- The folder of a run: found, read strictly, written whole

def folder_of(path, which_epoch=None, option='--lastoutput'):
    """The folder with the weights: `path`/model, or with `which_epoch` `path`/epoch_<n>, or `path` itself.

    Links are resolved, so that reading from it is not disturbed by a training that saves meanwhile.
    """
    candidates = [os.path.join(path, 'model'), path] if which_epoch is None else [os.path.join(path, f'epoch_{which_epoch}')]
    for candidate in candidates:
        if os.path.isfile(os.path.join(candidate, 'n_g.pdparams')):
            return os.path.realpath(candidate)
    kept = sorted(int(name[len('epoch_'):]) for name in (os.listdir(path) if os.path.isdir(path) else ())
                  if re.fullmatch(r'epoch_\d+', name))
    if which_epoch is not None and (kept or os.path.isdir(os.path.join(path, 'model'))):
        there = f'those of epochs {", ".join(map(str, kept))}' if kept else 'no copies'
        raise InputError(f'--which_epoch {which_epoch}: {candidates[0]} is not there; {path} has {there} (training keeps one every '
                         '--save_epoch_freq epochs); without --which_epoch the newest weights are taken')
    raise InputError(f'{candidates[0]}: no n_g.pdparams there; train first (python train.py), or name the folder of the run '
                     f'with {option}')


def load_networks(owner, folder, optional=(), files=NETWORKS):
    """Load each of `files` whose network `owner` has from `folder`; a missing one is an error unless its name is in `optional`.

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
        else:
            load_weights(network, path)
    return left_out


def load_training(train_step, folder, optional=()):
    """load_networks of a TrainStep; an average of the generator that is not there begins anew. Names of other files left out."""
    left_out = load_networks(train_step, folder, (*optional, AVERAGED))
    if AVERAGED in left_out:
        train_step.average.restart()
        print(f'{AVERAGED} is not in {folder}: the average of the generator begins now, with its weights there')
    return [file for file in left_out if file != AVERAGED]


def write_model(folder, opt, states, licence=None):
    """Make `folder` of options and state dicts (file name -> name -> array); `licence`: a line that exported files repeat."""
    with writing(folder) as unfinished:
        os.mkdir(unfinished)
        for file, state in states.items():
            save_weights(state, os.path.join(unfinished, file))
        opt.save(os.path.join(unfinished, 'opt.json'))
        if licence:
            with open(os.path.join(unfinished, 'licence.txt'), 'w') as file:
                file.write(f'{licence}\n')
