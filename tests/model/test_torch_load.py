"""What is exported opens in PyTorch itself, where that is installed.

It is not in tests/requirements.txt: on Linux PyPI's torch is a CUDA build of several GB, the small one lies on
PyTorch's own index. Where it is wanted: pip install torch --index-url https://download.pytorch.org/whl/cpu. Everywhere
else tests/model/test_convert_nvlabs.py reads the exports with our own reader.
"""
import numpy as np
import pytest

from model.convert.__main__ import main
from model.convert.torch_files import write_state_dict
from model.convert.torch_names import from_torch
from model.weights import read_weights

torch = pytest.importorskip('torch', reason='PyTorch is not installed; see the top of this file')


def loaded(path):
    return {name: tensor.numpy() for name, tensor in torch.load(path, map_location='cpu', weights_only=True).items()}


def test_torch_loads_every_kind_of_tensor(tmp_path):
    draw = np.random.default_rng(0)
    state = {'a': draw.standard_normal((3, 4, 2, 1)).astype('f4'), 'b': np.zeros((0, 3), 'f4'),
             'c': np.array(7, 'i8'), 'd': np.asfortranarray(draw.standard_normal((5, 6)).astype('f4'))}
    write_state_dict(state, tmp_path / 'a.pth')
    found = loaded(tmp_path / 'a.pth')
    assert list(found) == list(state)
    for name, array in state.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name


def test_torch_loads_an_exported_training(trained_vae, tmp_path):
    main(['export', 'nvlabs', str(trained_vae / 'output'), str(tmp_path)])
    for network in 'GDE':
        ours = read_weights(trained_vae / f'output/model/n_{network.lower()}.pdparams')
        theirs = from_torch(loaded(tmp_path / f'latest_net_{network}.pth'))
        assert theirs.keys() == ours.keys() and all(np.array_equal(theirs[name], ours[name]) for name in ours)
