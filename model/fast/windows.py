"""Distinct label windows: the exact fast path of SPADE, and of the discriminator's first layer.

A pixel's gamma and beta depend only on the k x k window of hidden vectors around it. Each hidden vector depends only on
the k x k window of class codes around its pixel. Label maps are mostly flat, so few windows differ (COCO-Stuff at
256x256: 8 %). Each distinct window is computed once; the picture is the same, to rounding.

Zero padding counts: outside the map a code adds nothing to a hidden vector, and a hidden vector nothing to gamma and
beta. So 'outside' is a separate symbol at both levels.
"""
import functools
from dataclasses import dataclass

import numpy as np

from model.fast import kernels, operators


@dataclass
class Windows:
    """Distinct k x k windows of a batch of code maps (N, H, W); K = k * k, offsets row by row. All arrays are int32.

    codes (C,): the distinct codes. first (A, K): the distinct windows, as positions in `codes`; C is outside. pixel
    (N, h, w): the row of `first` at each position of the kernel.
    """
    codes: np.ndarray
    first: np.ndarray
    pixel: np.ndarray

    @functools.cached_property
    def on_device(self):
        """name -> tensor: each array is sent to the device once, for all layers."""
        return {}

    @functools.cached_property
    def positions(self):
        """`first` as rows of a table with one row per offset and code, (A, K) int32; outside is the last row."""
        count, offsets = len(self.codes), self.first.shape[1]
        rows = np.where(self.first == count, offsets * count, self.first + count * np.arange(offsets))
        return rows.astype(np.int32)


@dataclass
class DoubleWindows(Windows):
    """Distinct windows of windows: second (B, K) holds rows of `first`, A is outside;
    pixel (N, H, W): rows of `second`.
    """
    second: np.ndarray

    @property
    def share(self):
        """Distinct double windows per pixel, 0 .. 1: the share of the dense computation that is left."""
        return len(self.second) / self.pixel.size


def distinct_windows(codes, k, stride, padding):
    """The distinct Windows of class codes (N, H, W), non-negative integers, under a convolution of these sizes."""
    values, position = _distinct(codes)
    first, pixel = _distinct_neighbourhoods(position, len(values), k, stride, padding)
    return Windows(values.astype(np.int32), first, pixel)


def distinct_double_windows(codes, k):
    """DoubleWindows of the class codes (N, H, W) under two convolutions of odd size k that keep the size."""
    single = distinct_windows(codes, k, 1, k // 2)
    second, pixel = _distinct_neighbourhoods(single.pixel, len(single.first), k, 1, k // 2)
    return DoubleWindows(single.codes, single.first, pixel, second)


def _distinct_neighbourhoods(ids, outside, k, stride, padding):
    """Distinct k x k neighbourhoods of ids (N, H, W) < outside:
    (rows (A, k * k), row at each position (N, h, w)), int32.
    """
    padded = np.pad(ids, ((0, 0), (padding, padding), (padding, padding)), constant_values=outside)
    height, width = ((side - k) // stride + 1 for side in padded.shape[1:])
    along_rows = _chained([padded[:, :, x:x + stride * width:stride][:, :, :width] for x in range(k)], outside + 1)
    window = _chained([along_rows[:, y:y + stride * height:stride][:, :height] for y in range(k)], along_rows.max() + 1)
    representative = np.empty(window.max() + 1, np.int64)
    representative[window.ravel()] = np.arange(window.size)
    n, y, x = np.unravel_index(representative, window.shape)
    offsets = np.arange(k)
    content = padded[n[:, None, None], stride * y[:, None, None] + offsets[:, None],
                     stride * x[:, None, None] + offsets]
    # The kernels read C order; numpy would keep the order of `ids`, which indexing changes if a side is 1.
    return content.reshape(-1, k * k).astype(np.int32, order='C'), window.astype(np.int32, order='C')


def _chained(parts, count):
    """Number the distinct tuples of equally shaped id arrays (ids < count) -> array of numbers from 0."""
    numbers = parts[0]
    for part in parts[1:]:
        _, numbers = _distinct(numbers.astype(np.int64) * count + part)
    return numbers


def _distinct(keys):
    """np.unique with inverse: (sorted distinct values, each key's position among them, int32)."""
    if kernels() is not None:
        return operators.distinct(keys)
    values, position = np.unique(keys, return_inverse=True)
    return values, position.reshape(keys.shape).astype(np.int32)
