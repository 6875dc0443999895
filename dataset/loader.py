"""Batches of a data set, read ahead by worker processes.

Paddle's DataLoader never hands on an error in a sample: without workers it waits for ever, with workers it raises a
SystemError that names neither file nor reason (seen with 2.6.2 and 3.3.1). Here the error itself arrives.
"""
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

import numpy as np

from dataset.files import DataError

AHEAD = 2  # batches read ahead by each worker
PATIENCE = 5  # seconds

_work = None  # of a worker process: the data set, and what is done with a batch


class Loader:
    """with Loader(data, workers) as load: for batch in load(keys): ...; workers 0 reads in this process, when asked.

    `keys` holds a list of keys of `data` for each batch; a batch is a dict of arrays, those of data[key] stacked, in the
    order of `keys`, or what `finish` makes of it, in the process that read it. Raises what data[key] raises. The processes
    live as long as the loader, across epochs.
    """

    def __init__(self, data, workers=0, finish=None):
        self.data, self.workers, self.finish = data, workers, finish
        self.pool = worker_pool(workers, (data, finish)) if workers else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def __call__(self, keys):
        if not self.pool:
            yield from (_finished(self.data, batch, self.finish) for batch in keys)
            return
        keys, pending = iter(keys), deque()
        try:
            pending.extend(self.pool.submit(_load, batch) for batch in islice(keys, AHEAD * self.workers))
            while pending:
                arrays = self._result(pending.popleft())
                pending.extend(self.pool.submit(_load, batch) for batch in islice(keys, 1))
                yield arrays
        except BrokenProcessPool:
            raise DataError('a process that loads data was killed, perhaps for want of memory: set a smaller --nThreads '
                            f'(now {self.workers})', 'killed process') from None
        finally:
            for future in pending:
                future.cancel()

    def _result(self, future):
        """Its result. Python's pool forgets a future that is submitted while it finds a worker dead: ask it now and then."""
        while True:
            try:
                return future.result(timeout=PATIENCE)
            except TimeoutError:
                self.pool.submit(os.getpid)   # raises BrokenProcessPool if it knows by now


def worker_pool(workers, work=None):
    """ProcessPoolExecutor whose processes leave signals to their parent, and end with it however it ends."""
    # Forked workers start at once and share the list of samples; they touch no Paddle.
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else None
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start_worker, (work, os.getpid()))


def stacked(data, batch):
    """dict: name -> the arrays of that name of data[key], for key in `batch`, stacked."""
    samples = [data[key] for key in batch]
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def _finished(data, batch, finish):
    arrays = stacked(data, batch)
    return finish(arrays) if finish else arrays


def _load(batch):
    data, finish = _work
    return _finished(data, batch, finish)


def _start_worker(work, parent):
    global _work
    _work = work
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all; the parent saves first, then ends its workers
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent):
    """A parent killed with SIGKILL tells nobody: its workers look for it themselves."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
