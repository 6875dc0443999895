"""OPT: every setting of SPADE, with its unit, its source, and where paper, official code and ctkindle differ.

`python -m model.help` prints all settings; --help of a script prints its flags.

    opt = OPT(crop_size=128)            # the official COCO-Stuff defaults, except crop_size
    opt = OPT.preset('coco_stuff_paper', batchSize=4)
    opt.no_vgg_loss = False             # checks the name and the type
"""
import json
import re
from collections import namedtuple

from model.command_line import parser_of, unknown
from model.option import Option, group
from model.presets import NAMED, PRESETS
from model.sizes import wrong as wrong_sizes
from runtime import json_file
from runtime.errors import InputError, OptionError

SpadeNorm = namedtuple('SpadeNorm', 'spectral kind kernel_size')  # kind: 'batch', 'syncbatch' or 'instance'
ConcatNorm = namedtuple('ConcatNorm', 'spectral kind')            # kind: 'batch', 'syncbatch' or 'instance'
LayerNorm = namedtuple('LayerNorm', 'spectral kind')              # kind: 'none', 'batch', 'syncbatch' or 'instance'

ODD = 1, 3, 5, 7, 9, 11, 13, 15    # kernel sizes that keep the size of a map
PIX2PIXHD_LAST_KERNEL = 7          # of its convolution to the picture
UPSAMPLINGS = {'normal': 5, 'more': 6, 'most': 7}  # times the generator doubles the size of its first feature map
BELOW_1 = 0.999999999                              # of a decay: with 1 nothing new would count
DONTCARE = 255                                     # the value of an unlabelled pixel in a label file

# The effect of a changed option on a resumed run. All ranks must agree on all options but 'free' ones.
EFFECTS = {
    'networks': 'shapes the networks: a run cannot continue with another value',
    'order': 'changes the order of samples: refused in the middle of an epoch, where samples would repeat or be lost',
    'learned': 'changes what is learned: reported',
    'bits': 'same result, to rounding: reported, since the run no longer equals an uninterrupted one bit for bit',
    'free': 'changes nothing that is learned',
}

SPADE_NORM = re.compile(r'(spectral)?spade(batch|syncbatch|instance)([135])x\3')
SIZE = re.compile(r'(map|[1-9]\d{0,4}x[1-9]\d{0,4})?', re.ASCII)
CONCAT_NORM = re.compile(r'(spectral)?concat(batch|syncbatch|instance)3x3')
LAYER_NORM = re.compile(r'(spectral)?(none|batch|sync_?batch|instance)')
GENERATOR_NORM = re.compile('|'.join(norm.pattern for norm in (SPADE_NORM, CONCAT_NORM, LAYER_NORM)))


