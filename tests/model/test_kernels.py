"""The CPU kernels against plain formulas. How they are built: tests/model/test_kernels_built.py."""
import functools
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from model import fast
from model.adam import Adam
from model.convolution import Convolution, hold_constant
from model.fast import operators
from model.fast.windows import distinct_double_windows
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import Painter, checkpoint_parser, load_painter
from model.semantics import SemanticMap
from tests.forked import HANGS, REPOSITORY

# Where there is a compiler, kernels that do not build are a failure, not a reason to skip.
pytestmark = [pytest.mark.skipif(platform.machine() != 'x86_64' or not shutil.which('g++'),
                                 reason='no x86-64 processor or no g++'),
              pytest.mark.usefixtures('two_threads')]


def leaf(*shape, seed=0, scale=1.0):
    values = np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32) * scale
    return paddle.to_tensor(values, stop_gradient=False)


def compare(kernel, plain, leaves, tolerance=1e-5):
    """Outputs and gradients of two functions of `leaves`, relative to the plain one's scale."""
    results = []
    for function in (kernel, plain):
        for tensor in leaves:
            tensor.clear_gradient()
        y = function(*leaves)
        (y * leaf(*y.shape, seed=9).detach()).sum().backward()
        results.append([y.numpy()] + [tensor.grad.numpy().copy() for tensor in leaves])
    for found, expected in zip(*results):
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize('n, c, out, size, k, stride, padding, biased', [
    (1, 3, 8, (9, 7), 3, 1, 1, True), (2, 16, 32, (16, 16), 3, 1, 1, False), (2, 5, 4, (13, 17), 4, 2, 2, True),
    (1, 32, 16, (8, 8), 1, 1, 0, False), (3, 16, 3, (6, 11), 5, 1, 2, True), (1, 64, 1, (5, 5), 4, 1, 2, True)])
def test_convolution(n, c, out, size, k, stride, padding, biased):
    x, weight, bias = leaf(n, c, *size), leaf(out, c, k, k, scale=0.2), leaf(out)
    if biased:
        compare(lambda x, w, b: operators.Convolution.apply(x, w, b, stride, padding, False),
                lambda x, w, b: F.conv2d(x, w, b, stride, padding), [x, weight, bias])
    else:
        compare(lambda x, w: operators.Convolution.apply(x, w, None, stride, padding, False),
                lambda x, w: F.conv2d(x, w, None, stride, padding), [x, weight])


@pytest.mark.parametrize('n, c, out, size, padding, biased', [
    (2, 32, 64, (2, 2), 1, True),           # one tile an image
    (1, 320, 96, (9, 7), 1, False),         # channels in blocks; the input's transform is kept
    (2, 96, 32, (13, 18), 0, True), (1, 32, 32, (7, 70), 2, True),      # the filters' is
    (1, 64, 128, (75, 70), 1, True)])       # the weights' gradient is summed over rows of tiles
def test_winograd_convolution(n, c, out, size, padding, biased):
    """3x3 with 32 channels and multiples: odd sizes, partial vectors; a scaled weight, and a constant one with its
    bits.
    """
    x, weight, bias = leaf(n, c, *size), leaf(out, c, 3, 3, scale=0.2), leaf(out) if biased else None
    singular = operators.SingularValue(2.0, np.zeros(out, np.float32), np.zeros(9 * c, np.float32))
    leaves = [x, weight] + [bias] * biased
    # With u and v zero, the gradient of weight / sigma is that of the quotient alone.
    compare(lambda x, w, b=None: operators.Convolution.apply(x, w, b, 1, padding, False, singular),
            lambda x, w, b=None: F.conv2d(x, w / 2, b, 1, padding), leaves, tolerance=5e-6)
    constant = operators.ConstantConvolution(weight, bias, 1, padding, False, singular)
    expected = operators.Convolution.apply(x, weight, bias, 1, padding, False, singular).numpy()
    np.testing.assert_array_equal(constant(x).numpy(), expected)
    np.testing.assert_array_equal(constant(x).numpy(), expected)


