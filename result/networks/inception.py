"""The Inception-v3 whose features FID compares: TensorFlow's network of 2015-12-05, as in mseitzer/pytorch-fid.

It differs from torchvision's in its weights, in average pooling that excludes padding, and in the last block's maximum
instead of a mean: an error of that network, which every published FID shares.
"""
import paddle
import paddle.nn.functional as F
from paddle import nn

from result.networks.inputs import normalized
from result.networks.layers import NormalizedConvolution

SIZE = 299       # every picture is resized to this height and width
CLASSES = 1008   # of the classifier, which is in the file but unused by FID


def _convolution(in_channels, out_channels, kernel_size, stride=1, padding=0):
    return NormalizedConvolution(in_channels, out_channels, kernel_size, stride, padding, epsilon=1e-3)


def _mean_pool(x):
    return F.avg_pool2d(x, 3, 1, 1, exclusive=True)


def _max_pool(x):
    return F.max_pool2d(x, 3, 1, 1)


class InceptionA(nn.Layer):
    """35x35: 1x1, 5x5, double 3x3 and pooling, side by side."""

    def __init__(self, in_channels, pool_channels):
        super().__init__()
        self.branch1x1 = _convolution(in_channels, 64, 1)
        self.branch5x5_1 = _convolution(in_channels, 48, 1)
        self.branch5x5_2 = _convolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _convolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = _convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _convolution(96, 96, 3, padding=1)
        self.branch_pool = _convolution(in_channels, pool_channels, 1)

    def forward(self, x):
        return paddle.concat([self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)),
                              self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                              self.branch_pool(_mean_pool(x))], 1)


class InceptionB(nn.Layer):
    """35x35 -> 17x17."""

    def __init__(self, in_channels):
        super().__init__()
        self.branch3x3 = _convolution(in_channels, 384, 3, 2)
        self.branch3x3dbl_1 = _convolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = _convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _convolution(96, 96, 3, 2)

    def forward(self, x):
        return paddle.concat([self.branch3x3(x), self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                              F.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Layer):
    """17x17: 7x7 as rows and columns, once and twice."""

    def __init__(self, in_channels, channels):
        super().__init__()
        row, column = dict(kernel_size=(1, 7), padding=(0, 3)), dict(kernel_size=(7, 1), padding=(3, 0))
        self.branch1x1 = _convolution(in_channels, 192, 1)
        self.branch7x7_1 = _convolution(in_channels, channels, 1)
        self.branch7x7_2 = _convolution(channels, channels, **row)
        self.branch7x7_3 = _convolution(channels, 192, **column)
        self.branch7x7dbl_1 = _convolution(in_channels, channels, 1)
        self.branch7x7dbl_2 = _convolution(channels, channels, **column)
        self.branch7x7dbl_3 = _convolution(channels, channels, **row)
        self.branch7x7dbl_4 = _convolution(channels, channels, **column)
        self.branch7x7dbl_5 = _convolution(channels, 192, **row)
        self.branch_pool = _convolution(in_channels, 192, 1)

    def forward(self, x):
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return paddle.concat([self.branch1x1(x), once, self.branch7x7dbl_5(self.branch7x7dbl_4(twice)),
                              self.branch_pool(_mean_pool(x))], 1)


class InceptionD(nn.Layer):
    """17x17 -> 8x8."""

    def __init__(self, in_channels):
        super().__init__()
        self.branch3x3_1 = _convolution(in_channels, 192, 1)
        self.branch3x3_2 = _convolution(192, 320, 3, 2)
        self.branch7x7x3_1 = _convolution(in_channels, 192, 1)
        self.branch7x7x3_2 = _convolution(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _convolution(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _convolution(192, 192, 3, 2)

    def forward(self, x):
        sevens = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return paddle.concat([self.branch3x3_2(self.branch3x3_1(x)), sevens, F.max_pool2d(x, 3, 2)], 1)


class InceptionE(nn.Layer):
    """8x8: 3x3 as a row beside a column; `pool`: mean in the first of these blocks, maximum in the last."""

    def __init__(self, in_channels, pool):
        super().__init__()
        row, column = dict(kernel_size=(1, 3), padding=(0, 1)), dict(kernel_size=(3, 1), padding=(1, 0))
        self.pool = pool
        self.branch1x1 = _convolution(in_channels, 320, 1)
        self.branch3x3_1 = _convolution(in_channels, 384, 1)
        self.branch3x3_2a = _convolution(384, 384, **row)
        self.branch3x3_2b = _convolution(384, 384, **column)
        self.branch3x3dbl_1 = _convolution(in_channels, 448, 1)
        self.branch3x3dbl_2 = _convolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _convolution(384, 384, **row)
        self.branch3x3dbl_3b = _convolution(384, 384, **column)
        self.branch_pool = _convolution(in_channels, 192, 1)

    def forward(self, x):
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return paddle.concat([self.branch1x1(x), self.branch3x3_2a(once), self.branch3x3_2b(once),
                              self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice),
                              self.branch_pool(self.pool(x))], 1)


class FIDInception(nn.Layer):
    """image float32 (N, 3, H, W) in [0, 1] -> (N, 2048): the features after the last pooling (pool3).

    Inference only. Names as in pt_inception-2015-12-05-6726825d.pth: Conv2d_1a_3x3.conv.weight ... fc.bias.
    """

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = _convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _convolution(80, 192, 3)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280, _mean_pool)
        self.Mixed_7c = InceptionE(2048, _max_pool)
        self.fc = nn.Linear(2048, CLASSES)
        self.eval()

    def describe(self, rgb):
        return self(normalized(rgb))

    @paddle.no_grad()
    def forward(self, image):
        x = 2 * F.interpolate(image, [SIZE, SIZE], mode='bilinear', align_corners=False) - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean([2, 3])
