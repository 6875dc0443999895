"""SPADE, the norms without parameters under it, and the norms of discriminator and encoder."""
import paddle
from paddle import nn
from paddle.nn.utils import spectral_norm

HIDDEN = 128  # channels between the label map and gamma, beta (official models/networks/normalization.py)
EPSILON = 1e-5


class SPADE(nn.Layer):
    """Spatially-adaptive normalization (paper, section 3): normalize, then scale and shift per pixel by the label map."""

    def __init__(self, channels, opt):
        super().__init__()
        norm = opt.generator_norm
        padding = norm.kernel_size // 2
        self.param_free_norm = parameter_free_norm(norm.kind, channels)
        self.mlp_shared = nn.Sequential(nn.Conv2D(opt.semantic_nc, HIDDEN, norm.kernel_size, padding=padding), nn.ReLU())
        self.mlp_gamma = nn.Conv2D(HIDDEN, channels, norm.kernel_size, padding=padding)
        self.mlp_beta = nn.Conv2D(HIDDEN, channels, norm.kernel_size, padding=padding)

    def forward(self, x, semantics):
        """x (N, channels, H, W), a SemanticMap of N maps of any size -> (N, channels, H, W)."""
        hidden = self.mlp_shared(semantics.one_hot(x.shape[2:]))
        return self.param_free_norm(x) * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)


class BatchNorm(nn.Layer):
    """Batch norm over (N, C, H, W) whose running variance is unbiased, as torch's is and Paddle's is not.

    Written out, as InstanceNorm is, because Paddle's kernels round epsilon to float32 even in float64: that alone moved
    gradients by 5e-7.
    """

    MOMENTUM = 0.9  # torch's 0.1: of the old value

    def __init__(self, channels, affine):
        super().__init__()
        self.weight = self.create_parameter([channels], default_initializer=nn.initializer.Constant(1.0)) if affine else None
        self.bias = self.create_parameter([channels], is_bias=True) if affine else None
        self.register_buffer('_mean', paddle.zeros([channels]))
        self.register_buffer('_variance', paddle.ones([channels]))

    def forward(self, x):
        per_channel = [1, -1, 1, 1]
        if self.training:
            y, mean, variance = standardized(x, [0, 2, 3])
            count = x.shape[0] * x.shape[2] * x.shape[3]
            self._update(self._mean, mean)
            self._update(self._variance, variance * (count / max(count - 1, 1)))
        else:
            y = (x - self._mean.reshape(per_channel)) * (self._variance.reshape(per_channel) + EPSILON) ** -0.5
        if self.weight is not None:
            y = y * self.weight.reshape(per_channel) + self.bias.reshape(per_channel)
        return y

    @paddle.no_grad()
    def _update(self, running, value):
        running.set_value(self.MOMENTUM * running + (1 - self.MOMENTUM) * value.flatten())


class InstanceNorm(nn.Layer):
    """Each channel of each image (N, C, H, W) to mean 0 and variance 1; no parameters, no state."""

    def forward(self, x):
        return standardized(x, [2, 3])[0]


def standardized(x, axes):
    """x to mean 0 and variance 1 over `axes`, and that mean and (biased) variance with `axes` kept as 1."""
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    variance = (centred * centred).mean(axes, keepdim=True)
    return centred * (variance + EPSILON) ** -0.5, mean, variance


def parameter_free_norm(kind, channels):
    """The norm inside SPADE: 'batch', 'syncbatch' (the same in a single process) or 'instance'."""
    return InstanceNorm() if kind == 'instance' else BatchNorm(channels, affine=False)


def normalized_convolution(in_channels, out_channels, kernel_size, stride, padding, norm):
    """Convolution of discriminator and encoder with `norm` (a LayerNorm of model/init.py).

    As the official get_nonspade_norm_layer: a norm takes the bias away, batch norm is affine, instance norm is not.
    """
    plain = norm.kind == 'none'
    convolution = nn.Conv2D(in_channels, out_channels, kernel_size, stride, padding, bias_attr=None if plain else False)
    if norm.spectral:
        convolution = spectral_norm(convolution)
    if plain:
        return convolution
    return nn.Sequential(convolution, InstanceNorm() if norm.kind == 'instance' else BatchNorm(out_channels, affine=True))
