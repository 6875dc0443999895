"""SPADE, its parameter-free norms, and the norms of discriminator and encoder."""
import functools
import math

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.autograd import PyLayer

from model import precision
from model.activation import SLOPE, activate, activate_hidden
from model.convolution import Convolution, convolve
from model.fast import in_use, operators, window_tables
from runtime import distributed

HIDDEN = 128  # channels between the label map and gamma, beta (official models/networks/normalization.py)
EPSILON = 1e-5
# Largest share of distinct windows for which SPADE uses them. Measured on one layer, forward and backward with the CPU
# kernels, on random maps of 256x256 to 16x16: at share 1 windows take 0.9 to 1.1 times as long as dense convolutions,
# at 0.63 about 0.4.
HIGHEST_SHARE = 0.95


class SPADE(nn.Layer):
    """Spatially-adaptive normalization (paper, section 3): normalize; scale and shift each pixel by the label map."""

    def __init__(self, channels, opt):
        super().__init__()
        norm = opt.generator_norm
        self.opt, self.kernel_size, padding = opt, norm.kernel_size, norm.kernel_size // 2
        self.param_free_norm = parameter_free_norm(norm.kind, channels, opt)
        self.mlp_shared = nn.Sequential(Convolution(opt.semantic_nc, HIDDEN, norm.kernel_size, opt, padding=padding,
                                                    map_at=0))
        self.mlp_gamma = Convolution(HIDDEN, channels, norm.kernel_size, opt, padding=padding)
        self.mlp_beta = Convolution(HIDDEN, channels, norm.kernel_size, opt, padding=padding)

    def forward(self, x, semantics, statistics=None):
        """x (N, channels, H, W), a SemanticMap of N maps of any size -> x normalized, then modulated.

        statistics: param_free_norm.batch_statistics(x), if already computed.
        """
        gamma, beta = self.modulation(semantics, x.shape[2:])
        return self.param_free_norm(x, statistics) * (1 + gamma) + beta

    def modulation(self, semantics, size):
        """gamma, beta (N, channels, *size) of the label map."""
        windows = self.windows(semantics, size)
        if windows is not None:
            return window_tables.modulation(self, windows, semantics)
        weight, bias = self.joined_weights()
        both = convolve(self.hidden(semantics, size), weight, bias, self.opt, padding=self.kernel_size // 2)
        return paddle.split(both, 2, axis=1)

    def windows(self, semantics, size):
        """Distinct windows of the label map at that size; None: use the dense convolutions."""
        if semantics.modulation == 'dense':
            return None
        windows = semantics.double_windows(size, self.kernel_size)
        return windows if semantics.modulation == 'windows' or windows.share <= HIGHEST_SHARE else None

    def hidden(self, semantics, size):
        """(N, HIDDEN, *size): the first convolution of the one-hot map, activated."""
        return activate_hidden(self.mlp_shared[0](semantics.one_hot(size)), self.opt)

    def joined_weights(self):
        """Weight (2 * channels, HIDDEN, k, k) and bias of the convolutions to gamma and beta, on the same input."""
        convolutions = self.mlp_gamma, self.mlp_beta
        return (paddle.concat([layer.weight for layer in convolutions]),
                paddle.concat([layer.bias for layer in convolutions]))


class Concatenation(nn.Layer):
    """In place of SPADE: a norm without parameters; the label map becomes input of the convolution behind it.

    "Decoder w/ Concat" of the paper's Table 3. The official code has none, and the paper says no more than that the
    segmentation mask is concatenated along the channels at all intermediate layers (section 4, "Effectiveness of the
    SPADE"). Read here as: each convolution of the residual blocks, the shortcut's too, sees the normalized activations
    and the resized one-hot map with its edges; there is no gamma or beta; all else is as with SPADE. Its parameters
    are then the paper's: 79.2 million with ADE20K's 151 channels, 79 in print.
    """

    def __init__(self, channels, opt):
        super().__init__()
        self.opt, self.param_free_norm = opt, parameter_free_norm(opt.generator_norm.kind, channels, opt)


class BatchNorm(nn.Layer):
    """Batch norm over (N, C, H, W) with unbiased running variance, like torch's; Paddle's is biased.

    synchronized: over the batches of all ranks, of any sizes; Paddle's SyncBatchNorm has no CPU kernel. This divides by
    sqrt(variance + epsilon), like batch norm in a single process; the official synchronized norm divides by
    sqrt(max(variance, epsilon)). Uses Paddle's kernel if `fused`.
    """

    MOMENTUM = 0.9  # weight of the old value; torch's 0.1 is the weight of the new value
    def __init__(self, channels, affine, synchronized=False, opt=None):
        super().__init__()
        self.opt = opt
        self.synchronized = synchronized and distributed.ranks() > 1
        self.weight = self.create_parameter([channels],
                                            default_initializer=nn.initializer.Constant(1.0)) if affine else None
        self.bias = self.create_parameter([channels], is_bias=True) if affine else None
        self.register_buffer('_mean', paddle.zeros([channels]))
        self.register_buffer('_variance', paddle.ones([channels]))

    def forward(self, x, statistics=None):
        """statistics: batch_statistics(x), if already computed; the running statistics are then up to date."""
        per_channel, x = [1, -1, 1, 1], precision.restored(x)
        if statistics is not None:
            return Standardize.apply(x, *statistics, self.synchronized)
        if in_use(self.opt, x):
            return self.compiled(x, 1.0)
        if fused(x, self.opt) and not (self.training and self.synchronized):
            return self._fused(x)
        if self.training:
            if self.synchronized:
                y = Standardize.apply(x, *self.batch_statistics(x), True)
            else:
                y, mean, variance, count = standardized(x, [0, 2, 3])
                self._update(mean.flatten(), variance.flatten(), count)
        else:
            y = (x - self._mean.reshape(per_channel)) * (self._variance.reshape(per_channel) + EPSILON) ** -0.5
        if self.weight is not None:
            y = y * self.weight.reshape(per_channel) + self.bias.reshape(per_channel)
        return y

    @paddle.no_grad()
    def batch_statistics(self, x):
        """(mean, 1 / standard deviation) (C) of x and the number of values, a tensor, for Standardize; None in eval.

        Updates the running statistics. Synchronized: over all ranks, with one collective forward and one backward, as
        with the CPU kernels.
        """
        if not self.training:
            return None
        x, count = precision.restored(x), x.size // x.shape[1]
        mean = x.mean([0, 2, 3])
        variance = ((x - mean.reshape([1, -1, 1, 1])) ** 2).mean([0, 2, 3])
        if self.synchronized:
            mean, variance, count = over_all_ranks(mean, variance, count)
        self._update(mean, variance, count)
        return mean, (variance + EPSILON) ** -0.5, count if self.synchronized else paddle.full([1], count, 'float64')

    def _fused(self, x):
        """forward by Paddle's kernel. If its running variance r tracks biased b, scale r (1 / k before, k after).

        That makes it unbiased: k (0.9 r / k + 0.1 b) = 0.9 r + 0.1 k b. The kernel stores its inputs for backward, so
        it gets copies.
        """
        if not self.training:
            return F.batch_norm(x, self._mean, self._variance, self.weight, self.bias, False, self.MOMENTUM, EPSILON)
        count = x.size // x.shape[1]
        correction = 1.0 if kernel_is_unbiased((x.shape[0], 1, *x.shape[2:]),
                                               str(x.place)) else count / max(count - 1, 1)
        with paddle.no_grad():
            mean, variance = self._mean.clone(), self._variance * (1 / correction)
        y = F.batch_norm(x, mean, variance, self.weight, self.bias, True, self.MOMENTUM, EPSILON)
        with paddle.no_grad():
            paddle.assign(mean, output=self._mean)
            paddle.assign(variance * correction, output=self._variance)
        return y

    def compiled(self, x, slope):
        """leaky_relu(norm(x), slope) by the CPU kernels: SPADE whose gamma and beta are the same everywhere."""
        n, channels, height, width = x.shape
        table = paddle.zeros([2 * channels]) if self.weight is None else paddle.concat([self.weight - 1, self.bias])
        pixel = np.zeros((n, height, width), np.int32)
        return operators.Modulate.apply(x, table.unsqueeze(1), pixel, self.statistics(x), slope)

    def statistics(self, x):
        """operators.Statistics of x for the CPU kernels, which also updates the running ones; these in eval mode."""
        if not self.training:
            return operators.Statistics(self._mean, (self._variance + EPSILON) ** -0.5, False, None, self.synchronized)
        count = math.prod(x.shape) // x.shape[1]
        if not self.synchronized:
            running = self._mean, self._variance
            mean, _, scale = operators.batch_statistics(x, False, EPSILON, running, self.MOMENTUM)
            return operators.Statistics(mean, scale, False, count, False)
        mean, variance, _ = map(paddle.to_tensor, operators.batch_statistics(x, False, EPSILON))
        mean, variance, count = over_all_ranks(mean, variance, count)
        self._update(mean, variance, count)
        return operators.Statistics(mean, (variance + EPSILON) ** -0.5, False, count, True)

    @paddle.no_grad()
    def _update(self, mean, variance, count):
        if self.synchronized:
            unbiased = variance * (count / paddle.clip(count - 1, min=1)).astype(variance.dtype)
        else:
            unbiased = variance * (count / max(count - 1, 1))
        for running, value in ((self._mean, mean), (self._variance, unbiased)):
            # Not set_value(), which copies through the host on Paddle 2.6.
            paddle.assign(self.MOMENTUM * running + (1 - self.MOMENTUM) * value, output=running)


class InstanceNorm(nn.Layer):
    """Instance norm of (N, C, H, W), without parameters or state."""

    def __init__(self, opt=None):
        super().__init__()
        self.opt = opt

    def forward(self, x, statistics=None):
        if in_use(self.opt, x):
            return self.compiled(x, 1.0)
        x = precision.restored(x)
        return F.instance_norm(x, eps=EPSILON) if fused(x, self.opt) else standardized(x, [2, 3])[0]

    def batch_statistics(self, x):
        """None, since a second forward changes no state."""

    def compiled(self, x, slope):
        """leaky_relu(norm(x), slope) by the CPU kernels."""
        return operators.InstanceNorm.apply(x, EPSILON, slope)

    def statistics(self, x):
        """operators.Statistics of each image of x, for the CPU kernels."""
        mean, _, scale = operators.batch_statistics(x, True, EPSILON)
        return operators.Statistics(mean, scale, True, x.shape[2] * x.shape[3], False)


def activated(block, x, opt):
    """The activation of block(x), a normalized_convolution; with the CPU kernels norm and activation are one."""
    if isinstance(block, nn.Sequential) and opt.activation == 'leaky_relu' and in_use(opt, x):
        return block[1].compiled(block[0](x), SLOPE)
    return activate(block(x), opt)


def fused(x, opt):
    """Whether a norm of x uses Paddle's kernel: one operator instead of seven.

    It does not in float64, where the kernel rounds epsilon to float32 and gradients differ by 5e-7, nor with the CPU
    kernels, where it is no faster.
    """
    return x.dtype == paddle.float32 and not in_use(opt, x)


@functools.lru_cache(maxsize=None)
@paddle.no_grad()
def kernel_is_unbiased(shape, place):
    """Whether Paddle's kernel tracks the unbiased variance of x (N, 1, H, W) on that device, as cuDNN's does.

    Measured once per shape, on data of mean 0 and variance 1 (0 for a single value), whose sums are exact in float32.
    """
    count = math.prod(shape)
    signs = np.resize(np.float32([1, -1]), count)
    signs[count - count % 2:] = 0
    variance = paddle.zeros([1])
    F.batch_norm(paddle.to_tensor(signs.reshape(shape)), paddle.zeros([1]), variance, training=True, momentum=0.0)
    return variance.item() > (1 - count % 2 / count) * (1 + 0.5 / max(count - 1, 1))


def standardized(x, axes):
    """(x standardized over `axes`, its mean, its biased variance, the number of their values).

    Mean and variance have length 1 along `axes`.
    """
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    variance = (centred * centred).mean(axes, keepdim=True)
    return centred * (variance + EPSILON) ** -0.5, mean, variance, x.size // mean.size


class Standardize(PyLayer):
    """(x - mean) * scale of x (N, C, H, W), with the mean and scale (C) of x; synchronized: of all ranks' x.

    mean and scale are constants for autograd; the gradient of x includes theirs. count: the number of their values.
    """

    @staticmethod
    def forward(ctx, x, mean, scale, count, synchronized):
        ctx.synchronized = synchronized
        y = (x - mean.reshape([1, -1, 1, 1])) * scale.reshape([1, -1, 1, 1])
        ctx.save_for_backward(y, scale, count)
        return y

    @staticmethod
    def backward(ctx, dy):
        y, scale, count = ctx.saved_tensor()
        sums = paddle.stack([dy.sum([0, 2, 3]), (dy * y).sum([0, 2, 3])]).astype('float64')
        sums = distributed.all_reduce(sums) if ctx.synchronized else sums
        of_dy, of_product = (sums / count).astype(dy.dtype).reshape([2, 1, -1, 1, 1])
        return scale.reshape([1, -1, 1, 1]) * (dy - of_dy - y * of_product), None, None, None


def over_all_ranks(mean, variance, count):
    """Mean and variance (C) of each rank's `count` values -> mean, variance and number (a tensor) of all ranks' values.

    One collective; nothing is read back from the device.
    """
    dtype = mean.dtype
    # float64: in float32 a large squared mean would absorb the variance
    mean, variance = mean.astype('float64'), variance.astype('float64')
    moments = paddle.concat([paddle.ones([1], 'float64'), mean, variance + mean * mean]) * count
    moments = distributed.all_reduce(moments)
    count = moments[:1]
    mean, square = paddle.split(moments[1:] / count, 2)
    return mean.astype(dtype), (square - mean * mean).astype(dtype), count


def parameter_free_norm(kind, channels, opt):
    """The norm inside SPADE: 'batch', 'syncbatch' (the same in a single process) or 'instance'."""
    return InstanceNorm(opt) if kind == 'instance' else BatchNorm(channels, False, kind == 'syncbatch', opt)


def normalized_convolution(in_channels, out_channels, kernel_size, stride, padding, norm, opt, map_at=None):
    """Convolution of discriminator and encoder with `norm` (a LayerNorm of model/init.py).

    Like the official get_nonspade_norm_layer: no bias before a norm; batch norm is affine, instance norm is not.
    """
    return normalized(Convolution(in_channels, out_channels, kernel_size, opt, stride, padding,
                                  bias=norm.kind == 'none', spectral=norm.spectral, map_at=map_at),
                      out_channels, norm, opt)


def normalized(convolution, channels, norm, opt):
    """The layer `convolution` with `norm` behind it."""
    if norm.kind == 'none':
        return convolution
    return nn.Sequential(convolution, InstanceNorm(opt) if norm.kind == 'instance' else
                         BatchNorm(channels, True, norm.kind == 'syncbatch', opt))
