"""pix2pixHD's generator: the paper's baseline, without SPADE (Wang et al., CVPR 2018; Park et al., section 4, Table 3;
official models/networks/generator.py, Pix2PixHDGenerator, and architecture.py, ResnetBlock).
"""
import paddle.nn.functional as F
from paddle import nn

from model.activation import activate_hidden, attend
from model.convolution import Convolution, TransposedConvolution
from model.fast import in_use
from model.fast.window_tables import convolution_of_maps
from model.init import PIX2PIXHD_LAST_KERNEL
from model.initialization import initialize
from model.normalization import normalized, normalized_convolution
from model.semantics import mirrored_convolution
from runtime.errors import InputError


class Pix2PixHDGenerator(nn.Layer):
    """SemanticMap -> picture in [-1, 1]: halvings, residual blocks, doublings. The label map enters at the input only.

    `model` holds the layers under their positions in the official Sequential, where paddings and activations count.
    """

    def __init__(self, opt):
        super().__init__()
        opt.check_generator()
        _ = opt.latent_size     # InputError for a size that the halvings do not divide
        self.opt, norm, channels = opt, opt.generator_norm, opt.ngf
        kernel, stride, _ = mirrored_convolution(opt)
        layers = [(2, normalized_convolution(opt.semantic_nc, channels, kernel, stride, 0, norm, opt, map_at=0))]
        for _ in range(opt.resnet_n_downsample):
            layers.append((2, normalized_convolution(channels, 2 * channels, 3, 2, 1, norm, opt)))
            channels *= 2
        layers += [(1, ResnetBlock(channels, opt)) for _ in range(opt.resnet_n_blocks)]
        for _ in range(opt.resnet_n_downsample):
            channels //= 2
            doubling = TransposedConvolution(2 * channels, channels, bias=norm.kind == 'none', spectral=norm.spectral)
            layers.append((2, normalized(doubling, channels, norm, opt)))
        self.model, position = nn.Layer(), 1
        for places, layer in layers:
            self.model.add_sublayer(str(position), layer)
            position += places
        self.model.add_sublayer(str(position + 1), Convolution(channels, opt.output_nc, PIX2PIXHD_LAST_KERNEL, opt))
        initialize(self)

    def forward(self, semantics, z=None):
        """SemanticMap of N maps -> (N, output_nc, *size); z is unused.

        InputError for a size that the halvings do not divide, or that is too small to be mirrored.
        """
        opt, size = self.opt, semantics.size
        if any(side % opt.size_multiple or side < opt.least_side for side in size):
            raise InputError(f'label maps {size[1]} wide and {size[0]} high: this generator paints sides that are '
                             f'multiples of {opt.size_multiple}, from {opt.least_side} on')
        first, *layers, last = self.model.children()
        x = self._first_layer(first, semantics)
        for layer in layers:
            x = layer(x) if isinstance(layer, ResnetBlock) else normalized_output(layer, x, self.opt)
        return F.tanh(last(mirrored(x, PIX2PIXHD_LAST_KERNEL)))

    def _first_layer(self, layer, semantics):
        """From the one-hot map, or from the distinct windows of the label map."""
        convolution, norm = _parts(layer)
        if semantics.modulation == 'dense':
            x = convolution(mirrored(semantics.one_hot(), self.opt.resnet_initial_kernel_size))
        else:
            windows = semantics.windows(*mirrored_convolution(self.opt), mirrored=True)
            x = convolution_of_maps(convolution.normalized_weight(), windows, semantics, self.opt)
            x = x if convolution.bias is None else x + convolution.bias.reshape([1, -1, 1, 1])
        return _finished(norm, x, self.opt)


class ResnetBlock(nn.Layer):
    """x + f(x); f: two convolutions with norms, and an activation between them."""

    def __init__(self, channels, opt):
        super().__init__()
        self.opt, self.conv_block = opt, nn.Layer()
        for position in '14':   # in the official Sequential
            self.conv_block.add_sublayer(position, normalized_convolution(
                channels, channels, opt.resnet_kernel_size, 1, 0, opt.generator_norm, opt))

    def forward(self, x):
        """(N, channels, H, W) -> the same shape."""
        first, second = self.conv_block.children()
        y = normalized_output(first, mirrored(x, self.opt.resnet_kernel_size), self.opt)
        y = normalized_output(second, mirrored(y, self.opt.resnet_kernel_size), self.opt, activated=False)
        return attend(x + y, self.opt)


def mirrored(x, kernel):
    """x (N, C, H, W) with its pixels reflected at the border, so that an odd `kernel` keeps its size."""
    return F.pad(x, [kernel // 2] * 4, mode='reflect')


def normalized_output(layer, x, opt, activated=True):
    """The convolution of x with its norm, and, if `activated`, ReLU (GELU with opt.activation gelu)."""
    convolution, norm = _parts(layer)
    return _finished(norm, convolution(x), opt, activated)


def _finished(norm, x, opt, activated=True):
    if norm is not None and in_use(opt, x) and opt.activation == 'leaky_relu':
        return norm.compiled(x, 0.0 if activated else 1.0)
    x = x if norm is None else norm(x)
    return activate_hidden(x, opt) if activated else x


def _parts(layer):
    """(convolution, norm or None) of a normalized convolution."""
    return tuple(layer.children()) if isinstance(layer, nn.Sequential) else (layer, None)
