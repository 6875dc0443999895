"""Decodes a page's files in separate processes, which can be ended; threads cannot.

    python -m paint.decoder     such a process. stdin: the pickled limits, function and arguments; stdout: the bytes
                                that the function returns or, by the exit status, the refusal
"""
import asyncio
import contextlib
import json
import os
import pickle
import resource
import signal
import sys

from paint.refusal import Refused
from paint.turns import Busy

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROCESSES = 2               # at once
MOST_WAITING = 16           # files, including those being decoded
DECODE_SECONDS = 30         # of processor time for one file
DECODE_MEMORY = 3 << 30     # bytes of one process
REFUSED, COSTLY = 3, 4      # exit statuses
ONE_THREAD = {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}     # each thread takes memory


class Decoders:
    """`await decoded(function, *arguments)`: bytes that function(*arguments) returns in another process, or Refused.

    Cancelling ends the process.
    """

    def __init__(self):
        self.waiting, self.free = 0, None

    async def decoded(self, function, *arguments):
        if self.waiting >= MOST_WAITING:
            raise Busy
        # made here, since in Python 3.9 it belongs to the running loop
        self.free = self.free or asyncio.Semaphore(PROCESSES)
        self.waiting += 1
        try:
            async with self.free:
                return await _decoded(pickle.dumps((DECODE_SECONDS, DECODE_MEMORY, function, arguments)))
        finally:
            self.waiting -= 1


async def _decoded(request):
    process = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'paint.decoder', stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, cwd=REPOSITORY, env={**os.environ, **ONE_THREAD}, start_new_session=True)
    try:
        answer, _ = await process.communicate(request)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode == REFUSED:
        raise Refused(**json.loads(answer))
    if process.returncode in (COSTLY, -signal.SIGXCPU):
        raise Refused('costly', f'reading this file takes more than {DECODE_SECONDS} s of processor time or '
                                f'{DECODE_MEMORY >> 30} GB: save it smaller and not progressive')
    if process.returncode:
        raise RuntimeError(f'a decoder ended with status {process.returncode}')
    return answer


def main():
    seconds, memory, function, arguments = pickle.load(sys.stdin.buffer)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))     # even if the parent has ended
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.nice(10)     # painting has priority
    status = 0
    try:
        answer = function(*arguments)
    except Refused as refused:
        answer = json.dumps(dict(code=refused.code, text=refused.text, status=refused.status, **refused.facts)).encode()
        status = REFUSED
    except MemoryError:
        answer, status = b'', COSTLY
    sys.stdout.buffer.write(answer)
    sys.exit(status)


if __name__ == '__main__':
    main()
