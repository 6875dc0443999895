"""The options of official SPADE weights: from their shapes, completed by flags, opt.txt or a preset."""
import math
import os
import re

from model.init import OPT, UPSAMPLINGS
from model.presets import PRESETS
from runtime import pickle_file
from runtime.errors import InputError, OptionError

OFFICIAL_CHANNELS = {184: 'coco_stuff_paper', 151: 'ade20k_paper', 36: 'cityscapes_paper'}   # semantic_nc -> preset
UNSEEN = ('crop_size', 'aspect_ratio', 'num_upsampling_layers', 'label_nc', 'contain_dontcare_label', 'no_instance')
RESNET = 'resnet_n_downsample', 'resnet_n_blocks', 'resnet_kernel_size', 'resnet_initial_kernel_size'


# ---- Shapes

class _Shapes(dict):
    """Name -> shape of a converted network. A missing name is an InputError: `source` is another network."""

    def __init__(self, state, source, network):
        super().__init__((name, array.shape) for name, array in state.items())
        self.source, self.network = source, network

    def __missing__(self, name):
        raise InputError(f'{self.source}: no {self.network} of the official SPADE: {name} is missing; found '
                         f'{len(self)} tensors, the first {", ".join(list(self)[:3])}')

    def convolution(self, name):
        """(shape, 'spectral' or '') of the convolution `name`."""
        spectral = f'{name}.weight_orig' in self
        return (self[f'{name}.weight_orig'], 'spectral') if spectral else (self[f'{name}.weight'], '')

    def norm(self, name):
        """norm_D or norm_E of the layer `name`, or pix2pixHD's norm_G.

        With a norm, `name`.0 is the convolution; instance norm has no weights.
        """
        if f'{name}.weight' in self or f'{name}.weight_orig' in self:
            return self.convolution(name)[1] + 'none'
        return self.convolution(f'{name}.0')[1] + ('syncbatch' if f'{name}.1._mean' in self else 'instance')


def _generator_settings(shapes):
    if any(name.startswith('model.1.') for name in shapes):
        return _pix2pixhd_settings(shapes)
    block, spectral = shapes.convolution('head_0.conv_0')
    _, semantic_nc, kernel_size, _ = shapes['head_0.norm_0.mlp_shared.0.weight']
    batch = 'head_0.norm_0.param_free_norm._mean' in shapes
    settings = {'ngf': block[0] // 16, 'output_nc': shapes['conv_img.weight'][0], 'semantic_nc': semantic_nc,
                'use_vae': len(shapes['fc.weight']) == 2,
                'norm_G': f'{spectral}spade{"syncbatch" if batch else "instance"}{kernel_size}x{kernel_size}'}
    if settings['use_vae']:
        settings['z_dim'] = shapes['fc.weight'][0]
    if any(name.startswith('up_4.') for name in shapes):
        settings['num_upsampling_layers'] = 'most'
    return settings


def _pix2pixhd_settings(shapes):
    """Positions in the official Sequential: 1 the first layer, 3, 5, ... halvings, blocks, doublings, the last."""
    norm, positions = shapes.norm('model.1'), {int(name.split('.')[1]) for name in shapes}
    blocks = sorted({int(name.split('.')[1]) for name in shapes if '.conv_block.' in name})
    first, _ = shapes.convolution('model.1' if norm.endswith('none') else 'model.1.0')
    settings = {'netG': 'pix2pixhd', 'ngf': first[0], 'semantic_nc': first[1], 'use_vae': False, 'norm_G': norm,
                'output_nc': shapes[f'model.{max(positions)}.weight'][0],
                'resnet_n_downsample': (max(positions) - len(blocks) - 4) // 4, 'resnet_n_blocks': len(blocks),
                'resnet_initial_kernel_size': first[2]}
    if blocks:
        name = f'model.{blocks[0]}.conv_block.1'
        settings['resnet_kernel_size'] = shapes.convolution(name if norm.endswith('none') else f'{name}.0')[0][2]
    return settings


