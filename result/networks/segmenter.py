"""The scoring network for one's own labels: a U-Net (Ronneberger et al., arXiv 1505.04597) small enough for a CPU.

Batch norm after each convolution, strides for pooling, nearest pixels for transposed convolutions. Skip connections
are added, as in LinkNet (Chaurasia and Culurciello, arXiv 1707.03718): a third of the work.
"""
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from model.convolution import Convolution
from model.init import OPT
from result.networks.inputs import IMAGENET_RGB, normalized
from result.networks.layers import convolve

WIDTHS = 16, 32, 64, 128, 192   # channels at the picture's size, at half of it, ... at a sixteenth
MOMENTUM = 0.9


class NormalizedConvolution(nn.Layer):
    """3x3 convolution, batch norm, ReLU; trains on the CPU kernels."""

    def __init__(self, in_channels, out_channels, opt, stride=1):
        super().__init__()
        self.conv = Convolution(in_channels, out_channels, 3, opt, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2D(out_channels, momentum=MOMENTUM)

    def forward(self, x):
        if not self.training:
            return convolve(x, self.conv, self.bn)
        return F.relu(self.bn(self.conv(x)))


class Segmenter(nn.Layer):
    """rgb (N, 3, H, W), normalized as for ImageNet -> logits (N, classes, H, W); any H and W."""

    def __init__(self, classes, widths=WIDTHS, opt=None):
        super().__init__()
        opt = opt or OPT()
        inputs = (3,) + tuple(widths[:-1])
        self.down = nn.LayerList([NormalizedConvolution(a, b, opt, 1 if level == 0 else 2)
                                  for level, (a, b) in enumerate(zip(inputs, widths))])
        self.along = nn.LayerList([NormalizedConvolution(width, width, opt) for width in widths[1:]])
        self.up = nn.LayerList([NormalizedConvolution(below, width, opt) for width, below in zip(widths, widths[1:])])
        self.join = nn.LayerList([NormalizedConvolution(width, width, opt) for width in widths[:-1]])
        self.classify = nn.Conv2D(widths[0], classes, 1)

    def prepare(self, rgb):
        return normalized(rgb, *IMAGENET_RGB)

    def describe(self, rgb):
        return self.features(self.prepare(rgb))

    def forward(self, x):
        with paddle.set_grad_enabled(self.training):
            return self._logits(self._maps(x))

    def _logits(self, maps):
        y = maps.pop()
        for level in reversed(range(len(maps))):
            height, width = maps[level].shape[2:]
            y = self.join[level](_doubled(self.up[level](y))[:, :, :height, :width] + maps[level])
        return self.classify(y)

    def features(self, x):
        """Features (N, WIDTHS[-1]) for the Frechet distance: the mean over the deepest map."""
        with paddle.set_grad_enabled(self.training):
            return self._maps(x)[-1].mean([2, 3])

    def _maps(self, x):
        """The maps of the descent, (N, widths[k], ceil(H / 2^k), ceil(W / 2^k))."""
        maps = [self.down[0](x)]
        for down, along in zip(self.down[1:], self.along):
            maps.append(along(down(maps[-1])))
        return maps


def _doubled(x):
    """(N, C, H, W) -> (N, C, 2 H, 2 W), each pixel four times."""
    n, channels, height, width = x.shape
    x = x.reshape([n, channels, height, 1, width, 1]).expand([n, channels, height, 2, width, 2])
    return x.reshape([n, channels, 2 * height, 2 * width])


def weighted_cross_entropy(logits, label, weights):
    """Weighted mean over pixels. logits (N, C, H, W); label int64 (N, H, W), numpy; weights float32 (256), VOID: 0."""
    classes = logits.shape[1]
    each = weights[label.ravel()]
    safe = paddle.to_tensor(np.where(each > 0, label.ravel(), 0))
    losses = F.cross_entropy(logits.transpose([0, 2, 3, 1]).reshape([-1, classes]), safe, reduction='none').flatten()
    return (losses * paddle.to_tensor(each)).sum() / max(float(each.sum()), 1e-6)
