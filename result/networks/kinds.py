"""The networks that score pictures, by name: class, weights file, and the published file it is converted from."""
import os
from dataclasses import dataclass

from model.weights import read_weights, set_weights
from result.networks.deeplab import DeepLabV2
from result.networks.drn import DRN
from result.networks.inception import FIDInception
from result.networks.segmenter import WIDTHS, Segmenter
from result.networks.upernet import UPerNet
from runtime.errors import InputError


@dataclass(frozen=True)
class ScoringNetwork:
    """A kind of network. Its class has prepare(rgb), which makes the input, and with features also describe(rgb)."""
    title: str
    make: type               # its class, called with the number of classes if classes_in is set
    file: str                # its weights, in the folder --scoring
    published: str
    classes_in: str = None   # tensor whose first side is the number of classes; None: a network without classes
    multiple: int = 1        # H and W of its input must be multiples of it
    scales: str = 'one'
    features: int = 0        # number of features that the Frechet distance compares

    def filled(self, state, source):
        """The network with the weights `state` (name -> array) of the file `source`; InputError for other weights."""
        if self.classes_in and getattr(state.get(self.classes_in), 'ndim', 0) != 4:
            raise InputError(f'{source}: no {self.title}: {self.classes_in} is missing; found {len(state)} tensors, '
                             f'the first {", ".join(list(state)[:2])}; expected {self.published}')
        classes = state[self.classes_in].shape[0] if self.classes_in else None
        network = self.make(classes) if classes else self.make()
        try:
            set_weights(network, state, source)
        except InputError as error:
            raise InputError(f'{str(error).rsplit(". Use the options", 1)[0]}: no {self.title}; expected '
                             f'{self.published}') from None
        network.classes = classes
        network.eval()
        return network

    def path(self, folder):
        """folder/file; InputError if it is missing."""
        path = os.path.join(folder, self.file)
        if not os.path.exists(path):
            name = next(name for name, network in NETWORKS.items() if network is self)
            raise InputError(f'{path}: the weights of {self.title} are missing; make them with `python -m '
                             f'model.convert {name} {self.published} {path}`, or name their folder with --scoring')
        return path

    def load(self, folder, classes=None):
        """The network from folder/file; InputError for a missing file, other weights or another number of classes."""
        path = self.path(folder)
        network = self.filled(read_weights(path), path)
        if network.classes != classes:
            raise InputError(f'{path}: a network of {network.classes} classes, but this data set has {classes}: '
                             f'convert {self.published}, or name another --dataset')
        return network


NETWORKS = {
    'deeplab': ScoringNetwork('DeepLabV2-ResNet101', DeepLabV2, 'deeplabv2_cocostuff.pdparams',
                              'deeplabv2_resnet101_msc-cocostuff164k-100000.pth', 'base.aspp.c0.weight',
                              scales='1, 0.75, 0.5 (maximum)'),
    # Its stride is 8; its transposed convolution restores multiples of 8 only.
    'drn': ScoringNetwork('DRN-D-105', DRN, 'drn_d_105_cityscapes.pdparams', 'drn-d-105_ms_cityscapes.pth',
                          'seg.weight', multiple=8),
    'upernet': ScoringNetwork('ResNet101-UPerNet', UPerNet, 'upernet_ade20k.pdparams',
                              'encoder_epoch_50.pth decoder_epoch_50.pth', 'decoder.conv_last.1.weight', multiple=32),
    'inception': ScoringNetwork('FID Inception-v3', FIDInception, 'inception_fid.pdparams',
                                'pt_inception-2015-12-05-6726825d.pth', features=2048),
    # For one's own data: result.train_segmenter trains it, result.own.scoring_network locates it.
    'segmenter': ScoringNetwork('U-Net of result.train_segmenter', Segmenter, 'segmenter.pdparams',
                                'the file of result.train_segmenter', 'classify.weight', features=WIDTHS[-1]),
}
