"""Weights of ctkindle/SPADE-Paddle: its names and its networks, in ours.

Its networks have GELU for ReLU and SimAM attention (model/activation.py). Its convolutions before an instance norm have
a bias, which that norm takes away again: it is dropped. Its encoder below crop_size 256 lacks a layer that ours has.
"""
import argparse
import os
import re

from model.convert.nvlabs import NETWORKS
from model.convert.official_options import READERS, official_options
from model.init import OPT
from model.presets import PRESETS
from model.weights import read_weights, set_weights, write_model
from runtime.errors import InputError
from runtime.writing import refuse_existing

FILES = {'G': 'n_g.pdparams', 'D': 'n_d.pdparams', 'E': 'n_e.pdparams'}
SETTINGS = dict(activation='gelu', attention='simam', preprocess_mode='scale_shortside_and_crop')

# Patterns of its names -> ours. D's layer 0 and last have no norm around their convolution;
# the encoder numbers layers by 3.
RENAMED = {
    'G': ((r'(.*)\.spade_([01s])\.(.*)', r'\1.norm_\2.\3'), (r'(.*)\.act_conv_([01s])\.[01]\.(.*)', r'\1.conv_\2.\3'),
          (r'(fc|conv_img)\.(.*)', r'\1.\2')),
    'D': ((r'nld_(\d)\.\1\.block_0\.0\.(.*)', r'discriminator_\1.model0.0.\2'),
          (r'nld_(\d)\.\1\.block_(\d)\.0\.(.*)', r'discriminator_\1.model\2.0.0.\3'),
          (r'nld_(\d)\.\1\.block_(\d)\.(weight|bias)', r'discriminator_\1.model\2.0.\3')),
    'E': ((r'(fc_mu|fc_var)\.(.*)', r'\1.\2'),
          (r'model\.(\d+)\.(.*)', lambda found: f'layer{int(found[1]) // 3 + 1}.0.{found[2]}')),
}
WITHOUT_EFFECT = {'G': r'(?!)', 'D': r'discriminator_\d\.model[1-9]\.0\.0\.bias', 'E': r'layer\d\.0\.bias'}


NO_FLAGS = argparse.Namespace()


def read(folder, arguments=NO_FLAGS, preset=None):
    """(OPT, dict of our file name -> our state dict, lines that tell what was found and dropped).

    folder: with n_g.pdparams and, if they are there, n_d.pdparams and n_e.pdparams; arguments: flags for what shapes
    cannot say, as in official_options. InputError for a name or shape that is not that repository's.
    """
    states, found, lines = {}, {}, []
    for network, file in FILES.items():
        path = os.path.join(folder, file)
        if network != 'G' and not os.path.exists(path):
            continue
        if network == 'E' and not found['use_vae']:
            lines.append(f'left out: {path}, since the generator takes no style')
            continue
        state, dropped = _renamed(network, read_weights(path), path)
        states[file] = state
        found.update(READERS[network]({name: array.shape for name, array in state.items()}, path))
        lines.append(f'converted: {path}, {len(state)} tensors' + (
            f'; dropped {len(dropped)} biases that the norm behind them takes away: {", ".join(dropped)}' if dropped
            else ''))
    area = None
    if found['use_vae']:
        area = states[FILES['G']]['fc.weight'].shape[1] // (16 * found['ngf'])
        if FILES['E'] in states and 'layer6.0.weight_orig' not in states[FILES['E']]:
            raise InputError(f'{os.path.join(folder, FILES["E"])}: an encoder of five layers, as that repository '
                             'builds it below crop_size 256; ours has six: only weights of crop_size 256 and above can '
                             'be converted')
    opt, explained = official_options(found, area, arguments, preset)
    for name, value in SETTINGS.items():
        setattr(opt, name, value)
    given = ', '.join(f'{name} {value}' for name, value in SETTINGS.items())
    return opt, states, [*explained, f'of ctkindle/SPADE-Paddle: {given}', *lines]


def _renamed(network, state, path):
    """(dict of our names -> arrays, names left out); InputError for a name that is not that repository's."""
    result, dropped = {}, []
    for name, array in state.items():
        plain = name.removeprefix('_layers.')   # DataParallel's
        matches = ((re.fullmatch(pattern, plain), ours) for pattern, ours in RENAMED[network])
        match, ours = next((found for found in matches if found[0]), (None, None))
        if match is None:
            raise InputError(f'{path}: {name} is no tensor of ctkindle/SPADE-Paddle\'s networks')
        renamed = ours(match) if callable(ours) else match.expand(ours)
        if re.fullmatch(WITHOUT_EFFECT[network], renamed):
            dropped.append(name)
        else:
            result[renamed] = array.astype('float32')
    return result, dropped


def convert(words):
    """n_g.pdparams, n_d.pdparams and n_e.pdparams of ctkindle/SPADE-Paddle in DIR -> OUTPUT_DIR/model/, with opt.json.
    """
    parser = OPT.parser(f'{convert.__doc__} Flags say what the shapes cannot, above all crop_size.',
                        {*OPT.network_fields(), 'dataroot'} - {*SETTINGS}, 'the shapes\' or the preset\'s')
    parser.prog = 'python -m model.convert ctkindle'
    parser.add_argument('dir', help='folder of n_g.pdparams (and n_d.pdparams, n_e.pdparams): its output/model')
    parser.add_argument('output_dir', help='new folder; val.py and predict.py take it as --lastoutput')
    parser.add_argument('--preset', default=None, help=f'settings to start from: {", ".join(PRESETS)}')
    arguments = parser.parse_args(words)
    target = os.path.join(arguments.output_dir, 'model')
    refuse_existing(target)
    opt, states, lines = read(arguments.dir, arguments, arguments.preset)
    for file, network in NETWORKS.values():
        if file in states:
            set_weights(network(opt), states[file], os.path.join(arguments.dir, file))
    write_model(target, opt, states)
    print('\n'.join([*lines, f'written: {target}']))
