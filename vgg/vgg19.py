"""VGG19 (Simonyan and Zisserman, arXiv 1409.1556) up to relu5_1, the features of the perceptual loss."""
import os

import numpy as np
from paddle import nn

from model.convolution import Convolution
from model.init import OPT
from model.weights import read_weights, set_weights
from runtime.errors import InputError

# Channels of the convolutions up to conv5_1, P for 2x2 max pooling: configuration E of the paper. Counting a ReLU after
# each convolution, the positions are the layer numbers of torchvision's and Paddle's vgg19, which name the weights.
LAYERS = (64, 64, 'P', 128, 128, 'P', 256, 256, 256, 256, 'P', 512, 512, 512, 512, 'P', 512)
TAPS = (1, 6, 11, 20, 29)   # positions of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
POOLED = (4, 9, 18, 27)     # positions of the four poolings; ctkindle/SPADE-Paddle compares them and the image
CROP = 224                  # pixels: the side of ctkindle/SPADE-Paddle's central crop


class VGG19Features(nn.Layer):
    """image (N, 3, H, W) in [-1, 1] -> [relu1_1, ..., relu5_1], of shapes (N, 64, H, W) ... (N, 512, H/16, W/16).

    Like the official VGGLoss, this does not normalize the image by ImageNet's mean and deviation.
    path: the weights file; None: random weights. The weights are never trained; gradients reach the image only.
    Names of the weights: features.0.weight ... features.28.bias, as in torchvision. `opt` chooses the kernels.
    """

    def __init__(self, path=None, opt=None):
        super().__init__()
        layers, channels = [], 3
        for layer in LAYERS:
            if layer == 'P':
                layers.append(nn.MaxPool2D(2, 2))
            else:
                layers += [Convolution(channels, layer, 3, opt or OPT(), padding=1), nn.ReLU()]
                channels = layer
        self.features = nn.Sequential(*layers)
        if path is not None:
            self._load(path)
        for parameter in self.parameters():
            parameter.stop_gradient = True
        self.eval()

    def forward(self, image):
        return self._maps(image, TAPS)

    def pooled(self, image):
        """[image, pool1, pool2, pool3, pool4] of the central CROP x CROP pixels, as in ctkindle/SPADE-Paddle's loss."""
        top, left = (max(0, (size - CROP) // 2) for size in image.shape[2:])
        image = image[:, :, top:top + CROP, left:left + CROP]
        return [image, *self._maps(image, POOLED)]

    def _maps(self, image, positions):
        maps = []
        for position, layer in enumerate(self.features[:positions[-1] + 1]):
            image = layer(image)
            if position in positions:
                maps.append(image)
        return maps

    def _load(self, path):
        if not os.path.isfile(path):
            fetch = 'python -m vgg.fetch' + (f' {path}' if path != OPT().vggwpath else '')
            raise InputError(f'{path}: missing VGG19 weights for the perceptual loss: download them (575 MB) with '
                             f'`{fetch}`; or convert torchvision\'s vgg19-dcbb9e9d.pth or Paddle\'s vgg19.pdparams '
                             f'with `python -m model.convert vgg19 FILE {path}`; or train without: --no_vgg_loss true')
        names = self.state_dict()
        arrays = of_paddleclas(read_weights(path))
        whole = {name: value for name, value in arrays.items() if name in names or not _beyond(name)}
        set_weights(self, whole, path)


def of_paddleclas(state):
    """A PaddleClas state dict (_conv_block_2._conv_1.weight; no biases) in our names; others unchanged."""
    if '_conv_block_1._conv_1.weight' not in state:
        return state
    blocks, renamed = (2, 2, 4, 4, 4), {}
    positions = [position for position, layer in enumerate(VGG19Features().features) if isinstance(layer, Convolution)]
    names = [f'_conv_block_{block + 1}._conv_{n + 1}.weight' for block, count in enumerate(blocks)
             for n in range(count)]
    for position, name in zip(positions, names):
        if name in state:
            renamed[f'features.{position}.weight'] = state[name]
            renamed[f'features.{position}.bias'] = state.get(name.replace('weight', 'bias'),
                                                             np.zeros(len(state[name]), np.float32))
    return {**renamed, **{name: value for name, value in state.items() if name not in names}}


def _beyond(name):
    """Whether `name` is of a layer after relu5_1, in a file of the whole network."""
    part, position, _ = (name.split('.') + ['', ''])[:3]
    return part in ('classifier', '_conv_block_5', '_fc1', '_fc2', '_out') or \
        part == 'features' and position.isdigit() and int(position) > TAPS[-1]
