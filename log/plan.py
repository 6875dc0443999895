"""Lines printed before training: settings, steps, disk space, and the scale of validation pictures."""
import math
import shutil
from pathlib import Path

import numpy as np

from dataset.files import evenly_spaced, load_label
from dataset.labelled_images import global_batch, resized_size
from model.fast import in_use
from model.init import OPT, SpadeNorm
from model.presets import PRESETS
from model.weights import NETWORKS
from runtime import distributed

SAMPLED = 5     # label maps, spread over a set, whose sizes stand for all
DAY = 86400     # seconds
APART = 1.5     # least ratio of training's scale to validation's, horizontal or vertical, for a warning
# Options that training does not read while another has one of these values. Those of networks shape a resumed run.
UNREAD = {'no_vgg_loss': ([True], ['lambda_vgg', 'vggwpath', 'vgg_taps']), 'no_ganFeat_loss': ([True], ['lambda_feat']),
          'use_vae': ([False], ['lambda_kld']), 'score_epoch_freq': ([0], ['score_by']),
          'preprocess_mode': (['crop', 'fixed', 'none'], ['load_size'])}


def print_settings(opt, preset=None, given=()):
    """Print the settings of the `preset`, if any, those that differ from it or from the defaults, and the names `given`
    on the command line that this run does not read.
    """
    differences = opt.differences(OPT.preset(preset) if preset else OPT())
    listed = ', '.join(f'{name} {own} ({"preset" if preset else "default"}: {other})'
                       for name, (own, other) in differences.items())
    if preset:
        named = ', '.join(f'{name} {value}' for name, value in PRESETS[preset].items())
        print(f'settings: preset {preset} ({named}); {"different here: " + listed if listed else "nothing changed"}')
    else:
        print(f'settings: {listed or "the defaults"}')
    ignored = [f'--{name} ({switch} {str(getattr(opt, switch)).lower()})' for switch, (values, names) in UNREAD.items()
               if getattr(opt, switch) in values for name in names if name in given]
    if ignored:
        print(f'ignored: {", ".join(ignored)}')


def print_plan(opt, samples, train_step):
    """Print the batch, the number of steps, the learning rates and the disk space."""
    ranks = distributed.ranks()
    whole = global_batch(opt, ranks)
    factors = [(f'{ranks} processes', ranks > 1), (f'batchSize {opt.batchSize}', True),
               (f'accumulate {opt.accumulate}', opt.accumulate > 1)]
    product = ' x '.join(text for text, counts in factors if counts)
    rest = f' each epoch skips {samples % whole} samples (the last incomplete batch);' if samples % whole else ''
    print(f'plan: {opt.epochs} epochs of {samples // whole} steps, batch {whole} ({product});{rest} '
          f'learning rates G {train_step.optimizer_g.get_lr():g}, D {train_step.optimizer_d.get_lr():g}')
    print(f'space: {_space(opt, train_step)}')
    updates = max(1, -(-opt.epochs * (samples // whole) // opt.D_steps_per_G))
    if opt.ema_decay and (1 - opt.ema_decay) * updates < 1:
        tenth = max(0, 1 - float(f'{10 / updates:.1g}'))
        print(f'ema_decay {opt.ema_decay:g}: averages over more updates than the {updates} of this run, so the '
              f'averaged weights stay near the first ones: --ema_decay {tenth:g} averages over a tenth of them')
    if ranks > 1 and opt.generator_norm.kind == 'batch':
        print(f'norm_G {opt.norm_G}: every process normalizes over its own {opt.batchSize} samples; the paper does '
              f'over those of all: --norm_G {opt.norm_G.replace("batch", "syncbatch")}')


def shorter(opt, samples, seconds):
    """A line on how to shorten a run that takes `seconds`; '' if it ends within a day."""
    if seconds <= DAY:
        return ''
    fewer = max(global_batch(opt, distributed.ranks()), min(opt.max_dataset_size, samples, 1000))
    size = ''
    if opt.crop_size // 2 % 128 == 0:
        size = f' --crop_size {opt.crop_size // 2} --load_size {opt.load_size // 2} (a quarter of the pixels),'
    return (f'this run takes {seconds / DAY:.1f} days at this pace. A first look, with another --output and --log: '
            f'--niter 5, --max_dataset_size {fewer} (photos),{size} --ngf {max(1, opt.ngf // 2)} --ndf '
            f'{max(1, opt.ndf // 2)} (half the channels)')


def smaller(opt):
    """A line on what to lower if a run needs too much memory."""
    parts, ways = 2 if opt.batchSize % 2 == 0 else opt.batchSize, []
    if opt.batchSize > 1:
        ways.append(f'--batchSize {opt.batchSize // parts} --accumulate {opt.accumulate * parts} (the same batch in '
                    'micro-batches)')
    # the kernels store no more in any case
    if isinstance(opt.generator_norm, SpadeNorm) and not opt.recompute and not in_use(opt):
        ways.append('--recompute true (stores half as much for backward)')
    ways.append(f'in a new run, with another --output and --log, a smaller --crop_size (now {opt.crop_size}), --ngf '
                f'({opt.ngf}) or --ndf ({opt.ndf})')
    return f'checkpoints remain; lower the memory of a step: {"; ".join(ways)}'


def _space(opt, train_step):
    """A line on the disk space of checkpoints: Adam stores two moments of every trained weight."""
    networks = [getattr(train_step, name) for name in NETWORKS.values() if getattr(train_step, name, None) is not None]
    weights = sum(4 * math.prod(value.shape) for network in networks for value in network.state_dict().values())
    trained = sum(4 * math.prod(value.shape) for network in networks if network is not train_step.averaged
                  for value in network.parameters())
    place = Path(opt.output).resolve()
    free = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.is_dir())).free
    return (f'a checkpoint in {opt.output} takes {_size(weights + 2 * trained)}, of which {_size(weights)} are '
            f'weights; the disk will hold two, and the weights of every {opt.save_epoch_freq} epochs '
            f'(--save_epoch_freq); {_size(free)} are free')


def _size(count):
    return f'{count / 1e9:.1f} GB' if count >= 1e9 else f'{count / 1e6:.3g} MB'


def print_scales(opt, samples):
    """A line if validation shows windows of `samples`, or shows them at another scale than training."""
    sizes = np.array([load_label(sample.label, opt).shape[::-1] for sample in evenly_spaced(samples, SAMPLED)])
    trained = np.array([resized_size(opt, int(width), int(height)) for width, height in sizes])
    painted = np.array([opt.painted_size((height, width))[::-1] for width, height in sizes])
    across, down = np.median(trained / painted, axis=0)
    height, width = opt.picture_size
    if opt.shows_middle and max(across, down) > 1:
        print(f'preprocess_mode crop: val.py, scores and validation pictures show the middle {width} x {height} of '
              'each photo')
    if not opt.preprocess_mode.endswith('_and_crop') or max(across, down) < APART:
        return
    print(f'another scale: training crops {width} x {height} from photos resized by {opt.preprocess_mode} with '
          f'load_size {opt.load_size}; val.py, scores and validation pictures resize whole maps to '
          f'{opt.size or f"{width} x {height}"}: '
          f'objects there are {across:.1f} times smaller horizontally and {down:.1f} times vertically. Choose a '
          f'--load_size nearer to --crop_size {opt.crop_size}, or expect other scores')
