"""Ctrl-C and SIGTERM. Importing this sets the handlers, so that they hold while Paddle is still imported.

A handler runs between any two bytecodes, in the middle of a print or of a save too, where to print again or to raise
would spoil what it interrupts. So it takes note, which the training looks for after each step, or it ends the process
on the spot: as SIGKILL would, which no file of ours minds.
"""
import contextlib
import os
import signal
import sys

_process = None
_asked = None   # number of the signal that came
# None: after the step
_at_once = 'stopped before the first step: nothing is lost, and the same command begins again or goes on'


def listen():
    """Set the handlers for this process; once more after the import of Paddle, which takes SIGTERM for itself."""
    global _process
    _process = os.getpid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


def asked():
    """Number of the signal after which this process is to stop, None if there was none."""
    return _asked


@contextlib.contextmanager
def after_the_step():
    """Around a training that looks for `asked` after each step: the first signal waits for that, a second one does not.
    """
    global _at_once
    _at_once = None
    yield
    _at_once = 'stopped: the training is complete, and all is saved'


@contextlib.contextmanager
def at_once(message):
    """Around work that takes long and can be repeated:
    a signal, or one that has come already, ends the process with a line.
    """
    global _at_once
    before, _at_once = _at_once, message
    if _asked:
        _end(_asked)
    yield
    _at_once = before


def _handle(number, frame):
    global _asked
    if os.getpid() != _process:   # a worker that was forked a moment ago, and will not listen to signals
        return
    if _asked or _at_once:
        _end(number)
    _asked = number
    _say('stopping: this step is finished and saved first (again: stop at once)')


def _end(number):
    with contextlib.suppress(Exception):   # RuntimeError in the middle of a print
        sys.stdout.flush()
    _say(_at_once or 'stopped at once: the last checkpoint stays, and the same command goes on from it')
    os._exit(128 + number)


def _say(line):
    """Write past the buffers, which might be in use; on a line of its own, where a bar is drawn."""
    with contextlib.suppress(Exception):   # nobody may be listening any more
        os.write(sys.stdout.fileno(), ('\n' * sys.stdout.isatty() + line + '\n').encode())


listen()
