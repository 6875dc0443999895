"""One writer to a folder: a lock that ends with its process, even if that is killed."""
import contextlib
import os
import re
import socket

try:
    import fcntl
except ImportError:  # Windows: folders are not guarded
    fcntl = None

from runtime.errors import InputError
from runtime.writing import refuse_shipped

FILE = '.lock'  # stays in the folder and names the last writer


@contextlib.contextmanager
def locked(folder, writer, flags):
    """Make `folder` if missing, and keep every other `writer` out of it. Forked processes do not inherit the lock.

    InputError if another writer is there, or if nothing can be written or locked; `flags` name another folder.
    """
    path = os.path.join(folder, FILE)
    refuse_shipped(folder, flags)
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.islink(path) or os.path.isfile(path) and not _is_ours(path):
            raise InputError(f'{path}: is no lock of this program and was not changed: '
                             f'move it away, or name another {flags}')
        file = open(path, 'a+')
    except OSError as error:
        raise InputError(f'{error.filename or folder}: cannot be written: {error.strerror or error}: '
                         f'name another {flags}') from None
    with file:
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock, which forks inherit
            except (BlockingIOError, PermissionError):
                file.seek(0)
                raise InputError(f'{folder}: another {writer} writes there ({file.read().strip()}): '
                                 f'wait until it has ended, or name another {flags}') from None
            except OSError as error:    # network drives without a lock service
                raise InputError(f'{folder}: no file can be locked there ({error.strerror or error}), so a second '
                                 f'{writer} could write too: name another {flags}, on a drive with locks') from None
        try:
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f'process {os.getpid()} on {socket.gethostname()}'.encode())
        except OSError as error:
            raise InputError(f'{folder}: cannot be written: {error.strerror or error}') from None
        yield


def _is_ours(path):
    """Whether the file has what `locked` writes, or is empty: `locked` truncates it first."""
    with open(path, 'rb') as file:
        return re.fullmatch(rb'(process \d+ on [^\n]*)?', file.read(1000)) is not None
