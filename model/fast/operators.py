"""The C++ kernels as differentiable operators on float32 CPU tensors.

tests/model/test_kernels.py has the plain formula of each.
"""
import ctypes
import math
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import _C_ops
from paddle.autograd import PyLayer

from model.fast import kernels, return_free_memory
from runtime import distributed

# Layers of this many elements or more return free memory in backward (model.fast.return_free_memory):
RETURN_AFTER = 1 << 19              # of a SPADE layer's input, after its backward
RETURN_BEFORE = 8 * RETURN_AFTER    # and before it
RETURN_AFTER_WEIGHT = 1 << 19       # of a convolution's weight, after its gradient
FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS = range(3)
CPU = paddle.CPUPlace()


@dataclass(frozen=True)
class SingularValue:
    """The largest singular value of a weight (O, C, k, k) seen as a matrix (O, C * k * k), and its vectors u and v."""
    sigma: float
    u: np.ndarray
    v: np.ndarray


def singular_value(weight, u, v, advance):
    """SingularValue of `weight` from u (O) and v (C * k * k);
    advance: one power iteration updates both first, in place.
    """
    used = np.empty(u.shape, np.float32), np.empty(v.shape, np.float32)     # a second forward changes u and v
    return SingularValue(_call('spade_singular_value', weight, *u.shape, *v.shape, u, v, advance, *used), *used)


