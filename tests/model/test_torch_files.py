"""PyTorch's files read without PyTorch: both formats, all kinds of numbers, and nothing that runs code."""
import collections
import os
import pickle

import numpy as np
import pytest

from model.convert.torch_files import is_torch_file, read_state_dict
from runtime.errors import InputError
from tests.torch_writer import Global, Stored, stored, write, write_arrays

both_formats = pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'latest_net_G.pth')


@both_formats
def test_all_kinds_of_numbers(path, legacy):
    draw = np.random.RandomState(0)
    arrays = {kind: (draw.randn(3, 4) * 50).astype(kind)
              for kind in ('float32', 'float64', 'float16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool')}
    arrays.update(scalar=np.array(2.5, 'f4'), empty=np.zeros((0, 3), 'f4'))
    write_arrays(path, arrays, legacy)
    found = read_state_dict(path)
    assert is_torch_file(path) and isinstance(found, collections.OrderedDict) and list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape and (found[name] == array).all()
        assert found[name].flags.c_contiguous and found[name].flags.writeable


@both_formats
def test_bfloat16_becomes_float32(path, legacy):
    values = np.array([[1.0, -2.5], [3.140625, 1e30]], 'f4')
    bits = (values.view('u4') >> 16).astype('u2')
    write_arrays(path, {'b': bits}, legacy)
    found = read_state_dict(path)['b']
    assert found.dtype == np.float32 and np.array_equal(found, (bits.astype('u4') << 16).view('f4'))
    assert np.allclose(found, values, rtol=1e-2)


@both_formats
def test_strides_offsets_and_shared_storages(path, legacy):
    data = np.arange(24, dtype='f4')
    write(path, {'whole': Stored(data, 0, (4, 6), (6, 1)), 'turned': Stored(data, 0, (6, 4), (1, 6)),
                 'part': Stored(data, 7, (2, 3), (6, 2)), 'repeated': Stored(data, 5, (2, 3), (0, 0))}, legacy)
    found, whole = read_state_dict(path), data.reshape(4, 6)
    for name, expected in (('whole', whole), ('turned', whole.T), ('part', whole[1:3, 1:6:2]),
                           ('repeated', np.full((2, 3), 5))):
        assert np.array_equal(found[name], expected) and found[name].flags.c_contiguous
    found['whole'][:] = 0
    assert found['turned'].any()   # no array is a window on another


def test_views_of_the_oldest_files(path):
    """Before PyTorch 1.6 a storage could be a view: (key, first element, number of elements)."""
    data = np.arange(10, dtype='f8')
    write(path, {'v': Stored(data, 1, (3,), (1,), view=('view', 4, 6))}, legacy=True)
    assert read_state_dict(path)['v'].tolist() == [5, 6, 7]


@both_formats
def test_metadata_parameters_and_wrappings(path, legacy):
    tensor = stored(np.ones((2, 2), 'f4'))
    state = collections.OrderedDict(w=Global('torch._utils', '_rebuild_parameter',
                                             (tensor, True, collections.OrderedDict())))
    state._metadata = collections.OrderedDict({'': {'version': 1}})
    for content in (state, {'state_dict': state, 'epoch': 3}, {'model': state}):
        write(path, content, legacy)
        assert read_state_dict(path)['w'].tolist() == [[1, 1], [1, 1]]


@both_formats
@pytest.mark.parametrize('module, name', [('os', 'system'), ('builtins', 'eval'), ('torch.nn.modules.conv', 'Conv2d'),
                                          ('torch', 'load'), ('numpy', 'fromfile')])
def test_any_other_name_is_refused(path, tmp_path, legacy, module, name):
    marker = tmp_path / 'ran'
    write(path, {'w': Global(module, name, (f'touch {marker}',))}, legacy)
    with pytest.raises(InputError, match=f'{module}.{name}') as error:
        read_state_dict(path)
    assert path in str(error.value) and not marker.exists()


@both_formats
@pytest.mark.parametrize('content, said', [
    ([1, 2], 'holds a list'), ({}, 'holds a dict'), ('text', 'holds a str'),
    ({'w': stored(np.ones(2, 'f4')), 'epoch': 3}, '1 entries are no tensors: epoch')])
def test_other_content_is_refused(path, legacy, content, said):
    write(path, content, legacy)
    with pytest.raises(InputError, match=said) as error:
        read_state_dict(path)
    assert path in str(error.value)


@both_formats
def test_every_truncation_is_an_input_error(path, legacy):
    write_arrays(path, {'a': np.arange(20, dtype='f4'), 'b': np.ones((2, 2), 'i8')}, legacy)
    content = open(path, 'rb').read()
    for size in range(0, len(content), 7):
        with open(path, 'wb') as file:
            file.write(content[:size])
        with pytest.raises(InputError):
            read_state_dict(path)


@both_formats
@pytest.mark.parametrize('tensor', [(0, (3, 3), (3, 1)), (6, (3,), (1,)), (0, (2,), (-1,)), (-1, (2,), (1,)),
                                    (0, (2, 2), (1,))])
def test_tensors_beyond_their_storage_are_refused(path, legacy, tensor):
    write(path, {'w': Stored(np.arange(8, dtype='f4'), *tensor)}, legacy)
    with pytest.raises(InputError, match='reaches beyond'):
        read_state_dict(path)


@pytest.mark.parametrize('content', [b'', b'hello', pickle.dumps({'w': 1}), b'PK\x03\x04 no zip', b'\x89PNG\r\n\x1a\n'])
def test_foreign_files(path, content):
    with open(path, 'wb') as file:
        file.write(content)
    with pytest.raises(InputError) as error:
        read_state_dict(path)
    assert path in str(error.value)


def test_missing_file(path):
    with pytest.raises(InputError, match='No such file'):
        read_state_dict(path)
    assert not os.path.exists(path)
