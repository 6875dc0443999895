"""Scripts in processes forked from one that has imported them:
they start at once, not after the seconds of Paddle's import.

    python -m tests.forked      the process that is forked; Server starts it and writes its requests

The processes are real and end on their own, but share the hash seed of their parent: where bits are compared, one of
the runs must start afresh.
"""
import atexit
import importlib
import json
import os
import random
import runpy
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
GOLDEN = REPOSITORY / 'tests/golden'   # stored values of the official implementation (README.md there)
HANGS = 300     # seconds after which a process is taken to hang, however busy the machine


class Server:
    """The process that is forked, of this environment (OMP_NUM_THREADS counts at import),
    in this copy of the repository.
    """

    # A process that is forked cannot use a GPU that the first has seen.
    possible = hasattr(os, 'pidfd_open') and not shutil.which('nvidia-smi')

    def __init__(self, environment, cwd=REPOSITORY):
        self._process = subprocess.Popen([sys.executable, '-m', 'tests.forked'], cwd=cwd, env=environment, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._lock = threading.Lock()

    def start(self, command, stdout, stderr, environment=(), cwd='.'):
        """Process of `python *command`, leader of a session of its own, whose words are added to these files.

        environment: dict of variables beside the server's own.
        """
        return Process(self, self.ask(dict(command=[str(word) for word in command], files=[str(stdout), str(stderr)],
                                           environment=dict(environment), cwd=str(cwd))))

    def ask(self, request):
        with self._lock:
            self._process.stdin.write(json.dumps(request) + '\n')
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Process:
    """subprocess.Popen for a child of the server."""

    def __init__(self, server, pid):
        self.pid, self.returncode = pid, None
        self._server, self._end = server, os.pidfd_open(pid)

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f'process {self.pid}', timeout)
            os.close(self._end)
            self.returncode = self._server.ask(dict(ended=self.pid))
        return self.returncode

    def poll(self):
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None


def until(condition, process=None):
    """Wait for a true value of condition() and return it; fails after HANGS seconds or if `process` ends before."""
    end = time.monotonic() + HANGS
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        assert process is None or process.poll() is None, f'the process ended with status {process.returncode}'
        time.sleep(0.005)
    raise AssertionError(f'did not happen within {HANGS} s')


def kill(process, number=signal.SIGKILL):
    """Send a signal to the process group, as a terminal does, and return the exit status."""
    os.killpg(process.pid, number)
    return process.wait(timeout=HANGS)


def serve():
    """Answer requests; returns in each forked process, with its command, and where there are no more requests,
    with None.
    """
    for line in sys.stdin:
        request = json.loads(line)
        if 'ended' in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request['ended'], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _separate(*request['files'])
                os.environ.update(request['environment'])
                os.chdir(request['cwd'])
                return request['command']
            while os.getpgid(answer) != answer:     # until it leads its session
                time.sleep(0.0005)
        print(answer, flush=True)


def _separate(stdout, stderr):
    """Signals, session, files and random generators like those of a new process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)    # the import of train.py has set others
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), os.open(stdout, flags), os.open(stderr, flags))):
        os.dup2(file, number)
        os.close(file)
    import numpy
    import paddle
    random.seed()
    numpy.random.seed()
    paddle.seed(int.from_bytes(os.urandom(4), 'little'))


def to_the_end(work):
    """Call work() and end this forked process as the interpreter would, but for the destructors of C++.

    One of Paddle 2.6's would wait for ever if a thread of the server held its lock at the moment of the fork.
    """
    status = 0
    try:
        work()
    except SystemExit as error:
        status = error.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main():
    import train  # noqa: F401  first: sets the threads, then imports numpy and Paddle in the order that works

    # isort: split

    import dataset.prepare.coco
    import dataset.prepare.folders
    import dataset.prepare.own  # noqa: F401
    import predict  # noqa: F401
    import val  # noqa: F401

    if os.environ.get('IMPORTED_TOO'):  # matplotlib takes as long as Paddle
        importlib.import_module(os.environ['IMPORTED_TOO'])
    command = serve()
    if command and command[0] == '-m':
        sys.modules.pop(command[1], None)   # train.py has imported result.evaluate
        sys.argv = command[1:]
        to_the_end(lambda: runpy.run_module(command[1], run_name='__main__', alter_sys=True))
    elif command:
        sys.argv = command
        to_the_end(lambda: runpy.run_path(command[0], run_name='__main__'))


if __name__ == '__main__':
    main()