def _discriminator_settings(shapes):
    places = [re.match(r'discriminator_(\d+)\.model(\d+)\.', name) for name in shapes]
    settings = {'ndf': shapes['discriminator_0.model0.0.weight'][0],
                'num_D': 1 + max(int(place[1]) for place in places if place),
                'n_layers_D': max(int(place[2]) for place in places if place)}
    if settings['n_layers_D'] > 1:   # the first and the last layer have no norm
        settings['norm_D'] = shapes.norm('discriminator_0.model1.0')
    return settings


def _encoder_settings(shapes):
    return {'norm_E': shapes.norm('layer1'), 'z_dim': shapes['fc_mu.weight'][1]}


READERS = {'G': ('generator', _generator_settings), 'D': ('discriminator', _discriminator_settings),
           'E': ('style encoder', _encoder_settings)}


def shape_settings(network, state, source):
    """dict of the settings that determine the shapes of network 'G', 'D' or 'E'; G's have semantic_nc.

    state: name -> array, from the file `source`. InputError if it is another network.
    """
    title, settings = READERS[network]
    try:
        return settings(_Shapes(state, source, title))
    except InputError:
        raise
    except (ValueError, IndexError, TypeError):
        raise InputError(f'{source}: the names are those of a {title} of the official SPADE, but not the '
                         'shapes') from None


# ---- All options

def official_options(read, generator, arguments, named=None, written=None, source=None):
    """(OPT, list of lines with the source of each setting) of official networks.

    read: shape_settings of all networks; generator: G's state; arguments: the command line's namespace; named: a
    preset, by default chosen by the number of label channels; written: settings of the file `source` that training
    wrote. Precedence: flags, shapes, written, preset. InputError if flags or written settings contradict the shapes,
    or if preset or flags give another number of label channels.
    """
    read, written = dict(read), written or {}
    channels = read.pop('semantic_nc')
    flags = {name: getattr(OPT().update(arguments), name) for name in OPT.fields() if name in arguments}
    chosen = {**written, **flags}
    preset = named or (None if written else OFFICIAL_CHANNELS.get(channels))
    opt = OPT.preset(preset) if preset else OPT()
    for name, value in {**read, **chosen}.items():
        if name in read and _plain(value) != _plain(read[name]):
            contradiction = f'{name} {value} contradicts the weights, whose shapes give {read[name]}'
            raise InputError(f'--{contradiction}' if name in flags else
                             f'{source}: {contradiction}: the file is from another run: move it away')
        setattr(opt, name, value)
    if opt.num_upsampling_layers == 'most' and 'num_upsampling_layers' not in read:
        raise InputError('num_upsampling_layers most contradicts the weights, which have no up_4: set normal or more')

    unseen = [name for name in UNSEEN if name != 'num_upsampling_layers' or opt.netG == 'spade']
    sources = {name: 'given' if name in flags else f'from {source}' if name in written else
               f'assumed, preset {preset}' if name in PRESETS.get(preset, ()) else 'assumed, default'
               for name in unseen if name not in read}
    if opt.semantic_nc != channels:
        _split_channels(opt, channels, fixed='label_nc' in chosen or named is not None)
        sources['label_nc'] = f'assumed, the rest of {channels} label channels'
    if opt.use_vae:
        area = generator['fc.weight'].shape[1] // (16 * opt.ngf)
        _fit_latent_size(opt, area, fixed='crop_size' in chosen)
        if 'crop_size' not in chosen:
            sources['crop_size'] = f'assumed, fits the {area} pixels of the first feature map'
    _ = opt.latent_size   # raises for sizes that do not fit together

    lines = ['from the shapes: ' + ', '.join(f'{name} {value}' for name, value in read.items())]
    if preset and not named:
        lines.append(f'assumed: preset {preset}, since {channels} label channels are those of that data set')
    lines += [f'{source}: {name} {getattr(opt, name)}' for name, source in sources.items()]
    others = [f'{name} {value}' for name, value in written.items() if name not in {**sources, **read, **flags}]
    lines += [f'from {source}: {", ".join(others)}'] if others else []
    lines += [f'assumed: syncbatch in {name}, which shapes cannot tell from batch; the pictures are the same'
              for name in ('norm_G', 'norm_D', 'norm_E') if 'sync' in read.get(name, '') and name not in chosen]
    return opt, lines