@pytest.mark.parametrize('n, size, k, padding', [(2, (200, 180), 5, 2), (1, (270, 260), 4, 2), (1, (1100, 61), 2, 0)])
def test_large_convolutions_are_done_in_strips(n, size, k, padding):
    weight, bias = leaf(64, 64, k, k, scale=0.1).detach(), leaf(64).detach()  # their gradients are not
    compare(lambda x: operators.Convolution.apply(x, weight, bias, 1, padding, False),
            lambda x: F.conv2d(x, weight, bias, 1, padding), [leaf(n, 64, *size)])


def test_modulation_in_place_equals_modulation():
    """Also of a tensor that is not contiguous, which cannot be overwritten."""
    x, table = leaf(2, 9, 7, 6).detach(), leaf(2, 12, 9, 7).detach()
    mean, scale = leaf(6).detach(), leaf(6).detach() ** 2
    arguments = table, None, operators.Statistics(mean, scale, False, None, False), 0.2
    turned = x.transpose([0, 3, 1, 2])
    expected = operators.modulated(turned.clone(), *arguments).numpy()
    assert np.array_equal(operators.modulated(turned, *arguments, inplace=True).numpy(), expected)
    own = paddle.to_tensor(x.numpy().transpose(0, 3, 1, 2).copy())
    assert np.array_equal(operators.modulated(own, *arguments, inplace=True).numpy(), expected)
    assert np.array_equal(own.numpy(), expected)


@pytest.mark.skipif(not fast.has_bfloat16(), reason='this processor has no bfloat16 units')
def test_bfloat16_convolution_is_near():
    compare(lambda x, w, b: operators.Convolution.apply(x, w, b, 1, 1, True), lambda x, w, b: F.conv2d(x, w, b, 1, 1),
            [leaf(1, 64, 16, 16), leaf(32, 64, 3, 3, scale=0.1), leaf(32)], tolerance=1e-2)


def rounded(tensor):
    """Float32 values that bfloat16 holds."""
    bits = tensor.numpy().view(np.uint32)
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000
    return paddle.to_tensor(bits.view(np.float32), stop_gradient=False)


@pytest.mark.skipif(not fast.has_bfloat16(), reason='this processor has no bfloat16 units')
@pytest.mark.parametrize('n, size, k, padding', [(1, (263, 259), 3, 1), (2, (200, 180), 5, 2)])
def test_strips_in_bfloat16(n, size, k, padding):
    """Of operands that are rounded already:
    what is left is the rounding of results and of dy, 1 in 256 of each value at most.
    """
    weight, bias = rounded(leaf(64, 64, k, k, scale=0.1)).detach(), leaf(64).detach()
    compare(lambda x: operators.Convolution.apply(x, weight, bias, 1, padding, True),
            lambda x: F.conv2d(x, weight, bias, 1, padding), [rounded(leaf(n, 64, *size))], tolerance=4e-3)


NO_MEMORY = '''
import resource, paddle
from model.fast import operators
weight, x = paddle.ones([64, 64, 3, 3]), paddle.ones([1, 64, 600, 600])
operators.Convolution.apply(x[:, :, :9, :9], weight, None, 2, 1, False)
before = resource.getrlimit(resource.RLIMIT_AS)
now = int(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmSize'))) << 10
# the result of 22 MB fits, x in oneDNN's layout does not
resource.setrlimit(resource.RLIMIT_AS, (now + (60 << 20), before[1]))
try:
    operators.Convolution.apply(x, weight, None, 2, 1, False)
except MemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, before)
y = operators.Convolution.apply(x, weight, None, 2, 1, False).numpy()
print(y.shape, y.min(), y.max())
'''


def test_no_memory_for_a_convolution_is_a_memory_error():
    """Not a crash; with memory again it works."""
    found = subprocess.run([sys.executable, '-c', NO_MEMORY], capture_output=True, text=True, cwd=REPOSITORY)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-2:] == ['no memory for a convolution (False, 1, 64, 600, 600, 64, 3, 3, 2, 1, 1, '
                                              '1)', '(1, 64, 300, 300) 256.0 576.0']


