"""Convolution layer that runs on the CPU kernels where there are any, else on Paddle's own."""
from paddle import nn

from model.cpu import operators


class Convolution(nn.Conv2D):
    """nn.Conv2D with one stride and one padding for both directions; `opt` says which kernels and which precision."""

    def __init__(self, in_channels, out_channels, kernel_size, opt, stride=1, padding=0, bias=True):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias_attr=None if bias else False)
        self.opt, self.step, self.margin = opt, stride, padding

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, h, w)."""
        if not (self.opt.cpu_kernels and operators.usable(x)):
            return super().forward(x)
        return operators.Convolution.apply(x, self.weight, self.bias, self.step, self.margin, bfloat16(self.opt))


def bfloat16(opt):
    """Whether convolutions of these options multiply in bfloat16."""
    return opt.cpu_precision == 'bfloat16' and operators.has_bfloat16()
