"""Generator and style encoder for export: one forward of each, in operators that ONNX and Paddle share.

`ops` is GraphOperators (graph.py) or PaddleOperators (inference.py). The first argument of its methods names the
result, a node of the ONNX file.
"""
import numpy as np

from model.activation import SIMAM_LAMBDA, SLOPE
from model.init import DONTCARE, PIX2PIXHD_LAST_KERNEL, ConcatNorm
from model.vae_encoder import INPUT_SIZE


def input_names(opt):
    """Inputs of the generator, in order."""
    return ['label'] + ['instance'] * (not opt.no_instance) + ['z'] * opt.reads_z


def generator(ops, opt, as_float, label, instance=None, z=None):
    """label, instance int32 (N, H, W), z (N, *opt.z_shape()) -> uint8 (N, H, W, 3).

    as_float: (N, output_nc, H, W) in [-1, 1].
    """
    maps = _Maps(ops, opt, label, instance)
    x = _spade_generator(ops, opt, maps, z) if opt.netG == 'spade' else _pix2pixhd(ops, opt, maps)
    if as_float:
        return ops.tanh('picture', x)
    return _pixels(ops, opt, ops.tanh('tanh', x))


def _spade_generator(ops, opt, maps, z):
    """SPADEGenerator (model/generator.py), before tanh."""
    size = opt.latent_size
    if opt.reads_z and opt.generator_input != 'segmap_noise':
        features = ops.add('fc', ops.matmul('fc.product', z, ops.weight('fc.weight')), ops.weight('fc.bias'))
        x = ops.reshape('fc.map', features, [-1, 16 * opt.ngf, *size])
    else:
        x = maps.one_hot(size)
        x = ops.convolution('fc', ops.concat('fc.input', [x, z], 1) if opt.reads_z else x, 1, 1)
    x = _block(ops, opt, 'head_0', x, maps, size)
    blocks = ['G_middle_0', 'G_middle_1', *(f'up_{n}' for n in range(4 + (opt.num_upsampling_layers == 'most')))]
    for name in blocks:
        if name != 'G_middle_1' or opt.num_upsampling_layers != 'normal':
            x, size = ops.doubled(f'{name}.doubled', x), (2 * size[0], 2 * size[1])
        x = _block(ops, opt, name, x, maps, size)
    return ops.convolution('conv_img', ops.leaky_relu('conv_img.activation', x, SLOPE), 1, 1)


