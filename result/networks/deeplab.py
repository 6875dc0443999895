"""DeepLabV2 on ResNet-101 with multi-scale inputs (Chen et al., arXiv 1606.00915): for COCO-Stuff.

As in kazuto1011/deeplab-pytorch; SPADE's authors scored with its deeplabv2_resnet101_msc-cocostuff164k-100000.pth.
"""
import paddle
import paddle.nn.functional as F
from paddle import nn

from result.networks.inputs import bgr_less
from result.networks.layers import NormalizedConvolution, convolve

MEAN_BGR = (104.008, 116.669, 122.675)   # of the training pictures, 0 .. 255
SCALES = (0.75, 0.5)                     # besides the picture itself
BLOCKS = ((3, 64, 1, 1), (4, 128, 2, 1), (23, 256, 1, 2), (3, 512, 1, 4))   # blocks, channels, stride, dilation
RATES = (6, 12, 18, 24)                  # dilations of the last layer (atrous spatial pyramid pooling)


class Bottleneck(nn.Layer):
    """(N, in_channels, H, W) -> (N, 4 channels, H / stride, W / stride); stride in the first 1x1, as in Caffe."""

    def __init__(self, in_channels, channels, stride, dilation, projects):
        super().__init__()
        self.reduce = NormalizedConvolution(in_channels, channels, 1, stride)
        self.conv3x3 = NormalizedConvolution(channels, channels, 3, 1, dilation, dilation)
        self.increase = NormalizedConvolution(channels, 4 * channels, 1, relu=False)
        self.shortcut = NormalizedConvolution(in_channels, 4 * channels, 1, stride, relu=False) if projects else None

    def forward(self, x):
        y = self.increase(self.conv3x3(self.reduce(x)))
        return F.relu_(y + (x if self.shortcut is None else self.shortcut(x)))


class DeepLabV2(nn.Layer):
    """bgr float32 (N, 3, H, W), 0 .. 255 less MEAN_BGR -> logits (N, n_classes, ceil(H / 8), ceil(W / 8)), the
    maximum over scales.

    Inference only. Names of the weights as in the source: base.layer1.conv1.conv.weight ... base.aspp.c3.bias.
    """

    def __init__(self, n_classes):
        super().__init__()
        self.base = nn.Layer()
        self.base.layer1 = nn.Layer()
        self.base.layer1.conv1 = NormalizedConvolution(3, 64, 7, 2, 3)
        in_channels = 64
        for number, (count, channels, stride, dilation) in enumerate(BLOCKS, 2):
            layer = nn.Sequential()
            for block in range(count):
                first = block == 0
                bottleneck = Bottleneck(in_channels, channels, stride if first else 1, dilation, first)
                layer.add_sublayer(f'block{block + 1}', bottleneck)
                in_channels = 4 * channels
            self.base.add_sublayer(f'layer{number}', layer)
        self.base.aspp = nn.Sequential(*((f'c{index}', nn.Conv2D(in_channels, n_classes, 3, 1, rate, rate))
                                         for index, rate in enumerate(RATES)))
        self.eval()

    def prepare(self, rgb):
        return bgr_less(rgb, MEAN_BGR)

    @paddle.no_grad()
    def forward(self, bgr):
        logits = self._at_one_scale(bgr)
        for scale in SCALES:
            smaller = F.interpolate(bgr, scale_factor=scale, mode='bilinear', align_corners=False)
            others = F.interpolate(self._at_one_scale(smaller), logits.shape[2:], mode='bilinear', align_corners=False)
            logits = paddle.maximum(logits, others)
        return logits

    def _at_one_scale(self, x):
        x = F.max_pool2d(self.base.layer1.conv1(x), 3, 2, 1, ceil_mode=True)
        for number in range(2, 2 + len(BLOCKS)):
            x = getattr(self.base, f'layer{number}')(x)
        return sum(convolve(x, stage, relu=False) for stage in self.base.aspp)
