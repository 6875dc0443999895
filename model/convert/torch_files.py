"""PyTorch's .pth state dicts, read and written without PyTorch: the zip format (from 1.6 on) and the format before it.

Both hold a pickle in which each tensor is a call of torch._utils._rebuild_tensor_v2 on a storage, named by a persistent
id, and the storages' bytes. The unpickler admits the names of a state dict and nothing else, so no file can run code.
"""
import collections
import math
import pickle
import struct
import zipfile

import numpy

from model.weights import read_weights
from runtime.errors import InputError

# Storage class of torch -> numpy dtype without its byte order. bfloat16, which numpy lacks, is the upper half of a float32.
STORAGES = {'FloatStorage': 'f4', 'DoubleStorage': 'f8', 'HalfStorage': 'f2', 'BFloat16Storage': 'bfloat16',
            'LongStorage': 'i8', 'IntStorage': 'i4', 'ShortStorage': 'i2', 'CharStorage': 'i1', 'ByteStorage': 'u1',
            'BoolStorage': '?'}
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950a86a20f9469cfc6c, 1001   # the first two pickles of the format before 1.6

_Storage = collections.namedtuple('_Storage', 'kind key start count')         # elements start .. start + count of storage key
_Tensor = collections.namedtuple('_Tensor', 'storage offset shape strides')   # offset and strides in elements


def read_state_dict(path):
    """OrderedDict: name -> numpy array of the state dict in the file `path`; bfloat16 becomes float32.

    A dict whose entry 'state_dict' or 'model' holds the weights is unwrapped. InputError for any other content.
    """
    try:
        with open(path, 'rb') as file:
            content, storages, order = (_read_zip if zipfile.is_zipfile(file) else _read_legacy)(file)
        return collections.OrderedDict((name, _array(tensor, storages, order)) for name, tensor in _state(content).items())
    except OSError as error:
        raise InputError(f'{path}: cannot read the file: {error.strerror or error}') from None
    except _Foreign as error:
        raise InputError(f'{path}: {error}') from None
    except Exception as error:   # a damaged pickle can end in almost any exception
        raise InputError(f'{path}: truncated or no PyTorch state dict ({type(error).__name__}: {error})') from None


