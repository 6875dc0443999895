"""UPerNet on ResNet-101 (Xiao et al., arXiv 1807.10221), for ADE20K.

As in CSAILVision/semantic-segmentation-pytorch; SPADE's authors scored with its baseline-resnet101-upernet. The input
of that is BGR in 0 .. 255, minus a mean. In August 2019 (pull request 190) the same weights were released for
normalized RGB, as ade20k-resnet101-upernet, in files of the same names.
"""
import paddle
import paddle.nn.functional as F
from paddle import nn

from result.networks.inputs import IMAGENET_RGB, bgr_less, normalized
from result.networks.layers import bottlenecks, convolution_and_norm, convolve

POOLS = (1, 2, 3, 6)                 # sides of the pooled maps
CHANNELS = (256, 512, 1024, 2048)    # of the four levels of the ResNet
WIDTH = 512                          # channels of the decoder
MEAN_BGR = (102.9801, 115.9465, 122.7717)
LARGEST_NORMALIZED = 2.64            # absolute value of (1 - 0.406) / 0.225: white, in ImageNet's normalized blue


class ResNet(nn.Layer):
    """(N, 3, H, W) -> the levels at 1/4, 1/8, 1/16 and 1/32; the stem is three 3x3 convolutions."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = convolution_and_norm(3, 64, 3, 2)
        self.conv2, self.bn2 = convolution_and_norm(64, 64, 3)
        self.conv3, self.bn3 = convolution_and_norm(64, 128, 3)
        self.layer1 = bottlenecks(128, 64, 3)
        self.layer2 = bottlenecks(256, 128, 4, 2)
        self.layer3 = bottlenecks(512, 256, 23, 2)
        self.layer4 = bottlenecks(1024, 512, 3, 2)

    def forward(self, x):
        x = convolve(convolve(x, self.conv1, self.bn1), self.conv2, self.bn2)
        x = F.max_pool2d(convolve(x, self.conv3, self.bn3), 3, 2, 1)
        levels = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            levels.append(x)
        return levels


class Decoder(nn.Layer):
    """The levels of the ResNet -> logits (N, n_classes, H / 4, W / 4): pyramid pooling, then a feature pyramid."""

    def __init__(self, n_classes):
        super().__init__()
        self.ppm_conv = nn.LayerList(nn.Sequential(*convolution_and_norm(CHANNELS[-1], WIDTH, 1)) for _ in POOLS)
        self.ppm_last_conv = nn.Sequential(*convolution_and_norm(CHANNELS[-1] + len(POOLS) * WIDTH, WIDTH, 3))
        self.fpn_in = nn.LayerList(nn.Sequential(*convolution_and_norm(channels, WIDTH, 1))
                                   for channels in CHANNELS[:-1])
        self.fpn_out = nn.LayerList(nn.Sequential(nn.Sequential(*convolution_and_norm(WIDTH, WIDTH, 3)))
                                    for _ in CHANNELS[:-1])
        self.conv_last = nn.Sequential(nn.Sequential(*convolution_and_norm(len(CHANNELS) * WIDTH, WIDTH, 3)),
                                       nn.Conv2D(WIDTH, n_classes, 1))

    def forward(self, levels):
        top = levels[-1]
        pooled = [convolve(_resized(F.adaptive_avg_pool2d(top, side), top), *layer)
                  for side, layer in zip(POOLS, self.ppm_conv)]
        x = convolve(paddle.concat([top, *pooled], 1), *self.ppm_last_conv)
        pyramid = [x]
        for level, inward, outward in reversed(list(zip(levels, self.fpn_in, self.fpn_out))):
            x = convolve(level, *inward) + _resized(x, level)
            pyramid.insert(0, convolve(x, *outward[0]))
        x = paddle.concat([pyramid[0]] + [_resized(level, pyramid[0]) for level in pyramid[1:]], 1)
        return convolve(convolve(x, *self.conv_last[0]), self.conv_last[1], relu=False)


def _resized(x, like):
    return F.interpolate(x, like.shape[2:], mode='bilinear', align_corners=False)


class UPerNet(nn.Layer):
    """Prepared float32 (N, 3, H, W), H and W multiples of 32 -> logits (N, n_classes, H / 4, W / 4).

    Inference only. Names of the weights as in the two files of the source, with encoder. and decoder. in front.
    """

    def __init__(self, n_classes):
        super().__init__()
        self.encoder, self.decoder = ResNet(), Decoder(n_classes)
        self.eval()

    def sees_bytes(self):
        """Whether the input is 0 .. 255: the first convolution varied more than it can on normalized input.

        A sum of weights w times values up to x varies by at most sqrt(len(w)) * |w| * x.
        """
        weights, deviation = self.encoder.conv1.weight.flatten(1), self.encoder.bn1._variance.sqrt()
        most = weights.norm(axis=1) * weights.shape[1] ** 0.5 * LARGEST_NORMALIZED
        return bool((deviation > most).any())

    def prepare(self, rgb):
        return bgr_less(rgb, MEAN_BGR) if self.sees_bytes() else normalized(rgb, *IMAGENET_RGB)

    @paddle.no_grad()
    def forward(self, x):
        return self.decoder(self.encoder(x))
