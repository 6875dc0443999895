"""The networks that score pictures: which, made for how many classes, from which file, and what they want to see."""
import os

import numpy
import paddle

from model.weights import read_weights, set_weights
from result.networks import deeplab, drn, upernet
from result.networks.inception import FIDInception
from result.networks.segmenter import WIDTHS, Segmenter
from runtime.errors import InputError

IMAGENET_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)   # mean and deviation, 0 .. 1 (torchvision)


class ScoringNetwork:
    """A kind of network. classes_in names the tensor whose first side is the number of classes; None: it has none.

    prepare(network, rgb) is what that network sees of pictures; `multiple`: of which H and W must be multiples.
    features: number of the features that a Frechet distance compares, and describe(network, rgb) -> (N, features).
    """

    def __init__(self, title, make, file, published, classes_in, multiple=1, prepare=None, scales='one', features=0,
                 describe=None):
        self.title, self.make, self.file, self.published, self.classes_in = title, make, file, published, classes_in
        self.multiple, self.prepare, self.scales = multiple, prepare, scales
        self.features, self.describe = features, describe

    def filled(self, state, source):
        """The network with the weights `state` (name -> array) of the file `source`; InputError for other weights."""
        if self.classes_in and getattr(state.get(self.classes_in), 'ndim', 0) != 4:
            raise InputError(f'{source}: no {self.title}: there is no {self.classes_in} among its {len(state)} tensors,'
                             f' the first {", ".join(list(state)[:2])}; expected what was published as '
                             f'{self.published}')
        classes = state[self.classes_in].shape[0] if self.classes_in else None
        network = self.make(classes) if classes else self.make()
        try:
            set_weights(network, state, source)
        except InputError as error:
            raise InputError(f'{str(error).rsplit(". Use the options", 1)[0]}: no {self.title}; expected what was '
                             f'published as {self.published}') from None
        network.classes = classes
        network.eval()
        return network

    def load(self, folder, classes=None):
        """The network from folder/file; InputError if it is missing, or has other weights or classes."""
        path = os.path.join(folder, self.file)
        if not os.path.exists(path):
            name = next(name for name, network in NETWORKS.items() if network is self)
            raise InputError(f'{path}: the weights of {self.title} are missing; make them with `python -m '
                             f'model.convert {name} {self.published} {path}`, or name their folder with --scoring')
        network = self.filled(read_weights(path), path)
        if network.classes != classes:
            raise InputError(f'{path}: a network of {network.classes} classes, but this data set has {classes}: '
                             f'convert {self.published}, or name another --dataset')
        return network


# ---- What each network wants to see of uint8 rgb (N, H, W, 3)

def _for_deeplab(network, rgb):
    return _bgr_less(deeplab.MEAN_BGR, rgb)


def _for_drn(network, rgb):
    return normalized(drn.MEAN_RGB, drn.DEVIATION_RGB, rgb)


def _for_upernet(network, rgb):
    return _bgr_less(upernet.MEAN_BGR, rgb) if network.sees_bytes() else normalized(*IMAGENET_RGB, rgb)


def _bgr_less(mean, rgb):
    return _channels_first(rgb[..., ::-1].astype(numpy.float32) - numpy.array(mean, numpy.float32))


def _for_segmenter(network, rgb):
    return normalized(*IMAGENET_RGB, rgb)


def _inception_features(network, rgb):
    return network(unit_range(rgb))


def _segmenter_features(network, rgb):
    return network.features(normalized(*IMAGENET_RGB, rgb))


def normalized(mean, deviation, rgb):
    """float32 (N, 3, H, W) of uint8 (N, H, W, 3): 0 .. 1 less mean, by deviation."""
    values = rgb.astype(numpy.float32) / 255 - numpy.array(mean, numpy.float32)
    return _channels_first(values / numpy.array(deviation, numpy.float32))


def unit_range(rgb):
    """float32 (N, 3, H, W) in [0, 1], for FIDInception."""
    return _channels_first(rgb.astype(numpy.float32) / 255)


def _channels_first(values):
    return paddle.to_tensor(numpy.ascontiguousarray(values.transpose(0, 3, 1, 2)))


NETWORKS = {
    'deeplab': ScoringNetwork('DeepLabV2-ResNet101', deeplab.DeepLabV2, 'deeplabv2_cocostuff.pdparams',
                              'deeplabv2_resnet101_msc-cocostuff164k-100000.pth', 'base.aspp.c0.weight',
                              prepare=_for_deeplab, scales='1, 0.75, 0.5 (maximum)'),
    # The stride is 8, and its transposed convolution gives back only multiples of it.
    'drn': ScoringNetwork('DRN-D-105', drn.DRN, 'drn_d_105_cityscapes.pdparams', 'drn-d-105_ms_cityscapes.pth',
                          'seg.weight', 8, _for_drn),
    'upernet': ScoringNetwork('ResNet101-UPerNet', upernet.UPerNet, 'upernet_ade20k.pdparams',
                              'encoder_epoch_50.pth decoder_epoch_50.pth', 'decoder.conv_last.1.weight', 32,
                              _for_upernet),
    'inception': ScoringNetwork('FID Inception-v3', FIDInception, 'inception_fid.pdparams',
                                'pt_inception-2015-12-05-6726825d.pth', None, features=2048,
                                describe=_inception_features),
    # One's own: result.train_segmenter makes it, result.own finds it.
    'segmenter': ScoringNetwork('U-Net of result.train_segmenter', Segmenter, 'segmenter.pdparams',
                                'what result.train_segmenter kept', 'classify.weight', prepare=_for_segmenter,
                                features=WIDTHS[-1], describe=_segmenter_features),
}
