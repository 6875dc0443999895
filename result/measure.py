"""Measures each picture once: counts of its pixels by true and predicted class, and its features."""
import functools
import itertools

import numpy as np
import paddle.nn.functional as F
from PIL import Image

from dataset.files import load_label
from dataset.label_map import read_map
from dataset.labelled_images import middle
from dataset.photo import load_photo
from model.init import OPT
from result.cache import Cache, file_digest
from result.networks.kinds import NETWORKS
from result.scores import VOID, confusion
from runtime.bar import bar

BATCHES = 16   # batches looked up in the cache together
DECODER = 2    # version of the decoding of files (dataset.files); each version has its own cache


def true_classes(path, dataset):
    """(H, W) int64 of a label file: scored classes, VOID elsewhere; InputError for an unknown id."""
    table = np.full(dataset.label_nc + 1, VOID)
    table[list(dataset.ids or range(dataset.label_nc))] = np.arange(len(dataset.names))
    return table[load_label(path, OPT(label_nc=dataset.label_nc)).astype(np.int64)]


def resized(image, size, how):
    """Pillow image at (width, height)."""
    return image if image.size == tuple(size) else image.resize(size, how)


def at_size(image, size, window):
    """RGB image at (width, height): its middle window if `window`, else resized (bicubic)."""
    return middle(image, size) if window else resized(image, size, Image.Resampling.BICUBIC)


class _Measure:
    """A scoring network, loaded on first use, and the cache of its measurements, which depend on `what` (dict)."""

    def __init__(self, network, folder, classes, cache, batch, what):
        self.kind, self.folder, self.classes, self.batch = NETWORKS[network], folder, classes, batch
        self.checksum = file_digest(self.kind.path(folder))
        self.cache = Cache(cache, {**what, 'weights': self.checksum, 'network': network})

    @functools.cached_property
    def network(self):
        return self.kind.load(self.folder, self.classes)


class Segmentation(_Measure):
    """Counts pixels by true and predicted class, with the data set's network and a protocol.

    folder: of the weights. size: (width, height) to which every picture is resized first; None: not resized.
    window: pictures and labels are cut to the middle window of `size` instead.
    """

    def __init__(self, dataset, protocol, folder, cache, batch, size=None, window=False):
        self.dataset, self.protocol, self.size, self.window = dataset, protocol, size, window
        super().__init__(dataset.network, folder, len(dataset.names), cache, batch, {
            'counts': DECODER, 'label_nc': dataset.label_nc, 'ids': dataset.ids, 'full_size': protocol.full_size,
            'size': size, **({'window': True} if window else {})})

    def counts(self, pairs, title):
        """Yields int64 (classes + 1, classes) for each of `pairs`, (picture path, label path), with a bar."""
        for nonzero, values in measured(self.cache, pairs, self._measure, self.batch, title):
            counts = np.zeros((self.classes + 1) * self.classes, np.int64)
            counts[nonzero] = values
            yield counts.reshape(self.classes + 1, self.classes)

    def _measure(self, pairs):
        """Yields (key, the cells above 0 and their counts) for each of `pairs`, a dict of key -> paths."""
        for keys, rgb, labels in _batches(((key, *self._read(*pair)) for key, pair in pairs.items()), self.batch):
            for key, label, predicted in zip(keys, labels, self.predict(np.stack(rgb))):
                counts = confusion(label, predicted, self.classes).ravel()
                nonzero = np.flatnonzero(counts)
                yield key, np.stack([nonzero, counts[nonzero]])

    def predict(self, rgb):
        """Class maps (H, W), int64, of pictures uint8 (N, H, W, 3)."""
        x, size = self.network.prepare(rgb), list(rgb.shape[1:3])
        whole = [-(-side // self.kind.multiple) * self.kind.multiple for side in size]
        if whole != size:
            x = F.interpolate(x, whole, mode='bilinear', align_corners=False)
        logits = self.network(x)
        for index in range(len(rgb)):   # one at a time, since 182 maps of a picture are large
            one = F.interpolate(logits[index:index + 1], size, mode='bilinear', align_corners=False)
            yield one.argmax(1).numpy()[0]

    def _read(self, picture, label):
        """(uint8 (H, W, 3), int64 (H, W)): picture and true classes at the protocol's size."""
        label = true_classes(label, self.dataset)
        image = load_photo(picture, label.shape[::-1])
        if self.size:
            image = at_size(image, self.size, self.window)
        if self.protocol.full_size:
            return np.asarray(resized(image, label.shape[::-1], Image.Resampling.BILINEAR)), label
        label = Image.fromarray(label.astype(np.int32))
        label = middle(label, self.size) if self.window else resized(label, image.size, Image.Resampling.NEAREST)
        return np.asarray(image), np.asarray(label, np.int64)


class Features(_Measure):
    """A network's features of pictures, at `size` (width, height): resized (bicubic), or their middle windows.

    The network is FID's Inception, or a segmentation network with features, which needs its number of classes.
    """

    def __init__(self, folder, cache, batch, size, network='inception', classes=None, window=False):
        self.size, self.window = size, window
        super().__init__(network, folder, classes, cache, batch,
                         {'features': DECODER, 'size': size, **({'window': True} if window else {})})

    def of(self, entries, title):
        """Yields float32 (kind.features) for each of `entries`, (picture,) or (photo, its label map), with a bar."""
        return measured(self.cache, entries, self._measure, self.batch, title)

    def _measure(self, entries):
        """Yields (key, features) for each of `entries`, a dict of key -> paths."""
        for keys, rgb in _batches(((key, self._read(*entry)) for key, entry in entries.items()), self.batch):
            yield from zip(keys, self.network.describe(np.stack(rgb)).numpy())

    def _read(self, path, label=None):
        size = label and read_map(label).ids.shape[::-1]   # determines the orientation of a photo
        return np.asarray(at_size(load_photo(path, size), self.size, self.window))


def measured(cache, entries, measure, batch, title):
    """Yields the array of each of `entries`, tuples of paths, in order, with a bar: from the cache, else measured.

    measure(dict of key -> entry) yields (key, array). Each file is hashed once, each array loaded once.
    """
    with bar(len(entries), title) as progress:
        for start in range(0, len(entries), BATCHES * batch):
            part = entries[start:start + BATCHES * batch]
            keys = [file_digest(*entry) for entry in part]
            arrays = {key: cache.get(key) for key in keys}
            for key, array in measure({key: entry for key, entry in zip(keys, part) if arrays[key] is None}):
                cache.put(key, array)
                arrays[key] = array
            for key in keys:
                yield arrays[key]
            progress.update(len(keys))


def _batches(entries, batch):
    """Yields (keys, pictures, ...) of up to `batch` consecutive entries (key, picture, ...) of one shape."""
    for _, alike in itertools.groupby(entries, lambda entry: entry[1].shape):
        while part := list(itertools.islice(alike, batch)):
            yield zip(*part)
