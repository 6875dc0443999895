"""Painter: generator and style encoder in eval mode, for training pictures, val.py and predict.py."""
import contextlib
import math
import os
from pathlib import Path

import numpy as np
import paddle

from model.convolution import hold_constant
from model.fast import in_use
from model.generator import build_generator
from model.init import OPT, PIX2PIXHD_LAST_KERNEL, SpadeNorm
from model.normalization import HIDDEN, SPADE
from model.styles import drawn, normal_draws
from model.vae_encoder import VAEEncoder, reparameterize
from model.weights import WEIGHTS, WEIGHTS_HELP, folder_of, foreign_model, generator_weights, load_networks
from runtime import memory
from runtime.errors import InputError


class Painter:
    """Paints label maps; each call restores the networks' train or eval mode."""

    def __init__(self, opt, generator, encoder=None, weights='last', folder=None):
        self.opt, self.generator, self.encoder, self.weights = opt, generator, encoder, weights   # one of WEIGHTS
        self.folder = folder    # of the weights

    @paddle.no_grad()
    def paint(self, semantics, image=None, z=None, noise=None):
        """SemanticMap of N maps -> (N, output_nc, *semantics.shown) in [-1, 1].

        What the generator reads beside the map is z (N, *opt.z_shape(size)); else with a style encoder the style of the
        photos `image`: mu, or with `noise` (N, z_dim) a draw, as in the official test; else `noise`; else a normal
        draw, a function of opt.seed.
        """
        count = len(semantics)
        remedy = 'lower --batchSize' if count > 1 else 'a single picture of this model needs a machine with more'
        height, width = semantics.shown
        require_memory(self.opt, semantics.size, self._is_dense(semantics), count)
        with memory.enough(f'painting {count} pictures at once: {remedy}'), eval_mode(self.generator, self.encoder):
            picture = self.generator(semantics, self._z(semantics, image, z, noise))
        return picture if semantics.shown == semantics.size else picture[:, :, :height, :width]

    def _is_dense(self, semantics):
        """Whether the last layer that reads the map convolves it, instead of once for each distinct window."""
        spades = [layer for layer in self.generator.sublayers() if isinstance(layer, SPADE)]
        return spades[-1].windows(semantics, semantics.size) is None if spades else semantics.modulation == 'dense'

    @paddle.no_grad()
    def style(self, image):
        """Photos (N, output_nc, H, W) in [-1, 1] -> mu (N, z_dim), the mean of each style's distribution."""
        with eval_mode(self.encoder):
            return self.encoder(paddle.to_tensor(image, dtype=paddle.get_default_dtype()))[0]

    def _z(self, semantics, image, z, noise):
        opt = self.opt
        if not opt.reads_z:
            return None
        if z is not None:
            return self._checked(z, semantics)
        if noise is not None:
            noise = self._checked(noise, semantics)
        if image is not None and self.encoder is not None:
            mu, logvar = self.encoder(paddle.to_tensor(image, dtype=paddle.get_default_dtype()))
            return mu if noise is None else reparameterize(mu, logvar, noise)
        if noise is not None:
            return noise
        if opt.generator_input == 'segmap_noise':   # of the seed alone, not of the place in the batch
            return self._checked(np.stack(len(semantics) * [drawn(opt, semantics.size, opt.seed)]), semantics)
        return normal_draws((len(semantics), opt.z_dim), opt.seed)

    def _checked(self, z, semantics):
        z = paddle.to_tensor(z, dtype=paddle.get_default_dtype())
        expected = len(semantics), *self.opt.z_shape(semantics.size)
        if tuple(z.shape) != expected:
            raise InputError(f'z: found shape {tuple(z.shape)}, expected {expected} for these label maps')
        return z


