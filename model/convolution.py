"""Convolution with optional spectral norm, by the CPU kernels if they are in use, else by Paddle's operators."""
import paddle
import paddle.nn.functional as F
from paddle import nn

from model import precision
from model.fast import has_bfloat16, in_use, operators

NEVER_ZERO = 1e-12  # smallest divisor of a vector (torch.nn.utils.spectral_norm)


class Convolution(nn.Conv2D):
    """nn.Conv2D with one stride and one padding for both directions; `opt` chooses kernels and precision.

    spectral: the weight is weight_orig divided by its largest singular value, estimated with weight_u and weight_v by
    one power iteration per training forward (Miyato et al., 2018; torch.nn.utils.spectral_norm). Unlike Paddle's
    spectral_norm it does not store the quotient, which would double the memory of 97 million weights.
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
            weight = self.weight
            del self.weight
            self.weight_orig = weight
            for name, count in (('weight_u', out_channels), ('weight_v', in_channels * kernel_size ** 2)):
                drawn = paddle.randn([count])
                self.register_buffer(name, drawn / (drawn * drawn).sum().sqrt())

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

    def normalized_weight(self):
        """The weight divided by its singular value, for `convolved`; runs a power iteration in training mode."""
        with precision.full():
            return self._normalized_weight()

    def _normalized_weight(self):
        if not self.spectral:
            return self.weight
        matrix, u, v = self.weight_orig.flatten(1), self.weight_u, self.weight_v
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


def hold_constant(network):
    """Promise that the weights of `network` never change again: in eval mode its convolutions prepare them once.

    With the kernels this costs a second copy of the weights.
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
