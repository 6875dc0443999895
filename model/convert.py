"""Weights from elsewhere -> ours. PyTorch need not be installed.

    python -m model.convert nvlabs CHECKPOINT_DIR OUTPUT_DIR [--preset NAME] [--crop_size 256 ...]
    python -m model.convert ctkindle DIR OUTPUT_DIR [--crop_size 256 ...]
    python -m model.convert vgg19 SOURCE vgg/vgg19pretrain.pdparams
    python -m model.convert export nvlabs OUTPUT_DIR CHECKPOINT_DIR    ours -> the official code's
    python -m model.convert deeplab|drn|inception FILE.pth OUT.pdparams
    python -m model.convert upernet ENCODER.pth DECODER.pth OUT.pdparams

One function per source reads names and shapes; every tensor must then find its place (model.weights.set_weights).
"""
import argparse
import os
import shutil
import sys

import numpy
import paddle

from model import ctkindle as of_ctkindle
from model.checkpoint import folder_of
from model.discriminator import MultiscaleDiscriminator
from model.errors import InputError, OptionError, shown_in_one_line
from model.generator import SPADEGenerator
from model.init import OPT
from model.official_options import READERS, official_options
from model.presets import PRESETS
from model.torch_files import is_torch_file, read_state_dict, write_state_dict
from model.vae_encoder import VAEEncoder
from model.weights import read_weights, save_weights, set_weights

RENAMED = {'running_mean': '_mean', 'running_var': '_variance'}   # batch-norm statistics: PyTorch's name -> Paddle's
DROPPED = 'num_batches_tracked'                                   # counts batches for a momentum that nothing here uses
OFFICIAL_NETWORKS = {'G': ('n_g.pdparams', SPADEGenerator), 'D': ('n_d.pdparams', MultiscaleDiscriminator),
                     'E': ('n_e.pdparams', VAEEncoder)}
LICENCE = 'The weights keep their licence: NVlabs publishes its models under CC BY-NC-SA 4.0, for non-commercial use.'


# ---- Names and tensors

def from_torch(state):
    """dict of our names -> float32 arrays: batch-norm statistics renamed, linear weights (out, in) turned to (in, out)."""
    prefix = 'module.' if all(name.startswith('module.') for name in state) else ''   # DataParallel's
    converted = {}
    for name, array in state.items():
        *path, last = name[len(prefix):].split('.')
        if last != DROPPED:
            array = array.T if last == 'weight' and array.ndim == 2 else array
            converted['.'.join([*path, RENAMED.get(last, last)])] = numpy.array(array, numpy.float32, order='C')
    return converted


def to_torch(state):
    """The way back: dict of the official names -> arrays, with a counter of batches (0) beside each running variance."""
    official, back = {}, {ours: theirs for theirs, ours in RENAMED.items()}
    for name, array in state.items():
        *path, last = name.split('.')
        array = array.T if last == 'weight' and array.ndim == 2 else array
        official['.'.join([*path, back.get(last, last)])] = numpy.ascontiguousarray(array)
        if last == '_variance':
            official['.'.join([*path, DROPPED])] = numpy.array(0, numpy.int64)
    return official


# ---- The sources

def nvlabs(words):
    """CHECKPOINT_DIR/<epoch>_net_{G,D,E}.pth of the official code -> OUTPUT_DIR/model/, weights and opt.json."""
    parser = OPT.parser('Official SPADE checkpoints -> ours. Flags say what the shapes cannot: crop_size, aspect_ratio, '
                        'num_upsampling_layers, and how label channels split into labels, unlabelled and instance edges.')
    parser.prog = 'python -m model.convert nvlabs'
    parser.add_argument('checkpoint_dir', help='folder of latest_net_G.pth (and latest_net_D.pth, latest_net_E.pth)')
    parser.add_argument('output_dir', help='new folder; val.py and predict.py take it as --lastoutput')
    parser.add_argument('--preset', help=f'settings to start from: {", ".join(PRESETS)}')
    parser.add_argument('--which_epoch', default='latest', help='<which_epoch>_net_G.pth is read [latest]')
    arguments = parser.parse_args(words)
    target = os.path.join(arguments.output_dir, 'model')
    _refuse_existing(target)

    states, read, lines = {}, {}, []
    for network in OFFICIAL_NETWORKS:
        source = os.path.join(arguments.checkpoint_dir, f'{arguments.which_epoch}_net_{network}.pth')
        if not os.path.exists(source):
            if network == 'G':
                raise InputError(f'{source}: no such file; CHECKPOINT_DIR is the folder that holds it, '
                                 f'--which_epoch its first word')
            continue
        if network == 'E' and not read['use_vae']:
            lines.append(f'left out: {source}, since the generator takes no style')
            continue
        states[network] = source, from_torch(read_state_dict(source))
        found = READERS[network]({name: array.shape for name, array in states[network][1].items()}, source)
        for name in set(found) & set(read):
            if found[name] != read[name]:
                raise InputError(f'{source}: {name} {found[name]}, but {states["G"][0]} has {read[name]}: not of one training')
        read.update(found)

    area = states['G'][1]['fc.weight'].shape[1] // (16 * read['ngf']) if read['use_vae'] else None
    opt, explained = official_options(read, area, arguments)
    for network, (source, state) in states.items():
        set_weights(OFFICIAL_NETWORKS[network][1](opt), state, source)
        lines.append(f'converted: {source}, {len(state)} tensors, all accounted for')
    absent = [network for network in ('D', 'E') if network not in states and (network == 'D' or opt.use_vae)]
    lines += [f'not there: {arguments.which_epoch}_net_{network}.pth' for network in absent]

    def write(folder):
        os.mkdir(folder)
        for network, (_, state) in states.items():
            save_weights(state, os.path.join(folder, OFFICIAL_NETWORKS[network][0]))
        opt.save(os.path.join(folder, 'opt.json'))
        with open(os.path.join(folder, 'licence.txt'), 'w') as file:    # exported files carry it
            file.write(f'{LICENCE}\n')

    _write(target, write)
    print('\n'.join([*explained, *lines, LICENCE, f'written: {target}']))


