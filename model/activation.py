"""Activations, and the attention of ctkindle/SPADE-Paddle: options `activation` and `attention`."""
import paddle.nn.functional as F

SLOPE = 0.2         # of the leaky ReLU everywhere (official code)
SIMAM_LAMBDA = 1e-4  # regularizer of SimAM's energy (Yang et al., ICML 2021)


def activate(x, opt):
    """Between convolutions: leaky ReLU, or GELU."""
    return F.gelu(x) if opt.activation == 'gelu' else F.leaky_relu(x, SLOPE)


def activate_hidden(x, opt):
    """Inside SPADE, between the label map and gamma, beta: ReLU, or GELU."""
    return F.gelu(x) if opt.activation == 'gelu' else F.relu(x)


def attend(x, opt):
    """x (N, C, H, W), unchanged, or each value multiplied by SimAM's sigmoid of its distance from the channel's mean.

    The variance divides by pixels - 1; a single pixel has variance 0.
    """
    if opt.attention == 'none':
        return x
    squares = (x - x.mean([2, 3], keepdim=True)) ** 2
    variance = squares.sum([2, 3], keepdim=True) / max(x.shape[2] * x.shape[3] - 1, 1)
    return x * F.sigmoid(squares / (4 * (variance + SIMAM_LAMBDA)) + 0.5)
