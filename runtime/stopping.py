"""Ctrl-C and SIGTERM. Importing this module sets the handlers, so that they hold during the import of Paddle too.

A handler can run in the middle of a print or a save, where another print or an exception would do damage. So it either
notes the signal, which training checks after each step, or ends the process at once, like SIGKILL; our files survive
that.
"""
import contextlib
import os
import signal
import sys

_process = None
_asked = None   # number of the signal that came
_at_once = 'stopped before the first step: nothing is lost; the same command starts again'   # None: after the step


def listen():
    """Set this process's handlers; called again after Paddle's import, which replaces that of SIGTERM."""
    global _process
    _process = os.getpid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


def asked():
    """Number of the signal that asks this process to stop, or None."""
    return _asked


@contextlib.contextmanager
def after_the_step():
    """Around training that checks `asked` after each step: a first signal lets the step end, a second one does not."""
    global _at_once
    _at_once = None
    yield
    _at_once = 'stopped: the training is complete, and all is saved'


@contextlib.contextmanager
def at_once(message):
    """Around long work that can be repeated: a signal, even an earlier one, ends the process with a line."""
    global _at_once
    before, _at_once = _at_once, message
    if _asked:
        _end(_asked)
    yield
    _at_once = before


def _handle(number, frame):
    global _asked
    if os.getpid() != _process:   # a worker just forked, which will ignore signals
        return
    if _asked or _at_once:
        _end(number)
    _asked = number
    _print('stopping: this step is finished and saved first (again: stop at once)')


def _end(number):
    with contextlib.suppress(Exception):   # RuntimeError in the middle of a print
        sys.stdout.flush()
    _print(_at_once or 'stopped at once: the last checkpoint stays; the same command continues from it')
    os._exit(128 + number)


def _print(line):
    """Write around the buffers, which may be in use; on a new line, since a terminal may show a bar."""
    with contextlib.suppress(Exception):   # the reader may be gone
        os.write(sys.stdout.fileno(), ('\n' * sys.stdout.isatty() + line + '\n').encode())


listen()
