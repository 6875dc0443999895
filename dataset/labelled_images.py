"""Samples for training and validation: label map, instance map and photo with one crop and one flip.

    data = LabelledImages(OPT(dataroot='dataset/coco_stuff/'))
    data[epoch, index]      # {'label': (H, W) int32, 'instance': (H, W) int32, 'image': (3, H, W) float32 in [-1, 1]}

NumPy and Pillow only: worker processes need no Paddle. dataset.loader makes batches of both data sets.
"""
from collections import namedtuple

import numpy as np
from PIL import Image

from dataset.agreement import COMPARED, MASKS, check_palettes, masks
from dataset.files import Sample, find_samples, load_images, split_folders
from dataset.photo import load_photo
from dataset.picture_file import DataError
from model import sizes
from model.init import DONTCARE

Geometry = namedtuple('Geometry', 'width height left top flip')  # resized size and the crop's corner, in pixels

MULTIPLE = 32       # preprocess_mode none rounds sides to multiples of this (official __make_power_2)
ORDER, CROP = 0, 1  # streams of random numbers


# ---- Sizes, crop and flip (official data/base_dataset.py)

def check_sizes(opt):
    """DataError if no photo of any shape could fill the crop; reads no file."""
    if opt.output_nc != 3:
        raise DataError(f'output_nc {opt.output_nc}: photos are read as RGB: set --output_nc 3', 'wrong channels')
    wrong = sizes.wrong(opt)
    if wrong:
        raise DataError(wrong, 'too small for the crop')


def check_style(opt):
    """DataError if the networks cannot read photos."""
    if opt.output_nc != 3:
        raise DataError(f'output_nc {opt.output_nc}: photos are read as RGB, but this network reads {opt.output_nc} '
                        'channels: give no photos', 'wrong channels')


def resized_size(opt, width, height):
    """(width, height) to which a training sample of this size is resized before the crop."""
    if opt.preprocess_mode == 'resize_and_crop':
        return opt.load_size, opt.load_size
    if opt.preprocess_mode.startswith('scale_width'):
        return opt.load_size, int(opt.load_size * height / width)
    if opt.preprocess_mode.startswith('scale_shortside'):
        longer = int(opt.load_size * max(width, height) / min(width, height))
        return (opt.load_size, longer) if width <= height else (longer, opt.load_size)
    if opt.preprocess_mode == 'fixed':
        return opt.picture_size[::-1]
    if opt.preprocess_mode == 'crop':
        return width, height
    return int(round(width / MULTIPLE) * MULTIPLE), int(round(height / MULTIPLE) * MULTIPLE)