def ctkindle(words):
    """n_g.pdparams, n_d.pdparams and n_e.pdparams of ctkindle/SPADE-Paddle in DIR -> OUTPUT_DIR/model/, with opt.json."""
    parser = OPT.parser(f'{ctkindle.__doc__} Flags say what the shapes cannot, above all crop_size.')
    parser.prog = 'python -m model.convert ctkindle'
    parser.add_argument('dir', help='folder of n_g.pdparams (and n_d.pdparams, n_e.pdparams): its output/model')
    parser.add_argument('output_dir', help='new folder; val.py and predict.py take it as --lastoutput')
    parser.add_argument('--preset', help=f'settings to start from: {", ".join(PRESETS)}')
    arguments = parser.parse_args(words)
    target = os.path.join(arguments.output_dir, 'model')
    _refuse_existing(target)
    opt, states, lines = of_ctkindle.read(arguments.dir, arguments)
    for file, network in OFFICIAL_NETWORKS.values():
        if file in states:
            set_weights(network(opt), states[file], os.path.join(arguments.dir, file))

    def write(folder):
        os.mkdir(folder)
        for file, state in states.items():
            save_weights(state, os.path.join(folder, file))
        opt.save(os.path.join(folder, 'opt.json'))

    _write(target, write)
    print('\n'.join([*lines, f'written: {target}']))


def export(words):
    """OUTPUT_DIR/model/ of a training here -> CHECKPOINT_DIR/latest_net_{G,D,E}.pth, as the official code loads them."""
    parser = argparse.ArgumentParser(prog='python -m model.convert export nvlabs', description=export.__doc__)
    parser.add_argument('output_dir', help='folder of the run: --output of train.py')
    parser.add_argument('checkpoint_dir', help='folder for the .pth files: checkpoints/<name> of the official code')
    arguments = parser.parse_args(words[1:] if words[:1] == ['nvlabs'] and len(words) > 2 else words)
    folder = folder_of(arguments.output_dir)
    opt = OPT.load(os.path.join(folder, 'opt.json'))
    if (opt.activation, opt.attention) != ('leaky_relu', 'none'):
        raise InputError(f'{folder}: activation {opt.activation}, attention {opt.attention}: the official networks have neither')
    files = {network: os.path.join(folder, file) for network, (file, _) in OFFICIAL_NETWORKS.items()}
    files = {network: path for network, path in files.items() if os.path.exists(path)}
    targets = {network: os.path.join(arguments.checkpoint_dir, f'latest_net_{network}.pth') for network in files}
    for target in targets.values():
        _refuse_existing(target)
    for network, path in files.items():
        state = to_torch(read_weights(path))
        _write(targets[network], lambda unfinished: write_state_dict(state, unfinished))
        print(f'written: {targets[network]}, {len(state)} tensors')
    spatial = f'--crop_size {opt.crop_size} --aspect_ratio {opt.aspect_ratio:g} --num_upsampling_layers {opt.num_upsampling_layers}'
    widths = ''.join(f' --{name} {getattr(opt, name)}' for name in ('ndf', 'num_D', 'n_layers_D', 'norm_D', 'norm_E', 'z_dim',
                                                                    'output_nc') if getattr(opt, name) != getattr(OPT(), name))
    print(f'official flags: --label_nc {opt.label_nc} --ngf {opt.ngf} --norm_G {opt.norm_G} {spatial}{widths}'
          f'{" --contain_dontcare_label" * opt.contain_dontcare_label}{" --no_instance" * opt.no_instance}'
          f'{" --use_vae" * opt.use_vae}')


