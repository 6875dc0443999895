"""Weights from strangers: no file addresses memory, takes more of it than it is long, or time without end."""
import collections
import io
import pickle
import pickletools
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from model.convert.torch_files import read_any
from model.weights import read_weights, save_weights
from runtime import pickle_file
from runtime.errors import InputError
from tests.torch_writer import Global, Stored, stored, write, write_arrays

SLACK = 200 * pickle_file.OPERATIONS    # bytes of what the opcodes of one pickle can make, whatever its length


def refused(path, reader=read_any):
    """The one line that ends the reading of `path`, in little memory; fails if it is read."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as error:
            reader(str(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    said = str(error.value)
    assert said.startswith(f'{path}: ') and said.isprintable() and len(said) < 1000
    assert peak < 8 * path.stat().st_size + SLACK
    return said


class Called:
    """Pickled as a call of module.name, with a state that it is built with."""

    def __init__(self, module, name, arguments, state=None):
        self.module, self.name, self.arguments, self.state = module, name, arguments, state


class _Pickler(pickle._Pickler):
    def save(self, value, *rest, **more):
        if type(value) is not Called:
            return super().save(value, *rest, **more)
        self.write(pickle.GLOBAL + f'{value.module}\n{value.name}\n'.encode())
        if value.arguments is not None:
            super().save(value.arguments)
            self.write(pickle.REDUCE)
        if value.state is not None:
            self.save(value.state)
            self.write(pickle.BUILD)
        return None


def pickled(value, protocol=4):
    buffer = io.BytesIO()
    _Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()


NDARRAY = Called('numpy', 'ndarray', None)


def dtype(code, *state):
    return Called('numpy', 'dtype', (code, False, True), state or (3, '<', None, None, None, -1, -1, 0))


def array(kind, shape, data, module='numpy.core.multiarray'):
    return Called(module, '_reconstruct', (NDARRAY, (0,), b'b'), (1, shape, kind, False, data))


def nested(depth=200):
    """A tuple that takes 2 ** depth steps to hash, to compare or to print."""
    value = ('x',)
    for _ in range(depth):
        value = (value, value)
    return value


F4, ADDRESS = dtype('f4'), struct.pack('<q', 0x4141414141414141)
OUTSIDE = dtype('V8', 3, '|', None, ('a',), {'a': (F4, 1 << 30)}, 8, 1, 16)
LONG = 1 << 20
ONES = np.ones(LONG, np.uint8).tobytes()
DAMAGE = {
    'an object that is an '
    'address': pickled({'w': array(dtype('O8', 3, '|', None, None, None, 8, 8, 0), (1,), ADDRESS)}),
    'objects': pickled({'w': array(dtype('O8', 3, '|', None, None, None, -1, -1, 63), (1,), ['x'])}),
    'the same as a scalar': pickled({'w': Called('numpy.core.multiarray', 'scalar', (dtype('O8'), ADDRESS))}),
    'fields outside the item': pickled({'w': array(OUTSIDE, (1,), ADDRESS)}),
    'fields in a plain '
    'type': pickled({'w': array(dtype('f8', 3, '<', (F4, (1 << 30,)), None, None, -1, -1, 0), (2,), ADDRESS)}),
    'a record': pickled({'w': np.zeros(2, [('a', 'f4')])}), 'dates': pickled({'w': np.zeros(2, 'M8[s]')}),
    'bytes': pickled({'w': np.array([b'abc'])}),
    'texts': pickled({'w': np.array(['abc'])}),
    'no characters': pickled({'w': array(dtype('U2'), (), b'\xff' * 8)}),
    'complex numbers': pickled({'w': np.zeros(2, complex)}),
    'a memo of four billion entries': b'\x80\x02N' + pickle.LONG_BINPUT + b'\xff' * 4 + b'.',
    'a length of a terabyte': b'\x80\x04' + pickle.BINBYTES8 + struct.pack('<q', 1 << 40) + b'.',
    'a text of a terabyte': b'\x80\x04' + pickle.BINUNICODE8 + struct.pack('<q', 1 << 40) + b'.',
    'a frame of a terabyte': b'\x80\x04' + pickle.FRAME + struct.pack('<q', 1 << 40) + b'N.',
    'a shape without '
    'data': pickled({'w': Called('numpy.core.multiarray', '_reconstruct', (NDARRAY, (1 << 33,), b'f'))}),
    'a shape larger than its data': pickled({'w': array(F4, (1 << 33,), b'abcd')}),
    'a shape that overflows': pickled({'w': array(F4, (1 << 32, 1 << 32), b'')}),
    'a negative shape': pickled({'w': array(F4, (-1, -1), b'abcd')}),
    'a shape of a thousand axes': pickled({'w': array(F4, (1,) * 1000, b'abcd')}),
    'a shape of numbers without end': pickled({'w': array(F4, (1 << 10 ** 5,) * 30, b'abcd')}),
    'a shape that is text': pickled({'w': array(F4, 'abcd', b'abcd')}),
    'an array in an array': pickled({'w': array(F4, (1,), array(F4, (1,), b'abcd'))}),
    'a million digits': b'\x80\x02L' + b'9' * 10 ** 6 + b'L\n.',
    'lists without end': b'\x80\x02' + pickle.EMPTY_LIST * 400_000 + b'.',
    'marks without end': b'\x80\x02' + pickle.MARK * 400_000 + b'.',
    'lists in lists': b'\x80\x02' + pickle.EMPTY_LIST * 10 ** 5 + pickle.APPEND * (10 ** 5 - 1) + b'.',
    'a name that takes for ever': b'\x80\x04}' + pickled(nested())[2:-1] + pickle.NONE + pickle.SETITEM + b'.',
    'content that takes for ever': pickled({'w': nested()}),
    'a name to call that takes for ever': pickled(nested())[:-1] + pickle.REDUCE + b'.',
    'one array, swapped a thousand times': pickled(
        dict(enumerate([array(dtype('f4', 3, '>', None, None, None, -1, -1, 0), (LONG // 4,), data)
                        for data in [ONES] * 1000]))),
    'one text, encoded a thousand times': pickled(
        {str(n): array(F4, (LONG // 4,), Called('_codecs', 'encode', arguments))
         for n, arguments in enumerate([('\1' * LONG, 'latin1')] * 1000)}),
    'bytes by their number': pickled({'w': Called('__builtin__', 'bytes', (1 << 33,))}),
    'another encoding': pickled({'w': Called('_codecs', 'encode', ('a', 'zlib'))}),
    'one list, a thousand times a dict': pickled([Called('collections', 'OrderedDict', arguments) for arguments in [
        ([[str(n), 1] for n in range(10 ** 4)],)] * 1000]),
    'numpy\'s own loader': pickled({'w': Called('numpy', 'load', ('/etc/passwd',))}),
    'escape sequences in what it calls': pickled({'w': Called('o\x1b[2Js', 'system', ('true',))}),
    'escape sequences in a name': pickled({'w\x1b[2J\n': np.ones(2), 'v': 'text'}),
    'an array that builds '
    'itself': b'\x80\x02}q\0X\1\0\0\0wcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\1bt'
                                   b'R2(K\1K\0\x85h\0\x89U\0tbs.',
}


@pytest.mark.parametrize('content', DAMAGE.values(), ids=DAMAGE)
def test_no_pickle_addresses_memory_or_takes_too_much(tmp_path, content):
    path = tmp_path / 'n_g.pdparams'
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_plain_arrays_are_read_in_every_protocol(tmp_path, protocol):
    draw = np.random.default_rng(0)
    state = {code: (50 * draw.standard_normal((3, 4))).astype(code) for code in
             ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'b1', '>f4', '>i8')}
    state.update(columns=np.asfortranarray(state['f4']), empty=np.zeros((0, 3), 'f4'), scalar=np.float32(2.5),
                 none=np.zeros(()), same=state['f4'], large=draw.standard_normal(5000))
    path = tmp_path / 'n_g.pdparams'
    path.write_bytes(pickle.dumps(state, protocol))
    found = read_weights(path)
    assert list(found) == list(state)
    for name, values in state.items():
        expected = 'f4' if name == 'f2' else values.dtype.newbyteorder('=')     # float16 is read as float32
        assert found[name].dtype == expected and found[name].shape == values.shape
        assert np.array_equal(found[name], values)
    assert found['same'] is found['f4']


def test_text_where_it_is_wanted(tmp_path):
    path = tmp_path / 'segmenter_state.pdparams'
    save_weights({'about': np.array('{"size": "32×32"}'), 'w': np.ones(2)}, path)
    assert str(read_weights(path, texts=('about',))['about']) == '{"size": "32×32"}'
    assert 'expected names with arrays of numbers' in refused(path, read_weights)


def test_memory_is_that_of_the_file(tmp_path):
    path = tmp_path / 'n_g.pdparams'
    save_weights({str(n): np.full(LONG, n, 'f4') for n in range(8)}, path)
    tracemalloc.start()
    read_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * path.stat().st_size


# ---- PyTorch's formats

both_formats = pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
EIGHT = np.arange(8, dtype='f4')
TORCH = {
    'a step of zero': {'w': Stored(EIGHT, 0, (1 << 30,), (0,))},
    'two steps of zero': {'w': Stored(EIGHT, 0, (3, 3), (0, 0))},
    'numbers without end': {'w': Stored(EIGHT, 0, (1 << 10 ** 5,) * 30, (1,) * 30)},
    'a thousand axes': {'w': Stored(EIGHT, 0, (1,) * 1000, (1,) * 1000)},
    'a shape that is no '
    'tuple': {'w': Global('torch._utils', '_rebuild_tensor_v2', (Stored(EIGHT, 0, (8,), (1,)), 0, 8, 1))},
    'no storage': {'w': Global('torch._utils', '_rebuild_tensor_v2', ('storage', 0, (8,), (1,)))},
    'a storage that takes for ever': {'w': Global('torch._utils', '_rebuild_tensor_v2', (nested(), 0, (8,), (1,)))},
    'content that takes for ever': {'w': nested()},
    'one storage, a thousand tensors': {str(n): Stored(ONES_F4, 0, (LONG,), (1,)) for ONES_F4 in [np.ones(LONG, 'f4')]
                                        for n in range(1000)},
    'escape sequences in a name': {'w\x1b[2J\n': stored(EIGHT)},
    'objects': {'w': Global('numpy', 'dtype', ('O8',))},
}


@both_formats
@pytest.mark.parametrize('content', TORCH)     # by name: pytest itself would look into the tuples without end
def test_no_state_dict_takes_too_much(tmp_path, content, legacy):
    path = tmp_path / 'latest_net_G.pth'
    write(path, TORCH[content], legacy)
    refused(path)


def persistent(identity):
    """The pickle of a state dict whose tensor has this for the id of its storage."""
    tensor = pickle.dumps('w',
                          2)[2:-1] + b'ctorch._utils\n_rebuild_tensor_v2\n(' + pickle.dumps(identity, 2)[2:-1] + b'Q'
    return b'\x80\x02}(' + tensor + pickle.dumps((0, (1,), (1,), False, None), 2)[2:-2].replace(b'(', b'', 1) + b'tRu.'


def test_invalid_storages(tmp_path):
    path = tmp_path / 'latest_net_G.pth'
    for identity in (nested(), (nested(),) * 5, 'storage', ('storage', nested(), '0', 'cpu', 8),
                     ('storage', 'FloatStorage', nested(), 'cpu', 8), ('storage',) * 500, 3):
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('archive/data.pkl', persistent(identity))
        assert 'unknown kind of data' in refused(path)


def test_parts_of_an_archive_that_are_not_used_or_overlap(tmp_path):
    path, plain = tmp_path / 'latest_net_G.pth', tmp_path / 'plain.pth'
    write_arrays(plain, {'w': EIGHT})
    with zipfile.ZipFile(plain) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr('archive/data/unused', bytes(LONG) * 100, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    assert np.array_equal(read_any(str(path))['w'], EIGHT)      # and what is not used is not read
    assert tracemalloc.get_traced_memory()[1] < 8 * path.stat().st_size + SLACK
    tracemalloc.stop()
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert 'compressed, which torch.save never does' in refused(path)
    many = {str(n): np.full(LONG // 16, 1, 'f4') for n in range(30)}
    write_arrays(path, many)
    whole = bytearray(path.read_bytes())
    start = whole.index(b'PK\1\2')
    entries = whole[start:].split(b'PK\1\2')[1:]
    first = next(entry for entry in entries if b'archive/data/0' in entry)
    for entry in entries:       # all storages where the first lies; the file ends behind that
        if b'archive/data/' in entry:
            place = whole.index(bytes(entry))
            whole[place + 12:place + 16], whole[place + 38:place + 42] = first[12:16], first[38:42]
    path.write_bytes(whole)
    refused(path)


@pytest.mark.parametrize('count', [-1, -(1 << 62), 1 << 40, (1 << 63) - 1])
def test_storages_of_any_length(tmp_path, count):
    path = tmp_path / 'latest_net_G.pth'
    write_arrays(path, {'w': EIGHT}, legacy=True)
    content = path.read_bytes()
    path.write_bytes(content[:-40] + struct.pack('<q', count) + content[-32:])
    refused(path)


# ---- Mutated files

def written(folder):
    """Paths of real weights in every format."""
    draw, state = np.random.default_rng(1), collections.OrderedDict()
    for name in ('fc.weight', 'head_0.norm_0.mlp_gamma.weight', 'conv_img.bias'):
        state[name] = draw.standard_normal((5, 7)).astype('f4')
    for protocol in (0, 2, 4, 5):
        (folder / f'{protocol}.pdparams').write_bytes(pickle.dumps(state, protocol))
    for legacy in (False, True):
        write_arrays(folder / f'{legacy}.pth', state, legacy)
    return sorted(folder.iterdir())


OPCODES = [opcode.code.encode('latin-1') for opcode in pickletools.opcodes]


def mutated(content, draw):
    """`content` with one to four bytes, opcodes, stretches or sizes changed."""
    content = bytearray(content)
    for _ in range(draw.integers(1, 5)):
        place, end = sorted(draw.integers(0, len(content) + 1, 2))
        change = draw.integers(0, 7)
        if change == 0:
            content[place:place + 1] = draw.bytes(1)
        elif change == 1:
            content[place:place + 1] = OPCODES[draw.integers(len(OPCODES))]
        elif change == 2:
            content[place:place] = OPCODES[draw.integers(len(OPCODES))]
        elif change == 3:
            content[place:place + 4] = struct.pack('<I', [0xFFFFFFFF, 0x7FFFFFFF, 1 << 20, 0][draw.integers(4)])
        elif change == 4:
            content[place:min(end, place + 20)] = b''
        elif change == 5:
            content[place:place] = content[place:min(end, place + 60)]
        else:
            content = content[:place] if draw.random() < 0.3 else content
    return bytes(content)


@pytest.mark.parametrize('number', range(6))
def test_mutated_files_end_in_arrays_or_one_line(tmp_path, number):
    (tmp_path / 'whole').mkdir()
    source, draw, read = written(tmp_path / 'whole')[number], np.random.default_rng(number), 0
    content, path = source.read_bytes(), tmp_path / source.name
    tracemalloc.start()
    for _ in range(500):
        path.write_bytes(mutated(content, draw))
        try:
            found = read_any(str(path))
        except InputError as error:
            assert str(error).startswith(f'{path}: ') and str(error).isprintable()
        else:
            read += 1
            assert all(isinstance(value, np.ndarray) and value.dtype.kind in 'biuf' for value in found.values())
            assert sum(value.nbytes for value in found.values()) <= 4 * path.stat().st_size
        assert tracemalloc.get_traced_memory()[1] < SLACK
    tracemalloc.stop()
    assert 0 < read < 500
