"""SPADE, the norms without parameters under it, and the norms of discriminator and encoder."""
import functools

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from model import distributed, precision
from model.activation import SLOPE, activate, activate_hidden, attend
from model.convolution import Convolution
from model.cpu import operators
from model.semantics import by_windows

HIDDEN = 128  # channels between the label map and gamma, beta (official models/networks/normalization.py)
EPSILON = 1e-5
# Share of distinct windows up to which they are looked up. Measured on one layer, forward and backward with the CPU kernels, on
# random maps of 256x256 to 16x16: at share 1 windows take 0.9 to 1.1 times as long as dense convolutions, at 0.63 about 0.4.
HIGHEST_SHARE = 0.95


class SPADE(nn.Layer):
    """Spatially-adaptive normalization (paper, section 3): normalize, then scale and shift per pixel by the label map."""

    def __init__(self, channels, opt):
        super().__init__()
        norm = opt.generator_norm
        self.opt, self.kernel_size, padding = opt, norm.kernel_size, norm.kernel_size // 2
        self.param_free_norm = parameter_free_norm(norm.kind, channels)
        self.mlp_shared = nn.Sequential(Convolution(opt.semantic_nc, HIDDEN, norm.kernel_size, opt, padding=padding))
        self.mlp_gamma = Convolution(HIDDEN, channels, norm.kernel_size, opt, padding=padding)
        self.mlp_beta = Convolution(HIDDEN, channels, norm.kernel_size, opt, padding=padding)

    def forward(self, x, semantics, convolution, activated=True, last=False):
        """x (N, channels, H, W), a SemanticMap of N maps of any size -> convolution(activation of the modulated x).

        last: nobody needs x after this, so that without gradients it may be overwritten.
        """
        compiled = self.opt.cpu_kernels and operators.usable(x)
        windows = self._windows(semantics, x.shape[2:])
        if not compiled:
            gamma, beta = self._dense(semantics, x.shape[2:]) if windows is None else self._of_windows(windows, semantics)
            return convolution(self._finished(self.param_free_norm(x) * (1 + gamma) + beta, activated))
        if windows is None:
            table, pixel = paddle.concat(self._dense(semantics, x.shape[2:]), axis=1), None
        else:
            table, pixel = self._table(windows, semantics), windows.pixel
        norm, fused = self.param_free_norm, self.opt.activation == 'leaky_relu' and self.opt.attention == 'none'
        mean, variance, count = norm.statistics(x)
        scale = (variance + EPSILON) ** -0.5
        slope = SLOPE if activated and fused else 1.0
        arguments = x, table, mean, scale, pixel, isinstance(norm, InstanceNorm), count, norm.synchronized, slope
        in_place = last and not paddle.is_grad_enabled()
        y = operators.modulated(*arguments, in_place=True) if in_place else operators.Modulate.apply(*arguments)
        if not fused:
            return convolution(self._finished(y, activated))
        return convolution(y, again=functools.partial(operators.modulated, *arguments))

    def _finished(self, y, activated):
        y = attend(y, self.opt)
        return activate(y, self.opt) if activated else y

    def _windows(self, semantics, size):
        """Distinct windows of the label map at that size, None where the dense convolutions are to be used."""
        if not by_windows(self.opt):
            return None
        windows = semantics.double_windows(size, self.kernel_size)
        return windows if self.opt.modulation == 'windows' or windows.share <= HIGHEST_SHARE else None

    def _dense(self, semantics, size):
        """gamma, beta (N, channels, *size) by the plain formula."""
        hidden = activate_hidden(self.mlp_shared[0](semantics.one_hot(size)), self.opt)
        return self.mlp_gamma(hidden), self.mlp_beta(hidden)

    def _of_windows(self, windows, semantics):
        """The same from distinct windows (model/windows.py): each is computed once and then dealt out to its pixels."""
        with precision.full():
            both = self._distinct(windows, semantics)                                                   # (B, 2C)
        pixels = F.embedding(paddle.to_tensor(windows.pixel), both).transpose([0, 3, 1, 2])             # (N, 2C, H, W)
        return paddle.split(pixels, 2, axis=1)

    def _distinct(self, windows, semantics):
        """gamma and beta of each distinct window, side by side."""
        shared = self.mlp_shared[0]
        sums = window_sums(code_table(shared.weight, windows, semantics), windows, self.opt)
        hidden = with_zero_row(activate_hidden(sums + shared.bias, self.opt))                           # (A + 1, HIDDEN)
        neighbourhoods = F.embedding(paddle.to_tensor(windows.second), hidden).flatten(1)               # (B, K * HIDDEN)
        weight = paddle.concat([self.mlp_gamma.weight, self.mlp_beta.weight])                           # (2C, HIDDEN, k, k)
        weight = weight.transpose([2, 3, 1, 0]).reshape([neighbourhoods.shape[1], -1])                  # (K * HIDDEN, 2C)
        return neighbourhoods @ weight + paddle.concat([self.mlp_gamma.bias, self.mlp_beta.bias])

    def _table(self, windows, semantics):
        """gamma and beta of distinct windows, (2 * channels, B), by the CPU kernels."""
        shared, gamma, beta = self.mlp_shared[0], self.mlp_gamma, self.mlp_beta
        codes = code_table(shared.weight, windows, semantics)
        if self.opt.activation == 'leaky_relu':
            hidden = operators.WindowSums.apply(codes, shared.bias, windows.positions)
        else:
            sums = operators.WindowSums.apply(codes, None, windows.positions)
            hidden = with_zero_row(activate_hidden(sums + shared.bias, self.opt))
        return operators.WindowProduct.apply(hidden, gamma.weight, gamma.bias, beta.weight, beta.bias, windows.second)


