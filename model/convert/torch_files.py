"""Reads and writes PyTorch's .pth state dicts without PyTorch: the zip format (from 1.6 on) and the format before it.

Each has the bytes of the storages, and a pickle in which each tensor is a call of torch._utils._rebuild_tensor_v2 on a
storage, named by a persistent id. The unpickler admits only the names of a state dict, so no file can run code.
"""
import collections
import functools
import io
import math
import os
import pickle
import struct
import zipfile

import numpy as np

from model.weights import read_weights
from runtime.errors import InputError
from runtime.pickle_file import Name, Refused, Source, load

# Storage class of torch -> numpy dtype without byte order. numpy lacks bfloat16, the upper half of a float32.
STORAGES = {'FloatStorage': 'f4', 'DoubleStorage': 'f8', 'HalfStorage': 'f2', 'BFloat16Storage': 'bfloat16',
            'LongStorage': 'i8', 'IntStorage': 'i4', 'ShortStorage': 'i2', 'CharStorage': 'i1', 'ByteStorage': 'u1',
            'BoolStorage': '?'}
DIMENSIONS = 32     # of a tensor, at most
SHARED = 4          # times the file's size: limit of all tensors: they may share storages, and bfloat16 becomes float32
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950a86a20f9469cfc6c, 1001   # the first two pickles of the format before 1.6

_Storage = collections.namedtuple('_Storage', 'kind key start count')   # elements start .. start + count of storage key
_Tensor = collections.namedtuple('_Tensor', 'storage offset shape strides')   # offset and strides in elements


