"""PyTorch's names and layouts of the tensors in a state dict <-> Paddle's."""
import collections

import numpy

RENAMED = {'running_mean': '_mean', 'running_var': '_variance'}   # batch-norm statistics: PyTorch's name -> Paddle's
COUNTER = 'num_batches_tracked'                                   # counts batches for a momentum that nothing here uses
# The book-keeping of batch norms: beside the counter,
# sums that synchronized ones (CSAILVision's and others) keep of a training.
DROPPED = (COUNTER, '_tmp_running_mean', '_tmp_running_var', '_running_iter')


def from_torch(state):
    """dict of our names -> float32 arrays: batch-norm statistics renamed, linear weights (out, in) turned to (in, out).
    """
    prefix = 'module.' if all(name.startswith('module.') for name in state) else ''   # DataParallel's
    converted = {}
    for name, array in state.items():
        *path, last = name[len(prefix):].split('.')
        if last not in DROPPED:
            array = array.T if last == 'weight' and array.ndim == 2 else array
            converted['.'.join([*path, RENAMED.get(last, last)])] = numpy.array(array, numpy.float32, order='C')
    return converted


def dropped(state):
    """What from_torch leaves out of `state`, a dict by PyTorch's names, as ', dropped: 3 _running_iter';
    '' for nothing.
    """
    counts = collections.Counter(name.rsplit('.', 1)[-1] for name in state)
    found = [f'{counts[name]} {name}' for name in DROPPED if counts[name]]
    return f', dropped: {", ".join(found)}' if found else ''


def to_torch(state):
    """The way back: dict of the official names -> arrays, with a counter of batches (0) beside each running variance.
    """
    official, back = {}, {ours: theirs for theirs, ours in RENAMED.items()}
    for name, array in state.items():
        *path, last = name.split('.')
        array = array.T if last == 'weight' and array.ndim == 2 else array
        official['.'.join([*path, back.get(last, last)])] = numpy.ascontiguousarray(array)
        if last == '_variance':
            official['.'.join([*path, COUNTER])] = numpy.array(0, numpy.int64)
    return official
