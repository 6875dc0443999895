"""The options of official SPADE weights: read off the shapes, completed by a preset or flags, every assumption told."""
import math
import os
import re

from model.init import OPT, UPSAMPLINGS
from model.presets import PRESETS
from runtime import pickle_file
from runtime.errors import InputError, OptionError

OFFICIAL_CHANNELS = {184: 'coco_stuff_paper', 151: 'ade20k_paper', 36: 'cityscapes_paper'}   # semantic_nc -> preset
UNSEEN = ('crop_size', 'aspect_ratio', 'num_upsampling_layers', 'label_nc', 'contain_dontcare_label', 'no_instance')


class _Shapes(dict):
    """Name -> shape of a converted network; a name that is not there means that the file `source` is something else."""

    def __init__(self, shapes, source, network):
        super().__init__(shapes)
        self.source, self.network = source, network

    def __missing__(self, name):
        raise InputError(f'{self.source}: no {self.network} of the official SPADE: {name} is missing; found '
                         f'{len(self)} tensors, the first {", ".join(list(self)[:3])}')

    def convolution(self, name):
        """(shape, 'spectral' or '') of the convolution `name`."""
        return (self[f'{name}.weight_orig'],
                'spectral') if f'{name}.weight_orig' in self else (self[f'{name}.weight'], '')

    def norm(self, name):
        """norm_D or norm_E, from the layer `name`: a norm wraps convolution and itself; instance norm has no tensors.
        """
        if f'{name}.weight' in self or f'{name}.weight_orig' in self:
            return self.convolution(name)[1] + 'none'
        return self.convolution(f'{name}.0')[1] + ('syncbatch' if f'{name}.1._mean' in self else 'instance')


def generator_settings(shapes):
    """dict of the settings, semantic_nc among them, that the shapes of a generator tell."""
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


def discriminator_settings(shapes):
    """dict of the settings that the shapes of a multiscale discriminator tell."""
    places = [re.match(r'discriminator_(\d+)\.model(\d+)\.', name) for name in shapes]
    settings = {'ndf': shapes['discriminator_0.model0.0.weight'][0],
                'num_D': 1 + max(int(place[1]) for place in places if place),
                'n_layers_D': max(int(place[2]) for place in places if place)}
    if settings['n_layers_D'] > 1:   # the first and the last layer have no norm
        settings['norm_D'] = shapes.norm('discriminator_0.model1.0')
    return settings


def encoder_settings(shapes):
    """dict of the settings that the shapes of a style encoder tell."""
    return {'norm_E': shapes.norm('layer1'), 'z_dim': shapes['fc_mu.weight'][1]}


def _reader(network, settings):
    """(dict of shapes, source) -> dict of settings; InputError naming `source` if it is no such network."""
    def read(shapes, source):
        try:
            return settings(_Shapes(shapes, source, network))
        except InputError:
            raise
        except (ValueError, IndexError, TypeError):
            raise InputError(f'{source}: the names are those of a {network} of the official SPADE, '
                             f'the shapes are not') from None
    return read


READERS = {'G': _reader('generator', generator_settings), 'D': _reader('discriminator', discriminator_settings),
           'E': _reader('style encoder', encoder_settings)}