def bytes_per_pixel(opt, dense=False):
    """About what painting takes for each pixel of a picture (measured: tests.benchmark_sizes).

    That is what the last block holds: features of four layers; where SPADE is dense also its hidden layer, before and
    after the activation, gamma and beta; without the kernels also what a convolution gathers.
    """
    if not isinstance(opt.generator_norm, SpadeNorm):   # estimated alike; a dense map is an input of the convolution
        channels, kernel = (opt.ngf, PIX2PIXHD_LAST_KERNEL) if opt.netG == 'pix2pixhd' else (2 * opt.ngf, 3)
        channels += dense * opt.semantic_nc
        return 4 * channels * (4 + (0 if in_use(opt) else kernel ** 2))
    channels = opt.ngf if opt.num_upsampling_layers == 'most' else 2 * opt.ngf
    floats = 4 * channels + dense * 2 * (HIDDEN + channels)
    gathered = 0 if in_use(opt) else opt.generator_norm.kernel_size ** 2 * max(HIDDEN * dense, channels)
    return 4 * (floats + gathered)


def require_memory(opt, size, dense=False, count=1):
    """TooLarge if `count` pictures of `size` (height, width), larger than those of training, do not fit into memory.

    Training had room for its own size; a GPU raises where it has none.
    """
    if math.prod(size) > math.prod(opt.picture_size) and paddle.get_device() == 'cpu':
        memory.require(bytes_per_pixel(opt, dense) * count * math.prod(size),
                       f'painting {size[1]} wide and {size[0]} high', 'choose a smaller --size')


def checkpoint_parser(description, more=()):
    """Command-line parser for `load_painter`: settings of loading and painting, and `more`.

    Settings that shape the networks have no flag: the checkpoint has them.
    """
    names = ['lastoutput', 'seed', 'modulation', 'cpu_kernels', 'cpu_precision', *more]
    parser = OPT.parser(description, names, defaults='the checkpoint\'s')
    parser.add_argument('--which_epoch', type=int, metavar='N', default=None,
                        help='the copy of epoch N, output/epoch_N [the latest weights]')
    parser.add_argument('--weights', choices=WEIGHTS, default=None, help=WEIGHTS_HELP)
    return parser


def load_painter(arguments):
    """(OPT, Painter) of the checkpoint that command-line `arguments` name; their flags override its saved options."""
    place = OPT().update(arguments).lastoutput
    folder = folder_of(place, arguments.which_epoch)
    weights = generator_weights(folder, getattr(arguments, 'weights', None))
    opt, states = foreign_model(folder) or (OPT.load(os.path.join(folder, 'opt.json')), None)
    opt.update(arguments)
    opt.lastoutput = place
    opt.nThreads = OPT().update(arguments).nThreads     # the saved number fits the training machine
    if 'dataroot' not in arguments:
        opt.dataroot = _found_from(place, opt.dataroot)
    # InputError for a --size that is not the generator's, or too large: before a map of that size is made
    require_memory(opt, opt.painted_size(opt.picture_size))
    painter = Painter(opt, build_generator(opt), VAEEncoder(opt) if opt.use_vae else None, weights, folder)
    load_networks(painter, folder, files={WEIGHTS[weights]: 'generator', 'n_e.pdparams': 'encoder'}, states=states)
    return opt, _held(painter)


def _found_from(place, dataroot):
    """The saved `dataroot` of a run. A relative one may start from a folder above the run instead of this folder."""
    if os.path.isabs(dataroot) or os.path.isdir(dataroot):
        return dataroot
    for folder in Path(place).resolve().parents:
        if (folder / dataroot).is_dir():
            print(f'data set: {folder / dataroot} (the run saved it as {dataroot}, which is not in this folder)')
            return os.path.join(folder, dataroot)
    return dataroot


def _held(painter):
    for network in (painter.generator, painter.encoder):
        if network is not None:
            hold_constant(network)
    return painter


@contextlib.contextmanager
def eval_mode(*networks):
    """Context in which the networks (None is left out) are in eval mode; their modes are restored."""
    layers = [layer for network in networks if network is not None for layer in network.sublayers(include_self=True)]
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer, training in zip(layers, modes):
            layer.training = training