def vgg19(words):
    """VGG19 weights of torchvision, of Paddle or of ctkindle/SPADE-Paddle -> the layers of the perceptual loss."""
    from vgg.vgg19 import VGG19Features, of_paddleclas
    parser = argparse.ArgumentParser(prog='python -m model.convert vgg19', description=vgg19.__doc__)
    parser.add_argument('source', help='vgg19-dcbb9e9d.pth of torchvision, vgg19.pdparams of paddle.vision.models, or '
                        'vgg19pretrain.pdparams of ctkindle/SPADE-Paddle (PaddleClas, without biases)')
    parser.add_argument('output', help='where the perceptual loss reads it: vgg/vgg19pretrain.pdparams')
    arguments = parser.parse_args(words)
    _refuse_existing(arguments.output)
    state, features = of_paddleclas(_read_any(arguments.source)), VGG19Features()
    kept = {name: numpy.array(state[name], numpy.float32) for name in features.state_dict() if name in state}
    missing = [name for name in features.state_dict() if name not in state]
    if missing:
        raise InputError(f'{arguments.source}: no VGG19 (without batch norm): {len(missing)} tensors are missing, the first '
                         f'{missing[0]}; found {len(state)}, the first {", ".join(list(state)[:3])}')
    set_weights(features, kept, arguments.source)
    _write(arguments.output, lambda path: save_weights(kept, path))
    print(f'kept: {len(kept)} tensors, features.0 to features.28 (relu1_1 to relu5_1)\n'
          f'left out: {len(state) - len(kept)} tensors, of later layers and the classifier\nwritten: {arguments.output}')


def deeplab(words):
    """deeplabv2_resnet101_msc-cocostuff164k-100000.pth of kazuto1011/deeplab-pytorch -> result/deeplabv2_cocostuff.pdparams"""
    _scoring_network('deeplab', words, ('FILE.pth',))


def drn(words):
    """drn-d-105_ms_cityscapes.pth of fyu/drn -> result/drn_d_105_cityscapes.pdparams"""
    _scoring_network('drn', words, ('FILE.pth',))


def upernet(words):
    """encoder_epoch_50.pth, decoder_epoch_50.pth of CSAILVision's resnet101-upernet -> result/upernet_ade20k.pdparams"""
    _scoring_network('upernet', words, ('ENCODER.pth', 'DECODER.pth'), ('encoder.', 'decoder.'))


def inception(words):
    """pt_inception-2015-12-05-6726825d.pth of mseitzer/pytorch-fid -> result/inception_fid.pdparams"""
    _scoring_network('inception', words, ('FILE.pth',))


def _scoring_network(name, words, files, prefixes=('',)):
    """The files named in `words` -> one file, whose tensors are theirs behind the prefixes."""
    from result.networks import NETWORKS
    parser = argparse.ArgumentParser(prog=f'python -m model.convert {name}', description=SOURCES[name].__doc__)
    parser.add_argument('sources', nargs=len(files), metavar=files if len(files) > 1 else files[0])
    parser.add_argument('output', metavar='OUT.pdparams')
    arguments = parser.parse_args(words)
    _refuse_existing(arguments.output)
    state = {}
    for source, prefix in zip(arguments.sources, prefixes):
        state.update({f'{prefix}{tensor}': array for tensor, array in from_torch(_read_any(source)).items()})
    network = NETWORKS[name].filled(state, ' and '.join(arguments.sources))
    _write(arguments.output, lambda path: save_weights(state, path))
    classes = f', {network.classes} classes' if network.classes else ''
    print(f'converted: {len(state)} tensors, all accounted for{classes}\nwritten: {arguments.output}')


SOURCES = {'nvlabs': nvlabs, 'ctkindle': ctkindle, 'vgg19': vgg19, 'export': export, 'deeplab': deeplab, 'drn': drn,
           'upernet': upernet, 'inception': inception}


# ---- Files

def _read_any(path):
    """dict of name -> array, of a PyTorch or a Paddle file."""
    try:
        of_torch = is_torch_file(path)
    except OSError as error:
        raise InputError(f'{path}: cannot read the file: {error.strerror or error}') from None
    return read_state_dict(path) if of_torch else read_weights(path)


def _refuse_existing(path):
    if os.path.lexists(path):
        raise InputError(f'{path} exists and is left as it is: remove it or choose another place')


def _write(path, write):
    """Let `write(name)` make the file or folder `path` under a name beside it, then rename: it is whole or not there."""
    unfinished = f'{path}.unfinished'
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        _remove(unfinished)
        write(unfinished)
        os.rename(unfinished, path)
    except BaseException as error:
        _remove(unfinished)
        if isinstance(error, OSError):
            raise InputError(f'{path}: cannot be written: {error.strerror or error}') from None
        raise


def _remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.remove(path)


def main(words=None):
    words = sys.argv[1:] if words is None else words
    if words[:1] in ([], ['-h'], ['--help']):
        print(__doc__.strip())
    elif words[0] not in SOURCES:
        raise OptionError(f'source: found {words[0]!r}, allowed: {", ".join(SOURCES)}')
    else:
        paddle.set_device('cpu')   # networks are only filled here, never run
        SOURCES[words[0]](words[1:])


if __name__ == '__main__':
    with shown_in_one_line():
        main()
