"""Measured arrays by the content of their files, in a folder of limited size."""
import contextlib
import hashlib
import json
import os
import re
import time

import numpy as np

from runtime.digest import sha256_of
from runtime.writing import writing

RECORD = 'cache.json'                      # in a cache's folder: what its arrays depend on
ARRAY = re.compile(r'[0-9a-f]{64}\.npy')   # names of its arrays
MOST = 1 << 30     # bytes of all arrays after a score; 5000 pictures take about 60 MB
HEADER = 1 << 12   # bytes of a record at most


class Cache:
    """One .npy file for each key, whole or absent: an interrupted measurement resumes after its last picture.

    `what` (a dict) is everything that the arrays depend on besides the pictures. Its digest names the cache's folder.
    """

    def __init__(self, folder, what):
        self.what = json.dumps(what, sort_keys=True)
        self.folder = os.path.join(folder, _name(self.what.encode()))

    def get(self, key):
        """The array of `key`; None if it is missing or damaged."""
        path = self._path(key)
        try:
            array = np.load(path)
        except (OSError, ValueError, EOFError):
            return None
        with contextlib.suppress(OSError):   # for `prune`, also on drives that record no access
            os.utime(path, ns=(time.time_ns(), os.stat(path).st_mtime_ns))
        return array

    def put(self, key, array):
        remedy, record = 'name another --cache', os.path.join(self.folder, RECORD)
        if not os.path.exists(record):
            with writing(record, remedy, alone=False) as unfinished, open(unfinished, 'w') as file:
                file.write(self.what)
        with writing(self._path(key), remedy, alone=False) as unfinished:
            np.save(unfinished, array)

    def _path(self, key):
        return os.path.join(self.folder, f'{key}.npy')


def prune(folder, most=MOST):
    """Remove the least recently used arrays of all caches in `folder`, until `most` bytes are left.

    Nothing else is removed: a cache is a folder named by its record's digest, an array a file there named by a key.
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
    """sha256_of a file; of several files, the SHA-256 of their digests."""
    if len(paths) == 1:
        return sha256_of(*paths)
    return hashlib.sha256(' '.join(map(sha256_of, paths)).encode()).hexdigest()
