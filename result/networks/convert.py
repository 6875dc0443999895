"""python -m model.convert deeplab, drn, upernet, inception: published scoring networks -> result/*.pdparams."""
import argparse

from model.convert.torch_files import read_any
from model.convert.torch_names import dropped, from_torch
from model.weights import save_weights
from result.networks.kinds import NETWORKS
from runtime.writing import refuse_existing, writing


def deeplab(words):
    """deeplabv2_resnet101_msc-cocostuff164k-100000.pth of kazuto1011/deeplab-pytorch -> deeplabv2_cocostuff.pdparams"""
    _convert('deeplab', deeplab.__doc__, words, ('FILE.pth',))


def drn(words):
    """drn-d-105_ms_cityscapes.pth of fyu/drn -> result/drn_d_105_cityscapes.pdparams"""
    _convert('drn', drn.__doc__, words, ('FILE.pth',))


def upernet(words):
    """encoder_epoch_50.pth, decoder_epoch_50.pth of CSAILVision's resnet101-upernet -> upernet_ade20k.pdparams"""
    _convert('upernet', upernet.__doc__, words, ('ENCODER.pth', 'DECODER.pth'), ('encoder.', 'decoder.'))


def inception(words):
    """pt_inception-2015-12-05-6726825d.pth of mseitzer/pytorch-fid -> result/inception_fid.pdparams"""
    _convert('inception', inception.__doc__, words, ('FILE.pth',))


def _convert(name, description, words, files, prefixes=('',)):
    """The files named in `words` -> one file, whose tensors are theirs behind the prefixes."""
    parser = argparse.ArgumentParser(prog=f'python -m model.convert {name}', description=description)
    parser.add_argument('sources', nargs=len(files), metavar=files if len(files) > 1 else files[0])
    parser.add_argument('output', metavar='OUT.pdparams')
    arguments = parser.parse_args(words)
    refuse_existing(arguments.output)
    found, state = {}, {}
    for source, prefix in zip(arguments.sources, prefixes):
        published = read_any(source)
        found.update({f'{prefix}{tensor}': array for tensor, array in published.items()})
        state.update({f'{prefix}{tensor}': array for tensor, array in from_torch(published).items()})
    network = NETWORKS[name].filled(state, ' and '.join(arguments.sources))
    with writing(arguments.output) as path:
        save_weights(state, path)
    classes = f', {network.classes} classes' if network.classes else ''
    print(f'converted: {len(state)} tensors, all accounted for{classes}{dropped(found)}\nwritten: {arguments.output}')
