"""The networks that score give the published code's values, through the converters."""
import os

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from model.convert.__main__ import main
from model.convert.torch_files import read_any
from model.convert.torch_names import DROPPED, dropped, from_torch
from model.weights import load_weights, save_weights
from result.networks.deeplab import MEAN_BGR, DeepLabV2
from result.networks.drn import DRN
from result.networks.inception import FIDInception
from result.networks.kinds import NETWORKS
from result.networks.layers import convolve
from result.networks.upernet import UPerNet
from result.scores import Moments, frechet_distance
from runtime.errors import InputError
from tests.forked import GOLDEN
from tests.golden.fixture import seeded_weight, smooth_image
from tests.scoring import golden_tensors, seeded_state
from tests.torch_writer import write_arrays


def error(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.mark.thorough
def test_deeplab_gives_the_published_logits_and_labels(tmp_path, capsys):
    golden = np.load(os.path.join(GOLDEN, 'deeplabv2.npz'))
    source, target = tmp_path / 'deeplab.pth', tmp_path / 'deeplab.pdparams'
    write_arrays(source, golden_tensors(golden, 'S', 1.0), legacy=True)
    main(['deeplab', str(source), str(target)])
    assert 'converted: 528 tensors, all accounted for, 182 classes' in capsys.readouterr().out
    network = DeepLabV2(182)
    load_weights(network, target)
    size = golden['size'].tolist()
    rgb = np.round((smooth_image(int(golden['seed']), *size) + 1) * 127.5).astype(np.uint8)
    bgr = rgb[None, ::-1].astype(np.float32) - np.float32(MEAN_BGR)[:, None, None]
    logits = network(paddle.to_tensor(bgr))
    assert error(logits.numpy()[:, ::13], golden['logits']) < 1e-5
    labels = F.interpolate(logits, size, mode='bilinear').argmax(1).numpy()[0]
    assert (labels == golden['labels']).mean() > 0.999
    prepared = network.prepare(rgb.transpose(1, 2, 0)[None]).numpy()
    assert np.array_equal(prepared, bgr)


def test_inception_gives_the_published_features(tmp_path, capsys):
    golden = np.load(os.path.join(GOLDEN, 'inception_fid.npz'))
    source, target = tmp_path / 'inception.pth', tmp_path / 'inception.pdparams'
    write_arrays(source, golden_tensors(golden, 'I', 1.6))
    main(['inception', str(source), str(target)])
    assert 'converted: 472 tensors' in capsys.readouterr().out
    network = FIDInception()
    load_weights(network, target)
    count = 8
    images = np.stack([(smooth_image(int(golden['seed']) + i, 96, 80) + 1) / 2 for i in range(count)])
    features = network(paddle.to_tensor(images)).numpy()
    assert error(features, golden['features'][:count]) < 1e-5


def test_frechet_distance_of_the_published_features():
    golden = np.load(os.path.join(GOLDEN, 'inception_fid.npz'))
    first, last = Moments(8), Moments(8)
    first.add(golden['features'][:12, :8])
    last.add(golden['features'][12:, :8])
    found = frechet_distance(first.mean, first.covariance, last.mean, last.covariance)
    assert abs(found / float(golden['fid8']) - 1) < 1e-2


@pytest.mark.parametrize('stride, padding, dilation, kernel',
                         [(1, 2, 2, 3), (1, 24, 24, 3), (2, 1, 1, 3), (1, (0, 3), 1, (1, 7))])
def test_convolution_with_norm_folded_in(stride, padding, dilation, kernel):
    """Against conv2d and batch norm one after the other, on the kernels and in float64 without them."""
    convolution = paddle.nn.Conv2D(5, 7, kernel, stride, padding, dilation, bias_attr=False)
    norm = paddle.nn.BatchNorm2D(7)
    norm.eval()
    for tensor, low in ((norm.weight, 0.5), (norm.bias, -1.0), (norm._mean, -1.0), (norm._variance, 0.5)):
        tensor.set_value(paddle.uniform([7], min=low, max=1.5))
    x = paddle.randn([2, 5, 9, 11])
    with paddle.no_grad():
        wanted = F.relu(norm(F.conv2d(x, convolution.weight, None, stride, padding, dilation))).numpy()
        assert error(convolve(x, convolution, norm).numpy(), wanted) < 1e-5
        for layer in (convolution, norm):
            layer.to(dtype='float64')
        assert error(convolve(x.astype('float64'), convolution, norm).numpy(), wanted) < 1e-5


BOOK_KEEPING = {'_tmp_running_mean': (7,), '_tmp_running_var': (7,), '_running_iter': (1,), 'num_batches_tracked': ()}


def with_book_keeping(tensors):
    """The state dict that a training with synchronized batch norms saves: their sums and counters beside each variance.
    """
    state = {}
    for name, array in tensors.items():
        state[name] = array
        if name.endswith('running_var'):
            state.update({name.replace('running_var', last): np.full(shape, 3, 'f4')
                          for last, shape in BOOK_KEEPING.items()})
    return state


@pytest.mark.parametrize('name, network, prefix, norms, stride, legacy', [
    pytest.param('drn', DRN, 'R', 108, 4, True, id='drn legacy', marks=pytest.mark.thorough),
    pytest.param('upernet', UPerNet, 'U', 118, 1, False, id='upernet zip', marks=pytest.mark.thorough)])
def test_the_other_networks_give_the_published_logits(tmp_path, capsys, name, network, prefix, norms, stride, legacy):
    """From files with the book-keeping of synchronized batch norms, which is dropped and counted."""
    golden = np.load(os.path.join(GOLDEN, f'{name}.npz'))
    tensors = golden_tensors(golden, prefix, 1.4)
    state = with_book_keeping(tensors)
    sources = []
    for part in ('encoder.', 'decoder.') if name == 'upernet' else ('',):
        sources.append(str(tmp_path / f'{part}pth'))
        write_arrays(sources[-1], {key[len(part):]: array for key, array in state.items() if key.startswith(part)},
                     legacy)
    main([name, *sources, str(tmp_path / 'out.pdparams')])
    said = capsys.readouterr().out
    assert f'converted: {len(tensors)} tensors, all accounted for, {golden["logits"].shape[1]} classes' in said
    counted = ', '.join(f'{norms} {last}' for last in DROPPED)
    assert f', dropped: {counted}\n' in said
    filled = network(golden['logits'].shape[1])
    load_weights(filled, tmp_path / 'out.pdparams')
    x = paddle.to_tensor(np.stack([smooth_image(int(golden['seed']) + index, *golden['size'])
                                      for index in range(2)]))
    assert error(filled(x).numpy()[:, :, ::stride, ::stride], golden['logits']) < 1e-4


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_counters_of_batch_norms_are_dropped_from_every_source(tmp_path, legacy):
    """By the one table of names that all converters share, from both formats of file."""
    seven = np.ones(7, 'f4')
    state = {'layer.weight': np.ones((2, 2, 3, 3), 'f4'), 'bn.running_mean': seven, 'bn.running_var': seven}
    write_arrays(tmp_path / 'a.pth', with_book_keeping(state), legacy)
    published = read_any(tmp_path / 'a.pth')
    assert list(from_torch(published)) == ['layer.weight', 'bn._mean', 'bn._variance']
    assert dropped(published) == f', dropped: {", ".join(f"1 {last}" for last in DROPPED)}'
    assert dropped(state) == ''


@pytest.mark.thorough
def test_both_releases_of_upernet_get_the_input_they_were_trained_on():
    """The later one has the first convolution turned to RGB and scaled:
    the same maps, but for the border and the mean's digits.
    """
    network, convolutions = UPerNet(6), []
    first, norm = network.encoder.conv1, network.encoder.bn1
    weight = seeded_weight(0, 'encoder.conv1.weight', tuple(first.weight.shape), 1.4)
    norm._variance.set_value(norm._variance * 1e4)
    deviation = np.array([0.229, 0.224, 0.225], 'f4').reshape(1, 3, 1, 1)
    rgb = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    for values, bytes_ in (weight, True), (np.ascontiguousarray(weight[:, ::-1]) * 255 * deviation, False):
        first.weight.set_value(values)
        assert network.sees_bytes() == bytes_
        convolutions.append(F.conv2d(network.prepare(rgb), first.weight, None, 2, 1).numpy()[..., 1:-1, 1:-1])
    assert error(convolutions[1], convolutions[0]) < 0.02


def test_weights_of_another_network_are_refused(tmp_path):
    write_arrays(tmp_path / 'other.pth', {'features.0.weight': np.ones((4, 3, 3, 3), 'f4')})
    for name, said in (('deeplab', 'no DeepLabV2-ResNet101: base.aspp.c0.weight is missing; found 1 tensors'),
                       ('drn', 'no DRN-D-105: seg.weight is missing'),
                       ('inception', '1 unexpected: features.0.weight: no FID Inception-v3; expected '
                        'pt_')):
        with pytest.raises(InputError, match=said) as caught:
            main([name, str(tmp_path / 'other.pth'), str(tmp_path / 'out.pdparams')])
        assert 'other.pth' in str(caught.value) and '\n' not in str(caught.value)
    with pytest.raises(InputError, match='nowhere.pth: cannot read the file'):
        main(['deeplab', str(tmp_path / 'nowhere.pth'), str(tmp_path / 'out.pdparams')])
    assert not (tmp_path / 'out.pdparams').exists()


@pytest.mark.thorough
def test_missing_weights_and_another_number_of_classes(tmp_path):
    with pytest.raises(InputError, match='deeplabv2_cocostuff.pdparams: the weights .* are missing; make them with'):
        NETWORKS['deeplab'].load(str(tmp_path), 182)
    save_weights(seeded_state(DRN(4)), tmp_path / 'drn_d_105_cityscapes.pdparams')
    with pytest.raises(InputError, match='a network of 4 classes, but this data set has 19'):
        NETWORKS['drn'].load(str(tmp_path), 19)
