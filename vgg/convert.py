"""python -m model.convert vgg19: converts VGG19 weights for the perceptual loss."""
import argparse

import numpy

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
    parser.add_argument('output', help='where the perceptual loss reads it: vgg/vgg19pretrain.pdparams')
    arguments = parser.parse_args(words)
    refuse_existing(arguments.output)
    state, features = of_paddleclas(read_any(arguments.source)), VGG19Features()
    kept = {name: numpy.array(state[name], numpy.float32) for name in features.state_dict() if name in state}
    missing = [name for name in features.state_dict() if name not in state]
    if missing:
        raise InputError(f'{arguments.source}: not VGG19 (without batch norm): {len(missing)} tensors are missing, '
                         f'first {missing[0]}; found {len(state)}, first {", ".join(list(state)[:3])}')
    set_weights(features, kept, arguments.source)
    with writing(arguments.output) as path:
        save_weights(kept, path)
    print(f'kept: {len(kept)} tensors, features.0 to features.28 (relu1_1 to relu5_1)\n'
          f'left out: {len(state) - len(kept)} tensors, of later layers and the classifier\nwritten: '
          f'{arguments.output}')
