"""Weights of a trained network -> constants of an exported one; folds spectral norms and running statistics in."""
import hashlib

import numpy as np

from model.normalization import EPSILON
from model.vae_encoder import INPUT_SIZE
from model.weights import as_arrays


def plain_state(network, half=False):
    """State dict (numpy, float32) of the same network without spectral norm; half: weights rounded to float16.

    The division in float32 by one float32 number gives the same bits on every machine.
    """
    state, layers, plain = as_arrays(network.state_dict()), dict(network.named_sublayers()), {}
    for name, value in state.items():
        if name.endswith('.weight_orig'):
            layer = name[:-len('.weight_orig')]
            u, v = (state[f'{layer}.weight_{which}'].astype(np.float64) for which in 'uv')
            matrix = layers[layer].as_matrix(layers[layer].weight_orig).numpy().astype(np.float64)
            name, value = f'{layer}.weight', value / np.float32((u * (matrix * v).sum(1)).sum())
        if not name.endswith(('.weight_u', '.weight_v')):
            plain[name] = value.astype(np.float32)
    return {name: value.astype(np.float16).astype(np.float32) if half and is_matrix(name, value) else value
            for name, value in plain.items()}


def is_matrix(name, value):
    """Whether --half stores it in float16: a weight of a convolution or linear layer, not a bias or statistic."""
    return name.endswith('.weight') and value.ndim > 1


def constants(state, half=False):
    """dict: name -> array of the exported graph's constants, from a plain_state.

    Batch norm becomes .mean, .scale and .shift (with parameters); the 1 of SPADE's 1 + gamma is part of gamma's bias.
    """
    result = {}
    for name, value in state.items():
        layer, last = name.rsplit('.', 1)
        if last == '_variance':
            scale = (value + np.float32(EPSILON)) ** np.float32(-0.5)
            result[f'{layer}.scale'] = per_channel(scale * state.get(f'{layer}.weight', np.float32(1)))
            result[f'{layer}.mean'] = per_channel(state[f'{layer}._mean'])
            if f'{layer}.bias' in state:
                result[f'{layer}.shift'] = per_channel(state[f'{layer}.bias'])
        elif last != '_mean' and f'{layer}._variance' not in state:
            value = value + np.float32(1) if name.endswith('mlp_gamma.bias') else value
            result[name] = value.astype(np.float16) if half and is_matrix(name, value) else value
    return result


def per_channel(vector):
    return vector.reshape(1, -1, 1, 1)


def resizing(opt):
    """Constants of the style encoder's bilinear resizing: rows (256, H) and columns (W, 256); none at 256 x 256."""
    height, width = opt.picture_size
    if (height, width) == (INPUT_SIZE, INPUT_SIZE):
        return {}
    return {'resize.rows': _bilinear(height), 'resize.columns': np.ascontiguousarray(_bilinear(width).T)}


def _bilinear(size):
    """(INPUT_SIZE, size): each row weights two neighbours; pixel centres at half (align_corners false)."""
    place = np.clip((np.arange(INPUT_SIZE) + 0.5) * size / INPUT_SIZE - 0.5, 0, size - 1)
    lower = np.minimum(np.floor(place).astype(int), size - 1)
    matrix, rows = np.zeros((INPUT_SIZE, size)), np.arange(INPUT_SIZE)
    np.add.at(matrix, (rows, lower), 1 - (place - lower))
    np.add.at(matrix, (rows, np.minimum(lower + 1, size - 1)), place - lower)
    return matrix.astype(np.float32)


def digest(arrays):
    """Hex string of names, shapes and bits of a dict of arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f'{name} {arrays[name].dtype} {arrays[name].shape}\0'.encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()