def code_table(weight, windows, semantics):
    """What each code adds to the convolution of the one-hot map at each offset: (K * C + 1, out), the last row for outside.

    weight (out, label_channels + edge, k, k); windows.positions names the rows.
    """
    classes, position = np.unique(windows.codes // 2, return_inverse=True)
    channels = classes if semantics.edge is None else np.append(classes, semantics.label_channels)
    # Only the channels that occur are touched: few of COCO-Stuff's 184 are in one picture.
    rows = paddle.index_select(weight, paddle.to_tensor(channels), axis=1).flatten(2).transpose([2, 1, 0])
    table = paddle.index_select(rows, paddle.to_tensor(position), axis=1)                               # (K, C, out)
    if semantics.edge is not None:
        table = table + rows[:, -1:] * paddle.to_tensor(windows.codes % 2).astype(weight.dtype).reshape([1, -1, 1])
    return with_zero_row(table.flatten(0, 1))


def window_sums(table, windows, opt):
    """Convolution of the one-hot map at its distinct windows, (A, out): sums of K rows of a code_table."""
    if opt.cpu_kernels and operators.usable(table):
        return operators.WindowSums.apply(table, None, windows.positions)
    return F.embedding(paddle.to_tensor(windows.positions), table).sum(1)


def with_zero_row(table):
    """(rows, width) -> (rows + 1, width): the last stands for 'outside'."""
    return paddle.concat([table, paddle.zeros([1, table.shape[1]], table.dtype)])


class BatchNorm(nn.Layer):
    """Batch norm over (N, C, H, W) whose running variance is unbiased, as torch's is and Paddle's is not.

    synchronized: over the batches of all ranks, of any sizes. Paddle's own has no CPU kernel. The official one divides by
    sqrt(max(variance, epsilon)), this by sqrt(variance + epsilon), as batch norm in a single process does.
    Written out, as InstanceNorm is, because Paddle's kernels round epsilon to float32 even in float64: that alone moved
    gradients by 5e-7.
    """

    MOMENTUM = 0.9  # torch's 0.1: of the old value

    def __init__(self, channels, affine, synchronized=False):
        super().__init__()
        self.synchronized = synchronized and distributed.ranks() > 1
        self.weight = self.create_parameter([channels], default_initializer=nn.initializer.Constant(1.0)) if affine else None
        self.bias = self.create_parameter([channels], is_bias=True) if affine else None
        self.register_buffer('_mean', paddle.zeros([channels]))
        self.register_buffer('_variance', paddle.ones([channels]))

    def forward(self, x):
        per_channel, x = [1, -1, 1, 1], precision.restored(x)
        if self.training:
            y, mean, variance, count = standardized(x, [0, 2, 3], self.synchronized)
            self._update(mean.flatten(), variance.flatten(), count)
        else:
            y = (x - self._mean.reshape(per_channel)) * (self._variance.reshape(per_channel) + EPSILON) ** -0.5
        if self.weight is not None:
            y = y * self.weight.reshape(per_channel) + self.bias.reshape(per_channel)
        return y

    def statistics(self, x):
        """(mean, variance) (C) for the CPU kernels, and the number of values they are over, None for the running ones.

        In training the running ones follow.
        """
        if not self.training:
            return self._mean, self._variance, None
        mean, variance = operators.statistics(x, per_image=False)
        count = x.size // x.shape[1]
        if self.synchronized:
            mean, variance, count = _of_all_ranks(mean, variance, count)
        self._update(mean, variance, count)
        return mean, variance, count

    @paddle.no_grad()
    def _update(self, mean, variance, count):
        unbiased = variance * (count / max(count - 1, 1))
        for running, value in ((self._mean, mean), (self._variance, unbiased)):
            running.set_value(self.MOMENTUM * running + (1 - self.MOMENTUM) * value)


class InstanceNorm(nn.Layer):
    """Each channel of each image (N, C, H, W) to mean 0 and variance 1; no parameters, no state."""

    synchronized = False

    def forward(self, x):
        return standardized(precision.restored(x), [2, 3])[0]

    def statistics(self, x):
        """(mean, variance), each (N * C), for the CPU kernels, and the number of values they are over."""
        return (*operators.statistics(x, per_image=True), x.shape[2] * x.shape[3])


def standardized(x, axes, synchronized=False):
    """(x to mean 0 and variance 1 over `axes`, that mean, that biased variance, the number of values they are over).

    mean and variance keep `axes` as 1. synchronized: over the x of all ranks, and axes are [0, 2, 3].
    """
    if not synchronized:
        mean = x.mean(axes, keepdim=True)
        centred = x - mean
        variance = (centred * centred).mean(axes, keepdim=True)
        return centred * (variance + EPSILON) ** -0.5, mean, variance, x.size // mean.size
    own = paddle.full([1], x.size // x.shape[1], x.dtype)
    sums = distributed.SumOverRanks.apply(paddle.concat([x.sum(axes), own]))
    count = int(sums[-1])
    mean = sums[:-1].reshape([1, -1, 1, 1]) / count
    centred = x - mean
    variance = distributed.SumOverRanks.apply((centred * centred).sum(axes, keepdim=True)) / count
    return centred * (variance + EPSILON) ** -0.5, mean, variance, count


def _of_all_ranks(mean, variance, count):
    """mean and variance (C) of each rank's `count` values -> those of all ranks' together, and their number."""
    mean, variance = mean.astype('float64'), variance.astype('float64')  # squares of the mean must not swallow the variance
    moments = paddle.concat([paddle.to_tensor([1.0], dtype='float64'), mean, variance + mean * mean]) * count
    moments = distributed.add_up(moments)
    count = int(moments[0])
    mean, square = paddle.split(moments[1:] / count, 2)
    return mean.astype('float32'), (square - mean * mean).astype('float32'), count


def parameter_free_norm(kind, channels):
    """The norm inside SPADE: 'batch', 'syncbatch' (the same in a single process) or 'instance'."""
    return InstanceNorm() if kind == 'instance' else BatchNorm(channels, affine=False, synchronized=kind == 'syncbatch')


def normalized_convolution(in_channels, out_channels, kernel_size, stride, padding, norm, opt):
    """Convolution of discriminator and encoder with `norm` (a LayerNorm of model/init.py).

    As the official get_nonspade_norm_layer: a norm takes the bias away, batch norm is affine, instance norm is not.
    """
    plain = norm.kind == 'none'
    convolution = Convolution(in_channels, out_channels, kernel_size, opt, stride, padding, bias=plain, spectral=norm.spectral)
    if plain:
        return convolution
    return nn.Sequential(convolution, InstanceNorm() if norm.kind == 'instance' else
                         BatchNorm(out_channels, affine=True, synchronized=norm.kind == 'syncbatch'))