class Convolution(PyLayer):
    """conv2d of x (N, C, H, W) with weight (O, C, k, k) and bias (O) or None;
    stride and padding alike in both directions.

    singular: divides by this SingularValue of the weight; the quotient is never a tensor. recompute: computes x again
    in backward, so that x is not stored; SPADE's outputs would be half of a step's memory.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding, bfloat16, singular=None, recompute=None):
        x, weight = x.contiguous(), weight.contiguous()
        ctx.saved, ctx.singular = (recompute or x, weight), singular
        ctx.wanted = [not t.stop_gradient for t in (x, weight)]
        ctx.biased, ctx.shape = bias is not None, _shape(x, weight, stride, (padding, padding), 1, bfloat16)
        y = _empty_result(ctx.shape)
        _convolve(FORWARD, ctx.shape, x, weight, y, bias, singular)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight = _pop_saved(ctx)
        dx = dweight = dbias = None
        if ctx.wanted[0]:
            dx = _empty(ctx.shape[1:5])
            _convolve(BACKWARD_DATA, ctx.shape, dy, weight, dx, None, ctx.singular)
        if ctx.wanted[1]:
            dweight = _empty(weight.shape)
            dbias = _empty([weight.shape[0]]) if ctx.biased else None
            _convolve(BACKWARD_WEIGHTS, ctx.shape, dy, x() if callable(x) else x, dweight, dbias)
            if ctx.singular is not None:
                u, v, sigma = ctx.singular.u, ctx.singular.v, ctx.singular.sigma
                _call('spade_spectral_norm_backward', weight, u.shape[0], v.shape[0], u, v, ctypes.c_double(sigma),
                      dweight)
        if math.prod(weight.shape) >= RETURN_AFTER_WEIGHT:
            return_free_memory()
        return (dx, dweight, dbias) if ctx.biased else (dx, dweight)


class ConstantConvolution:
    """Forward-only convolution with a frozen weight; bit-identical to Convolution. x (N, C, H, W) -> (N, O, h, w).

    Where oneDNN computes, it converts the weight to its layout once for each new shape of x, in a second copy.
    """

    def __init__(self, weight, bias, stride, padding, bfloat16, singular):
        self.weight, self.bias, self.stride, self.padding, self.bfloat16 = weight, bias, stride, padding, bfloat16
        self.singular, self.shape, self.kept = singular, None, None

    def __call__(self, x):
        x = x.contiguous()
        shape, laid_out = _shape(x, self.weight, self.stride, (self.padding, self.padding), 1, self.bfloat16), True
        y = _empty_result(shape)
        if shape != self.shape:
            count = _call('spade_kept_bytes', *shape, self.bias is not None, _scale(self.singular))
            self.shape, self.kept, laid_out = shape, aligned(count) if count else None, False
        _convolve(FORWARD, shape, x, self.weight, y, self.bias, self.singular, self.kept, laid_out)
        return y


def aligned(count, boundary=64):
    """uint8 array of `count` bytes that starts at a multiple of `boundary`, where the processor reads fastest."""
    memory = np.empty(count + boundary, np.uint8)
    start = -memory.ctypes.data % boundary
    return memory[start:start + count]


def convolved(x, weight, bias, stride=1, padding=(0, 0), dilation=1):
    """conv2d of x (N, C, H, W) with weight (O, C, kh, kw) and bias (O), forward only; padding: (height, width)."""
    x, shape = x.contiguous(), _shape(x, weight, stride, padding, dilation, False)
    y = _empty_result(shape)
    _convolve(FORWARD, shape, x, weight, y, bias)
    return y


def _shape(x, weight, stride, padding, dilation, bfloat16):
    return (bfloat16, *x.shape, weight.shape[0], *weight.shape[2:], stride, *padding, dilation)


def _empty_result(shape):
    _, n, _, height, width, out, kh, kw, stride, pad_h, pad_w, dilation = shape
    return _empty([n, out, *((size + 2 * pad - dilation * (k - 1) - 1) // stride + 1
                                   for size, pad, k in ((height, pad_h, kh), (width, pad_w, kw)))])


def _scale(singular):
    return 1.0 if singular is None else 1 / singular.sigma


def _convolve(which, shape, a, b, result, bias, singular=None, kept=None, laid_out=False):
    failed = _call('spade_convolution', which, *shape, a, b, result, bias, _scale(singular), kept, laid_out)
    if failed:
        raise MemoryError(f'no memory for a convolution {shape}') if failed > 1 else RuntimeError(
            f'oneDNN has no convolution for {shape} on this processor: set --cpu_kernels false')


class WindowSums(PyLayer):
    """Sum of the rows of table (E, width) that each row of positions (A, K) names -> (A, width)."""

    @staticmethod
    def forward(ctx, table, positions):
        (rows, k), (entries, width) = positions.shape, table.shape
        sums = _empty([rows, width])
        _call('spade_window_sums', table, positions, None, sums, rows, k, width)
        ctx.positions, ctx.entries = positions, entries
        return sums

    @staticmethod
    def backward(ctx, dsums):
        (rows, k), width = ctx.positions.shape, dsums.shape[1]
        dtable = _empty([ctx.entries, width])
        _call('spade_window_sums_backward', dsums, None, ctx.positions, dtable, None, rows, k, width, ctx.entries)
        return dtable


class SpadeTable(PyLayer):
    """gamma and beta (2C, B) of the DoubleWindows of a label map, from the parameters of a SPADE layer with ReLU.

    weight (HIDDEN, label_channels + edge, k, k) and bias: the first convolution's; edge: the channel of edges or 0.
    """

    @staticmethod
    def forward(ctx, weight, bias, gamma, gamma_bias, beta, beta_bias, windows, edge):
        (width, channels), (rows, k) = weight.shape[:2], windows.second.shape
        count, first = len(windows.codes), len(windows.first)
        codes, hidden = np.empty((k * count + 1, width), np.float32), np.zeros((first + 1, width), np.float32)
        table = _empty([2 * gamma.shape[0], rows])
        _call('spade_code_table', weight, windows.codes, codes, count, k, width, channels, edge)
        _call('spade_window_sums', codes, windows.positions, bias, hidden, first, k, width)
        _call('spade_window_product', hidden, windows.second, gamma, gamma_bias, beta, beta_bias, table, rows, k, width,
              gamma.shape[0], first + 1)
        ctx.saved, ctx.windows, ctx.shape, ctx.edge = (hidden, gamma, beta), windows, weight.shape, edge
        return table

    @staticmethod
    def backward(ctx, dtable):
        (hidden, gamma, beta), windows = _pop_saved(ctx), ctx.windows
        (rows, k), (width, channels), out = windows.second.shape, ctx.shape[:2], gamma.shape[0]
        count, first = len(windows.codes), len(windows.first)
        dhidden, dcodes = np.empty_like(hidden), np.empty((k * count + 1, width), np.float32)
        dproduct, dbiases = _empty([2, *gamma.shape]), _empty([2, out])
        dweight, dbias = _empty(ctx.shape), _empty([width])
        _call('spade_window_product_backward', hidden, windows.second, gamma, beta, dtable, dhidden, dproduct, dbiases,
              rows, k, width, out, first + 1)
        _call('spade_window_sums_backward', dhidden, hidden, windows.positions, dcodes, dbias, first, k, width,
              k * count + 1)
        _call('spade_code_table_backward', dcodes, windows.codes, dweight, count, k, width, channels, ctx.edge)
        return dweight, dbias, dproduct[0], dbiases[0], dproduct[1], dbiases[1]


def batch_statistics(x, per_image, epsilon, running=(None, None), keep=0.0):
    """Mean, biased variance and (variance + epsilon) ** -0.5 of x (N, C, H, W), arrays (C), or (N * C) per image.

    running: mean and variance that move towards them by 1 - keep, the variance to the unbiased one.
    """
    n, channels, height, width = x.shape
    results = np.empty((3, n * channels if per_image else channels), np.float32)
    _call('spade_statistics', x, n, channels, height * width, per_image, epsilon, *results, *running, keep)
    return results


@dataclass(frozen=True)
class Statistics:
    """Mean and 1 / standard deviation for Modulate, (C), or (N * C) per_image; they get no gradient.

    count: number of values behind each (synchronized: a tensor, over all ranks) if they are statistics of x, whose
    gradient then includes theirs; None for running statistics.
    """
    mean: object    # arrays or tensors
    scale: object
    per_image: bool
    count: object
    synchronized: bool


def modulated(x, table, pixel, statistics, slope, inplace=False):
    """Modulate forward only; inplace: the result overwrites x if x is contiguous."""
    if math.prod(x.shape) >= RETURN_BEFORE:
        return_free_memory()
    x, (n, channels, height, width) = x.contiguous(), x.shape
    y = x if inplace else _empty(x.shape)
    _call('spade_modulate', x, statistics.mean, statistics.scale, table, pixel, y, n, channels, height * width,
          table.shape[-1], statistics.per_image, slope)
    return y


class Modulate(PyLayer):
    """leaky_relu((x - mean) * scale * (1 + gamma) + beta, slope) for x (N, C, H, W), in one pass.

    table: gamma and beta as (2C, B) with pixel (N, H, W) naming columns, or as (N, 2C, H, W) with pixel None.
    """

    @staticmethod
    def forward(ctx, x, table, pixel, statistics, slope):
        ctx.saved, ctx.pixel, ctx.statistics, ctx.slope = (x, table), pixel, statistics, slope
        ctx.constant = table.stop_gradient
        return modulated(x, table, pixel, statistics, slope)

    @staticmethod
    def backward(ctx, dy):
        (x, table), own = _pop_saved(ctx), ctx.statistics
        n, channels, height, width = x.shape
        dtable, dx = _empty(table.shape), _empty(x.shape)
        sums = np.empty((2, own.mean.shape[0]))
        _call('spade_modulate_backward', x, own.mean, own.scale, table, ctx.pixel, dy, dtable, dx, *sums, n, channels,
              height * width, table.shape[-1], own.per_image, ctx.slope)
        if own.count is None:
            means = np.zeros_like(sums)
        elif own.synchronized:
            means = (distributed.all_reduce(paddle.to_tensor(sums)) / own.count).numpy()
        else:
            means = sums / own.count
        _call('spade_normalize_backward', x, own.mean, own.scale, *means.astype(np.float32), dx, n, channels,
              height * width, own.per_image)
        if math.prod(x.shape) >= RETURN_AFTER:
            return_free_memory()
        return dx, None if ctx.constant else dtable


class InstanceNorm(PyLayer):
    """leaky_relu(instance_norm(x), slope) of x (N, C, H, W); slope 1: the norm alone."""

    @staticmethod
    def forward(ctx, x, epsilon, slope):
        x = x.contiguous()
        planes, p = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
        y, mean, scale = _empty(x.shape), np.empty(planes, np.float32), np.empty(planes, np.float32)
        _call('spade_instance_norm', x, y, mean, scale, planes, p, epsilon, slope)
        ctx.saved, ctx.arguments = (x, mean, scale), (planes, p, slope)
        return y

    @staticmethod
    def backward(ctx, dy):
        dx = _empty(dy.shape)
        _call('spade_instance_norm_backward', *_pop_saved(ctx), dy, dx, *ctx.arguments)
        return dx


class L1(PyLayer):
    """Mean of |a - b| of two tensors of one shape, a scalar; only a gets a gradient."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.saved = a, b = a.contiguous(), b.contiguous()
        return paddle.to_tensor(_call('spade_l1', a, b, math.prod(a.shape)), 'float32')

    @staticmethod
    def backward(ctx, d):
        a, b = _pop_saved(ctx)
        da = _empty(a.shape)
        count = math.prod(a.shape)
        _call('spade_l1_backward', a, b, da, count, float(d) / count)
        return da, None


