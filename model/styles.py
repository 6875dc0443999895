"""Style vectors, float32 (z_dim,): of a seed, of a photo, and between two. predict.py and the page draw with the same."""
import numpy as np

from model.painter import normal_draws


def of_seed(opt, seed):
    """A standard normal draw that `seed` alone decides: predict.py's with --seed."""
    return normal_draws((1, opt.z_dim), seed).numpy()[0].astype(np.float32)


def of_photo(painter, image):
    """mu of the style encoder for a photo (3, H, W) in [-1, 1]."""
    return painter.style(image[None]).numpy()[0].astype(np.float32)


def between(one, other, share):
    """The style at `share` of the straight way from one to the other, 0 .. 1."""
    return np.float32(1 - share) * one + np.float32(share) * other