SIGNALS = """
import signal
import numpy as np
import paddle
from model.fast import operators
from model.fast.windows import distinct_double_windows

def leaf(*shape):
    return paddle.to_tensor(np.random.default_rng(shape).standard_normal(shape).astype(np.float32), stop_gradient=False)

def results():
    pointwise, small = (leaf(2, 32, 96, 96), leaf(32, 32, 1, 1)), (leaf(1, 512, 8, 8), leaf(64, 512, 4, 4))
    table = leaf(128, 6, 3, 3), leaf(128), leaf(64, 128, 3, 3), leaf(64), leaf(64, 128, 3, 3), leaf(64)
    y = [operators.Convolution.apply(*pointwise, None, 1, 0, False),
         operators.Convolution.apply(*small, None, 2, 1, False),
         operators.SpadeTable.apply(*table, windows, 0)]
    paddle.add_n([value.sum() for value in y]).backward()
    return [value.numpy() for value in y] + [leaf.grad.numpy() for leaf in (*pointwise, *small, *table)]

ids = np.random.default_rng(0).integers(0, 6, (1, 24, 24), np.int32)
windows = distinct_double_windows(2 * ids, 3)
expected, came = results(), []
signal.signal(signal.SIGALRM, lambda *_: came.append(1))
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
for _ in range(60):
    assert all(map(np.array_equal, results(), expected))
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(came))
"""


@pytest.mark.parametrize('threads', ['1', '2'])
def test_signals_disturb_nothing(threads):
    """oneDNN's stack pointer may point into its heap memory: a handler's frame would be written there."""
    found = subprocess.run([sys.executable, '-c', SIGNALS], capture_output=True, text=True, cwd=REPOSITORY,
                           timeout=HANGS, env={**os.environ, 'OMP_NUM_THREADS': threads})
    assert found.returncode == 0, found.stderr
    assert int(found.stdout.splitlines()[-1]) > 100


def test_convolution_of_a_frozen_weight_or_a_fixed_image():
    x, weight = leaf(1, 8, 8, 8), leaf(8, 8, 3, 3)
    weight.stop_gradient = True
    operators.Convolution.apply(x, weight, None, 1, 1, False).sum().backward()
    assert x.grad is not None and weight.grad is None
    x, weight = leaf(1, 8, 8, 8).detach(), leaf(8, 8, 3, 3)
    operators.Convolution.apply(x, weight, None, 1, 1, False).sum().backward()
    assert x.grad is None and weight.grad is not None


def test_convolution_of_a_tensor_that_is_not_contiguous():
    x, weight = leaf(2, 8, 6, 9), leaf(4, 8, 3, 3)
    compare(lambda x, w: operators.Convolution.apply(x.transpose([0, 1, 3, 2]), w, None, 1, 1, False),
            lambda x, w: F.conv2d(x.transpose([0, 1, 3, 2]), w, None, 1, 1), [x, weight])


def test_arrays_in_another_order_are_refused():
    """Of numpy: a copy would lose what the kernel writes, and the memory as it lies would be read crosswise."""
    x, modulated = np.zeros((4, 6), np.float32), paddle.zeros([6, 4])
    for array in (x.T, x[:, ::2], np.asfortranarray(x)):
        with pytest.raises(ValueError, match='kernels read and write C order'):
            operators._call('spade_window_sums', modulated, array)