def read_state_dict(path):
    """OrderedDict: name -> array of the state dict in the file `path`; bfloat16 becomes float32.

    Also reads a dict whose entry 'state_dict' or 'model' is the state dict. InputError for other content.
    """
    try:
        with open(path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            content, storages, order = (_read_zip if zipfile.is_zipfile(file) else _read_legacy)(file, size)
            arrays, left = collections.OrderedDict(), SHARED * size
            for name, tensor in _state(content).items():
                arrays[name] = _array(tensor, storages(tensor.storage.key), order)
                left -= arrays[name].nbytes
                if left < 0:
                    raise Refused(f'its tensors take more than {SHARED} times the {size} bytes of the file')
        return arrays
    except OSError as error:
        raise InputError(f'{path}: cannot read the file: {error.strerror or error}') from None
    except Refused as error:
        raise InputError(f'{path}: {error}') from None
    except Exception as error:   # a damaged pickle can end in almost any exception
        raise InputError(f'{path}: truncated, or not a PyTorch state dict ({type(error).__name__}: {error})') from None


def write_state_dict(state, path):
    """Write a dict of name -> float32 or int64 array in the zip format, for torch.load(path, weights_only=True)."""
    kinds = {'f4': 'FloatStorage', 'i8': 'LongStorage'}
    ordered_dict = b'ccollections\nOrderedDict\n)R'         # the class, (), called
    with zipfile.ZipFile(path, 'w') as archive:
        parts = [b'\x80\x02', ordered_dict, b'(']             # protocol 2; a mark, then names and tensors up to 'u'
        for key, (name, array) in enumerate(state.items()):
            storage = b'(' + _pickled('storage') + f'ctorch\n{kinds[array.dtype.str[1:]]}\n'.encode() + \
                b''.join(map(_pickled, (str(key), 'cpu', array.size))) + b'tQ'   # the tuple is a persistent id
            strides = tuple(stride // array.itemsize for stride in np.ascontiguousarray(array).strides)
            shape, strides = ((array.shape, strides) if array.ndim else ((), ()))
            parts += [_pickled(name), b'ctorch._utils\n_rebuild_tensor_v2\n(', storage,
                      *map(_pickled, (0, shape, strides, False)), ordered_dict, b'tR']
        archive.writestr('archive/data.pkl', b''.join([*parts, b'u.']))
        archive.writestr('archive/byteorder', 'little')
        for key, array in enumerate(state.values()):
            archive.writestr(f'archive/data/{key}', array.astype(array.dtype.newbyteorder('<')).tobytes())
        archive.writestr('archive/version', '3\n')


def _pickled(value):
    """Opcodes that push a plain value: its pickle without protocol and end."""
    return pickle.dumps(value, 2)[2:-1]


def is_torch_file(path):
    """Whether the file `path` begins like one of PyTorch's."""
    with open(path, 'rb') as file:
        start = file.read(14)
    return start.startswith(b'PK') or start[2:].startswith(b'\x8a\x0a' + LEGACY_MAGIC.to_bytes(10, 'little'))


class _Names:
    """Stand-ins (runtime/pickle_file.py) for the names in a state dict."""

    def __init__(self):
        self.kinds = {}   # storage key -> storage class, of the storages read
        self.names = {**{('torch', kind): kind for kind in STORAGES},
                      ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
                      ('torch._utils', '_rebuild_parameter'): _rebuild_parameter}

    def load(self, source):
        return load(source, self.names, self.storage)

    def storage(self, name):
        """The `_Storage` of a persistent id: ('storage', class, key, place, elements); before 1.6 also view or None."""
        if type(name) is not tuple or len(name) not in (5, 6) or type(name[1]) is not Name:
            raise Refused('refers to an unknown kind of data')
        (word, named, key, _, count), view = name[:5], name[5] if len(name) > 5 else None
        if word != 'storage' or named.stand_in not in STORAGES or type(key) not in (str, int):
            raise Refused('refers to an unknown kind of data')
        self.kinds[str(key)] = named.stand_in
        start, count = (view[1], view[2]) if view else (0, count)   # view: (key, first element, number of elements)
        return _Storage(named.stand_in, str(key), *_whole((start, count)))


def _whole(numbers):
    """`numbers`, if it is a tuple of integers within the range of file positions."""
    if type(numbers) is not tuple or len(numbers) > DIMENSIONS or \
            not all(type(number) is int and abs(number) < 1 << 48 for number in numbers):
        raise Refused('damaged: a tensor without a shape')
    return numbers


def _rebuild_tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
    if type(storage) is not _Storage:
        raise Refused('damaged: a tensor without a storage')
    return _Tensor(storage, *_whole((offset,)), _whole(shape), _whole(strides))


def _rebuild_parameter(tensor, requires_grad=True, hooks=None):
    return tensor


def _read_zip(file, size):
    """(unpickled content, function: storage key -> bytes, byte order) of the format from PyTorch 1.6 on."""
    archive = zipfile.ZipFile(file)
    names = set(archive.namelist())
    folder = min((name[:-len('data.pkl')] for name in names if name.endswith('/data.pkl')), key=len, default=None)
    if folder is None:
        raise Refused('a zip archive, but not one of PyTorch: it has no data.pkl')
    left = [size]

    def read(name):
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise Refused(f'{ascii(name)} is compressed, which torch.save never does')
        left[0] -= member.file_size
        if left[0] < 0:
            raise Refused('damaged: its parts are larger than the file')
        return archive.read(name)

    pickled = read(f'{folder}data.pkl')
    content = _Names().load(Source(io.BytesIO(pickled), len(pickled)))
    big = f'{folder}byteorder' in names and read(f'{folder}byteorder') == b'big'
    return content, functools.lru_cache(maxsize=None)(lambda key: read(f'{folder}data/{key}')), '>' if big else '<'


def _read_legacy(file, size):
    """As `_read_zip`, for the format before 1.6: consecutive pickles, then the storages, each after its length."""
    file.seek(0)
    source, names = Source(file, size), _Names()
    if names.load(source) != LEGACY_MAGIC or names.load(source) != LEGACY_PROTOCOL:
        raise Refused('not a file of torch.save')
    system, content, keys = names.load(source), names.load(source), names.load(source)
    storages = {}
    for key in keys:
        if type(key) not in (str, int) or str(key) not in names.kinds:
            raise Refused('damaged: a storage that no tensor refers to')
        key = str(key)
        count, = struct.unpack('<q', source.read(8))
        expected = count * _dtype(names.kinds[key]).itemsize
        storages[key] = source.read(expected)
        if count < 0 or len(storages[key]) != expected:
            raise Refused(f'truncated: storage {ascii(key)} should have {expected} bytes, found {len(storages[key])}')
    return content, storages.__getitem__, '<' if system.get('little_endian', True) is True else '>'


def _state(content):
    """The dict of tensors in the unpickled `content`: itself, or its entry 'state_dict' or 'model'."""
    entries = content if isinstance(content, dict) else {}
    inner = [entries[key] for key in ('state_dict', 'model') if isinstance(entries.get(key), dict)]
    if len(inner) == 1 and not any(isinstance(value, _Tensor) for value in entries.values()):
        content = inner[0]
    if not isinstance(content, dict) or not content:
        raise Refused(f'holds a {type(content).__name__}, expected tensors by name '
                      '(torch.save(network.state_dict(), path))')
    others = [name for name, value in content.items()
              if not isinstance(value, _Tensor) or not isinstance(name, str) or not name.isprintable()]
    if others:
        shown = ', '.join(ascii(name)[:100].strip("'") for name in others[:5])
        raise Refused(f'{len(others)} entries are no tensors: {shown}; expected tensors by name only '
                      f'(torch.save(network.state_dict(), path))')
    return content


def _dtype(kind, order='<'):
    """numpy dtype of a storage's elements in the file; bfloat16 as its two bytes."""
    return np.dtype(order + {'bfloat16': 'u2'}.get(STORAGES[kind], STORAGES[kind]))


def _array(tensor, stored, order):
    """The array, contiguous and in native byte order, of a `_Tensor` in a storage of the bytes `stored`."""
    storage, offset, shape, strides = tensor
    dtype = _dtype(storage.kind, order)
    if storage.start < 0 or storage.count < 0 or len(stored) % dtype.itemsize:
        raise Refused('damaged: a storage with a part of a number')
    data = np.frombuffer(stored, dtype)[storage.start:storage.start + storage.count]
    # as_strided checks no limits; the last element has the highest index
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
    count = math.prod(shape)
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0 or \
            count and (last >= len(data) or count > len(data)):
        raise Refused(f'truncated: a tensor of shape {shape} reaches beyond its storage of {len(data)} elements')
    if not count:
        array = np.zeros(shape, dtype)
    else:
        array = np.lib.stride_tricks.as_strided(data[offset:], shape, [stride * dtype.itemsize for stride in strides])
    if STORAGES[storage.kind] == 'bfloat16':
        return (array.astype(np.uint32, order='C') << 16).view(np.float32)
    return array.astype(dtype.newbyteorder('='), order='C')


def read_any(path):
    """dict of name -> array, of a PyTorch or a Paddle file."""
    try:
        of_torch = is_torch_file(path)
    except OSError as error:
        raise InputError(f'{path}: cannot read the file: {error.strerror or error}') from None
    return read_state_dict(path) if of_torch else read_weights(path)
