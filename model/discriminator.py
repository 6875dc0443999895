"""Multiscale PatchGAN discriminator (paper, appendix A; official models/networks/discriminator.py)."""
import paddle
import paddle.nn.functional as F
from paddle import nn

from model.activation import activate, attend
from model.convolution import convolve
from model.fast.window_tables import convolution_of_maps
from model.init import LayerNorm
from model.initialization import initialize
from model.normalization import activated, normalized_convolution
from model.semantics import FIRST_CONVOLUTION

KERNEL, STRIDE, PADDING = FIRST_CONVOLUTION
MOST_CHANNELS = 512


class PatchDiscriminator(nn.Layer):
    """One scale: a prediction for each overlapping patch."""

    def __init__(self, opt):
        super().__init__()
        plain = LayerNorm(spectral=False, kind='none')
        channels = opt.ndf
        first = normalized_convolution(opt.semantic_nc + opt.output_nc, channels, KERNEL, STRIDE, PADDING, plain, opt,
                                       map_at=0)
        blocks = [nn.Sequential(first)]
        for n in range(1, opt.n_layers_D):
            before, channels = channels, min(2 * channels, MOST_CHANNELS)
            stride = 1 if n == opt.n_layers_D - 1 else STRIDE
            convolution = normalized_convolution(before, channels, KERNEL, stride, PADDING, opt.discriminator_norm, opt)
            blocks.append(nn.Sequential(convolution))
        blocks.append(nn.Sequential(normalized_convolution(channels, 1, KERNEL, 1, PADDING, plain, opt)))
        self.opt, self.depth = opt, len(blocks)
        for n, block in enumerate(blocks):
            self.add_sublayer(f'model{n}', block)

    def forward(self, semantics, image, scale):
        """SemanticMap of N maps, images (N or 2N, output_nc, H, W) at 1 / 2 ** scale of their size -> feature maps.

        The last is the prediction (N or 2N, 1, h, w). With 2N images, [fake; real], both halves see the same maps.
        """
        first = self.model0[0]
        x = first(_with_maps(semantics, image, scale)) if semantics.modulation == 'dense' else \
            self._first_layer(first, semantics, image, scale)
        features = [attend(activate(x, self.opt), self.opt)]
        for n in range(1, self.depth):
            block = getattr(self, f'model{n}')[0]
            x = block(features[-1]) if n == self.depth - 1 else activated(block, features[-1], self.opt)
            features.append(attend(x, self.opt))
        return features

    def _first_layer(self, first, semantics, image, scale):
        """The first convolution. Its semantic part is computed once for fake and real, without a one-hot map."""
        of_maps, of_image = paddle.split(first.weight, [semantics.channels, image.shape[1]], axis=1)
        if scale == 0:
            maps = convolution_of_maps(of_maps, semantics.windows(*FIRST_CONVOLUTION), semantics, self.opt)
        else:
            of_present = paddle.index_select(of_maps, paddle.to_tensor(semantics.present()), axis=1)
            maps = convolve(semantics.pooled(scale), of_present, None, self.opt, STRIDE, PADDING)
        seen = convolve(image, of_image, first.bias, self.opt, STRIDE, PADDING)
        return seen + (maps if len(semantics) == len(seen) else paddle.concat([maps, maps]))


def _with_maps(semantics, image, scale):
    """[one-hot map, image] (N or 2N, semantic_nc + output_nc, h, w), the map pooled as the image was."""
    maps = semantics.one_hot()
    for _ in range(scale):
        maps = _halved(maps)
    joint = image.shape[0] // len(semantics)
    return paddle.concat([paddle.concat([maps] * joint) if joint > 1 else maps, image], axis=1)


def _halved(x):
    return F.avg_pool2d(x, 3, stride=2, padding=1, exclusive=True)


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

        The joint pass over 2N images, [fake; real], is the official discriminate(): spectral norms advance once.
        """
        results = []
        for scale in range(self.scales):
            if scale:
                image = _halved(image)
            results.append(getattr(self, f'discriminator_{scale}')(semantics, image, scale))
        return results


def halves(features):
    """Split the features of a joint pass over [fake; real] into (those of fake, those of real)."""
    def half(part):
        return [[part(feature) for feature in scale] for scale in features]
    return half(lambda feature: feature[:feature.shape[0] // 2]), half(lambda feature: feature[feature.shape[0] // 2:])
