"""python -m model.convert vgg19: VGG19 weights for the perceptual loss."""
import argparse

import numpy as np

from model.convert.torch_files import read_any
from model.weights import save_weights, set_weights
from runtime.errors import InputError
from runtime.writing import refuse_existing, writing
from vgg.vgg19 import VGG19Features, of_paddleclas


def convert(words):
    """VGG19 weights of torchvision, of Paddle or of ctkindle/SPADE-Paddle -> the layers of the perceptual loss."""
    parser = argparse.ArgumentParser(prog='python -m model.convert vgg19', description=convert.__doc__)
    parser.add_argument('source', help='vgg19-dcbb9e9d.pth of torchvision, vgg19.pdparams of paddle.vision.models, or '
                        'vgg19pretrain.pdparams of ctkindle/SPADE-Paddle (PaddleClas, without biases)')
    parser.add_argument('output', help='the file to write: vgg/vgg19pretrain.pdparams, the default of --vggwpath')
    arguments = parser.parse_args(words)
    refuse_existing(arguments.output)
    state, features = of_paddleclas(read_any(arguments.source)), VGG19Features()
    used = {name: np.array(state[name], np.float32) for name in features.state_dict() if name in state}
    missing = [name for name in features.state_dict() if name not in state]
    if missing:
        raise InputError(f'{arguments.source}: not VGG19 (without batch norm): {len(missing)} tensors are missing, '
                         f'first {missing[0]}; found {len(state)}, first {", ".join(list(state)[:3])}')
    set_weights(features, used, arguments.source)
    with writing(arguments.output) as path:
        save_weights(used, path)
    print(f'converted: {len(used)} tensors, features.0 to features.28 (relu1_1 to relu5_1)\n'
          f'left out: {len(state) - len(used)} tensors of later layers and the classifier\n'
          f'written: {arguments.output}')
