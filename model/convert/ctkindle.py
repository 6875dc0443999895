"""Weights of ctkindle/SPADE-Paddle: its names -> ours, and the options of its networks.

Its networks have GELU instead of ReLU, and SimAM attention (model/activation.py). The bias of a convolution before an
instance norm has no effect and is dropped. Below crop_size 256 its encoder has one layer less than ours.
"""
import argparse
import os
import re

from model.convert.nvlabs import NETWORKS, converter_parser
from model.convert.official_options import official_options, shape_settings
from model.init import OPT
from model.weights import read_weights, set_weights, write_model
from runtime.errors import InputError
from runtime.writing import refuse_existing

SETTINGS = dict(activation='gelu', attention='simam', preprocess_mode='scale_shortside_and_crop')

# Patterns of its names -> ours. D's first and last layer have no norm; the encoder counts three layers a block.
RENAMED = {
    'G': ((r'(.*)\.spade_([01s])\.(.*)', r'\1.norm_\2.\3'), (r'(.*)\.act_conv_([01s])\.[01]\.(.*)', r'\1.conv_\2.\3'),
          (r'(fc|conv_img)\.(.*)', r'\1.\2')),
    'D': ((r'nld_(\d)\.\1\.block_0\.0\.(.*)', r'discriminator_\1.model0.0.\2'),
          (r'nld_(\d)\.\1\.block_(\d)\.0\.(.*)', r'discriminator_\1.model\2.0.0.\3'),
          (r'nld_(\d)\.\1\.block_(\d)\.(weight|bias)', r'discriminator_\1.model\2.0.\3')),
    'E': ((r'(fc_mu|fc_var)\.(.*)', r'\1.\2'),
          (r'model\.(\d+)\.(.*)', lambda match: f'layer{int(match[1]) // 3 + 1}.0.{match[2]}')),
}
WITHOUT_EFFECT = {'G': r'(?!)', 'D': r'discriminator_\d\.model[1-9]\.0\.0\.bias', 'E': r'layer\d\.0\.bias'}


def read(folder, arguments=None, preset=None):
    """(OPT, dict: our file -> our state dict, lines that report settings, files and dropped tensors).

    folder: has n_g.pdparams and maybe n_d.pdparams, n_e.pdparams; arguments: a namespace of flags, for settings that
    shapes do not determine. InputError for a name or shape of other networks.
    """
    states, settings, lines = {}, {}, []
    for network, (file, _) in NETWORKS.items():
        path = os.path.join(folder, file)
        if network != 'G' and not os.path.exists(path):
            continue
        if network == 'E' and not settings['use_vae']:
            lines.append(f'left out: {path}, because the generator takes no style vector')
            continue
        states[network], dropped = _renamed(network, read_weights(path), path)
        settings.update(shape_settings(network, states[network], path))
        lines.append(f'converted: {path}, {len(states[network])} tensors' + (
            f'; dropped {len(dropped)} biases without effect before a norm: {", ".join(dropped)}' if dropped else ''))
        if network == 'E' and 'layer6.0.weight_orig' not in states['E']:
            raise InputError(f'{path}: an encoder of five layers, which that repository builds below crop_size 256; '
                             'ours has six: only weights of crop_size 256 and above can be converted')
    opt, explained = official_options(settings, states['G'], arguments or argparse.Namespace(), preset)
    for name, value in SETTINGS.items():
        setattr(opt, name, value)
    given = ', '.join(f'{name} {value}' for name, value in SETTINGS.items())
    return opt, {NETWORKS[network][0]: state for network, state in states.items()}, \
        [*explained, f'of ctkindle/SPADE-Paddle: {given}', *lines]


def _renamed(network, state, path):
    """(dict of our names -> arrays, dropped names); InputError for a name of other networks."""
    result, dropped = {}, []
    for name, array in state.items():
        plain = name.removeprefix('_layers.')   # DataParallel's
        matches = [(match, ours) for pattern, ours in RENAMED[network] if (match := re.fullmatch(pattern, plain))]
        if not matches:
            raise InputError(f'{path}: {name} is not a tensor of ctkindle/SPADE-Paddle\'s networks')
        match, ours = matches[0]
        renamed = ours(match) if callable(ours) else match.expand(ours)
        if re.fullmatch(WITHOUT_EFFECT[network], renamed):
            dropped.append(name)
        else:
            result[renamed] = array.astype('float32')
    return result, dropped


def convert(words):
    """n_g.pdparams, n_d.pdparams, n_e.pdparams of ctkindle/SPADE-Paddle in DIR -> OUTPUT_DIR/model/, with opt.json."""
    parser = converter_parser('ctkindle', f'{convert.__doc__} Flags give settings that the shapes do not determine, '
                                          'above all crop_size.',
                              {*OPT.network_fields(), 'dataroot'} - {*SETTINGS},
                              'dir', 'folder of n_g.pdparams (and n_d.pdparams, n_e.pdparams): its output/model')
    arguments = parser.parse_args(words)
    target = os.path.join(arguments.output_dir, 'model')
    refuse_existing(target)
    opt, states, lines = read(arguments.dir, arguments, arguments.preset)
    for file, network in NETWORKS.values():
        if file in states:
            set_weights(network(opt), states[file], os.path.join(arguments.dir, file))
    write_model(target, opt, states)
    print('\n'.join([*lines, f'written: {target}']))
