"""VGG19: its features, and python -m model.convert vgg19, from torchvision, Paddle and PaddleClas."""
import os
import pickle

import numpy as np
import paddle
import pytest

from model.convert.__main__ import main
from model.weights import save_weights
from runtime.errors import InputError
from tests.torch_writer import write_arrays
from vgg.vgg19 import VGG19Features


@pytest.fixture(scope='module')
def vgg_arrays():
    """All tensors of a vgg19, the classifier's (out, in) as torchvision's, shrunk."""
    draw = np.random.RandomState(0)
    arrays = {name: (draw.randn(*value.shape) * 0.05).astype('f4')
              for name, value in VGG19Features().state_dict().items()}
    for name, shape in (('features.30', (8, 512, 3, 3)), ('classifier.0', (4, 8))):
        arrays.update({f'{name}.weight': np.ones(shape, 'f4'), f'{name}.bias': np.ones(shape[0], 'f4')})
    return arrays


@pytest.mark.parametrize('kind', ['zip', 'legacy', 'paddle'])
def test_vgg19_from_torchvision_and_paddle(tmp_path, capsys, vgg_arrays, kind):
    source, target = tmp_path / 'source', tmp_path / 'vgg' / 'vgg19pretrain.pdparams'
    if kind == 'paddle':
        paddle.save({name: paddle.to_tensor(array) for name, array in vgg_arrays.items()}, str(source))
    else:
        write_arrays(source, vgg_arrays, legacy=kind == 'legacy')
    main(['vgg19', str(source), str(target)])
    assert 'converted: 26 tensors' in capsys.readouterr().out
    found = VGG19Features(str(target)).state_dict()
    assert len(found) == 26 and all(np.array_equal(found[name].numpy(), vgg_arrays[name]) for name in found)
    with pytest.raises(InputError, match='exists and was not changed'):
        main(['vgg19', str(source), str(target)])


def test_vgg19_from_another_file(tmp_path, vgg_arrays):
    source, target = str(tmp_path / 'source'), str(tmp_path / 'out.pdparams')
    with pytest.raises(InputError, match='No such file'):
        main(['vgg19', source, target])
    write_arrays(source, {name: array for name, array in vgg_arrays.items() if 'features.16' not in name})
    with pytest.raises(InputError, match='not VGG19 .* 2 tensors are missing, first features.16.weight'):
        main(['vgg19', source, target])
    for content in (b'', b'text', pickle.dumps(print)):
        with open(source, 'wb') as file:
            file.write(content)
        with pytest.raises(InputError) as error:
            main(['vgg19', source, target])
        assert source in str(error.value)
    assert not os.path.exists(target)


def test_the_error_on_missing_vgg_weights_has_a_remedy():
    with pytest.raises(InputError) as error:
        VGG19Features('vgg/nowhere.pdparams')
    for part in ('vgg/nowhere.pdparams', 'python -m model.convert vgg19', 'vgg19-dcbb9e9d.pth', '--no_vgg_loss true'):
        assert part in str(error.value)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_vgg_features(dtype):
    """Five maps, gradients for the image only, in the default type; relu1_1 against its definition."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        features = VGG19Features()
        image = paddle.to_tensor(np.random.RandomState(0).rand(1, 3, 32, 48) * 2 - 1, dtype=dtype,
                                 stop_gradient=False)
        maps = features(image)
        sum(level.sum() for level in maps).backward()
    finally:
        paddle.set_default_dtype(before)
    assert [list(level.shape) for level in maps] == [[1, c, 32 // s, 48 // s]
                                                     for c, s in ((64, 1), (128, 2), (256, 4), (512, 8), (512, 16))]
    assert {str(level.dtype).split('.')[-1] for level in maps} == {dtype}
    assert float(image.grad.abs().sum()) > 0 and all(weight.grad is None for weight in features.parameters())
    weight, patch = features.state_dict()['features.0.weight'].numpy()[7], image.numpy()[0, :, 10:13, 20:23]
    assert abs(maps[0].numpy()[0, 7, 11, 21] - max(0, (weight * patch).sum())) < 1e-5


def test_vgg19_with_paddleclas_names(tmp_path, capsys):
    features = VGG19Features()
    weights = [value.numpy() for name, value in features.state_dict().items() if name.endswith('weight')]
    names = [f'_conv_block_{block}._conv_{n}.weight' for block, count in enumerate((2, 2, 4, 4, 4), 1)
             for n in range(1, count + 1)]
    state = {**dict(zip(names, weights)), **{name: np.zeros((512, 512, 3, 3), 'float32') for name in names[13:]},
             '_fc1.weight': np.zeros((4, 4), 'float32'), '_fc1.bias': np.zeros(4, 'float32')}
    save_weights(state, tmp_path / 'theirs.pdparams')
    main(['vgg19', str(tmp_path / 'theirs.pdparams'), str(tmp_path / 'ours.pdparams')])
    assert 'converted: 26 tensors' in capsys.readouterr().out
    for path in ('theirs', 'ours'):     # the loss reads the file as it is, too
        loaded = VGG19Features(tmp_path / f'{path}.pdparams').state_dict()
        for weight, (name, value) in zip(weights, [item for item in loaded.items() if item[0].endswith('weight')]):
            assert np.array_equal(value.numpy(), weight), name
        assert not any(value.numpy().any() for name, value in loaded.items() if name.endswith('bias'))


def test_ctkindle_perceptual_taps():
    """The image and four pooled maps of the central 224 x 224."""
    features, image = VGG19Features(), paddle.rand([1, 3, 256, 240])
    maps = features.pooled(image)
    crop = image[:, :, 16:240, 8:232]
    assert [list(value.shape)
            for value in maps] == [[1, 3, 224, 224], [1, 64, 112, 112], [1, 128, 56, 56], [1, 256, 28, 28],
                                                     [1, 512, 14, 14]]
    assert np.array_equal(maps[0].numpy(), crop.numpy())
    first = paddle.nn.functional.max_pool2d(features.features[:4](crop), 2, 2)
    assert np.array_equal(maps[1].numpy(), first.numpy())
    assert [list(value.shape) for value in features.pooled(image[:, :, :64, :64])][0] == [1, 3, 64, 64]
