"""z of the generator: a normal draw, the style of a photo, or one between two; the same in predict.py and the page."""
import numpy as np
import paddle


def normal_draws(shape, *key):
    """Standard normal tensor that is a function of the integers in `key` alone."""
    draws = np.random.default_rng(key).standard_normal(shape)
    return paddle.to_tensor(draws, dtype=paddle.get_default_dtype())


def drawn(opt, size, *key):
    """A normal z of one picture of `size`, array (*opt.z_shape(size)), a function of the integers in `key` alone.

    With segmap_noise each row of places has a generator of its own: a place keeps its values in maps of any size.
    """
    if opt.generator_input != 'segmap_noise':
        return normal_draws(opt.z_shape(), *key).numpy()
    z_dim, height, width = opt.z_shape(size)
    return np.stack([normal_draws((width, z_dim), *key, row).numpy().T for row in range(height)], axis=1)


def of_seed(opt, seed, size=None):
    """`drawn` by `seed` alone, float32 (predict.py --seed); size: by default that of training."""
    return drawn(opt, size or opt.picture_size, seed).astype(np.float32)


def of_photo(painter, image):
    """mu of the style encoder, float32 (z_dim,), for a photo (3, H, W) in [-1, 1]."""
    return painter.style(image[None]).numpy()[0].astype(np.float32)


def between(one, other, share):
    """Linear interpolation from one style (share 0) to the other (share 1)."""
    return np.float32(1 - share) * one + np.float32(share) * other