def write_state_dict(state, path):
    """Write a dict of name -> float32 or int64 array in the zip format, for torch.load(path, weights_only=True)."""
    kinds = {'f4': 'FloatStorage', 'i8': 'LongStorage'}
    ordered_dict = b'ccollections\nOrderedDict\n)R'         # the class, (), called
    with zipfile.ZipFile(path, 'w') as archive:
        parts = [b'\x80\x02', ordered_dict, b'(']             # protocol 2; a mark, then names and tensors up to 'u'
        for key, (name, array) in enumerate(state.items()):
            storage = b'(' + _pickled('storage') + f'ctorch\n{kinds[array.dtype.str[1:]]}\n'.encode() + \
                b''.join(map(_pickled, (str(key), 'cpu', array.size))) + b'tQ'   # a tuple, as persistent id
            strides = tuple(stride // array.itemsize for stride in numpy.ascontiguousarray(array).strides)
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


class _Foreign(Exception):
    """The file is readable, but not what it should be."""


class _Unpickler(pickle.Unpickler):
    """Loads containers, numbers, strings and tensors; refuses every other class and function."""

    def __init__(self, file):
        super().__init__(file)
        self.kinds = {}   # storage key -> storage class, of the storages met

    def find_class(self, module, name):
        if (module, name) == ('collections', 'OrderedDict'):
            return collections.OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _rebuild_tensor
        if (module, name) == ('torch._utils', '_rebuild_parameter'):
            return _rebuild_parameter
        if module == 'torch' and name in STORAGES:
            return name
        raise _Foreign(f'asks for {module}.{name}, which a state dict does not need; refused, for it could run code. '
                       f'Expected a file that holds tensors by name (torch.save(network.state_dict(), path))')

    def persistent_load(self, name):
        kind, storage, key, _, count = name[:5]
        view = name[5] if len(name) > 5 else None   # before 1.6: (key of the view, first element, number of elements)
        if kind != 'storage' or storage not in STORAGES:
            raise _Foreign(f'refers to an unknown kind of data: {name!r:.100}')
        self.kinds[str(key)] = storage
        start, count = (view[1], view[2]) if view else (0, count)
        return _Storage(storage, str(key), int(start), int(count))


def _rebuild_tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _rebuild_parameter(tensor, requires_grad=True, hooks=None):
    return tensor


def _read_zip(file):
    """(unpickled content, dict: storage key -> bytes, byte order) of the format from PyTorch 1.6 on."""
    archive = zipfile.ZipFile(file)
    names = set(archive.namelist())
    folder = min((name[:-len('data.pkl')] for name in names if name.endswith('/data.pkl')), key=len, default=None)
    if folder is None:
        raise _Foreign('a zip archive, but not one of PyTorch: it holds no data.pkl')
    content = _Unpickler(archive.open(f'{folder}data.pkl')).load()
    storages = {name[len(f'{folder}data/'):]: archive.read(name) for name in names if name.startswith(f'{folder}data/')}
    big = f'{folder}byteorder' in names and archive.read(f'{folder}byteorder') == b'big'
    return content, storages, '>' if big else '<'


def _read_legacy(file):
    """As `_read_zip`, for the format before: pickles one after the other, then the storages, each behind its length."""
    file.seek(0)
    if _Unpickler(file).load() != LEGACY_MAGIC or _Unpickler(file).load() != LEGACY_PROTOCOL:
        raise _Foreign('no file that torch.save wrote')
    system = _Unpickler(file).load()
    unpickler = _Unpickler(file)
    content = unpickler.load()
    storages = {}
    for key in map(str, _Unpickler(file).load()):
        count, = struct.unpack('<q', file.read(8))
        size = count * _dtype(unpickler.kinds[key]).itemsize
        storages[key] = file.read(size)
        if count < 0 or len(storages[key]) != size:
            raise _Foreign(f'truncated: storage {key} should have {size} bytes, found {len(storages[key])}')
    return content, storages, '<' if system.get('little_endian', True) else '>'


def _state(content):
    """The dict of tensors in the unpickled `content`, unwrapped if it is the entry 'state_dict' or 'model' of another."""
    entries = content if isinstance(content, dict) else {}
    inner = [entries[key] for key in ('state_dict', 'model') if isinstance(entries.get(key), dict)]
    if len(inner) == 1 and not any(isinstance(value, _Tensor) for value in entries.values()):
        content = inner[0]
    if not isinstance(content, dict) or not content:
        raise _Foreign(f'holds a {type(content).__name__}, expected tensors by name (torch.save(network.state_dict(), path))')
    others = [str(name) for name, value in content.items() if not isinstance(value, _Tensor)]
    if others:
        raise _Foreign(f'{len(others)} entries are no tensors: {", ".join(others[:5])}; expected tensors by name only '
                       f'(torch.save(network.state_dict(), path))')
    return content


def _dtype(kind, order='<'):
    """numpy dtype of a storage's elements as they lie in the file; bfloat16 as its two bytes."""
    return numpy.dtype(order + {'bfloat16': 'u2'}.get(STORAGES[kind], STORAGES[kind]))


def _array(tensor, storages, order):
    """The numpy array, contiguous and in the machine's byte order, of a `_Tensor`."""
    storage, offset, shape, strides = tensor
    dtype = _dtype(storage.kind, order)
    data = numpy.frombuffer(storages[storage.key], dtype)[storage.start:storage.start + storage.count]
    # as_strided does not check its limits: the last element, which has the highest index, must lie inside.
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0 or math.prod(shape) and last >= len(data):
        raise _Foreign(f'truncated: a tensor of shape {shape} reaches beyond its storage of {len(data)} elements')
    if not math.prod(shape):
        array = numpy.zeros(shape, dtype)
    else:
        array = numpy.lib.stride_tricks.as_strided(data[offset:], shape, [stride * dtype.itemsize for stride in strides])
    if STORAGES[storage.kind] == 'bfloat16':
        return (array.astype(numpy.uint32, order='C') << 16).view(numpy.float32)
    return array.astype(dtype.newbyteorder('='), order='C')


def read_any(path):
    """dict of name -> array, of a PyTorch or a Paddle file."""
    try:
        of_torch = is_torch_file(path)
    except OSError as error:
        raise InputError(f'{path}: cannot read the file: {error.strerror or error}') from None
    return read_state_dict(path) if of_torch else read_weights(path)
