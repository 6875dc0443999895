"""Weights in a file: .pdparams and .pdopt, written so that paddle.load reads them, read so that they cannot run code."""
import io
import os
import pickle

import numpy as np
import paddle

from model.errors import InputError


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
