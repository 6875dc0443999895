"""Convolution with its batch norm folded in, by the CPU kernels if they run; the scoring networks share it."""
import paddle.nn.functional as F
from paddle import nn

from model.fast import in_use, operators


def convolve(x, convolution, norm=None, relu=True):
    """(N, C, H, W) through an nn.Conv2D and an nn.BatchNorm2D in eval mode; both only hold the weights."""
    weight, bias = convolution.weight, convolution.bias
    if norm is not None:   # one factor and one summand for each output channel
        scale = norm.weight / (norm._variance + norm._epsilon).sqrt()
        weight, bias = weight * scale.reshape([-1, 1, 1, 1]), norm.bias - norm._mean * scale
    stride, padding, dilation = map(_pair, (convolution._stride, convolution._padding, convolution._dilation))
    if in_use(None, x):
        y = operators.convolved(x, weight, bias, stride[0], padding, dilation[0])
    else:
        y = F.conv2d(x, weight, bias, stride, padding, dilation)
    return F.relu_(y) if relu else y


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


class NormalizedConvolution(nn.Layer):
    """Convolution without bias, batch norm, and a ReLU unless relu is False; weights conv.* and bn.*."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, epsilon=1e-5,
                 relu=True):
        super().__init__()
        self.conv = nn.Conv2D(in_channels, out_channels, kernel_size, stride, padding, dilation, bias_attr=False)
        self.bn = nn.BatchNorm2D(out_channels, epsilon=epsilon)
        self.relu = relu

    def forward(self, x):
        return convolve(x, self.conv, self.bn, self.relu)


class Bottleneck(nn.Layer):
    """(N, in_channels, H, W) -> (N, 4 channels, H / stride, W / stride), the stride in the 3x3; torchvision's names."""

    def __init__(self, in_channels, channels, stride=1, dilation=1):
        super().__init__()
        self.conv1, self.bn1 = convolution_and_norm(in_channels, channels, 1)
        self.conv2, self.bn2 = convolution_and_norm(channels, channels, 3, stride, dilation)
        self.conv3, self.bn3 = convolution_and_norm(channels, 4 * channels, 1)
        self.downsample = None
        if stride != 1 or in_channels != 4 * channels:
            self.downsample = nn.Sequential(*convolution_and_norm(in_channels, 4 * channels, 1, stride))

    def forward(self, x):
        y = convolve(convolve(x, self.conv1, self.bn1), self.conv2, self.bn2)
        y = convolve(y, self.conv3, self.bn3, relu=False)
        return F.relu_(y + (x if self.downsample is None else convolve(x, *self.downsample, relu=False)))


def bottlenecks(in_channels, channels, count, stride=1, dilation=1):
    """nn.Sequential of `count` Bottlenecks, the first with the stride."""
    return nn.Sequential(Bottleneck(in_channels, channels, stride, dilation),
                         *(Bottleneck(4 * channels, channels, 1, dilation) for _ in range(count - 1)))


def convolution_and_norm(in_channels, out_channels, kernel_size, stride=1, dilation=1):
    """[nn.Conv2D without bias, nn.BatchNorm2D]; padded so that only the stride shrinks the map."""
    padding = kernel_size // 2 * dilation
    return [nn.Conv2D(in_channels, out_channels, kernel_size, stride, padding, dilation, bias_attr=False),
            nn.BatchNorm2D(out_channels)]
