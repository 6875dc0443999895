"""DRN-D-105 (Yu, Koltun and Funkhouser, arXiv 1705.09914), for Cityscapes.

As in fyu/drn; SPADE's authors scored with its drn-d-105_ms_cityscapes.pth.
"""
import paddle
from paddle import nn

from result.networks.inputs import normalized
from result.networks.layers import bottlenecks, convolution_and_norm, convolve

MEAN_RGB = (0.29010095242892997, 0.32808144844279574, 0.28696394422942517)       # of the training pictures, 0 .. 1
DEVIATION_RGB = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)   # (datasets/cityscapes/info.json)


class DRN(nn.Layer):
    """Normalized rgb float32 (N, 3, H, W), H and W multiples of 8 -> logits (N, n_classes, H, W).

    Inference only. Names of the weights as in the source: base.0.0.weight ... seg.bias, up.weight.
    """

    def __init__(self, n_classes):
        super().__init__()
        self.base = nn.Sequential(
            nn.Sequential(*convolution_and_norm(3, 16, 7)), nn.Sequential(*convolution_and_norm(16, 16, 3)),
            nn.Sequential(*convolution_and_norm(16, 32, 3, 2)),
            bottlenecks(32, 64, 3, 2), bottlenecks(256, 128, 4, 2),
            bottlenecks(512, 256, 23, dilation=2), bottlenecks(1024, 512, 3, dilation=4),
            nn.Sequential(*convolution_and_norm(2048, 512, 3, dilation=2)),
            nn.Sequential(*convolution_and_norm(512, 512, 3)))
        self.seg = nn.Conv2D(512, n_classes, 1)
        self.up = nn.Conv2DTranspose(n_classes, n_classes, 16, 8, 4, groups=n_classes, bias_attr=False)   # bilinear
        self.eval()

    def prepare(self, rgb):
        return normalized(rgb, MEAN_RGB, DEVIATION_RGB)

    @paddle.no_grad()
    def forward(self, x):
        for layer in self.base:
            x = convolve(x, *layer) if isinstance(layer[0], nn.Conv2D) else layer(x)
        return self.up(convolve(x, self.seg, relu=False))
