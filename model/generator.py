"""SPADE generator (paper, section 3 and appendix A; official models/networks/generator.py and architecture.py)."""
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.distributed.fleet.utils import recompute

from model.activation import SLOPE, activate, attend
from model.convolution import Convolution, convolve
from model.fast import in_use
from model.fast import spade as compiled
from model.fast.window_tables import convolution_of_maps
from model.init import ConcatNorm
from model.initialization import initialize
from model.normalization import SPADE, Concatenation
from model.pix2pixhd import Pix2PixHDGenerator
from runtime.errors import InputError


def build_generator(opt):
    """The generator that opt.netG names."""
    return {'spade': SPADEGenerator, 'pix2pixhd': Pix2PixHDGenerator}[opt.netG](opt)


class SPADEResnetBlock(nn.Layer):
    """Residual block with SPADE as its norms; the shortcut is learned if the number of channels changes."""

    def __init__(self, in_channels, out_channels, opt):
        super().__init__()
        self.opt = opt
        middle, norm = min(in_channels, out_channels), opt.generator_norm
        concat = isinstance(norm, ConcatNorm)

        def convolution(in_channels, out_channels, kernel_size, **settings):
            return Convolution(in_channels + opt.semantic_nc * concat, out_channels, kernel_size, opt,
                               spectral=norm.spectral, map_at=in_channels if concat else None, **settings)

        kind = Concatenation if concat else SPADE
        self.conv_0 = convolution(in_channels, middle, 3, padding=1)
        self.conv_1 = convolution(middle, out_channels, 3, padding=1)
        self.norm_0 = kind(in_channels, opt)
        self.norm_1 = kind(middle, opt)
        self.learned_shortcut = in_channels != out_channels
        if self.learned_shortcut:
            self.conv_s = convolution(in_channels, out_channels, 1, bias=False)
            self.norm_s = kind(in_channels, opt)

    def forward(self, x, semantics):
        """x (N, in_channels, H, W) -> (N, out_channels, H, W); without gradients x may be overwritten."""
        shortcut = spade_convolution(self.norm_s, self.conv_s, x, semantics,
                                     activated=False) if self.learned_shortcut else x
        y = spade_convolution(self.norm_0, self.conv_0, x, semantics, inplace=self.learned_shortcut)
        y = spade_convolution(self.norm_1, self.conv_1, y, semantics, inplace=True)
        return attend(shortcut + y, self.opt)


def spade_convolution(norm, convolution, x, semantics, activated=True, inplace=False):
    """convolution(activation(norm(x, semantics))); activated: with the activation;
    inplace: the kernels may overwrite x.
    """
    opt = norm.opt
    if isinstance(norm, Concatenation):
        return concat_convolution(norm, convolution, x, semantics, activated)
    if in_use(opt, x):
        return compiled.spade_convolution(norm, convolution, x, semantics, activated, inplace)

    def computed(x, weight, statistics=None):
        y = attend(norm(x, semantics, statistics), opt)
        return convolution.convolved(activate(y, opt) if activated else y, weight)

    weight = convolution.normalized_weight()
    if not opt.recompute or not paddle.is_grad_enabled():
        return computed(x, weight)
    # Running statistics, and the spectral norm's u and v, are updated here, once; the recomputed forward leaves them.
    statistics = norm.param_free_norm.batch_statistics(x)
    return recompute(lambda x, weight: computed(x, weight, statistics), x, weight, preserve_rng_state=False)