def official_options(read, area, arguments, named=None, written=None, source=None):
    """(OPT, list of lines that say where each setting comes from) for official networks.

    read: settings read off the shapes; area: pixels of the first feature map with a style encoder, else None;
    arguments: the command line's namespace; named: a preset, else that of the number of label channels; written:
    settings that the training wrote into the file `source`. Flags come first, then shapes, then those, then the preset;
    InputError for flags or written settings that contradict the shapes, and for a preset or flags that make another
    number of label channels.
    """
    read, written = dict(read), written or {}
    channels = read.pop('semantic_nc')
    flags = {name: getattr(OPT().update(arguments), name) for name in OPT.fields() if name in arguments}
    preset = named or (None if written else OFFICIAL_CHANNELS.get(channels))
    opt = OPT.preset(preset) if preset else OPT()
    for name, value in {**read, **written, **flags}.items():
        if name in read and _plain(value) != _plain(read[name]):
            contradicts = f'contradicts the weights, whose shapes say {read[name]}'
            raise InputError(f'--{name} {value} {contradicts}' if name in flags else
                             f'{source}: {name} {value} {contradicts}: another training wrote it: move it away')
        setattr(opt, name, value)
    if opt.num_upsampling_layers == 'most' and 'num_upsampling_layers' not in read:
        raise InputError('num_upsampling_layers most contradicts the weights, which have no up_4: normal or more')

    sources = {name: 'given' if name in flags else f'from {source}' if name in written else
               f'assumed, preset {preset}' if name in PRESETS.get(preset, ()) else 'assumed, default'
               for name in UNSEEN if name not in read}
    if opt.semantic_nc != channels:
        _split_channels(opt, channels, fixed='label_nc' in {**flags, **written} or named is not None)
        sources['label_nc'] = f'assumed, what is left of {channels} label channels'
    if area is not None:
        _fit_latent_size(opt, area, fixed='crop_size' in {**flags, **written})
        if 'crop_size' not in {**flags, **written}:
            sources['crop_size'] = f'assumed, fits the {area} pixels of the first feature map'
    _ = opt.latent_size   # raises for sizes that do not fit together

    lines = ['read off the shapes: ' + ', '.join(f'{name} {value}' for name, value in read.items())]
    if preset and not named:
        lines.append(f'assumed: preset {preset}, since {channels} label channels are those of that data set')
    lines += [f'{source}: {name} {getattr(opt, name)}' for name, source in sources.items()]
    others = [f'{name} {value}' for name, value in written.items() if name not in {**sources, **read, **flags}]
    lines += [f'from {source}: {", ".join(others)}'] if others else []
    lines += [f'assumed: syncbatch in {name}, which shapes cannot tell from batch; the pictures are the same'
              for name in ('norm_G', 'norm_D', 'norm_E')
              if 'sync' in read.get(name, '') and name not in {**flags, **written}]
    return opt, lines


def written_options(folder):
    """(dict of settings, path) of what official training wrote beside its weights, opt.txt or else opt.pkl;
    ({}, None) without.

    Settings that shape networks or training. Other names, and values of training that nothing here takes, are the
    official code's own. InputError for a value that no network here has.
    """
    for name, reader in (('opt.txt', _text_options), ('opt.pkl', _pickled_options)):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            found = reader(path)
            settings = {}
            for field, option in OPT.fields().items():
                if field in found and option.effect in ('networks', 'learned'):
                    try:
                        value = found[field]
                        settings[field] = option.parsed(value) if isinstance(value, str) else option.checked(value)
                    except OptionError as error:
                        if option.effect == 'networks':
                            raise InputError(f'{path}: {error}; move it away and give flags') from None
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
    """What stands for the argparse.Namespace in opt.pkl."""
    settings = None

    def build(self, state):
        self.settings = state


def _pickled_options(path):
    """dict: name -> number, text or truth value of the official code's pickled options."""
    try:
        with open(path, 'rb') as file:
            found = pickle_file.load(pickle_file.Source(file, os.fstat(file.fileno()).st_size),
                                     {('argparse', 'Namespace'): _Namespace})
    except (OSError, pickle_file.Refused) as error:
        raise InputError(f'{path}: cannot be read: {error}; move it away and give flags') from None
    settings = getattr(found, 'settings', None)
    if type(settings) is not dict:
        raise InputError(f'{path}: no options of the official code; move it away and give flags')
    return {name: value for name, value in settings.items() if type(value) in (bool, int, float, str)}


def _plain(value):
    """`value` without the difference between a norm over one process and over all."""
    return re.sub('sync_?', '', value) if isinstance(value, str) else value


def _split_channels(opt, channels, fixed):
    """Set label_nc so that semantic_nc is `channels`; InputError if it is fixed or nothing is left for it."""
    others = f'contain_dontcare_label {opt.contain_dontcare_label}, no_instance {opt.no_instance}'
    if fixed or channels <= opt.semantic_nc - opt.label_nc:
        raise InputError(f'the weights take {channels} label channels, but label_nc {opt.label_nc}, {others} make '
                         f'{opt.semantic_nc}: choose other --label_nc, --contain_dontcare_label, --no_instance or '
                         '--preset')
    opt.label_nc += channels - opt.semantic_nc


def _fit_latent_size(opt, area, fixed):
    """Set crop_size so that the first feature map has `area` pixels; InputError if none fits or it must not be changed.
    """
    def fits():
        try:
            return math.prod(opt.latent_size) == area
        except InputError:
            return False

    crop_size = opt.crop_size
    if not fits() and not fixed:
        opt.crop_size = max(1, round(math.sqrt(area * opt.aspect_ratio))) * 2 ** UPSAMPLINGS[opt.num_upsampling_layers]
    if not fits():
        raise InputError(f'fc.weight makes a first feature map of {area} pixels, which crop_size {crop_size}, '
                         f'aspect_ratio {opt.aspect_ratio} and num_upsampling_layers {opt.num_upsampling_layers} do '
                         f'not give{"" if fixed else ", nor does any other crop_size"}: choose others')
