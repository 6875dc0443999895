"""Stand-ins for numpy's arrays in a pickle. They hold plain numbers and text, no more bytes than the file has."""
import math
import re

import numpy as np

from runtime.pickle_file import Refused

PLAIN = re.compile(r'[<>=|]?(b1|[iu][1248]|f[248]|U\d{1,9})')
DIMENSIONS = 32     # numpy's own limit before version 2


def names(size):
    """Stand-ins for `pickle_file.load`; size: bytes of the file, and the most that its arrays may have together."""
    left = [size]

    def array(data, dtype, shape, order):
        lengths = type(shape) is tuple and len(shape) <= DIMENSIONS and \
            all(type(length) is int and 0 <= length < 1 << 48 for length in shape)
        if type(dtype) is not _Dtype or type(data) not in (bytes, bytearray) or not lengths:
            raise Refused('damaged: an array of something other than numbers')
        dtype, left[0] = dtype.dtype, left[0] - len(data)
        if left[0] < 0:
            raise Refused('its arrays are larger than the file')
        if math.prod(shape) * dtype.itemsize != len(data):
            raise Refused(f'damaged: an array of shape {shape} and type {dtype} with {len(data)} bytes')
        flat = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
        if dtype.kind == 'U' and (np.frombuffer(data, f'{dtype.byteorder}u4') > 0x10FFFF).any():
            raise Refused('damaged: an array of text')
        return flat.reshape(shape, order=order).astype(dtype.newbyteorder('='), copy=False)

    class Reconstructed(Array):
        def __init__(self, kind, shape, code):
            pass    # an empty array; its state fills it

        def build(self, state):
            if type(state) is not tuple or len(state) not in (4, 5):    # the first of five is a version
                raise Refused('damaged: an array')
            shape, dtype, fortran, data = state[-4:]
            self.array = array(data, dtype, shape, 'F' if fortran is True else 'C')

    def scalar(dtype, data):
        return Array(array(data, dtype, (), 'C'))

    def from_buffer(data, dtype, shape, order):
        return Array(array(data, dtype, shape, 'F' if order == 'F' else 'C'))

    modules = ('numpy.core.multiarray', 'numpy._core.multiarray', 'numpy.core.numeric', 'numpy._core.numeric')
    makers = {'_reconstruct': Reconstructed, 'scalar': scalar, '_frombuffer': from_buffer}
    return {('numpy', 'ndarray'): None, ('numpy', 'dtype'): _Dtype,
            **{(module, name): maker for module in modules for name, maker in makers.items()}}


class Array:
    """A pickled array as `array`, which may be read-only; None if the pickle never filled it."""
    array = None

    def __init__(self, array):
        self.array = array


class _Dtype:
    """Stand-in for numpy.dtype. Of its state only the byte order is used; the rest can address raw memory."""

    def __init__(self, code, align=False, copy=False):
        if type(code) is not str or not PLAIN.fullmatch(code):
            shown = code if type(code) is str else type(code).__name__
            raise Refused(f'an array of type {shown!r:.20}, expected plain numbers')
        self.dtype = np.dtype(code)

    def build(self, state):
        if type(state) is not tuple or len(state) < 2 or state[1] not in ('<', '>', '=', '|'):
            raise Refused('damaged: a type of numbers')
        self.dtype = self.dtype.newbyteorder(state[1])
