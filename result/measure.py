"""What is measured of single pictures: pixels by class and Inception features, each once, kept in a cache."""
import contextlib
import hashlib
import json
import os
import re
import time

import numpy
import paddle.nn.functional as F
from PIL import Image

from dataset.files import load_label
from dataset.label_map import read_map
from dataset.photo import load_photo
from model.init import OPT
from result.networks.kinds import NETWORKS
from result.scores import VOID, confusion
from runtime.bar import bar
from runtime.errors import InputError
from runtime.writing import writing

BATCHES = 16       # that are looked up in the cache together
DECODER = 2        # version of how files become pixels (dataset.files): another has another cache
RECORD = 'cache.json'                       # in the folder of a cache: what its arrays depend on
ARRAY = re.compile(r'[0-9a-f]{64}\.npy')    # names of its arrays
MOST = 1 << 30     # bytes that all arrays may take after a score; one of 5000 pictures takes some 60 MB
HEADER = 1 << 12   # bytes of a record at most


class Cache:
    """Arrays by key in files of their own, whole or not there: what was interrupted goes on behind the last picture.

    `what` (a dict) is everything that the arrays depend on besides the pictures: another protocol has another folder,
    named after the digest of `what`, which it records.
    """

    def __init__(self, folder, what):
        self.what = json.dumps(what, sort_keys=True)
        self.folder = os.path.join(folder, _name(self.what.encode()))

    def get(self, key):
        """The array of `key`, or None."""
        path = self._path(key)
        try:
            array = numpy.load(path)
        except (OSError, ValueError, EOFError):   # not there, or damaged by a power failure: it is measured again
            return None
        with contextlib.suppress(OSError):   # told to `prune`, on drives too that record no access
            os.utime(path, ns=(time.time_ns(), os.stat(path).st_mtime_ns))
        return array

    def put(self, key, array):
        remedy, record = 'name another --cache', os.path.join(self.folder, RECORD)
        if not os.path.exists(record):
            with writing(record, remedy, alone=False) as unfinished, open(unfinished, 'w') as file:
                file.write(self.what)
        with writing(self._path(key), remedy, alone=False) as unfinished:
            numpy.save(unfinished, array)

    def _path(self, key):
        return os.path.join(self.folder, f'{key}.npy')


def prune(folder, most=MOST):
    """Remove arrays of the caches in `folder`, those not used for longest first, until `most` bytes are left.

    Nothing else goes: a cache is a folder named after the digest of its record, an array a file in it named like a key.
    """
    arrays = []
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            with open(os.path.join(folder, name, RECORD), 'rb') as file:
                if _name(file.read(HEADER)) != name:
                    continue
            with os.scandir(os.path.join(folder, name)) as entries:
                arrays += [(entry.stat().st_atime, entry.stat().st_size, entry.path) for entry in entries
                           if ARRAY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)]
        except OSError:   # no cache, or another process is removing it
            continue
    excess = sum(size for _, size, _ in arrays) - most
    for _, size, path in sorted(arrays):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            os.remove(path)
        excess -= size


def _name(what):
    return hashlib.sha256(what).hexdigest()[:16]


def file_digest(*paths):
    """SHA-256 of the bytes of a file, or of the digests of several; InputError for one that cannot be read."""
    if len(paths) > 1:
        return hashlib.sha256(' '.join(map(file_digest, paths)).encode()).hexdigest()
    found = hashlib.sha256()
    try:
        with open(paths[0], 'rb') as file:
            for block in iter(lambda: file.read(1 << 20), b''):
                found.update(block)
    except OSError as error:
        raise InputError(f'{paths[0]}: cannot be read: {error.strerror or error}') from None
    return found.hexdigest()


def true_classes(path, dataset):
    """(H, W) int64 of a label file: the classes that are scored, VOID elsewhere; InputError for an unknown id."""
    label = load_label(path, OPT(label_nc=dataset.label_nc)).astype(numpy.int64)
    table = numpy.full(dataset.label_nc + 1, VOID)
    ids = range(dataset.label_nc) if dataset.ids is None else dataset.ids
    table[list(ids)] = numpy.arange(len(dataset.names))
    return table[label]


def resized(image, size, how):
    """Pillow image at (width, height)."""
    return image if image.size == tuple(size) else image.resize(size, how)


