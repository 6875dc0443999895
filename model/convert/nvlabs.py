"""Checkpoints of the official code (NVlabs/SPADE) -> ours, and the reverse."""
import argparse
import os

from model.convert.official_options import RESNET, official_options, shape_settings, written_options
from model.convert.torch_files import read_state_dict, write_state_dict
from model.convert.torch_names import dropped, from_torch, to_torch
from model.discriminator import MultiscaleDiscriminator
from model.generator import build_generator
from model.init import OPT, ConcatNorm
from model.presets import PRESET_HELP
from model.vae_encoder import VAEEncoder
from model.weights import (
    WEIGHTS,
    WEIGHTS_HELP,
    folder_of,
    generator_weights,
    read_weights,
    set_weights,
    write_model,
)
from runtime.errors import InputError
from runtime.writing import refuse_existing, writing

NETWORKS = {'G': ('n_g.pdparams', build_generator), 'D': ('n_d.pdparams', MultiscaleDiscriminator),
            'E': ('n_e.pdparams', VAEEncoder)}
LICENCE = 'The weights keep their licence: NVlabs publishes its models under CC BY-NC-SA 4.0, for non-commercial use.'


def converter_parser(source, description, names, folder, help):
    """Parser of a converter: `folder`, output_dir, --preset, and flags for the options `names`."""
    parser = OPT.parser(description, names, 'the shapes\' or the preset\'s')
    parser.prog = f'python -m model.convert {source}'
    parser.add_argument(folder, help=help)
    parser.add_argument('output_dir', help='new folder, for --lastoutput of val.py and predict.py')
    parser.add_argument('--preset', default=None, help=PRESET_HELP)
    return parser


def convert(words):
    """CHECKPOINT_DIR/<epoch>_net_{G,D,E}.pth of the official code -> OUTPUT_DIR/model/, weights and opt.json."""
    parser = converter_parser(
        'nvlabs', 'Official SPADE checkpoints -> ours. Flags give settings that neither the shapes nor '
                  'opt.txt beside the weights determine: crop_size, aspect_ratio, num_upsampling_layers, and how '
                  'label channels split into labels, unlabelled and instance edges.',
        [*OPT.network_fields(), 'dataroot'],
        'checkpoint_dir', 'folder of latest_net_G.pth (and latest_net_D.pth, latest_net_E.pth)')
    parser.add_argument('--which_epoch', default='latest', help='reads <which_epoch>_net_G.pth [latest]')
    arguments = parser.parse_args(words)
    target = os.path.join(arguments.output_dir, 'model')
    refuse_existing(target)

    states, left_out, settings, lines = {}, {}, {}, []
    for network in NETWORKS:
        source = os.path.join(arguments.checkpoint_dir, f'{arguments.which_epoch}_net_{network}.pth')
        if not os.path.exists(source):
            if network == 'G':
                raise InputError(f'{source}: no such file; CHECKPOINT_DIR is its folder, --which_epoch the first word '
                                 'of its name')
            lines += [f'not there: {os.path.basename(source)}'] * (network == 'D' or settings['use_vae'])
            continue
        if network == 'E' and not settings['use_vae']:
            lines.append(f'left out: {source}, because the generator takes no style vector')
            continue
        official = read_state_dict(source)
        states[network], left_out[network] = (source, from_torch(official)), dropped(official)
        for name, value in shape_settings(network, states[network][1], source).items():
            if settings.setdefault(name, value) != value:
                raise InputError(f'{source}: {name} {value}, but {states["G"][0]} has {settings[name]}: not of one run')

    opt, explained = official_options(settings, states['G'][1], arguments, arguments.preset,
                                      *written_options(arguments.checkpoint_dir))
    for network, (source, state) in states.items():
        set_weights(NETWORKS[network][1](opt), state, source)
        lines.append(f'converted: {source}, {len(state)} tensors, all accounted for{left_out[network]}')

    write_model(target, opt, {NETWORKS[network][0]: state for network, (_, state) in states.items()}, LICENCE)
    print('\n'.join([*explained, *lines, LICENCE, f'written: {target}']))


def export(words):
    """OUTPUT_DIR/model/ of a run here -> CHECKPOINT_DIR/latest_net_{G,D,E}.pth, for the official code."""
    parser = argparse.ArgumentParser(prog='python -m model.convert export nvlabs', description=export.__doc__)
    parser.add_argument('output_dir', help='folder of the run: --output of train.py')
    parser.add_argument('checkpoint_dir', help='folder for the .pth files: checkpoints/<name> of the official code')
    parser.add_argument('--weights', choices=tuple(WEIGHTS), default=None, help=WEIGHTS_HELP)
    arguments = parser.parse_args(words[1:] if words[:1] == ['nvlabs'] and len(words) > 2 else words)
    folder = folder_of(arguments.output_dir)
    opt = OPT.load(os.path.join(folder, 'opt.json'))
    if (opt.activation, opt.attention) != ('leaky_relu', 'none'):
        raise InputError(f'{folder}: activation {opt.activation}, attention {opt.attention}: '
                         'the official networks have neither')
    if isinstance(opt.generator_norm, ConcatNorm):
        raise InputError(f'{folder}: norm_G {opt.norm_G}: the official code has no generator with concatenation')
    if opt.generator_input != 'segmap':
        raise InputError(f'{folder}: generator_input {opt.generator_input}: the official generator has only segmap')
    weights = generator_weights(folder, arguments.weights)
    files = {network: os.path.join(folder, WEIGHTS[weights] if network == 'G' else file)
             for network, (file, _) in NETWORKS.items()}
    targets = {network: os.path.join(arguments.checkpoint_dir, f'latest_net_{network}.pth')
               for network, path in files.items() if os.path.exists(path)}
    for target in targets.values():
        refuse_existing(target)
    for network, target in targets.items():
        state = to_torch(read_weights(files[network]))
        with writing(target) as unfinished:
            write_state_dict(state, unfinished)
        which = f', the {weights} ones ({os.path.basename(files[network])})' if network == 'G' else ''
        print(f'written: {target}, {len(state)} tensors{which}')
    widths = [name for name in ('ndf', 'num_D', 'n_layers_D', 'norm_D', 'norm_E', 'z_dim', 'output_nc')
              if getattr(opt, name) != getattr(OPT(), name)]
    values = ('label_nc', 'ngf', 'norm_G', 'crop_size', 'aspect_ratio', *{
        'spade': ['num_upsampling_layers'], 'pix2pixhd': ['netG', *RESNET]}[opt.netG], *widths)
    switches = [name for name in ('contain_dontcare_label', 'no_instance', 'use_vae') if getattr(opt, name)]
    shown = {**opt.as_dict(), 'aspect_ratio': f'{opt.aspect_ratio:g}'}
    shown.update((name, shown[name].replace('syncbatch', 'sync_batch')) for name in ('norm_G', 'norm_D', 'norm_E')
                 if 'spade' not in shown[name])     # the official code writes it in two ways
    print('official flags:', *[f'--{name} {shown[name]}' for name in values], *[f'--{name}' for name in switches])