class OPT:
    """Settings of one run. Defaults are the official code's for COCO-Stuff, except use_vae and no_vgg_loss.

    Assignment raises OptionError for an unknown name (naming the nearest), a wrong type or a value out of range; rules
    across fields raise InputError where they are used.
    """
    # ---- Networks: a run continues only with the same values.
    _n = group('networks', 'networks')
    label_nc = _n(182, 'number of label classes; ids 0 .. label_nc - 1 in the label files', minimum=1, maximum=65536)
    contain_dontcare_label = _n(True, 'an extra class, label_nc, for unlabelled pixels (255 in the label files)')
    no_instance = _n(False, 'no instance maps, so no channel of instance edges for the generator')
    output_nc = _n(3, 'channels of the picture', minimum=1, maximum=64)
    crop_size = _n(256, 'width of the picture, in pixels', minimum=1, maximum=16384)
    aspect_ratio = _n(1.0, 'width / height of the picture (Cityscapes: 2.0)', minimum=1e-3, maximum=1e3)
    netG = _n('spade', 'generator: spade, or pix2pixhd, the paper\'s baseline without SPADE',
              choices=('spade', 'pix2pixhd'))
    ngf = _n(64, 'channels of the generator before its last layer, and of the style encoder\'s first',
             minimum=1, maximum=1024)
    num_upsampling_layers = _n('normal',
                               'times the generator doubles the size: normal 5, more 6, most 7 (with one more block)',
                               choices=tuple(UPSAMPLINGS))
    norm_G = _n(lambda opt: 'spectralsyncbatch' if opt.netG == 'pix2pixhd' else 'spectralspadesyncbatch3x3',
                '[spectral]spade(batch|syncbatch|instance)(1x1|3x3|5x5); [spectral]concat(batch|syncbatch|instance)3x3 '
                'concatenates the label map before each convolution instead; with netG pix2pixhd as norm_D, default '
                'spectralsyncbatch', kind=str, pattern=GENERATOR_NORM,
                differs='Paper and official code: synchronized batch norm, in a single process plain batch norm. '
                'ctkindle: spectralspadebatch3x3. With spectral, convolutions of the residual blocks start uniform in '
                '+-1/sqrt(fan_in), as in official GPU training, whose Xavier initialization fills a detached copy of '
                'the weight (measured standard deviation 0.0120 against 0.0004). All other weights start '
                'Xavier-normal with gain 0.02.')
    resnet_n_downsample = _n(4, 'netG pix2pixhd: halvings of the size, and doublings behind the residual blocks',
                             minimum=1, maximum=16)
    resnet_n_blocks = _n(9, 'netG pix2pixhd: residual blocks', minimum=0, maximum=1024)
    resnet_kernel_size = _n(3, 'netG pix2pixhd: kernel of the residual blocks', choices=ODD)
    resnet_initial_kernel_size = _n(7, 'netG pix2pixhd: kernel of the first convolution', choices=ODD)
    ndf = _n(64, 'channels of the discriminator\'s first layer', minimum=1, maximum=1024)
    num_D = _n(2, 'number of discriminators, each at half the scale of the one before', minimum=1, maximum=16)
    n_layers_D = _n(4, 'layers of each discriminator before its prediction', minimum=1, maximum=16)
    norm_D = _n('spectralinstance', '[spectral](none|batch|syncbatch|sync_batch|instance)', pattern=LAYER_NORM)
    generator_input = _n('segmap', 'what the generator starts from without a style encoder: segmap (the resized label '
                         'map), noise (a normal vector of z_dim numbers), segmap_noise (the map and z_dim normal '
                         'channels: large areas of one class vary, other seeds give other pictures)',
                         choices=('segmap', 'noise', 'segmap_noise'),
                         differs='Paper, Table 4: segmap or random noise; official code: segmap alone. segmap_noise is '
                         'in neither. OASIS (2021) feeds such noise to every SPADE; here the first layer alone reads '
                         'it.')
    use_vae = _n(lambda opt: opt.generator_input == 'segmap' and opt.netG == 'spade',
                 'style encoder: the generator starts from a style vector instead of the label map; off by default '
                 'with another generator_input than segmap, and with netG pix2pixhd', kind=bool,
                 differs='Paper and official default: no style encoder. On here, as in ctkindle.')
    z_dim = _n(256, 'length of the style vector, and of the noise of generator_input', minimum=1, maximum=65536)
    norm_E = _n('spectralinstance', '[spectral](none|batch|syncbatch|sync_batch|instance)', pattern=LAYER_NORM)
    activation = _n('leaky_relu', 'leaky ReLU (ReLU inside SPADE), or gelu', choices=('leaky_relu', 'gelu'),
                    differs='For weights of ctkindle: gelu, except before the last convolution.')
    attention = _n('none', 'attention without parameters after SPADE, residual blocks and layers of D',
                   choices=('none', 'simam'), differs='For weights of ctkindle: simam.')

    # ---- Losses (paper, appendix A; official models/pix2pix_model.py)
    _l = group('losses', 'learned')
    gan_mode = _l('hinge', 'GAN loss: hinge, least squares, cross-entropy or Wasserstein',
                  choices=('hinge', 'ls', 'original', 'w'))
    no_ganFeat_loss = _l(False, 'no feature-matching loss')
    lambda_feat = _l(10.0, 'weight of the feature-matching loss', minimum=0)
    no_vgg_loss = _l(True, 'no perceptual loss; false switches it on and needs vggwpath',
                     differs='Off here because it needs a weights file; on in the paper and in the official code. '
                     'ctkindle: lambda_vgg 0.4 in its first version, read but not defined in its last.')
    lambda_vgg = _l(10.0, 'weight of the perceptual loss', minimum=0)
    vggwpath = _l('vgg/vgg19pretrain.pdparams', 'VGG19 weights; python -m vgg.fetch downloads them',
                  effect='free')
    vgg_taps = _l('paper', 'features of the perceptual loss: relu1_1 to relu5_1 weighted 1/32 to 1 (paper), or those '
                  'of ctkindle', choices=('paper', 'ctkindle'),
                  differs='ctkindle: image and four pooled maps of a central crop of 224, '
                  'unweighted.')
    lambda_kld = _l(0.05, 'weight of the KL divergence of the style encoder', minimum=0)

    # ---- Optimization
    _o = group('optimization', 'learned')
    batchSize = _o(1, 'samples per update, in each process', minimum=1, maximum=65536,
                   differs='Paper: 32 in all, Cityscapes 16. The official flag is the total over all GPUs.')
    accumulate = _o(1, 'micro-batches of batchSize samples per update: a large batch in little memory; batch norm and '
                    'KL see one micro-batch at a time', minimum=1, maximum=65536)
    niter = _o(50, 'epochs at the full learning rate', minimum=0, maximum=10 ** 6,
               differs='Paper: COCO-Stuff 100 epochs; ADE20K and Cityscapes 100 and then 100 with decay. Official '
               'default: 50.')
    niter_decay = _o(0, 'epochs after those, over which the learning rate falls linearly to zero', minimum=0,
                     maximum=10 ** 6)
    lr = _o(0.0002, 'learning rate; with TTUR G takes half of it and D twice', minimum=0, differs='ctkindle: 0.0001.')
    no_TTUR = _o(False, 'same learning rate for G and D; turns the betas\' defaults into 0.5 and 0.999')
    beta1 = _o(lambda opt: 0.5 if opt.no_TTUR else 0.0, 'Adam: decay of the first moment (0 with TTUR, else 0.5)',
               kind=float, minimum=0, maximum=BELOW_1)
    beta2 = _o(lambda opt: 0.999 if opt.no_TTUR else 0.9,
               'Adam: decay of the second moment (0.9 with TTUR, else 0.999)',
               kind=float, minimum=0, maximum=BELOW_1,
               differs='Official code: 0.9 with TTUR, as behind the published numbers. Paper (in print) and ctkindle: '
               '0.999.')
    ema_decay = _o(0.0, 'decay of an exponential moving average of the generator\'s weights over about 1 / (1 - decay) '
                   'updates, such as 0.999; painting, scores, exports use it unless --weights last; 0: off',
                   minimum=0, maximum=BELOW_1, differs='Neither the paper nor the official code has one.')
    D_steps_per_G = _o(1, 'D updates for every G update', minimum=1, maximum=65536)
    seed = _o(0, 'determines initial weights, order, crops, flips and style noise',
              minimum=0, maximum=2 ** 63 - 1, effect='order')

    # ---- Where and how it is computed: the same result, to rounding
    _s = group('device, precision and speed', 'bits')
    cpu_kernels = _s(True, 'compiled convolutions and SPADE on the CPU; false: Paddle\'s own operators')
    cpu_precision = _s('float32',
                       'multiplications of the compiled convolutions: float32, or bfloat16 where the processor has it',
                       choices=('float32', 'bfloat16'))
    amp = _s('none', 'mixed precision on a GPU: convolutions in bfloat16 or float16 (with loss scaling); not yet '
             'measured', choices=('none', 'bfloat16', 'float16'))
    cudnn = _s('fast', 'algorithms on a GPU: fast, or deterministic: slower, sums in the same order in every run '
               '(FLAGS_cudnn_deterministic)',
               choices=('fast', 'deterministic'))
    modulation = _s('auto', 'how SPADE computes gamma and beta: windows (each distinct label window once), dense '
                    '(plain convolutions), auto (windows with the CPU kernels, except on maps too varied; else dense)',
                    choices=('auto', 'windows', 'dense'))
    recompute = _s(False, 'recompute SPADE in backward, which halves its memory (the CPU kernels always do; no effect '
                   'without SPADE)')
    watch_port = _s(0, 'port of rank 0, where a run of several processes detects a dead one; 0: any free port',
                    minimum=0, maximum=65535, effect='free')

    # ---- Data
    _d = group('data', 'learned')
    dataroot = _d('dataset/coco_stuff/', 'folder of train_label, train_inst, train_img, val_label, ...',
                  effect='free')
    preprocess_mode = _d('resize_and_crop',
                         'how a training sample gets its size: resize_and_crop (both sides to load_size), '
                         'scale_width_and_crop, scale_shortside_and_crop (width or shorter side to load_size), '
                         'scale_width, scale_shortside (not cropped: must give the picture size), crop (a window at '
                         'native resolution; validation takes the middle one), fixed (to the picture size), none',
                         choices=('resize_and_crop', 'scale_width_and_crop', 'scale_shortside_and_crop', 'scale_width',
                                  'scale_shortside', 'crop', 'fixed', 'none'),
                         differs='ctkindle: short-side crops. Official crop: square, filled with class 0 beyond the '
                         'border, and random in validation too.')
    load_size = _d(286, 'size before the crop, in pixels (not read by preprocess_mode crop, fixed and none)', minimum=1,
                   maximum=65536)
    no_flip = _d(False, 'no random horizontal flip in training')
    nThreads = _d(0, 'worker processes that load data; 0 loads in the training process',
                  minimum=0, maximum=1024, effect='free')
    max_dataset_size = _d(2 ** 63 - 1, 'use at most this many samples, the first by name', minimum=1, effect='free')

    # ---- Files and reports
    _f = group('files and reports', 'free')
    output = _f('output/', 'folder for checkpoints (model/) and training pictures (pics/)')
    lastoutput = _f(lambda opt: opt.output, 'where val.py and predict.py read the checkpoint; default: output',
                    kind=str)
    log = _f('log/', 'folder of log.npy')
    visualdl = _f('', 'folder for VisualDL\'s records of losses, pictures and scores; empty: none')
    print_freq = _f(100, 'steps between two printed lines, where output is no terminal', minimum=1)
    display_freq = _f(100, 'steps between two training pictures', minimum=1)
    save_latest_freq = _f(5000, 'steps between two checkpoints within an epoch', minimum=1)
    save_epoch_freq = _f(10, 'epochs between two permanent copies, in output/epoch_<n>/', minimum=1)
    size = _f('', 'size of predict.py\'s pictures, and of validation and its scores: 1024x768 (width x height); map: '
              'that of each label map; empty: that of training. With a style encoder only the last')
    score_epoch_freq = _f(0, 'epochs between two scorings of the validation set; the best weights are copied to '
                          'output/best/; 0: never', minimum=0)
    score_by = _f('mean_iou', 'the score that selects the best epoch; only scores of its kind are computed: '
                  'segmentation or a Frechet distance (segmenter_frechet: by the network of result.train_segmenter)',
                  choices=('pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou', 'fid',
                           'segmenter_frechet'))
    dataset = _f('', 'segmentation network for scores, if the data set does not determine it: coco_stuff, ade20k, '
                 'cityscapes; own: that of result.train_segmenter')
    scoring = _f('result/', 'folder of the scoring networks\' weights')

    def __init__(self, **settings):
        derived = settings.pop('semantic_nc', None)
        for name, value in settings.items():
            setattr(self, name, value)
        if derived is not None:
            self.semantic_nc = derived

    def __setattr__(self, name, value):
        if name == 'semantic_nc':
            if value != self.semantic_nc:
                raise OptionError(f'option semantic_nc: found {value}, but label_nc, contain_dontcare_label and '
                                  f'no_instance give {self.semantic_nc}: omit it, it is derived')
        elif name not in self.fields():
            raise OptionError(unknown(name, {known: option.help for known, option in self.fields().items()}))
        else:
            object.__setattr__(self, name, value)

    def __repr__(self):
        given = ', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())
        return f'OPT({given})'

    @classmethod
    def fields(cls):
        """dict: name -> Option, in the order of definition."""
        return {name: option for name, option in vars(cls).items() if isinstance(option, Option)}

    @classmethod
    def network_fields(cls):
        """Names of the settings that shape the networks."""
        return [name for name, option in cls.fields().items() if option.effect == 'networks']

    # ---- Derived

    @property
    def semantic_nc(self):
        """Channels of the one-hot label map with its instance edges."""
        return self.highest_label + 1 + (not self.no_instance)

    @property
    def highest_label(self):
        """Highest id in a label map: the last class, or with contain_dontcare_label that of unlabelled pixels."""
        return self.label_nc - (not self.contain_dontcare_label)

    @property
    def picture_size(self):
        """(height, width) in pixels."""
        return round(self.crop_size / self.aspect_ratio), self.crop_size

    @property
    def latent_size(self):
        """(height, width) of the generator's smallest feature map; InputError if its doublings do not give the picture.

        SPADE's generator begins with it.
        """
        wrong = wrong_sizes(self, load_size=False)
        if wrong:
            raise InputError(wrong)
        return self.places(self.picture_size)

    def places(self, size):
        """(height, width) of the first feature map of a picture of `size` (height, width), rounded up."""
        return tuple(-(-side // self.size_multiple) for side in size)

    @property
    def any_size(self):
        """Whether the generator paints pictures of any size: it has convolutions alone."""
        return not self.reads_z or self.generator_input == 'segmap_noise'

    def painted_size(self, map_size):
        """(height, width) of the picture of a label map of `map_size`, by option size.

        InputError if size is none, or not one that the generator paints.
        """
        if not SIZE.fullmatch(self.size):
            raise InputError(f'option size: found {self.size!r}, allowed: WIDTHxHEIGHT such as 1024x768, or map')
        wanted = {'': self.picture_size, 'map': tuple(map_size)}.get(self.size) or \
            tuple(map(int, self.size.split('x')))[::-1]
        if not self.any_size and (self.size == 'map' or wanted != self.picture_size):
            height, width = self.picture_size
            first = 'a style encoder' if self.use_vae else f'generator_input {self.generator_input}'
            raise InputError(f'--size {self.size}: with {first} the generator begins with a linear layer, whose '
                             f'weights fit pictures {width} wide and {height} high alone: omit --size')
        return wanted

    @property
    def shows_middle(self):
        """Whether validation shows the middle window of each map and photo, not the whole."""
        return self.preprocess_mode == 'crop' and not self.size

    @property
    def reads_z(self):
        """Whether the generator reads a z; InputError for a style encoder beside noise."""
        if self.use_vae and self.generator_input != 'segmap':
            raise InputError(f'use_vae true with generator_input {self.generator_input}: z is a style or noise, not '
                             'both: set --use_vae false, or omit --generator_input')
        return self.use_vae or self.generator_input != 'segmap'

    def z_shape(self, size=None):
        """Shape of the z of a picture of `size`, by default that of training: (z_dim,), or with segmap_noise one vector
        for each of its places, (z_dim, height, width).
        """
        return (self.z_dim, *(self.places(size or self.picture_size) if self.generator_input == 'segmap_noise' else ()))

    @property
    def size_multiple(self):
        """Both sides of a picture must be multiples of this."""
        return 2 ** (self.resnet_n_downsample if self.netG == 'pix2pixhd' else UPSAMPLINGS[self.num_upsampling_layers])

    @property
    def least_side(self):
        """The smallest side of a picture. pix2pixHD mirrors its maps at their borders: they are larger than that."""
        if self.netG == 'spade':
            return self.size_multiple
        multiple, first, last = self.size_multiple, self.resnet_initial_kernel_size // 2, PIX2PIXHD_LAST_KERNEL // 2
        least = max(multiple * (self.resnet_kernel_size // 2 + 1), first + 1, last + 1)
        return -(-least // multiple) * multiple

    @property
    def generator_norm(self):
        """SpadeNorm or ConcatNorm, with netG pix2pixhd LayerNorm; OptionError if norm_G is of another generator."""
        layer = LAYER_NORM.fullmatch(self.norm_G)
        if bool(layer) != (self.netG == 'pix2pixhd'):
            example = OPT(netG=self.netG).norm_G
            raise OptionError(f'option norm_G: {self.norm_G} is not for netG {self.netG}, whose default is {example}: '
                              'omit --norm_G, or choose another --netG')
        if layer:
            return _layer_norm(self.norm_G)
        if concat := CONCAT_NORM.fullmatch(self.norm_G):
            return ConcatNorm(bool(concat[1]), concat[2])
        spectral, kind, kernel_size = SPADE_NORM.fullmatch(self.norm_G).groups()
        return SpadeNorm(bool(spectral), kind, int(kernel_size))

    def check_generator(self):
        """InputError if options of the generator contradict each other."""
        _ = self.generator_norm, self.reads_z
        if self.netG == 'pix2pixhd' and self.reads_z:
            name, value = ('use_vae', 'true') if self.use_vae else ('generator_input', self.generator_input)
            raise OptionError(f'option {name}: found {value}, but netG pix2pixhd starts from the label map alone (the '
                              f'official code ignores a style): omit --{name}, or choose --netG spade')

    @property
    def discriminator_norm(self):
        return _layer_norm(self.norm_D)

    @property
    def encoder_norm(self):
        return _layer_norm(self.norm_E)

    @property
    def epochs(self):
        return self.niter + self.niter_decay

    # ---- Presets, files, command line

    @classmethod
    def preset(cls, name, **settings):
        """OPT with the settings of a named preset (model/presets.py), then `settings`."""
        if name not in PRESETS:
            raise OptionError(f'preset: found {name!r}, allowed: {", ".join(NAMED)}, and the rows of the paper\'s '
                              'tables: python -m model.help --tables')
        return cls(**{**PRESETS[name], **settings})

    def differences(self, other, effects=('networks', 'order', 'learned')):
        """dict: name -> (own value, other's), for settings with one of these EFFECTS."""
        return {name: (getattr(self, name), getattr(other, name)) for name, option in self.fields().items()
                if option.effect in effects and getattr(self, name) != getattr(other, name)}

    def as_dict(self):
        return {name: getattr(self, name) for name in self.fields()}

    def save(self, path):
        with open(path, 'w') as file:
            json.dump(self.as_dict(), file, indent=2)

    @classmethod
    def load(cls, path):
        """OPT from the JSON file that `save` wrote; InputError if it is missing or invalid."""
        try:
            return cls(**json_file.read(path, json_file.mapping(json_file.plain), 'it is part of the weights'))
        except FileNotFoundError:
            raise InputError(f'{path}: the options of the checkpoint are missing beside its weights') from None
        except (OptionError, TypeError) as error:   # TypeError: a name twice, such as self
            raise InputError(f'{path}: {error}') from None

    @classmethod
    def parser(cls, description, names=None, defaults=None):
        """Command-line parser with a flag for each setting in `names` (default: all); scripts add flags of their own.

        `update` reads its namespace. Flags of other settings are errors. defaults: text for --help on where settings
        without a flag come from; None: the defaults of OPT.
        """
        return parser_of(cls.fields(), description, names, defaults)

    def update(self, arguments):
        """Set the settings in the namespace of a `parser`; return self."""
        for name, option in self.fields().items():
            if name in arguments:
                setattr(self, name, option.parsed(getattr(arguments, name)))
        return self


def _layer_norm(text):
    spectral, kind = LAYER_NORM.fullmatch(text).groups()
    return LayerNorm(bool(spectral), kind.replace('_', ''))
