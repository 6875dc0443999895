"""Multiscale PatchGAN discriminator (paper, appendix A; official models/networks/discriminator.py)."""
import paddle
import paddle.nn.functional as F
from paddle import nn

from model.initialization import initialize
from model.init import LayerNorm
from model.normalization import normalized_convolution

KERNEL, PADDING, MOST_CHANNELS = 4, 2, 512


class PatchDiscriminator(nn.Layer):
    """One scale: a prediction for each overlapping patch."""

    def __init__(self, opt):
        super().__init__()
        plain = LayerNorm(spectral=False, kind='none')
        channels = opt.ndf
        first = normalized_convolution(opt.semantic_nc + opt.output_nc, channels, KERNEL, 2, PADDING, plain, opt)
        blocks = [nn.Sequential(first, nn.LeakyReLU(0.2))]
        for n in range(1, opt.n_layers_D):
            before, channels = channels, min(2 * channels, MOST_CHANNELS)
            stride = 1 if n == opt.n_layers_D - 1 else 2
            convolution = normalized_convolution(before, channels, KERNEL, stride, PADDING, opt.discriminator_norm, opt)
            blocks.append(nn.Sequential(convolution, nn.LeakyReLU(0.2)))
        blocks.append(nn.Sequential(normalized_convolution(channels, 1, KERNEL, 1, PADDING, plain, opt)))
        self.depth = len(blocks)
        for n, block in enumerate(blocks):
            self.add_sublayer(f'model{n}', block)

    def forward(self, x):
        """(N, semantic_nc + output_nc, H, W) -> list of feature maps, the last the prediction (N, 1, h, w)."""
        features = []
        for n in range(self.depth):
            x = getattr(self, f'model{n}')(x)
            features.append(x)
        return features


class MultiscaleDiscriminator(nn.Layer):
    """num_D discriminators, each at half the scale of the one before."""

    def __init__(self, opt):
        super().__init__()
        self.scales = opt.num_D
        for scale in range(opt.num_D):
            self.add_sublayer(f'discriminator_{scale}', PatchDiscriminator(opt))
        initialize(self)

    def forward(self, semantics, image):
        """SemanticMap of N maps, images (N or 2N, output_nc, H, W) -> per scale, PatchDiscriminator's list.

        With 2N images, [fake; real], both halves see the same maps in one pass, as in the official discriminate().
        """
        maps = semantics.one_hot()
        joint = image.shape[0] // len(semantics)
        x = paddle.concat([paddle.concat([maps] * joint) if joint > 1 else maps, image], axis=1)
        results = []
        for scale in range(self.scales):
            if scale:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, exclusive=True)
            results.append(getattr(self, f'discriminator_{scale}')(x))
        return results


def halves(features):
    """What a joint pass over [fake; real] returned -> the same lists for fake, and for real."""
    def half(part):
        return [[part(feature) for feature in scale] for scale in features]
    return half(lambda feature: feature[:feature.shape[0] // 2]), half(lambda feature: feature[feature.shape[0] // 2:])
