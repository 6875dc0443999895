"""Named sets of options: the runs of the paper, the official defaults, the demo, and the rows of the paper's tables."""
from model.tables import ROWS

# Settings of the published numbers: TTUR, synchronized batch norm, VGG loss, no style encoder (paper, section 4,
# appendix A). The paper prints beta2 0.999; an author corrects it to 0.9: "the paper is wrong. We did use beta2 == 0.9"
# (NVlabs/SPADE issue 50, quoted in 88).
_PAPER = dict(use_vae=False, no_vgg_loss=False, beta1=0.0, beta2=0.9)

# Table 1, rows of ADE20K: 150 classes and unknown, no instance maps; 200 epochs, the last 100 with decay; batch 32.
_ADE20K = dict(_PAPER, label_nc=150, no_instance=True, niter=100, niter_decay=100, batchSize=32)

PRESETS = {
    # The paper's run on COCO-Stuff: 100 epochs, batch 32 over all processes (8 GPUs: --batchSize 4).
    'coco_stuff_paper': dict(_PAPER, niter=100, batchSize=32),
    # The official code with --dataset_mode coco and no other flag.
    'coco_stuff_official': dict(use_vae=False, no_vgg_loss=False),
    # Label ids 0 .. 150 of the files, 0 is unknown: 151 channels, the input of the official networks.
    'ade20k_paper': dict(_ADE20K, dataroot='dataset/ade20k/'),
    # Outdoor scenes only. The paper states no settings of their own for them.
    'ade20k_outdoor_paper': dict(_ADE20K, dataroot='dataset/ade20k_outdoor/'),
    # Cityscapes: 35 ids, 512x256, one more doubling; 200 epochs, the last 100 with decay; batch 32 (appendix A).
    # The official repository's default is 16 (data/cityscapes_dataset.py since commit 1a687ba): --batchSize 16.
    'cityscapes_paper': dict(_PAPER, label_nc=35, contain_dontcare_label=False, crop_size=512, load_size=512,
                             aspect_ratio=2.0, preprocess_mode='fixed', num_upsampling_layers='more', niter=100,
                             niter_decay=100, batchSize=32, dataroot='dataset/cityscapes/'),
    # The generated scenes of dataset/demo.py, small enough for two CPU cores and five minutes.
    'demo': dict(use_vae=False, crop_size=64, load_size=72, ngf=16, ndf=16, batchSize=2, niter=10, niter_decay=2,
                 lr=0.0006, beta2=0.99, dataroot='dataset/demo/', print_freq=20, display_freq=50),
    # The same at twice the size, with more scenes and averaged weights: an hour or two on two CPU cores.
    'demo_long': dict(use_vae=False, crop_size=128, load_size=144, ngf=24, ndf=24, batchSize=2, niter=5, niter_decay=3,
                      lr=0.0004, beta2=0.99, ema_decay=0.995, dataroot='dataset/demo_long/', save_epoch_freq=5),
}
NAMED = tuple(PRESETS)     # without the rows of the tables
PRESET_HELP = f'settings to start from, which flags override: {", ".join(NAMED)}; or a row of the paper\'s tables: ' \
              'python -m model.help --tables'
for _row in ROWS:
    for _dataset in _row.published if _row.settings else ():
        _name = _row.preset if _dataset == 'coco_stuff' else f'{_row.preset}_{_dataset}'
        PRESETS[_name] = {**PRESETS[f'{_dataset}_paper'], **_row.settings}
