"""The rows of the paper's Tables 1 and 3 to 5 (arXiv 1903.07291): settings of their presets, and what was published.

A row is trained by --preset NAME on COCO-Stuff, by NAME_ade20k, NAME_ade20k_outdoor, NAME_cityscapes on the others.
Table 2 is a study with people: python -m result.compare. docs/scores.md says which figures were checked;
the other scores are from memory.
"""
from collections import namedtuple

# parameters: of the generator in millions, as printed, None where the paper prints none. published: data set -> mean
# IoU, or with Table 1 (mean IoU, pixel accuracy, FID). choice: what the paper leaves open, and what was chosen.
Row = namedtuple('Row', 'table name preset settings parameters published choice')

DATASETS = 'coco_stuff', 'ade20k', 'ade20k_outdoor', 'cityscapes'
# Trained by the authors' own code (section 4): least squares, no TTUR, instance norm without spectral norm, batch 1.
_PIX2PIXHD = dict(netG='pix2pixhd', norm_G='instance', norm_D='instance', gan_mode='ls', no_TTUR=True, beta1=0.5,
                  beta2=0.999, batchSize=1)


def _by_set(*values, names=('coco_stuff', 'ade20k', 'cityscapes')):
    return dict(zip(names, values))


def _row(table, name, preset=None, settings=None, parameters=None, published=None, choice=''):
    return Row(table, name, preset, settings, parameters, published or _by_set(None, None, None), choice)


OURS = 'DATASET_paper'  # the presets of the paper's own model: coco_stuff_paper, ade20k_paper, ...
ROWS = [
    _row(1, 'SPADE (ours)', OURS, published=_by_set(
        (37.4, 67.9, 22.6), (38.5, 79.9, 33.9), (30.8, 82.9, 63.3), (62.3, 81.9, 71.8), names=DATASETS)),
    _row(1, 'pix2pixHD', 'table1_pix2pixhd', _PIX2PIXHD, published=_by_set(
        (14.6, 45.8, 111.5), (20.3, 69.2, 81.8), (17.4, 71.6, 97.8), (58.3, 81.4, 95.0), names=DATASETS),
        choice='Trained with its authors\' code, whose defaults are chosen; epochs as for SPADE. That code halves D\'s '
        'loss and initializes with deviation 0.02; here neither'),
    _row(3, 'decoder w/ SPADE (ours)', OURS, parameters=96, published=_by_set(35.2, 38.5, 62.3),
         choice='COCO-Stuff: 37.4 in Table 1, 35.2 here and in the text'),
    _row(3, 'compact decoder w/ SPADE', 'table3_compact_decoder', dict(ngf=48), 61, _by_set(35.2, 38.0, 62.5),
         'Width not stated: ngf 48 has 60.6 million parameters'),
    _row(3, 'decoder w/ Concat', 'table3_decoder_concat', dict(norm_G='spectralconcatsyncbatch3x3'), 79,
         _by_set(31.9, 33.6, 61.1),
         'Where the map enters is not stated: before each convolution of the residual blocks, shortcuts too, has 79.2 '
         'million parameters'),
    _row(3, 'pix2pixHD++ w/ SPADE', parameters=237, published=_by_set(34.4, 39.0, 62.2)),
    _row(3, 'pix2pixHD++ w/ Concat', parameters=195, published=_by_set(32.9, 38.9, 57.1)),
    _row(3, 'pix2pixHD++', 'table3_pix2pixhdpp', dict(netG='pix2pixhd'), 183, _by_set(32.7, 38.3, 58.8),
         'Details not stated: the official --netG pix2pixhd, all else as for SPADE'),
    _row(3, 'compact pix2pixHD++', 'table3_compact_pix2pixhdpp', dict(netG='pix2pixhd', ngf=48), 103,
         _by_set(31.6, 37.3, 57.6), 'Width not stated: ngf 48 has 103.0 million parameters'),
    _row(3, 'pix2pixHD', 'table1_pix2pixhd', parameters=183, published=_by_set(14.6, 20.3, 58.3)),
    _row(4, 'segmap input', OURS, published=_by_set(35.2, 38.5, 62.3)),
    _row(4, 'random input', 'table4_random_input', dict(generator_input='noise'),
         published=_by_set(35.3, 38.3, 61.6),
         choice='Layer not stated: the fully connected one of the style encoder\'s generator, a new draw each time'),
    _row(4, 'kernelsize 5x5', 'table4_kernel_5x5', dict(norm_G='spectralspadesyncbatch5x5'),
         published=_by_set(35.0, 39.3, 61.8)),
    _row(4, 'kernelsize 3x3', OURS, published=_by_set(35.2, 38.5, 62.3)),
    _row(4, 'kernelsize 1x1', 'table4_kernel_1x1', dict(norm_G='spectralspadesyncbatch1x1'),
         published=_by_set(32.7, 35.9, 59.9), choice='Both convolutions on the map: the official option has one size'),
    _row(4, '#params 141M', 'table4_141m', dict(ngf=80), 141, _by_set(35.3, 38.3, 62.5),
         'Width not stated: ngf 80 has 140.7 million parameters'),
    _row(4, '#params 96M', OURS, parameters=96, published=_by_set(35.2, 38.5, 62.3)),
    _row(4, '#params 61M', 'table3_compact_decoder', parameters=61, published=_by_set(35.2, 38.0, 62.5)),
    _row(4, 'Sync BatchNorm', OURS, published=_by_set(35.0, 39.3, 61.8)),
    _row(4, 'BatchNorm', 'table4_batchnorm', dict(norm_G='spectralspadebatch3x3'), published=_by_set(33.7, 37.9, 61.8),
         choice='Statistics of each GPU: give --batchSize 4 to eight processes'),
    _row(4, 'InstanceNorm', 'table4_instancenorm', dict(norm_G='spectralspadeinstance3x3'),
         published=_by_set(33.9, 37.4, 58.7)),
    _row(5, 'Ours', OURS),
    _row(5, 'Ours w/o perceptual loss', 'table5_no_perceptual_loss', dict(no_vgg_loss=True)),
    _row(5, 'Ours w/o GAN feature matching loss', 'table5_no_feature_matching', dict(no_ganFeat_loss=True)),
    _row(5, 'Ours w/ a deeper discriminator', 'table5_deeper_discriminator', dict(n_layers_D=5),
         choice='One more convolution (appendix B): the last but one, like the official option'),
    _row(5, 'pix2pixHD++ w/ SPADE'),
    _row(5, 'pix2pixHD++', 'table3_pix2pixhdpp'),
    _row(5, 'pix2pixHD++ w/o Sync BatchNorm', 'table5_no_sync_batchnorm',
         dict(netG='pix2pixhd', norm_G='spectralinstance'),
         choice='Its replacement is not stated: instance norm, as in pix2pixHD'),
    _row(5, 'pix2pixHD++ w/o Sync BatchNorm and w/o Spectral Norm', 'table5_no_sync_batchnorm_no_spectral_norm',
         dict(netG='pix2pixhd', norm_G='instance', norm_D='instance'),
         choice='As above; hinge loss, TTUR, batch and initialization stay (appendix B)'),
    _row(5, 'pix2pixHD', 'table1_pix2pixhd'),
]
