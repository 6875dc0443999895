"""One network of a checkpoint, as it is exported:
interface, constants and metadata, and a Painter to compare the file with.
"""
import copy

from model.export import verify
from model.export.folding import constants, plain_state, resizing
from model.export.interface import interface_of
from model.export.metadata import metadata_of
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import Painter, load_painter
from model.vae_encoder import VAEEncoder
from model.weights import folder_of, set_weights


def checkpoint(arguments):
    """(opt, painter, folder of the checkpoint); float32, for a comparison in less proves nothing."""
    opt, painter = load_painter(arguments)
    opt.cpu_precision, opt.amp = 'float32', 'none'
    return opt, painter, folder_of(opt.lastoutput, arguments.which_epoch)


class Exported:
    """network: 'generator' or 'encoder', which the painter has."""

    def __init__(self, network, opt, painter, folder, as_float=False, half=False):
        state = plain_state(getattr(painter, network), half)
        self.opt, self.interface = opt, interface_of(network, opt, as_float)
        self.constants = {**constants(state, half), **(resizing(opt) if network == 'encoder' else {})}
        self.metadata = metadata_of(self.interface, opt, folder, self.constants, half, painter.weights)
        self.painter = _rounded(painter, network, state) if half else painter

    def stages(self):
        """What to write and compare in turn; the last is what stays. Pictures of grey levels are made before rounding
        first, since rounding hides what is small, and of pictures without contrast everything.
        """
        if self.interface.network == 'encoder' or self.interface.as_float:
            return [self]
        before = copy.copy(self)
        before.interface = interface_of('generator', self.opt, as_float=True)
        return [before, self]

    def compare(self, run, source):
        """Run the file on several inputs and print how far it is from the checkpoint; InputError if more than rounding.
        """
        if self.interface.network == 'generator':
            mean, worst = verify.compare_generator(run, self.interface, self.painter, source)
            when = 'before rounding' if self.interface.as_float else 'after rounding'
            print(f'{source}: same pictures; {when} the difference is {mean:.3g} grey levels in the mean, {worst:.3g} '
                  'at most')
        else:
            mean, worst = verify.compare_encoder(run, self.painter, source)
            print(f'{source}: same styles; the difference is {mean:.3g} of their scale in the mean, {worst:.3g} at '
                  'most')


def _rounded(painter, network, state):
    """A Painter whose network has no spectral norm and the weights `state`: what a --half file is to give."""
    opt = OPT(**painter.opt.as_dict())
    opt.norm_G, opt.norm_E = opt.norm_G.removeprefix('spectral'), opt.norm_E.removeprefix('spectral')
    layers = dict(generator=painter.generator, encoder=painter.encoder)
    layers[network] = {'generator': SPADEGenerator, 'encoder': VAEEncoder}[network](opt)
    set_weights(layers[network], state, 'the rounded weights')
    return Painter(opt, **layers)