def filling_load_size(opt, width, height):
    """Least load_size with which a photo of this size fills the crop, in the modes that keep its shape."""
    crop_height, crop_width = opt.picture_size
    side = width if opt.preprocess_mode.startswith('scale_width') else min(width, height)
    return max(-(-side * crop_width // width), -(-side * crop_height // height))


def draw_geometry(opt, width, height, rng, path):
    """Geometry of a training sample of this size, drawn from `rng`; DataError, naming `path`, if it is too small.

    The official crop and scale_shortside_and_crop may crop beyond the border (black photo, class 0); these never do.
    Official crops are square; these have the picture's size.
    """
    (new_width, new_height), (crop_height, crop_width) = checked_size(opt, width, height, path), opt.picture_size
    left, top, flip = rng.integers([new_width - crop_width + 1, new_height - crop_height + 1, 2])
    return Geometry(new_width, new_height, int(left), int(top), bool(flip) and not opt.no_flip)


def checked_size(opt, width, height, path):
    """`resized_size`; DataError, naming `path`, unless the picture can be cut from it."""
    crop_height, crop_width = opt.picture_size
    new_width, new_height = resized_size(opt, width, height)
    cropped = opt.preprocess_mode.endswith('crop')
    found = f'{width} wide and {height} high'
    if opt.preprocess_mode != 'crop':
        found += f' becomes {new_width} x {new_height}'
    if cropped and (new_width < crop_width or new_height < crop_height):
        kind = 'too small for the crop'
        remedy = 'remove it, set a smaller --crop_size, or let --preprocess_mode resize_and_crop enlarge it' \
            if opt.preprocess_mode == 'crop' else \
            f'set --load_size {filling_load_size(opt, width, height)}, or --preprocess_mode resize_and_crop'
    elif not cropped and (new_height, new_width) != opt.picture_size:
        kind = 'not the size of the picture'
        nearest = sizes.nearest(new_width, new_height, opt.size_multiple, opt.least_side)
        remedy = f'set --preprocess_mode fixed, or, if all are of this size, {sizes.flags(opt, *nearest)}' \
            if opt.preprocess_mode not in sizes.UNCROPPED else f'set --preprocess_mode fixed, or --preprocess_mode ' \
            f'{opt.preprocess_mode}_and_crop --load_size {filling_load_size(opt, width, height)}'
    else:
        kind = ''
    if kind:
        load_size = '' if opt.preprocess_mode == 'crop' else f', load_size {opt.load_size}'
        raise DataError(f'{path}: {found} with preprocess_mode {opt.preprocess_mode}{load_size}; pictures are '
                        f'{crop_width} x {crop_height} (crop_size {opt.crop_size}, aspect_ratio '
                        f'{opt.aspect_ratio:g}): {remedy}', kind)
    return new_width, new_height


def transformed(images, opt, geometry):
    """The images of `load_images`, resized, cropped and flipped alike."""
    height, width = opt.picture_size
    left, top = geometry.left, geometry.top
    result = {}
    for name, image in images.items():
        image = _resized(name, image, (geometry.width, geometry.height)).crop((left, top, left + width, top + height))
        result[name] = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if geometry.flip else image
    return result


def _resized(name, image, size):
    return image.resize(size, Image.Resampling.BICUBIC if name == 'image' else Image.Resampling.NEAREST)


def as_arrays(images):
    """dict of arrays: 'label' and 'instance' (H, W) int32, 'image' (3, H, W) float32 in [-1, 1]."""
    arrays = {name: np.array(image, np.int32) for name, image in images.items() if name != 'image'}
    if 'image' in images:
        photo = np.asarray(images['image'], np.float32).transpose(2, 0, 1)
        arrays['image'] = np.ascontiguousarray(photo / np.float32(255) * 2 - 1)
    return arrays


def whole_picture(images, opt):
    """Arrays of `images` as in validation: whole, resized to the picture's size (option size)."""
    height, width = opt.painted_size(images['label'].size[::-1]) if 'label' in images else opt.picture_size
    return as_arrays({name: _resized(name, image, (width, height)) for name, image in images.items()})


def middle(image, size):
    """The middle window of a Pillow image, of `size` (width, height): what preprocess_mode crop validates on."""
    left, top = ((side - part) // 2 for side, part in zip(image.size, size))
    return image.crop((left, top, left + size[0], top + size[1]))


def prediction_inputs(opt, label, instance=None, photo=None, colours=None, notes=None):
    """(arrays for one prediction, (height, width) of its label map) from paths; DataError. A photo may have any size.

    colours, notes: as for load_images.
    """
    if not opt.no_instance and not instance:
        raise DataError(f'{label}: its instance map is missing, and this network needs one (no_instance false): add '
                        '--instance FILE, or --instance components', 'unpaired files')
    images = load_images(Sample('', label, instance, None), opt, colours, notes)
    size = images['label'].size[::-1]
    if photo:
        check_style(opt)
        images['image'] = load_photo(photo)
    return whole_picture(images, opt), size


# ---- The two data sets

class LabelledImages:
    """Training samples. [epoch, index] -> arrays; crop and flip are functions of (opt.seed, epoch, index) alone."""

    def __init__(self, opt, split='train', ranks=1):
        check_sizes(opt)
        self.opt, self.samples = opt, find_samples(opt, split)
        maps = [sample.label for sample in self.samples]
        check_palettes(maps, most=COMPARED)
        found = masks(maps, COMPARED) if opt.label_nc > 1 and opt.contain_dontcare_label else None
        if found and found.values == [0, DONTCARE] and not found.other:
            raise DataError(f'{split_folders(opt, split)["label"]}: {MASKS}', 'masks of 0 and 255')
        if len(self.samples) < global_batch(opt, ranks):
            factors = (('batchSize', opt.batchSize), ('accumulate', opt.accumulate), ('processes', ranks))
            found = ', '.join(f'{what} {number}' for what, number in factors if number > 1 or what == 'batchSize')
            largest = len(self.samples) // (opt.accumulate * ranks)
            remedy = f'set --batchSize to at most {largest}' if largest else 'use fewer processes or less --accumulate'
            raise DataError(f'{split_folders(opt, split)["label"]}: fewer samples than one batch: {len(self.samples)} '
                            f'samples, {found}: add samples or {remedy}')

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, key):
        epoch, index = key
        sample = self.samples[index]
        images = load_images(sample, self.opt)
        rng = _random(self.opt, CROP, epoch, index)
        geometry = draw_geometry(self.opt, *images['label'].size, rng, sample.photo)
        return as_arrays(transformed(images, self.opt, geometry))


class ValidationImages:
    """Validation samples. [index] -> arrays of the whole image at the picture's size; 'image' only with photos.

    preprocess_mode crop shows the middle window at native resolution, unless option size is set.
    """

    def __init__(self, opt, split='val', photos=True):
        if photos:
            check_style(opt)
        self.opt, self.samples = opt, find_samples(opt, split, photos)
        check_palettes([sample.label for sample in self.samples], most=COMPARED)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        sample = self.samples[index]
        images = load_images(sample, self.opt)
        if not self.opt.shows_middle:
            return whole_picture(images, self.opt)
        checked_size(self.opt, *images['label'].size, sample.label)
        return as_arrays({name: middle(image, self.opt.picture_size[::-1]) for name, image in images.items()})


def _random(opt, *key):
    return np.random.default_rng(np.random.SeedSequence(opt.seed, spawn_key=key))


def epoch_order(opt, count, epoch):
    """(count,) indices in the order of an epoch, a function of (opt.seed, epoch)."""
    return _random(opt, ORDER, epoch).permutation(count)


def global_batch(opt, ranks=1):
    """Samples in one update over all processes."""
    return opt.batchSize * opt.accumulate * ranks


def batches(opt, count, epoch, seen=0, rank=0, ranks=1):
    """list of a rank's batches in an epoch: lists of batchSize keys (epoch, index), opt.accumulate lists per update.

    The first `seen` samples and an incomplete last global batch are left out. An update has the same samples for any
    number of ranks: the first batchSize samples go to rank 0, the next to rank 1, and so on; the second micro-batches
    follow in the same way.
    """
    order = epoch_order(opt, count, epoch)[seen:].tolist()
    whole = global_batch(opt, ranks)
    starts = [start + (micro_batch * ranks + rank) * opt.batchSize for start in range(0, len(order) - whole + 1, whole)
              for micro_batch in range(opt.accumulate)]
    return [[(epoch, index) for index in order[start:start + opt.batchSize]] for start in starts]
