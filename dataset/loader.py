"""Batches of a data set, read ahead by worker processes.

Paddle's DataLoader loses the error of a broken sample: without workers it hangs, with workers it raises a SystemError
that names neither file nor reason (seen with 2.6.2 and 3.3.1). This loader raises the error itself.
"""
import contextlib
import functools

import numpy as np

from dataset.picture_file import DataError
from dataset.workers import WorkerKilled, Workers

AHEAD = 2   # batches in each process: one ready, one in progress


class Loader:
    """with Loader(data, workers) as load: for batch in load(keys): ...

    keys: for each batch, a list of keys of `data`. A batch is a dict of the stacked arrays of data[key], or
    finish(batch), computed in the process that read it. workers 0 reads on demand in this process. Raises the errors
    of data[key]. The processes live as long as the loader, across epochs.
    """

    def __init__(self, data, workers=0, finish=None):
        self.data, self.read, self.held = data, functools.partial(_read, data, finish), contextlib.ExitStack()
        self.workers = self.held.enter_context(Workers(workers, self.read, AHEAD)) if workers else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.held.close()

    def __call__(self, keys):
        try:
            yield from self.workers(keys) if self.workers else map(self.read, keys)
        except WorkerKilled:
            raise DataError('a process that loads data was killed, perhaps for lack of memory: set a smaller '
                            f'--nThreads (now {len(self.workers.processes)})', 'killed process') from None


def _read(data, finish, keys):
    arrays = stacked(data, keys)
    return finish(arrays) if finish else arrays


def stacked(data, batch):
    """dict: name -> stacked arrays data[key][name] of the keys in `batch`."""
    samples = [data[key] for key in batch]
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