class Segmentation:
    """Pixels of pictures by true and predicted class, by the data set's network and a protocol."""

    def __init__(self, dataset, protocol, folder, cache, batch, size=None):
        """folder: of the weights; size: (width, height) that photos are resized to first, if scored beside pictures."""
        self.dataset, self.protocol, self.folder, self.batch, self.size = dataset, protocol, folder, batch, size
        self.kind = NETWORKS[dataset.network]
        self.checksum = weights_checksum(self.kind, folder)
        self.cache = Cache(cache, {'counts': DECODER, 'weights': self.checksum, 'network': dataset.network,
                                   'label_nc': dataset.label_nc, 'ids': dataset.ids,
                                   'full_size': protocol.full_size, 'size': size})
        self.network = None

    def counts(self, pairs, title):
        """Yields int64 (classes + 1, classes) for each of `pairs`, (picture path, label path), with a bar."""
        classes = len(self.dataset.names)
        for nonzero, values in measured(self.cache, pairs, self._measure, self.batch, title):
            counts = numpy.zeros((classes + 1) * classes, numpy.int64)
            counts[nonzero] = values
            yield counts.reshape(classes + 1, classes)

    def _measure(self, pairs):
        """Yields (key, array of the counts above 0: where, how many) for each of `pairs`, a dict key -> paths."""
        for keys, read in _alike(((key, self._read(*pair)) for key, pair in pairs.items()), self.batch):
            for key, (_, label), predicted in zip(keys, read, self.predict(numpy.stack([rgb for rgb, _ in read]))):
                counts = confusion(label, predicted, len(self.dataset.names))
                nonzero = numpy.flatnonzero(counts)
                yield key, numpy.stack([nonzero, counts.ravel()[nonzero]])

    def predict(self, rgb):
        """Class maps (H, W), int64, of pictures uint8 (N, H, W, 3)."""
        self.network = self.network or self.kind.load(self.folder, len(self.dataset.names))
        x, size = self.kind.prepare(self.network, rgb), list(rgb.shape[1:3])
        whole = [-(-side // self.kind.multiple) * self.kind.multiple for side in size]
        if whole != size:
            x = F.interpolate(x, whole, mode='bilinear', align_corners=False)
        logits = self.network(x)
        for index in range(len(rgb)):   # one at a time: 182 maps of a picture are large
            one = F.interpolate(logits[index:index + 1], size, mode='bilinear', align_corners=False)
            yield one.argmax(1).numpy()[0]

    def _read(self, picture, label):
        """(uint8 (H, W, 3), int64 (H, W)): picture and true classes at the size that the protocol compares them at."""
        label = true_classes(label, self.dataset)
        image = load_photo(picture, label.shape[::-1])
        if self.size:
            image = resized(image, self.size, Image.Resampling.BICUBIC)
        if self.protocol.full_size:
            return numpy.asarray(resized(image, label.shape[::-1], Image.Resampling.BILINEAR)), label
        label = resized(Image.fromarray(label.astype(numpy.int32)), image.size, Image.Resampling.NEAREST)
        return numpy.asarray(image), numpy.asarray(label, numpy.int64)


class Features:
    """A network's features of pictures, at `size` (width, height), to which others are resized (bicubic).

    FID's Inception, or with the number of its classes a segmentation network that has features.
    """

    def __init__(self, folder, cache, batch, size, network='inception', classes=None):
        self.folder, self.batch, self.size, self.classes = folder, batch, size, classes
        self.kind = NETWORKS[network]
        self.checksum = weights_checksum(self.kind, folder)
        self.cache = Cache(cache, {'features': DECODER, 'weights': self.checksum, 'network': network, 'size': size})
        self.network = None

    def of(self, entries, title):
        """Yields float32 (kind.features) for each of `entries`, (picture,) or (photo, its label map), with a bar."""
        return measured(self.cache, entries, self._measure, self.batch, title)

    def _measure(self, entries):
        """Yields (key, features) for each of `entries`, a dict key -> paths."""
        for keys, read in _alike(((key, (self._read(*entry),)) for key, entry in entries.items()), self.batch):
            self.network = self.network or self.kind.load(self.folder, self.classes)
            yield from zip(keys, self.kind.describe(self.network, numpy.stack([rgb for rgb, in read])).numpy())

    def _read(self, path, label=None):
        size = label and read_map(label).ids.shape[::-1]   # which tells how a photo lies
        return numpy.asarray(resized(load_photo(path, size), self.size, Image.Resampling.BICUBIC))


def measured(cache, entries, measure, batch, title):
    """Yields the array of each of `entries`, tuples of paths, in order, with a bar: from the cache, else measured.

    measure(dict: key -> entry) yields (key, array), in batches. Each file is hashed once, each array loaded once.
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


def weights_checksum(kind, folder):
    """SHA-256 of the weights file in `folder`; '' where it is missing, which loading says."""
    path = os.path.join(folder, kind.file)
    return file_digest(path) if os.path.exists(path) else ''


def _alike(entries, batch):
    """(keys, values) of up to `batch` consecutive entries (key, value), whose values begin with arrays of one shape."""
    keys, values = [], []
    for key, value in entries:
        if keys and (len(keys) == batch or value[0].shape != values[0][0].shape):
            yield keys, values
            keys, values = [], []
        keys.append(key)
        values.append(value)
    if keys:
        yield keys, values
