"""Distributes work to several processes and returns the results in order; a killed process is an error, not a hang.

Python's ProcessPoolExecutor hangs if a process is killed while it writes a result, because its processes share one pipe
(seen with 3.11). Here each process has its own pipe, which closes with it.
"""
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from itertools import accumulate, cycle, islice
from multiprocessing import reduction
from multiprocessing.pool import ExceptionWithTraceback

AHEAD = 4           # items sent to each process before its first result is read
LARGE = 1 << 16     # bytes of arrays in a result that goes through shared memory
ALIGNED = 64        # bytes: alignment of an array there


class WorkerKilled(Exception):
    """A process was killed, perhaps for lack of memory."""


class Workers:
    """with Workers(count, function) as workers: for result in workers(items): ...

    Yields function(item) in the order of `items`; raises its errors, and WorkerKilled. Items or results must be small
    (some KB), or each side may wait for the other to read. One iteration at a time; it
    may be abandoned. ahead: items sent to each process before its first result is read. Large arrays in a result are
    not
    copied.
    """

    def __init__(self, count, function, ahead=AHEAD):
        self.ahead = ahead
        # Forked processes start at once and share the function's data; they must not compute with Paddle.
        method = 'fork' if sys.platform == 'linux' else None
        context, self.processes, self.pipes, self.asked = multiprocessing.get_context(method), [], [], 0
        for _ in range(count):
            ours, theirs = context.Pipe()
            self.processes.append(context.Process(target=_serve, args=(theirs, function, os.getpid())))
            self.processes[-1].start()
            theirs.close()  # so that reading ours ends with the process
            self.pipes.append(ours)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
        for pipe in self.pipes:
            pipe.close()

    def __call__(self, items):
        items, pipes, awaited = iter(items), cycle(self.pipes), deque()
        awaited.extend(map(self._ask, islice(items, self.ahead * len(self.pipes)), pipes))
        while awaited:
            result = self._answer(*awaited.popleft())
            awaited.extend(map(self._ask, islice(items, 1), pipes))
            yield result

    def _ask(self, item, pipe):
        self.asked += 1
        try:
            pipe.send((self.asked, item))
        except OSError:
            raise WorkerKilled from None
        return pipe, self.asked

    def _answer(self, pipe, asked):
        number = 0
        while number != asked:  # results of an abandoned iteration come first
            try:
                number, result, error = _received(pipe)
            except (EOFError, OSError):
                raise WorkerKilled from None
        if error:
            raise error
        return result


def _serve(pipe, function, parent):
    # sent to all processes: the parent saves first, then ends its workers
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        number, item = pipe.recv()
        try:
            answer = number, function(item), None
        except Exception as error:
            answer = number, None, ExceptionWithTraceback(error, error.__traceback__)
        _send(pipe, answer)


# ---- Arrays in results: through memory that both processes see; a pipe costs the parent 5 ms per megabyte

def _send(pipe, answer):
    buffers = []
    head = pickle.dumps(answer, 5, buffer_callback=buffers.append)
    arrays = [buffer.raw() for buffer in buffers]
    memory = _shared(arrays)
    if memory is None:
        pipe.send((None, pickle.dumps(answer, 5), []))
        return
    try:
        pipe.send((memory, head, [array.nbytes for array in arrays]))
        reduction.send_handle(pipe, memory, os.getppid())
    finally:
        os.close(memory)


def _shared(arrays):
    """File descriptor of memory that holds the arrays; None if they are small or the system cannot provide it.

    It has no name: it vanishes with the processes, and the size of /dev/shm does not limit it.
    """
    places = _places([array.nbytes for array in arrays])
    if places[-1] < LARGE or not hasattr(os, 'memfd_create'):
        return None
    memory = None
    try:
        memory = os.memfd_create('batch')
        os.posix_fallocate(memory, 0, places[-1])   # fails here rather than with SIGBUS while writing
        with mmap.mmap(memory, places[-1]) as room:
            for place, array in zip(places, arrays):
                room[place:place + array.nbytes] = array
        return memory
    except OSError:
        if memory is not None:
            os.close(memory)
        return None


def _places(sizes):
    """Offsets of arrays of these sizes in bytes, then the total."""
    return [0, *accumulate(-(-size // ALIGNED) * ALIGNED for size in sizes)]


def _received(pipe):
    memory, head, sizes = pipe.recv()
    if memory is None:
        return pickle.loads(head)
    memory, places = reduction.recv_handle(pipe), _places(sizes)
    try:
        room = memoryview(mmap.mmap(memory, places[-1]))    # lives as long as an array in it
    finally:
        os.close(memory)
    return pickle.loads(head, buffers=[room[place:place + size] for place, size in zip(places, sizes)])


def _end_with(parent):
    """End this process when its parent ends, even by SIGKILL."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
