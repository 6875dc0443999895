"""python -m model.convert deeplab, drn, upernet, inception: published scoring networks -> result/*.pdparams."""
import argparse
from functools import partial

from model.convert.torch_files import read_any
from model.convert.torch_names import dropped, from_torch
from model.weights import save_weights
from result.networks.kinds import NETWORKS
from runtime.writing import refuse_existing, writing


def _convert(name, description, sources, words):
    """Write the tensors of all files as one .pdparams file; sources: dict of file -> prefix of its tensors' names."""
    parser = argparse.ArgumentParser(prog=f'python -m model.convert {name}', description=description)
    for source in sources:
        parser.add_argument(source)
    parser.add_argument('output', metavar='OUT.pdparams')
    arguments = vars(parser.parse_args(words))
    refuse_existing(arguments['output'])
    published, state = {}, {}
    for source, prefix in sources.items():
        tensors = read_any(arguments[source])
        published.update({f'{prefix}{tensor}': array for tensor, array in tensors.items()})
        state.update({f'{prefix}{tensor}': array for tensor, array in from_torch(tensors).items()})
    network = NETWORKS[name].filled(state, ' and '.join(arguments[source] for source in sources))
    with writing(arguments['output']) as path:
        save_weights(state, path)
    classes = f', {network.classes} classes' if network.classes else ''
    print(f'converted: {len(state)} tensors, all accounted for{classes}{dropped(published)}\n'
          f'written: {arguments["output"]}')


deeplab = partial(
    _convert, 'deeplab', 'deeplabv2_resnet101_msc-cocostuff164k-100000.pth of kazuto1011/deeplab-pytorch -> '
    'result/deeplabv2_cocostuff.pdparams', {'FILE.pth': ''})
drn = partial(
    _convert, 'drn', 'drn-d-105_ms_cityscapes.pth of fyu/drn -> result/drn_d_105_cityscapes.pdparams', {'FILE.pth': ''})
upernet = partial(
    _convert, 'upernet', 'encoder_epoch_50.pth and decoder_epoch_50.pth of CSAILVision\'s resnet101-upernet -> '
    'result/upernet_ade20k.pdparams', {'ENCODER.pth': 'encoder.', 'DECODER.pth': 'decoder.'})
inception = partial(
    _convert, 'inception', 'pt_inception-2015-12-05-6726825d.pth of mseitzer/pytorch-fid -> '
    'result/inception_fid.pdparams', {'FILE.pth': ''})
