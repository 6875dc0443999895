"""Style vectors, float32 (z_dim,): from a seed, from a photo, and between two; the same in predict.py and the page."""
import numpy as np

from model.painter import normal_draws


def of_seed(opt, seed):
    """A standard normal draw, a function of `seed` alone (predict.py --seed)."""
    return normal_draws((1, opt.z_dim), seed).numpy()[0].astype(np.float32)


def of_photo(painter, image):
    """mu of the style encoder for a photo (3, H, W) in [-1, 1]."""
    return painter.style(image[None]).numpy()[0].astype(np.float32)


def between(one, other, share):
    """Linear interpolation from one style (share 0) to the other (share 1)."""
    return np.float32(1 - share) * one + np.float32(share) * other
