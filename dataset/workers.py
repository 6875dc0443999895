"""Work spread over processes, with its results in order; a process that is killed is an error, never a silence.

Python's ProcessPoolExecutor waits for ever when a process is killed while it writes a result, because its processes share
one pipe (seen with 3.11). Here each has its own, which ends with it.
"""
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from itertools import cycle, islice
from multiprocessing.pool import ExceptionWithTraceback

AHEAD = 4  # items handed to each process before its first result is read


class WorkerKilled(Exception):
    """One of the processes has ended; perhaps the system had no memory left."""


class Workers:
    """with Workers(count, function) as workers: for result in workers(items): ...

    function(item) for each item, in the order of `items`; raises what it raises, and WorkerKilled. Either items or results
    must be small (some KB), or both sides might wait for the other to read. One iteration at a time; it may be left early.
    """

    def __init__(self, count, function):
        # Forked processes start at once and share what function holds; they compute nothing with Paddle.
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
        awaited.extend(map(self._ask, islice(items, AHEAD * len(self.pipes)), pipes))
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
        while number != asked:  # what is left of an iteration that was given up comes first
            try:
                number, result, error = pipe.recv()
            except (EOFError, OSError):
                raise WorkerKilled from None
        if error:
            raise error
        return result


def _serve(pipe, function, parent):
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all; the parent saves first, then ends its workers
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        number, item = pipe.recv()
        try:
            answer = number, function(item), None
        except Exception as error:
            answer = number, None, ExceptionWithTraceback(error, error.__traceback__)
        pipe.send(answer)


def _end_with(parent):
    """A parent killed with SIGKILL tells nobody: its workers look for it themselves."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
