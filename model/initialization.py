"""Initial weights, as official GPU training leaves them (official models/networks/base_network.py, init_weights)."""
import math

import paddle
from paddle import nn

from model.normalization import BatchNorm

GAIN = 0.02  # official option init_variance


def initialize(network):
    """Initialize every convolution, linear and affine batch-norm layer of `network` from Paddle's random generator.

    Without spectral norm: Xavier-normal with gain 0.02. With it: uniform in +-1/sqrt(fan_in), torch's default, since
    the official initialization fills a detached copy of the weight. Biases zero; batch-norm scales normal around 1.
    """
    for layer in network.sublayers():
        if isinstance(layer, (nn.Conv2D, nn.Conv2DTranspose, nn.Linear)):
            spectral = hasattr(layer, 'weight_orig')
            weight = layer.weight_orig if spectral else layer.weight
            fan_in, fan_out = _fans(weight.shape, linear=isinstance(layer, nn.Linear))
            if spectral:
                bound = 1 / math.sqrt(fan_in)
                weight.set_value(paddle.uniform(weight.shape, min=-bound, max=bound))
            else:
                weight.set_value(paddle.normal(0.0, GAIN * math.sqrt(2 / (fan_in + fan_out)), weight.shape))
            if layer.bias is not None:
                layer.bias.set_value(paddle.zeros(layer.bias.shape))
        elif isinstance(layer, BatchNorm) and layer.weight is not None:
            layer.weight.set_value(paddle.normal(1.0, GAIN, layer.weight.shape))


def _fans(shape, linear):
    if linear:  # Paddle's shape is (in, out)
        return shape
    receptive = shape[2] * shape[3]
    return shape[1] * receptive, shape[0] * receptive
