"""Checkpoints of the official code (NVlabs/SPADE) -> ours, and back."""
import argparse
import os

from model.convert.official_options import READERS, official_options, written_options
from model.convert.torch_files import read_state_dict, write_state_dict
from model.convert.torch_names import dropped, from_torch, to_torch
from model.discriminator import MultiscaleDiscriminator
from model.generator import SPADEGenerator
from model.init import OPT
from model.presets import PRESETS
from model.vae_encoder import VAEEncoder
from model.weights import WEIGHTS, folder_of, generator_weights, read_weights, set_weights, write_model
from runtime.errors import InputError
from runtime.writing import refuse_existing, writing

NETWORKS = {'G': ('n_g.pdparams', SPADEGenerator), 'D': ('n_d.pdparams', MultiscaleDiscriminator),
            'E': ('n_e.pdparams', VAEEncoder)}
LICENCE = 'The weights keep their licence: NVlabs publishes its models under CC BY-NC-SA 4.0, for non-commercial use.'


def convert(words):
    """CHECKPOINT_DIR/<epoch>_net_{G,D,E}.pth of the official code -> OUTPUT_DIR/model/, weights and opt.json."""
    parser = OPT.parser('Official SPADE checkpoints -> ours. Flags say what neither the shapes nor opt.txt beside the '
                        'weights do: crop_size, aspect_ratio, num_upsampling_layers, and how label channels split into '
                        'labels, unlabelled and instance edges.',
                        [*OPT.network_fields(), 'dataroot'], 'the shapes\' or the preset\'s')
    parser.prog = 'python -m model.convert nvlabs'
    parser.add_argument('checkpoint_dir', help='folder of latest_net_G.pth (and latest_net_D.pth, latest_net_E.pth)')
    parser.add_argument('output_dir', help='new folder; val.py and predict.py take it as --lastoutput')
    parser.add_argument('--preset', default=None, help=f'settings to start from: {", ".join(PRESETS)}')
    parser.add_argument('--which_epoch', default='latest', help='<which_epoch>_net_G.pth is read [latest]')
    arguments = parser.parse_args(words)
    target = os.path.join(arguments.output_dir, 'model')
    refuse_existing(target)

    states, left_out, read, lines = {}, {}, {}, []
    for network in NETWORKS:
        source = os.path.join(arguments.checkpoint_dir, f'{arguments.which_epoch}_net_{network}.pth')
        if not os.path.exists(source):
            if network == 'G':
                raise InputError(f'{source}: no such file; CHECKPOINT_DIR is the folder that holds it, '
                                 f'--which_epoch its first word')
            continue
        if network == 'E' and not read['use_vae']:
            lines.append(f'left out: {source}, since the generator takes no style')
            continue
        official = read_state_dict(source)
        states[network], left_out[network] = (source, from_torch(official)), dropped(official)
        found = READERS[network]({name: array.shape for name, array in states[network][1].items()}, source)
        for name in set(found) & set(read):
            if found[name] != read[name]:
                raise InputError(f'{source}: {name} {found[name]}, but {states["G"][0]} has {read[name]}: not of one '
                                 'training')
        read.update(found)

    area = states['G'][1]['fc.weight'].shape[1] // (16 * read['ngf']) if read['use_vae'] else None
    opt, explained = official_options(read, area, arguments, arguments.preset,
                                      *written_options(arguments.checkpoint_dir))
    for network, (source, state) in states.items():
        set_weights(NETWORKS[network][1](opt), state, source)
        lines.append(f'converted: {source}, {len(state)} tensors, all accounted for{left_out[network]}')
    absent = [network for network in ('D', 'E') if network not in states and (network == 'D' or opt.use_vae)]
    lines += [f'not there: {arguments.which_epoch}_net_{network}.pth' for network in absent]

    write_model(target, opt, {NETWORKS[network][0]: state for network, (_, state) in states.items()}, LICENCE)
    print('\n'.join([*explained, *lines, LICENCE, f'written: {target}']))


def export(words):
    """OUTPUT_DIR/model/ of a training here -> CHECKPOINT_DIR/latest_net_{G,D,E}.pth, as the official code loads them.
    """
    parser = argparse.ArgumentParser(prog='python -m model.convert export nvlabs', description=export.__doc__)
    parser.add_argument('output_dir', help='folder of the run: --output of train.py')
    parser.add_argument('checkpoint_dir', help='folder for the .pth files: checkpoints/<name> of the official code')
    parser.add_argument('--weights', choices=tuple(WEIGHTS), default=None,
                        help='of the generator: the average that training with '
                        '--ema_decay keeps, or the last step\'s [averaged, where there is one]')
    arguments = parser.parse_args(words[1:] if words[:1] == ['nvlabs'] and len(words) > 2 else words)
    folder = folder_of(arguments.output_dir)
    opt = OPT.load(os.path.join(folder, 'opt.json'))
    if (opt.activation, opt.attention) != ('leaky_relu', 'none'):
        raise InputError(f'{folder}: activation {opt.activation}, attention {opt.attention}: the official networks '
                         'have neither')
    weights = generator_weights(folder, arguments.weights)
    files = {network: os.path.join(folder, WEIGHTS[weights] if network == 'G' else file)
             for network, (file, _) in NETWORKS.items()}
    files = {network: path for network, path in files.items() if os.path.exists(path)}
    targets = {network: os.path.join(arguments.checkpoint_dir, f'latest_net_{network}.pth') for network in files}
    for target in targets.values():
        refuse_existing(target)
    for network, path in files.items():
        state = to_torch(read_weights(path))
        with writing(targets[network]) as unfinished:
            write_state_dict(state, unfinished)
        which = f', the {weights} ones ({os.path.basename(path)})' if network == 'G' else ''
        print(f'written: {targets[network]}, {len(state)} tensors{which}')
    spatial = (f'--crop_size {opt.crop_size} --aspect_ratio {opt.aspect_ratio:g} '
               f'--num_upsampling_layers {opt.num_upsampling_layers}')
    widths = ''.join(f' --{name} {getattr(opt, name)}'
                     for name in ('ndf', 'num_D', 'n_layers_D', 'norm_D', 'norm_E', 'z_dim', 'output_nc')
                     if getattr(opt, name) != getattr(OPT(), name))
    print(f'official flags: --label_nc {opt.label_nc} --ngf {opt.ngf} --norm_G {opt.norm_G} {spatial}{widths}'
          f'{" --contain_dontcare_label" * opt.contain_dontcare_label}{" --no_instance" * opt.no_instance}'
          f'{" --use_vae" * opt.use_vae}')