def _plain(value):
    """`value`, a synchronized norm without its prefix."""
    return re.sub('sync_?', '', value) if isinstance(value, str) else value


def _split_channels(opt, channels, fixed):
    """Set label_nc so that semantic_nc is `channels`; InputError if label_nc is fixed or would be less than 1."""
    others = f'contain_dontcare_label {opt.contain_dontcare_label}, no_instance {opt.no_instance}'
    if fixed or channels <= opt.semantic_nc - opt.label_nc:
        raise InputError(f'the weights have {channels} label channels, but label_nc {opt.label_nc}, {others} make '
                         f'{opt.semantic_nc}: choose other --label_nc, --contain_dontcare_label, '
                         '--no_instance or --preset')
    opt.label_nc += channels - opt.semantic_nc


def _fit_latent_size(opt, area, fixed):
    """Set crop_size so that the first feature map has `area` pixels; InputError if none fits or crop_size is fixed."""
    def fits():
        try:
            return math.prod(opt.latent_size) == area
        except InputError:
            return False

    crop_size = opt.crop_size
    if not fits() and not fixed:
        opt.crop_size = max(1, round(math.sqrt(area * opt.aspect_ratio))) * 2 ** UPSAMPLINGS[opt.num_upsampling_layers]
    if not fits():
        raise InputError(f'crop_size {crop_size}, aspect_ratio {opt.aspect_ratio} and num_upsampling_layers '
                         f'{opt.num_upsampling_layers} do not fit the weights: fc.weight needs a first feature map of '
                         f'{area} pixels' + (': change one of them' if fixed else
                                             ', which no crop_size gives: change one of the other two'))


# ---- opt.txt and opt.pkl

def written_options(folder):
    """(dict of settings, path) from opt.txt, else opt.pkl, which official training writes beside its weights.

    ({}, None) if both files are missing. The dict holds settings of networks and of training. A value that no network
    here supports raises InputError; unsupported values of training are left out.
    """
    for name, reader in (('opt.txt', _text_options), ('opt.pkl', _pickled_options)):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            values, settings = reader(path), {}
            for field, option in OPT.fields().items():
                if field in values and option.effect in ('networks', 'learned'):
                    read = option.parsed if isinstance(values[field], str) else option.checked
                    try:
                        settings[field] = read(values[field])
                    except OptionError as error:
                        if option.effect == 'networks':
                            raise InputError(f'{path}: {error}; move it away and set the options with flags') from None
            return settings, path
    return {}, None


def _text_options(path):
    """dict: name -> text of a file with lines such as `    crop_size: 64    [default: 256]`."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            text = file.read(1 << 20)
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror or error}') from None
    return dict(re.findall(r'^ *(\w+): (.*?)[ \t]*(?:\t\[default: .*\])?$', text, re.M))


class _Namespace:
    """Stand-in for the argparse.Namespace in opt.pkl."""
    settings = None

    def build(self, state):
        self.settings = state


def _pickled_options(path):
    """dict: name -> number, text or bool of the official code's pickled options."""
    try:
        with open(path, 'rb') as file:
            source = pickle_file.Source(file, os.fstat(file.fileno()).st_size)
            settings = getattr(pickle_file.load(source, {('argparse', 'Namespace'): _Namespace}), 'settings', None)
    except (OSError, pickle_file.Refused) as error:
        raise InputError(f'{path}: cannot be read: {error}; move it away and set the options with flags') from None
    if type(settings) is not dict:
        raise InputError(f'{path}: no options of the official code; move it away and set the options with flags')
    return {name: value for name, value in settings.items() if type(value) in (bool, int, float, str)}
