"""The state of an Adam optimizer by the names of its weights.

Paddle's keys count the layers of the process, so they differ between processes.
"""
import re

import paddle

from runtime.errors import InputError

KINDS = 'moment1', 'moment2', 'beta1_pow_acc', 'beta2_pow_acc'
KEY = re.compile(rf'(.+)_({"|".join(KINDS)})_0')


def parameters_of(**networks):
    """dict: '<network>.<name>' -> parameter, of all networks that are not None."""
    return {f'{network}.{name}': parameter for network, layer in networks.items() if layer is not None
            for name, parameter in layer.named_parameters()}


def state_of(optimizer, parameters):
    """dict: '<name>/moment1' and so on -> tensor. parameters: dict of name -> parameter."""
    names = {parameter.name: name for name, parameter in parameters.items()}
    return {f'{names[match[1]]}/{match[2]}': value
            for key, value in optimizer.state_dict().items() if (match := KEY.fullmatch(key))}


def set_state(optimizer, arrays, parameters, source):
    """Set the result of `state_of`. InputError, which names `source`, for a state of other weights."""
    shapes = {f'{name}/{kind}': list(parameter.shape) if kind.startswith('moment') else [1]
              for name, parameter in parameters.items() for kind in KINDS}
    problems = [f'{key} is unknown' for key in arrays if key not in shapes]
    if arrays:      # checkpoints written before the first step once had none; parameters not trained have none
        problems += [f'{key} is missing' for key in shapes
                     if key not in arrays and not parameters[key.rpartition('/')[0]].stop_gradient]
    problems += [f'{key} is {value.dtype} of shape {list(value.shape)}, expected floats of shape {shapes[key]}'
                 for key, value in arrays.items()
                 if key in shapes and (value.dtype.kind != 'f' or list(value.shape) != shapes[key])]
    if problems:
        raise InputError(f'{source}: {problems[0]}: restore the file, or restart with --restart')
    state = {}
    for key, value in arrays.items():
        name, _, kind = key.rpartition('/')
        state[f'{parameters[name].name}_{kind}_0'] = paddle.to_tensor(value)
    optimizer.set_state_dict(state)
