"""Numpy's arrays in a pickle: stand-ins for what they are pickled with. Plain numbers and texts alone, each array once.
"""
import math
import re

import numpy as np

from runtime.pickle_file import Refused

PLAIN = re.compile(r'[<>=|]?(b1|[iu][1248]|f[248]|U\d{1,9})')
DIMENSIONS = 32     # numpy's own limit before version 2


def names(size):
    """Stand-ins for `pickle_file.load`; their arrays have `size` bytes at most, all together:
    those of the file that holds them.
    """
    left = [size]

    def array(data, dtype, shape, order):
        if type(dtype) is not _Dtype or type(data) not in (bytes, bytearray) or type(shape) is not tuple or \
                len(shape) > DIMENSIONS \
                or not all(type(length) is int and 0 <= length < 1 << 48 for length in shape):
            raise Refused('damaged: an array of something else than numbers')
        dtype, left[0] = dtype.dtype, left[0] - len(data)
        if left[0] < 0:
            raise Refused('its arrays are larger than the file')
        if math.prod(shape) * dtype.itemsize != len(data):
            raise Refused(f'damaged: an array of shape {shape} and type {dtype} with {len(data)} bytes')
        found = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
        if dtype.kind == 'U' and (np.frombuffer(data, f'{dtype.byteorder}u4') > 0x10FFFF).any():
            raise Refused('damaged: an array of text')
        return found.reshape(shape, order=order).astype(dtype.newbyteorder('='), copy=False)

    class Reconstructed(Array):
        def __init__(self, kind, shape, code):
            pass    # an empty array, which the state fills

        def build(self, state):
            if type(state) is not tuple or len(state) not in (4, 5):    # the first of five is a version
                raise Refused('damaged: an array')
            shape, dtype, fortran, data = state[-4:]
            self.array = array(data, dtype, shape, 'F' if fortran is True else 'C')

    def scalar(dtype, data):
        return Array(array(data, dtype, (), 'C'))

    def from_buffer(data, dtype, shape, order):
        return Array(array(data, dtype, shape, 'F' if order == 'F' else 'C'))

    found = {('numpy', 'ndarray'): None, ('numpy', 'dtype'): _Dtype}
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray', 'numpy.core.numeric', 'numpy._core.numeric'):
        found.update({(module, '_reconstruct'): Reconstructed, (module, 'scalar'): scalar,
                      (module, '_frombuffer'): from_buffer})
    return found


class Array:
    """What a pickled array has become: `array`, which may not be writeable; None if it was never filled."""
    array = None

    def __init__(self, array):
        self.array = array


class _Dtype:
    """Of numpy's states for a dtype only the byte order counts: the others are programs for raw memory."""

    def __init__(self, code, align=False, copy=False):
        if type(code) is not str or not PLAIN.fullmatch(code):
            raise Refused(f'an array of type {code if type(code) is str else type(code).__name__!r:.20}, expected '
                          'plain numbers')
        self.dtype = np.dtype(code)

    def build(self, state):
        if type(state) is not tuple or len(state) < 2 or state[1] not in ('<', '>', '=', '|'):
            raise Refused('damaged: a type of numbers')
        self.dtype = self.dtype.newbyteorder(state[1])