def _pix2pixhd(ops, opt, maps):
    """Pix2PixHDGenerator (model/pix2pixhd.py), before tanh."""
    kind, picture, kernel = opt.generator_norm.kind, opt.picture_size, opt.resnet_kernel_size
    x = ops.mirrored('model.0', maps.one_hot(picture), opt.resnet_initial_kernel_size // 2)
    x = _rectified(ops, opt, 'model.2', _with_norm(ops, 'model.1', x, kind, ops.convolution, 1, 0))
    position = 3
    for _ in range(opt.resnet_n_downsample):
        x = _with_norm(ops, f'model.{position}', x, kind, ops.convolution, 2, 1)
        x, position = _rectified(ops, opt, f'model.{position + 1}', x), position + 2
    for _ in range(opt.resnet_n_blocks):
        name = f'model.{position}'
        y = ops.mirrored(f'{name}.conv_block.0', x, kernel // 2)
        y = _with_norm(ops, f'{name}.conv_block.1', y, kind, ops.convolution, 1, 0)
        y = ops.mirrored(f'{name}.conv_block.3', _rectified(ops, opt, f'{name}.conv_block.2', y), kernel // 2)
        y = _with_norm(ops, f'{name}.conv_block.4', y, kind, ops.convolution, 1, 0)
        x, position = _attended(ops, opt, name, ops.add(f'{name}.sum', x, y), opt.latent_size), position + 1
    for _ in range(opt.resnet_n_downsample):
        x = _with_norm(ops, f'model.{position}', x, kind, ops.transposed_convolution)
        x, position = _rectified(ops, opt, f'model.{position + 1}', x), position + 2
    x = ops.mirrored(f'model.{position}', x, PIX2PIXHD_LAST_KERNEL // 2)
    return ops.convolution(f'model.{position + 1}', x, 1, 0)


def encoder(ops, opt, photo):
    """photo uint8 (N, H, W, 3) at the picture's size -> mu, logvar, each (N, z_dim) (model/vae_encoder.py)."""
    scaled = ops.multiply('photo.scaled', ops.cast('photo.float', photo, 'float32'),
                          ops.scalar('photo.factor', 2 / 255))
    x = ops.transpose('photo.planes', ops.add('photo.normalized', scaled, ops.scalar('photo.shift', -1)), [0, 3, 1, 2])
    if opt.picture_size != (INPUT_SIZE, INPUT_SIZE):
        x = ops.matmul('resize.down', ops.weight('resize.rows'), x)
        x = ops.matmul('resize.across', x, ops.weight('resize.columns'))
    for n in range(1, 7):
        x = _with_norm(ops, f'layer{n}', x, opt.encoder_norm.kind, ops.convolution, 2, 1)
        x = _activated(ops, opt, f'layer{n}.activation', x)
    x = ops.reshape('flat', x, [-1, 8 * opt.ngf * (INPUT_SIZE // 2 ** 6) ** 2])
    return [ops.add(result, ops.matmul(f'{layer}.product', x, ops.weight(f'{layer}.weight')),
                    ops.weight(f'{layer}.bias'))
            for result, layer in (('mu', 'fc_mu'), ('logvar', 'fc_var'))]


class _Maps:
    """One-hot maps with instance edges, made once for each size (model/semantics.py)."""

    def __init__(self, ops, opt, label, instance):
        self.ops, self.opt, self.made = ops, opt, {}
        self.planes = opt.highest_label + 1
        height, width = opt.picture_size
        self.label, self.edge = ops.reshape('label.plane', label, [-1, 1, height, width]), None
        if opt.contain_dontcare_label:
            unlabelled = ops.equal('label.unlabelled', self.label, ops.integer('dontcare', DONTCARE))
            self.label = ops.where('label.ids', unlabelled, ops.integer('label_nc', opt.label_nc), self.label)
        if instance is not None:
            self.edge = self._edges(ops.reshape('instance.plane', instance, [-1, 1, height, width]))

    def _edges(self, instance):
        """Where one of the four neighbours has another id; a pixel at the border is its own neighbour."""
        same = None
        for axis, size in zip((2, 3), self.opt.picture_size):
            for side, shift in (('before', -1), ('behind', 1)):
                name = f'edge.{"rows" if axis == 2 else "columns"}.{side}'
                neighbour = _at(self.ops, name, instance, np.clip(np.arange(size) + shift, 0, size - 1), axis)
                equal = self.ops.equal(f'{name}.equal', instance, neighbour)
                same = equal if same is None else self.ops.logical_and(f'{name}.all', same, equal)
        return self.ops.cast('edge', self.ops.logical_not('edge.found', same), 'float32')

    def one_hot(self, size):
        """float32 (N, semantic_nc, *size)."""
        if size not in self.made:
            name = f'semantics_{size[0]}x{size[1]}'
            classes = self.ops.integer('classes', np.arange(self.planes).reshape(1, -1, 1, 1))
            label = self._nearest(f'{name}.label', self.label, size)
            planes = self.ops.cast(f'{name}.classes', self.ops.equal(f'{name}.equal', label, classes), 'float32')
            if self.edge is not None:
                planes = self.ops.concat(name, [planes, self._nearest(f'{name}.edge', self.edge, size)], 1)
            self.made[size] = planes
        return self.made[size]

    def _nearest(self, name, x, size):
        """Pixel floor(i * H / height), like semantics.nearest."""
        for axis, new, old in zip((2, 3), size, self.opt.picture_size):
            if new != old:
                x = _at(self.ops, f'{name}.{"rows" if axis == 2 else "columns"}', x, np.arange(new) * old // new, axis)
        return x


def _at(ops, name, x, positions, axis):
    """The elements of x at constant positions along an axis."""
    return ops.gather(name, x, ops.integer(f'{name}.positions', positions), axis)


def _block(ops, opt, name, x, maps, size):
    """SPADEResnetBlock (model/generator.py)."""
    def convolution(which, x, padding):
        if isinstance(opt.generator_norm, ConcatNorm):
            x = ops.concat(f'{name}.conv_{which}.input', [x, maps.one_hot(size)], 1)
        return ops.convolution(f'{name}.conv_{which}', x, 1, padding)

    shortcut = x
    if ops.has(f'{name}.conv_s.weight'):
        shortcut = convolution('s', _conditioned(ops, opt, f'{name}.norm_s', x, maps, size), 0)
    y = x
    for n in '01':
        y = _conditioned(ops, opt, f'{name}.norm_{n}', y, maps, size)
        y = convolution(n, _activated(ops, opt, f'{name}.activation_{n}', y), 1)
    return _attended(ops, opt, name, ops.add(f'{name}.sum', shortcut, y), size)


def _conditioned(ops, opt, name, x, maps, size):
    """normalized x, with SPADE * (1 + gamma) + beta (model/normalization.py); the 1 is in gamma's bias."""
    norm = opt.generator_norm
    if isinstance(norm, ConcatNorm):
        return _attended(ops, opt, name, _normalized(ops, f'{name}.param_free_norm', x, norm.kind), size)
    _, kind, k = norm
    hidden = ops.convolution(f'{name}.mlp_shared.0', maps.one_hot(size), 1, k // 2)
    hidden = _rectified(ops, opt, f'{name}.hidden', hidden)
    gamma, beta = (ops.convolution(f'{name}.mlp_{which}', hidden, 1, k // 2) for which in ('gamma', 'beta'))
    x = _normalized(ops, f'{name}.param_free_norm', x, kind)
    return _attended(ops, opt, name, ops.add(f'{name}.modulated', ops.multiply(f'{name}.scaled', x, gamma), beta), size)


def _with_norm(ops, name, x, kind, convolution, *sizes):
    """normalized_convolution (model/normalization.py); sizes: stride and padding, if `convolution` takes them."""
    if kind == 'none':
        return convolution(name, x, *sizes)
    return _normalized(ops, f'{name}.1', convolution(f'{name}.0', x, *sizes), kind)


def _normalized(ops, name, x, kind):
    if kind == 'instance':
        return ops.instance_norm(name, x)
    centred = ops.subtract(f'{name}.centred', x, ops.weight(f'{name}.mean'))
    y = ops.multiply(f'{name}.normalized', centred, ops.weight(f'{name}.scale'))
    return ops.add(f'{name}.shifted', y, ops.weight(f'{name}.shift')) if ops.has(f'{name}.shift') else y


def _activated(ops, opt, name, x):
    return ops.gelu(name, x) if opt.activation == 'gelu' else ops.leaky_relu(name, x, SLOPE)


def _rectified(ops, opt, name, x):
    return ops.gelu(name, x) if opt.activation == 'gelu' else ops.relu(name, x)


def _attended(ops, opt, name, x, size):
    """SimAM (model/activation.py), if the options have it."""
    if opt.attention == 'none':
        return x
    pixels = size[0] * size[1]
    centred = ops.subtract(f'{name}.simam.centred', x, ops.spatial_mean(f'{name}.simam.mean', x))
    squares = ops.multiply(f'{name}.simam.squares', centred, centred)
    # 4 * (variance + lambda), where the variance divides by pixels - 1
    variance = ops.multiply(f'{name}.simam.variance', ops.spatial_mean(f'{name}.simam.mean_square', squares),
                            ops.scalar(f'{name}.simam.factor', 4 * pixels / max(pixels - 1, 1)))
    energy = ops.divide(f'{name}.simam.energy', squares,
                        ops.add(f'{name}.simam.regularized', variance, ops.scalar('simam.lambda', 4 * SIMAM_LAMBDA)))
    weight = ops.sigmoid(f'{name}.simam.weight',
                         ops.add(f'{name}.simam.shifted', energy, ops.scalar('simam.half', 0.5)))
    return ops.multiply(f'{name}.simam', x, weight)


def _pixels(ops, opt, x):
    """[-1, 1] -> grey levels 0 .. 255, like pictures of the entry scripts; one channel becomes three."""
    x = ops.add('levels.from_0', x, ops.scalar('levels.one', 1))
    x = ops.round('levels', ops.multiply('levels.exact', x, ops.scalar('levels.half_range', 127.5)))
    x = ops.clip('levels.clipped', x, 0, 255)
    if opt.output_nc == 1:
        x = ops.concat('levels.rgb', [x, x, x], 1)
    return ops.cast('picture', ops.transpose('levels.by_pixel', x, [0, 2, 3, 1]), 'uint8')
