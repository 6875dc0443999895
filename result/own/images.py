"""Training samples of the scoring network: photos and label maps with random scale, crop, flip and colours."""
import numpy as np
from PIL import Image

from dataset.files import evenly_spaced, load_images, load_label, load_photo
from dataset.labelled_images import middle
from dataset.picture_file import DataError
from model.init import OPT
from result.scores import VOID

ZOOM = -0.5, 0.75          # powers of two: 0.7 to 1.7 times the size
STRETCH = 0.15             # powers of two: up to this factor wider or narrower
CONTRAST, BRIGHTNESS, SATURATION = 0.4, 0.12, 0.5   # powers of two; part of the range; powers of two
AUGMENT = 2                # a random stream besides those of dataset.labelled_images
EXAMINED = 1000            # label maps whose pixels are counted by class
MOST_WEIGHT = 4.0


class SegmenterImages:
    """Samples at `size` (width, height): [epoch, index] -> {'rgb': uint8 (H, W, 3), 'label': int64 (H, W), with VOID}.

    All draws are functions of (seed, epoch, index). Epoch None: the whole photo, as in scoring. painted: further
    samples, whose label maps are resized to their pictures, as predict.py does. native: photos keep their own scale,
    and scoring sees their middle windows, as models of preprocess_mode crop paint them.
    """

    def __init__(self, samples, label_nc, size, seed=0, painted=(), native=False):
        self.samples, self.painted, self.size, self.seed, self.native = samples, painted, tuple(size), seed, native
        self.opt = OPT(label_nc=label_nc, no_instance=True)

    def __len__(self):
        return len(self.samples) + len(self.painted)

    def __getitem__(self, key):
        epoch, index = key
        if index < len(self.samples):
            images = load_images(self.samples[index], self.opt)
        else:
            sample = self.painted[index - len(self.samples)]
            images = {'image': load_photo(sample.photo)}
            images['label'] = Image.fromarray(load_label(sample.label, self.opt)).resize(
                images['image'].size, Image.Resampling.NEAREST)
        photo, label = images['image'], Image.fromarray(np.asarray(images['label'], np.int32))
        if epoch is None and self.native:
            if photo.width < self.size[0] or photo.height < self.size[1]:
                raise DataError(f'{self.samples[index].photo}: {photo.width} wide and {photo.height} high, smaller '
                                'than a window of --size {}x{}: remove it, set a smaller --size, or omit '
                                '--native'.format(*self.size))
            return self._arrays(middle(photo, self.size), middle(label, self.size))
        if epoch is None:
            return self._arrays(photo.resize(self.size, Image.Resampling.BICUBIC),
                                label.resize(self.size, Image.Resampling.NEAREST))
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(AUGMENT, epoch, index)))
        arrays = self._arrays(*self._cropped(photo, label, rng))
        if rng.integers(2):
            arrays = {name: np.ascontiguousarray(array[:, ::-1]) for name, array in arrays.items()}
        arrays['rgb'] = recoloured(arrays['rgb'], rng)
        return arrays

    def _cropped(self, photo, label, rng):
        """Both at one random scale, cropped or padded (grey, VOID) to `size`."""
        around = photo.size if self.native else self.size
        zoom, stretch = rng.uniform(*ZOOM), rng.uniform(-STRETCH, STRETCH)
        size = [max(1, round(side * 2 ** power)) for side, power in zip(around, (zoom + stretch, zoom - stretch))]
        corner = [int(rng.integers(min(0, own - new), max(0, own - new) + 1)) for own, new in zip(self.size, size)]
        canvas, ids = Image.new('RGB', self.size, (124, 116, 104)), Image.new('I', self.size, self.opt.label_nc)
        canvas.paste(photo.resize(size, Image.Resampling.BICUBIC), corner)
        ids.paste(label.resize(size, Image.Resampling.NEAREST), corner)
        return canvas, ids

    def _arrays(self, photo, label):
        label = np.asarray(label, np.int64)
        return {'rgb': np.asarray(photo), 'label': np.where(label == self.opt.label_nc, VOID, label)}


def recoloured(rgb, rng):
    """uint8 (H, W, 3) with random contrast, saturation and brightness."""
    contrast, saturation = 2 ** rng.uniform(-CONTRAST, CONTRAST), 2 ** rng.uniform(-SATURATION, SATURATION)
    values = rgb.astype(np.float32)
    grey = values.mean(2, keepdims=True)
    values = grey + (values - grey) * np.float32(saturation)
    mean = values.mean()
    values = mean + (values - mean) * np.float32(contrast) + np.float32(255 * rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def class_weights(samples, opt):
    """float32 (label_nc): 1 for the more frequent half of the classes, up to MOST_WEIGHT for rare ones.

    The square root of median frequency balancing (Eigen and Fergus, arXiv 1411.4734): full balancing raises false
    positives, which lower the mean IoU.
    """
    labels = (load_label(sample.label, opt).ravel() for sample in evenly_spaced(samples, EXAMINED))
    pixels = sum(np.bincount(label, minlength=opt.label_nc + 1) for label in labels)[:opt.label_nc]
    weights = np.ones(opt.label_nc, np.float32)
    present = pixels > 0
    if present.any():
        weights[present] = np.clip(np.sqrt(np.median(pixels[present]) / pixels[present]), 1, MOST_WEIGHT)
    return weights