def adam(parameters, first, second, power1, power2, rate, epsilon, beta1, beta2):
    """One step of Adam, in place, for lists of float32 tensors: parameters, both moments, powers of both betas."""
    gradients = [parameter.grad.contiguous() for parameter in parameters]
    _call('spade_adam', *map(_addresses, (parameters, gradients, first, second)), _sizes(parameters),
          _addresses(power1), _addresses(power2), len(parameters), rate, epsilon, beta1, beta2)


def follow(averages, values, shares):
    """average += share * (value - average), in place, for lists of float32 tensors; share 1 copies."""
    _call('spade_follow', _addresses(averages), _addresses(values), _sizes(values), np.array(shares, np.float32),
          len(values))


def _addresses(tensors):
    return np.array([tensor.data_ptr() for tensor in tensors], np.int64)


def _sizes(tensors):
    return np.array([math.prod(tensor.shape) for tensor in tensors], np.int64)


def distinct(keys):
    """np.unique with inverse: (sorted distinct values, int64; each key's position among them, int32, in the shape of
    keys).
    """
    keys = np.ascontiguousarray(keys, np.int64)
    values, position = np.empty(keys.size, np.int64), np.empty(keys.shape, np.int32)
    count = _call('spade_distinct', keys, keys.size, values, position)
    return values[:count].copy(), position


def _empty(shape):
    """A float32 CPU tensor, not filled; paddle.empty() takes four times as long to look at its arguments."""
    return _C_ops.empty(shape, paddle.float32, CPU)


def _pop_saved(ctx):
    """The tensors saved for backward. Backward runs once per operator, so their memory is freed at once."""
    saved, ctx.saved = ctx.saved, None
    return saved


def _call(function, *arguments):
    """Call a kernel. Tensors and arrays go as addresses and outlive the call, None as null, numbers by their type."""
    arguments = [argument.contiguous() if isinstance(argument, paddle.Tensor) and not argument.is_contiguous()
                 else argument for argument in arguments]
    return getattr(kernels(), function)(*map(_as_c, arguments))


def _as_c(value):
    if isinstance(value, paddle.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if value is None or isinstance(value, (bool, ctypes.c_double)):     # ctypes passes these itself
        return value
    if isinstance(value, int):
        return ctypes.c_int64(value)
    if isinstance(value, float):
        return ctypes.c_float(value)
    if not value.flags.c_contiguous:    # a copy would lose the kernel's output
        raise ValueError(f'array of strides {value.strides}: kernels read and write C order')
    return ctypes.c_void_p(value.__array_interface__['data'][0])
