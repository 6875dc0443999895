"""Convolution that runs on the CPU kernels where there are any, else on Paddle's own."""
import paddle.nn.functional as F
from paddle import nn

from model.cpu import has_bfloat16, operators


class Convolution(nn.Conv2D):
    """nn.Conv2D with one stride and one padding for both directions; `opt` says which kernels and which precision."""

    def __init__(self, in_channels, out_channels, kernel_size, opt, stride=1, padding=0, bias=True):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias_attr=None if bias else False)
        self.opt, self.step, self.margin = opt, stride, padding

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, h, w)."""
        return convolve(x, self.weight, self.bias, self.opt, self.step, self.margin)


def convolve(x, weight, bias, opt, stride=1, padding=0):
    """conv2d of x (N, C, H, W) with weight (O, C, k, k) and bias (O) or None."""
    if opt.cpu_kernels and operators.usable(x):
        return operators.Convolution.apply(x, weight, bias, stride, padding, bfloat16(opt))
    return F.conv2d(x, weight, bias, stride, padding)


def bfloat16(opt):
    """Whether convolutions of these options multiply in bfloat16."""
    return opt.cpu_precision == 'bfloat16' and has_bfloat16()
