"""PyTorch's names and layouts of the tensors in a state dict <-> Paddle's."""
import numpy

RENAMED = {'running_mean': '_mean', 'running_var': '_variance'}   # batch-norm statistics: PyTorch's name -> Paddle's
DROPPED = 'num_batches_tracked'                                   # counts batches for a momentum that nothing here uses


def from_torch(state):
    """dict of our names -> float32 arrays: batch-norm statistics renamed, linear weights (out, in) turned to (in, out)."""
    prefix = 'module.' if all(name.startswith('module.') for name in state) else ''   # DataParallel's
    converted = {}
    for name, array in state.items():
        *path, last = name[len(prefix):].split('.')
        if last != DROPPED:
            array = array.T if last == 'weight' and array.ndim == 2 else array
            converted['.'.join([*path, RENAMED.get(last, last)])] = numpy.array(array, numpy.float32, order='C')
    return converted


def to_torch(state):
    """The way back: dict of the official names -> arrays, with a counter of batches (0) beside each running variance."""
    official, back = {}, {ours: theirs for theirs, ours in RENAMED.items()}
    for name, array in state.items():
        *path, last = name.split('.')
        array = array.T if last == 'weight' and array.ndim == 2 else array
        official['.'.join([*path, back.get(last, last)])] = numpy.ascontiguousarray(array)
        if last == '_variance':
            official['.'.join([*path, DROPPED])] = numpy.array(0, numpy.int64)
    return official
