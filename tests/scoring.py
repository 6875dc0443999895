"""Seeded weights of the scoring networks, and files of them, for the tests of result/."""
import json
import zlib

import numpy as np
from PIL import Image

from tests.golden.fixture import seeded_weight


def golden_tensors(golden, prefix, gain):
    """dict: name -> tensor, as PyTorch names it, behind the npz file of a scoring network (tests/golden/README.md)."""
    tensors = {}
    for position, (name, shape) in enumerate(zip(golden['names'].tolist(), map(json.loads, golden['shapes'].tolist())),
                                             1):
        if len(shape) > 1:
            tensors[name] = seeded_weight(int(golden['seed']), f'{prefix}/{name}', shape, gain)
            continue
        draw = np.random.RandomState(int(golden['seed']) + position)
        positive = 'var' in name or name.endswith('weight')
        values = draw.uniform(0.5, 1.5, shape) if positive else draw.standard_normal(shape) * 0.1
        tensors[name] = values.astype(np.float16).astype(np.float32)
    return tensors


def seeded_state(network, gain=1.0):
    """dict: our name -> array for any network of ours: a function of the names and shapes."""
    state = {}
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            state[name] = seeded_weight(0, name, tuple(value.shape), gain)
        else:
            draw = np.random.RandomState(zlib.crc32(name.encode()))
            state[name] = (draw.uniform(0.5, 1.5, value.shape) if name.endswith('_variance') else
                           draw.standard_normal(value.shape) * 0.1 + (value.numpy() == 1)).astype(np.float32)
    return state


def torch_names(state):
    """The same under the names PyTorch gives batch-norm statistics, with its batch counters."""
    named = {}
    for name, array in state.items():
        name = name.replace('._mean', '.running_mean').replace('._variance', '.running_var')
        named[name] = array.T if array.ndim == 2 else array
        if name.endswith('running_var'):
            named[name.replace('running_var', 'num_batches_tracked')] = np.array(7)
    return named


def small_photos(source, folder):
    """`folder`, filled with the photos in `source` at 32x32."""
    for path in sorted(source.iterdir()):
        Image.open(path).convert('RGB').resize((32, 32), Image.Resampling.BICUBIC).save(folder / path.name)
    return folder
