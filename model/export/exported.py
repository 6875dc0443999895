"""One network of a checkpoint for export: interface, constants, metadata, and a Painter to compare the file with."""
import copy

from model.export import verify
from model.export.folding import constants, plain_state, resizing
from model.export.interface import interface_of
from model.export.metadata import metadata_of
from model.generator import build_generator
from model.init import OPT
from model.painter import Painter, bytes_per_pixel, load_painter
from model.sizes import nearest, short_ratio
from model.vae_encoder import VAEEncoder
from model.weights import folder_of, set_weights
from runtime import memory
from runtime.errors import InputError


def checkpoint(arguments):
    """(opt, painter, folder of the checkpoint) in float32, since a comparison in lower precision proves nothing."""
    opt, painter = load_painter(arguments)
    opt.cpu_precision, opt.amp = 'float32', 'none'
    return opt, painter, folder_of(opt.lastoutput, arguments.which_epoch)


def set_size(opt, height, width, source):
    """Set the size of an export's pictures, in pixels. source: the flag or file that names it, for messages.

    InputError if the generator cannot, or if the memory is too small for the comparison.
    """
    if (height, width) == opt.picture_size:
        return
    multiple, least = opt.size_multiple, opt.least_side
    if height % multiple or width % multiple or min(height, width) < least:
        raise InputError(f'{source}: found {width} wide and {height} high, but both sides of an export are multiples '
                         f'of {multiple}, at least {least}: nearest that works: '
                         '--size {}x{}'.format(*nearest(width, height, multiple, least)))
    memory.require(bytes_per_pixel(opt, dense=True) * max(verify.BATCHES) * height * width,
                   f'{source}: comparing pictures {width} wide and {height} high', 'choose a smaller --size')
    opt.crop_size, opt.aspect_ratio = width, short_ratio(width, height)


class Exported:
    """network: 'generator' or 'encoder', a network of the painter."""

    def __init__(self, network, opt, painter, folder, as_float=False, half=False):
        state = plain_state(getattr(painter, network), half)
        self.opt, self.interface = opt, interface_of(network, opt, as_float)
        self.constants = {**constants(state, half), **(resizing(opt) if network == 'encoder' else {})}
        self.metadata = metadata_of(self.interface, opt, folder, self.constants, half, painter.weights)
        self.painter = _rounded(painter, network, state) if half else painter

    def stages(self):
        """The exports to write and compare in turn; the last is the result.

        The first of two gives unrounded pictures: rounding to grey levels hides small differences, in pictures without
        contrast all differences.
        """
        if self.interface.network == 'encoder' or self.interface.as_float:
            return [self]
        before = copy.copy(self)
        before.interface = interface_of('generator', self.opt, as_float=True)
        return [before, self]

    def compare(self, run, source):
        """Print the differences of the file's outputs (run: feeds -> outputs); InputError if beyond rounding."""
        if self.interface.network == 'generator':
            mean, worst = verify.compare_generator(run, self.interface, self.painter, source)
            when = 'before rounding' if self.interface.as_float else 'after rounding'
            print(f'{source}: same pictures; {when} the difference is {mean:.3g} grey levels in the mean, '
                  f'{worst:.3g} at most')
        else:
            mean, worst = verify.compare_encoder(run, self.painter, source)
            print(f'{source}: same styles; the difference is {mean:.3g} of their scale in the mean, '
                  f'{worst:.3g} at most')


def _rounded(painter, network, state):
    """A Painter with the weights `state` in a network without spectral norm: the reference of a --half file."""
    opt = OPT(**painter.opt.as_dict())
    opt.norm_G, opt.norm_E = opt.norm_G.removeprefix('spectral'), opt.norm_E.removeprefix('spectral')
    layers = dict(generator=painter.generator, encoder=painter.encoder)
    layers[network] = {'generator': build_generator, 'encoder': VAEEncoder}[network](opt)
    set_weights(layers[network], state, 'the rounded weights')
    return Painter(opt, **layers)