@pytest.mark.parametrize('size, k, biased', [((9, 7), 3, True), ((5, 5), 1, False), ((16, 16), 4, True)])
def test_spectral_norm(size, k, biased):
    """Output, both gradients, and u and v after three forwards in training mode and one in eval mode."""
    layers = []
    for kernels in (True, False):
        paddle.seed(3)
        layers.append(Convolution(20, 12, k, OPT(cpu_kernels=kernels), padding=k // 2, bias=biased, spectral=True))
    for _ in range(3):
        compare(*layers, [leaf(2, 20, *size)])
        gradients = [layer.weight_orig.grad.numpy() for layer in layers]
        np.testing.assert_allclose(*gradients, atol=1e-5 * np.abs(gradients[1]).max())
        for name in ('weight_u', 'weight_v'):
            np.testing.assert_allclose(*(getattr(layer, name).numpy() for layer in layers), atol=1e-6)
    before = layers[0].weight_v.numpy()
    for layer in layers:
        layer.eval()
    compare(*layers, [leaf(2, 20, *size)])
    np.testing.assert_array_equal(layers[0].weight_v.numpy(), before)


@pytest.mark.parametrize('spectral', [True, False])
def test_a_constant_convolution_is_the_same_to_the_bit(spectral):
    """For pictures of every size, the largest in strips, one after the other and again;
    only in eval mode and without gradients.
    """
    layer = Convolution(20, 12, 3, OPT(), padding=1, bias=spectral, spectral=spectral)
    layer.eval()
    pictures = [leaf(*shape).detach()
                for shape in ((1, 20, 9, 7), (3, 20, 9, 7), (1, 20, 600, 500), (1, 20, 9, 7), (1, 20, 1, 1))]
    expected = [layer(x).numpy() for x in pictures]
    hold_constant(paddle.nn.Sequential(layer))
    with paddle.no_grad():
        for _ in range(2):
            for x, y in zip(pictures, expected):
                for _ in range(2):      # laid out now, laid out before
                    np.testing.assert_array_equal(layer(x).numpy(), y)
    kept, x = layer.constant, leaf(2, 20, 9, 7)
    layer(x).sum().backward()
    assert x.grad is not None
    with paddle.no_grad():
        layer.train()
        layer(x)
    assert layer.constant is kept and kept.shape[1] == 1


def test_a_checkpoint_s_painter_prepares_its_weights_once(trained):
    """Its pictures equal those of networks that prepare them for every picture."""
    opt, painter = load_painter(checkpoint_parser('').parse_args(['--lastoutput', str(trained / 'output')]))
    plain = SPADEGenerator(opt)
    plain.set_state_dict(painter.generator.state_dict())
    label = np.random.default_rng(0).integers(0, opt.label_nc, (2, 1, *opt.picture_size))
    expected, *found = (one.paint(SemanticMap(*label, opt)).numpy() for one in (Painter(opt, plain), painter, painter))
    for picture in found:
        np.testing.assert_array_equal(picture, expected)
    assert painter.generator.conv_img.constant and plain.conv_img.constant is None


def test_a_convolution_recomputes_its_input():
    """The output of Modulate is not stored for backward of the convolutions after it, even if two of them read it.
    """
    x, table, weight, other = leaf(2, 6, 9, 8), leaf(12, 30), leaf(4, 6, 3, 3), leaf(4, 6, 3, 3, seed=1)
    pixel = np.random.default_rng(4).integers(0, 30, (2, 9, 8)).astype(np.int32)
    statistics = operators.Statistics(leaf(6, seed=5).detach(), leaf(6, seed=6).detach().abs(), False, None, False)

    def both(recomputed):
        def function(x, table, weight, other):
            arguments = x, table, pixel, statistics, 0.2
            y, recompute = operators.Modulate.apply(*arguments), functools.partial(operators.modulated, *arguments)
            return sum(operators.Convolution.apply(y, w, None, 1, 1, False, None, recompute if recomputed else None)
                       for w in (weight, other))
        return function

    compare(both(True), both(False), [x, table, weight, other], tolerance=0)


def test_window_sums():
    positions = np.random.default_rng(1).integers(0, 20, (37, 9)).astype(np.int32)
    compare(lambda table: operators.WindowSums.apply(table, positions),
            lambda table: F.embedding(paddle.to_tensor(positions), table).sum(1), [leaf(20, 12)])


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (40, 33)])
@pytest.mark.parametrize('k', [1, 3, 5])
@pytest.mark.parametrize('edged', [False, True])
@pytest.mark.parametrize('channels', [3, 8, 41])  # blocks of 16 and of 32 rows, whole and in part
def test_spade_table(size, k, edged, channels):
    """Against two dense convolutions of the one-hot map; without edges, without some of the classes."""
    generator, label_nc, width = np.random.default_rng(2), 6, 24
    label = generator.integers(1, label_nc - 1, (2, *size)).repeat(3, 1).repeat(2, 2)
    edge = generator.integers(0, 2, label.shape) if edged else np.zeros_like(label)
    windows = distinct_double_windows(2 * label + edge, k)
    planes = np.stack([label == index for index in range(label_nc)] + edged * [edge != 0], axis=1).astype(np.float32)
    weight = leaf(width, label_nc + edged, k, k)

    def kernel(*leaves):
        table = operators.SpadeTable.apply(*leaves, windows, label_nc if edged else 0)
        return F.embedding(paddle.to_tensor(windows.pixel), table.t()).transpose([0, 3, 1, 2])

    def plain(weight, bias, gamma, gamma_bias, beta, beta_bias):
        hidden = F.relu(F.conv2d(paddle.to_tensor(planes), weight, bias, padding=k // 2))
        return paddle.concat([F.conv2d(hidden, *part, padding=k // 2)
                              for part in ((gamma, gamma_bias), (beta, beta_bias))], axis=1)

    leaves = [weight, leaf(width), *(leaf(*shape, seed=seed, scale=0.2) for seed in range(2)
                                     for shape in ((channels, width, k, k), (channels,)))]
    compare(kernel, plain, leaves)


@pytest.mark.parametrize('slope', [0.2, 1.0])
@pytest.mark.parametrize('shape', [(2, 3, 1, 5), (1, 4, 17, 19), (3, 2, 64, 33)])
def test_instance_norm(shape, slope):
    compare(lambda x: operators.InstanceNorm.apply(x, 1e-5, slope),
            lambda x: F.leaky_relu(F.instance_norm(x, eps=1e-5), slope) if slope < 1 else F.instance_norm(x, eps=1e-5),
            [leaf(*shape, scale=3)])


def test_l1():
    """The gradient is the first one's alone; equal values have none."""
    a, b = leaf(3, 5, 40, 41), leaf(3, 5, 40, 41, seed=1).detach()
    b[0] = a.detach()[0]
    compare(lambda a: operators.L1.apply(a, b), lambda a: F.l1_loss(a, b), [a])
    assert not a.grad.numpy()[0].any()
    assert np.isnan(float(operators.L1.apply(paddle.to_tensor([float('nan'), 1.0]), paddle.zeros([2]))))


@pytest.mark.parametrize('n, c, out, size, k, stride, padding, biased', [
    (2, 24, 16, (2, 2), 3, 1, 1, True), (1, 5, 40, (8, 8), 3, 1, 1, False), (2, 7, 16, (9, 5), 4, 2, 2, True),
    (1, 16, 32, (6, 6), 1, 1, 0, False), (3, 3, 17, (3, 4), 4, 1, 2, True)])
def test_small_convolution(n, c, out, size, k, stride, padding, biased):
    """Convolutions of at most 64 output pixels; a constant weight gives the same bits."""
    x, weight, bias = leaf(n, c, *size), leaf(out, c, k, k, scale=0.2), leaf(out) if biased else None
    assert n * int(np.prod(F.conv2d(x, weight, None, stride, padding).shape[2:])) <= 64
    u, v = leaf(out, seed=3).detach(), leaf(c * k * k, seed=4).detach()
    u, v = u / paddle.norm(u), v / paddle.norm(v)
    singular = operators.singular_value(weight.detach(), u, v, False)

    def plain(x, weight, *bias):
        matrix = weight.flatten(1)
        return F.conv2d(x, weight / (u * (matrix @ v)).sum(), *(bias or [None]), stride, padding)

    leaves = [x, weight] + [bias] * biased
    compare(lambda x, w, b=None: operators.Convolution.apply(x, w, b, stride, padding, False, singular), plain, leaves)
    constant = operators.ConstantConvolution(weight, bias, stride, padding, False, singular)
    expected = operators.Convolution.apply(x, weight, bias, stride, padding, False, singular).numpy()
    np.testing.assert_array_equal(constant(x).numpy(), expected)
    np.testing.assert_array_equal(constant(x).numpy(), expected)


def test_adam_equals_paddle_s():
    """Parameters and state; bit for bit where the processor has the fused multiply-add that both were built with."""
    equal = np.testing.assert_array_equal if ' avx512f ' in fast._processor_flags() else \
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-9)
    generator, shapes, opt = np.random.default_rng(7), ([3, 5], [1000], [64, 33, 3, 3], [1]), OPT()
    ours, theirs = ([paddle.create_parameter(shape, 'float32') for shape in shapes] for _ in range(2))
    for one, other in zip(ours, theirs):
        one.set_value(other.numpy())
    adam = Adam(opt, ours)
    paddle_s = paddle.optimizer.Adam(beta1=opt.beta1, beta2=opt.beta2, epsilon=1e-8, parameters=theirs)
    moments = [value.numpy() for name, value in adam.state_dict().items() if 'moment' in name]
    assert adam.compiled and len(moments) == 8 and not any(moment.any() for moment in moments)
    for step in range(6):
        gradients = [generator.standard_normal(shape).astype(np.float32) * 10.0 ** generator.integers(-6, 2)
                     for shape in shapes]
        for parameters, optimizer in ((ours, adam), (theirs, paddle_s)):
            optimizer.clear_grad(set_to_zero=False)
            sum((parameter * paddle.to_tensor(gradient)).sum()
                for parameter, gradient in zip(parameters, gradients)).backward()
            optimizer.set_lr(0.0002 / (step + 1))
            optimizer.step()
        for one, other in zip(ours, theirs):
            equal(one.numpy(), other.numpy())
    states = [[value.numpy() for name, value in sorted(optimizer.state_dict().items()) if hasattr(value, 'numpy')]
              for optimizer in (adam, paddle_s)]
    assert len(states[0]) == 16
    for one, other in zip(*states):
        equal(one, other)


@pytest.mark.parametrize('per_image', [False, True])
@pytest.mark.parametrize('dealt', [False, True])
@pytest.mark.parametrize('own', [False, True])
def test_modulation(per_image, dealt, own):
    n, c, height, width, windows = 2, 5, 33, 41, 60
    pixel = np.random.default_rng(3).integers(0, windows, (n, height, width)).astype(np.int32)
    pixel[:, :20] = 7  # half of an image may share a window
    x, table = leaf(n, c, height, width, scale=2), leaf(2 * c, windows) if dealt else leaf(n, 2 * c, height, width)
    shape, axes = ([n, c, 1, 1], [2, 3]) if per_image else ([1, c, 1, 1], [0, 2, 3])
    given = leaf(n * c if per_image else c, seed=5).detach(), leaf(n * c if per_image else c,
                                                                   seed=6).detach().abs() + 0.5

    def kernel(x, table):
        if own:
            mean, _, scale = operators.batch_statistics(x.detach(), per_image, 1e-5)
        else:
            mean, scale = given[0], (given[1] + 1e-5) ** -0.5
        statistics = operators.Statistics(mean, scale, per_image, int(x.size) // mean.size if own else None, False)
        return operators.Modulate.apply(x, table, pixel if dealt else None, statistics, 0.2)

    def plain(x, table):
        mean, variance = (x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)) if own else \
            (values.reshape(shape) for values in given)
        both = F.embedding(paddle.to_tensor(pixel), table.t()).transpose([0, 3, 1, 2]) if dealt else table
        return F.leaky_relu((x - mean) * (variance + 1e-5) ** -0.5 * (1 + both[:, :c]) + both[:, c:], 0.2)

    compare(kernel, plain, [x, table])


def test_nan_is_propagated():
    """The ReLU of hidden vectors keeps it."""
    weight = paddle.to_tensor(np.full((24, 3, 3, 3), np.nan, np.float32))
    windows = distinct_double_windows(np.zeros((1, 4, 4), np.int64), 3)
    second = leaf(5, 24, 3, 3), leaf(5)
    table = operators.SpadeTable.apply(weight, leaf(24), *second, *second, windows, 0)
    assert np.isnan(table.numpy()).all()
