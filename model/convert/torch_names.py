"""PyTorch's names and layouts of the tensors in a state dict <-> Paddle's."""
import collections

import numpy as np

RENAMED = {'running_mean': '_mean', 'running_var': '_variance'}   # batch-norm statistics: PyTorch's name -> Paddle's
COUNTER = 'num_batches_tracked'                                   # counts batches, for a momentum that is unused here
# Unused state of batch norms: the counter, and sums of synchronized ones (CSAILVision's and others).
DROPPED = (COUNTER, '_tmp_running_mean', '_tmp_running_var', '_running_iter')


def from_torch(state):
    """dict of our names -> float32 arrays: statistics renamed, linear weights (out, in) transposed to (in, out)."""
    prefix = 'module.' if all(name.startswith('module.') for name in state) else ''   # DataParallel's
    converted = {}
    for name, array in state.items():
        *path, last = name[len(prefix):].split('.')
        if last not in DROPPED:
            array = array.T if last == 'weight' and array.ndim == 2 else array
            converted['.'.join([*path, RENAMED.get(last, last)])] = np.array(array, np.float32, order='C')
    return converted


def dropped(state):
    """The names of DROPPED in `state`, a dict by PyTorch's names, as ', dropped: 3 _running_iter'; '' if none."""
    counts = collections.Counter(name.rsplit('.', 1)[-1] for name in state)
    names = [f'{counts[name]} {name}' for name in DROPPED if counts[name]]
    return f', dropped: {", ".join(names)}' if names else ''


def to_torch(state):
    """Inverse of from_torch: dict of the official names -> arrays, with a COUNTER of 0 beside each running variance."""
    official, renamed = {}, {ours: theirs for theirs, ours in RENAMED.items()}
    for name, array in state.items():
        *path, last = name.split('.')
        array = array.T if last == 'weight' and array.ndim == 2 else array
        official['.'.join([*path, renamed.get(last, last)])] = np.ascontiguousarray(array)
        if last == '_variance':
            official['.'.join([*path, COUNTER])] = np.array(0, np.int64)
    return official
