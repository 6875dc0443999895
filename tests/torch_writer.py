"""Writes small PyTorch state dicts without PyTorch,
for the tests of model/convert/torch_files.py and model/convert/__main__.py.
"""
import collections
import io
import pickle
import struct
import zipfile

import numpy as np

MAGIC, PROTOCOL = 0x1950a86a20f9469cfc6c, 1001
KINDS = {'float32': 'FloatStorage', 'float64': 'DoubleStorage', 'float16': 'HalfStorage', 'int64': 'LongStorage',
         'int32': 'IntStorage', 'int16': 'ShortStorage', 'int8': 'CharStorage', 'uint8': 'ByteStorage',
         'bool': 'BoolStorage', 'uint16': 'BFloat16Storage'}   # a uint16 array holds the bits of bfloat16


class Stored:
    """A tensor as torch keeps it: a flat array `data`, seen through offset, shape and strides, in elements."""

    def __init__(self, data, offset, shape, strides, view=None):
        self.data, self.offset, self.shape, self.strides, self.view = data, offset, tuple(shape), tuple(strides), view


def stored(array):
    """The contiguous tensor of an array."""
    array = np.array(array, order='C')
    return Stored(array.ravel(), 0, array.shape, [stride // array.itemsize for stride in array.strides])


class Global:
    """Pickled as a reference to module.name, whatever that is; called with `arguments` if they are given."""

    def __init__(self, module, name, arguments=None):
        self.module, self.name, self.arguments = module, name, arguments


class _Storage:
    def __init__(self, data, view):
        self.data, self.view = data, view


class _Pickler(pickle._Pickler):
    """Python's own pickler, which lets `save` be overridden, for torch's names without torch."""

    def __init__(self, file, legacy):
        super().__init__(file, protocol=2)
        self.legacy, self.storages = legacy, {}   # id of a flat array -> (key, array)

    def persistent_id(self, value):
        if isinstance(value, _Storage):
            key, _ = self.storages.setdefault(id(value.data), (str(len(self.storages)), value.data))
            name = ('storage', Global('torch', KINDS[str(value.data.dtype)]), key, 'cpu', len(value.data))
            return name + (value.view,) if self.legacy else name

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Global) and value.arguments is None:
            self.write(pickle.GLOBAL + f'{value.module}\n{value.name}\n'.encode())
        elif isinstance(value, Global):
            self.save(Global(value.module, value.name))
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        elif isinstance(value, Stored):
            arguments = (_Storage(value.data, value.view), value.offset, value.shape, value.strides, False,
                         collections.OrderedDict())
            self.save(Global('torch._utils', '_rebuild_tensor_v2', arguments))
        else:
            super().save(value, save_persistent_id)


def write(path, content, legacy=False):
    """Write `content`, whose tensors are `Stored`, in torch's zip format or in the one before 1.6."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, legacy)
    pickler.dump(content)
    storages = list(pickler.storages.values())
    if not legacy:
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('archive/data.pkl', buffer.getvalue())
            archive.writestr('archive/byteorder', 'little')
            for key, data in storages:
                archive.writestr(f'archive/data/{key}', data.tobytes())
        return
    with open(path, 'wb') as file:
        for part in (MAGIC, PROTOCOL, {'protocol_version': PROTOCOL, 'little_endian': True, 'type_sizes': {}}):
            pickle.dump(part, file, protocol=2)
        file.write(buffer.getvalue())
        pickle.dump([key for key, _ in storages], file, protocol=2)
        for _, data in storages:
            file.write(struct.pack('<q', len(data)) + data.tobytes())


def write_arrays(path, arrays, legacy=False):
    """Write a dict of name -> array as a state dict."""
    write(path, collections.OrderedDict((name, stored(array)) for name, array in arrays.items()), legacy)
