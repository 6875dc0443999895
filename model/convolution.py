"""Convolution with optional spectral norm, by the CPU kernels if they are in use, else by Paddle's operators."""
import paddle
import paddle.nn.functional as F
from paddle import nn

from model import precision
from model.fast import has_bfloat16, in_use, operators

NEVER_ZERO = 1e-12  # smallest divisor of a vector (torch.nn.utils.spectral_norm)


class SpectralWeight:
    """The weight of a convolution, plain or spectral.

    spectral: the weight is weight_orig divided by its largest singular value, estimated with weight_u and weight_v by
    one power iteration per training forward (Miyato et al., 2018; torch.nn.utils.spectral_norm). Unlike Paddle's
    spectral_norm it does not store the quotient, which would double the memory of 97 million weights.
    """

    def make_spectral(self):
        weight = self.weight
        del self.weight
        self.weight_orig = weight
        for name, count in zip(('weight_u', 'weight_v'), self.as_matrix(weight).shape):
            drawn = paddle.randn([count])
            self.register_buffer(name, drawn / (drawn * drawn).sum().sqrt())

    def normalized_weight(self):
        """The weight divided by its singular value; runs a power iteration in training mode."""
        with precision.full():
            return self._normalized_weight()

    def _normalized_weight(self):
        if not self.spectral:
            return self.weight
        matrix, u, v = self.as_matrix(self.weight_orig), self.weight_u, self.weight_v
        if not self.training:
            return self.weight_orig / paddle.dot(u, paddle.mv(matrix, v))
        with paddle.no_grad():
            v = _normalized(paddle.mv(matrix.t(), u))
        product = paddle.mv(matrix, v)
        u = _normalized(product.detach())
        # Copies, since a second forward before backward() advances u and v.
        # set_value() copies through the host on Paddle 2.6.
        paddle.assign(v, output=self.weight_v)
        paddle.assign(u, output=self.weight_u)
        return self.weight_orig / paddle.dot(u, product)


class Convolution(SpectralWeight, nn.Conv2D):
    """nn.Conv2D with one stride and one padding for both directions; `opt` chooses kernels and precision.

    map_at: the first of the semantic_nc input channels that are the label map's (output/init_from.py); None: none is.
    """

    def __init__(self, in_channels, out_channels, kernel_size, opt, stride=1, padding=0, bias=True, spectral=False,
                 map_at=None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias_attr=None if bias else False)
        self.opt, self.stride, self.padding, self.spectral, self.map_at = opt, stride, padding, spectral, map_at
        self.held = False       # set by hold_constant(): the weight never changes again
        # operators.ConstantConvolution. The first forward makes it: cpu_precision may change until then
        self.constant = None
        if spectral:
            self.make_spectral()

    @staticmethod
    def as_matrix(weight):
        """weight (O, C, k, k) -> (O, C * k * k), whose singular value the spectral norm divides by."""
        return weight.flatten(1)

    def forward(self, x, recompute=None):
        """(N, in_channels, H, W) -> (N, out_channels, h, w). recompute() returns x, and spares the kernels storing it.
        """
        if not in_use(self.opt, x):
            return self.convolved(x, self.normalized_weight())
        held = self.held and not self.training and not paddle.is_grad_enabled()
        if held and self.constant is not None:
            return self.constant(x)
        weight = self.weight_orig if self.spectral else self.weight
        singular = operators.singular_value(weight, self.weight_u, self.weight_v,
                                            self.training) if self.spectral else None
        constants = self.bias, self.stride, self.padding, bfloat16(self.opt), singular
        if held:
            self.constant = operators.ConstantConvolution(weight, *constants)
            return self.constant(x)
        return operators.Convolution.apply(x, weight, *constants, recompute)

    def convolved(self, x, weight):
        """forward() by Paddle's operators, with the weight from normalized_weight()."""
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class TransposedConvolution(SpectralWeight, nn.Conv2DTranspose):
    """Kernel 3, twice the size of the input. Its spectral norm is over the second axis of the weight (C, O, 3, 3), O.

    The official pix2pixHD has no other transposed convolutions.
    """

    KERNEL, STRIDE, PADDING = 3, 2, 1

    def __init__(self, in_channels, out_channels, bias=True, spectral=False):
        super().__init__(in_channels, out_channels, self.KERNEL, bias_attr=None if bias else False)
        self.spectral = spectral
        if spectral:
            self.make_spectral()

    @staticmethod
    def as_matrix(weight):
        """weight (C, O, k, k) -> (O, C * k * k), as torch's spectral norm does with transposed convolutions (dim 1)."""
        return weight.transpose([1, 0, 2, 3]).flatten(1)

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, 2H, 2W)."""
        return F.conv2d_transpose(x, self.normalized_weight(), self.bias, self.STRIDE, self.PADDING, output_padding=1)


def hold_constant(network):
    """Promise that the weights of `network` never change again: in eval mode its convolutions prepare them once.

    With the kernels this costs a second copy of the weights that oneDNN multiplies.
    """
    for layer in network.sublayers():
        if isinstance(layer, Convolution):
            layer.held = True


def _normalized(vector):
    return vector / paddle.clip(paddle.norm(vector), min=NEVER_ZERO)


def convolve(x, weight, bias, opt, stride=1, padding=0):
    """conv2d of x (N, C, H, W) with weight (O, C, k, k) and bias (O) or None."""
    if in_use(opt, x):
        return operators.Convolution.apply(x, weight, bias, stride, padding, bfloat16(opt))
    return F.conv2d(x, weight, bias, stride, padding)


def bfloat16(opt):
    """Whether convolutions multiply in bfloat16: the option asks for it and the processor supports it."""
    return opt.cpu_precision == 'bfloat16' and has_bfloat16()