def concat_convolution(norm, convolution, x, semantics, activated):
    """convolution([activation(norm(x)), one-hot map]). The map's part comes from its distinct windows, as in D."""
    opt, size, kernel = norm.opt, x.shape[2:], 2 * convolution.padding + 1
    if in_use(opt, x) and opt.activation == 'leaky_relu' and opt.attention == 'none':
        y = norm.param_free_norm.compiled(x, SLOPE if activated else 1.0)
    else:
        y = attend(norm.param_free_norm(x), opt)
        y = activate(y, opt) if activated else y
    if semantics.modulation == 'dense':
        return convolution(paddle.concat([y, semantics.one_hot(size)], axis=1))
    of_x, of_map = paddle.split(convolution.normalized_weight(), [x.shape[1], semantics.channels], axis=1)
    maps = convolution_of_maps(of_map, semantics.windows(kernel, 1, kernel // 2, size), semantics, opt)
    return convolve(y, of_x, convolution.bias, opt, padding=kernel // 2) + maps


class SPADEGenerator(nn.Layer):
    """SemanticMap, and z if the options ask for noise or a style -> picture in [-1, 1]."""

    def __init__(self, opt):
        super().__init__()
        self.opt = opt
        ngf = opt.ngf
        height, width = opt.latent_size
        if opt.any_size:
            self.fc = Convolution(opt.semantic_nc + opt.z_dim * opt.reads_z, 16 * ngf, 3, opt, padding=1, map_at=0)
        else:
            self.fc = nn.Linear(opt.z_dim, 16 * ngf * height * width)
        self.head_0 = SPADEResnetBlock(16 * ngf, 16 * ngf, opt)
        self.G_middle_0 = SPADEResnetBlock(16 * ngf, 16 * ngf, opt)
        self.G_middle_1 = SPADEResnetBlock(16 * ngf, 16 * ngf, opt)
        self.up_0 = SPADEResnetBlock(16 * ngf, 8 * ngf, opt)
        self.up_1 = SPADEResnetBlock(8 * ngf, 4 * ngf, opt)
        self.up_2 = SPADEResnetBlock(4 * ngf, 2 * ngf, opt)
        self.up_3 = SPADEResnetBlock(2 * ngf, ngf, opt)
        last = ngf
        if opt.num_upsampling_layers == 'most':
            last = ngf // 2
            self.up_4 = SPADEResnetBlock(ngf, last, opt)
        self.conv_img = Convolution(last, opt.output_nc, 3, opt, padding=1)
        initialize(self)

    def forward(self, semantics, z=None):
        """SemanticMap of N maps; z (N, *opt.z_shape(size)), standard normal if None -> (N, output_nc, *size).

        InputError for a size of which the first feature map has no whole number of places, or that is not G's.
        """
        upsamplings = self.opt.num_upsampling_layers
        x = self.head_0(self._first_features(semantics, z), semantics)
        x = self.G_middle_0(upsample(x), semantics)
        x = self.G_middle_1(upsample(x) if upsamplings != 'normal' else x, semantics)
        x = self.up_0(upsample(x), semantics)
        x = self.up_1(upsample(x), semantics)
        x = self.up_2(upsample(x), semantics)
        x = self.up_3(upsample(x), semantics)
        if upsamplings == 'most':
            x = self.up_4(upsample(x), semantics)
        return F.tanh(self.conv_img(F.leaky_relu(x, SLOPE)))

    def _first_features(self, semantics, z):
        """(N, 16 * ngf, *opt.places(size)) from z, the label map, or with segmap_noise both."""
        opt, size = self.opt, semantics.size
        if any(side % opt.size_multiple for side in size) or not opt.any_size and size != opt.picture_size:
            raise InputError(f'label maps {size[1]} wide and {size[0]} high: this generator paints ' + (
                f'sides that are multiples of {opt.size_multiple}' if opt.any_size else
                '{1} wide and {0} high alone'.format(*opt.picture_size)))
        if opt.reads_z and z is None:
            z = paddle.randn([len(semantics), *opt.z_shape(size)])
        if not opt.any_size:
            return self.fc(z).reshape([len(semantics), -1, *opt.latent_size])
        x = semantics.one_hot(opt.places(size))
        return self.fc(paddle.concat([x, z], axis=1) if opt.reads_z else x)


def upsample(x):
    """(N, C, H, W) -> (N, C, 2H, 2W), nearest; several times faster than Paddle's interpolate on a CPU."""
    n, channels, height, width = x.shape
    doubled = x.reshape([n, channels, height, 1, width, 1]).expand([n, channels, height, 2, width, 2])
    return doubled.reshape([n, channels, 2 * height, 2 * width])
