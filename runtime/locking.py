"""One writer to a folder: a lock that ends with its process, however that ends."""
import contextlib
import os
import re
import socket

try:
    import fcntl
except ImportError:  # Windows: nothing guards a folder there
    fcntl = None

from runtime.errors import InputError

FILE = '.lock'  # in the folder; it stays there, and says who wrote last


@contextlib.contextmanager
def locked(folder, writer, flags):
    """Make `folder` if need be, and keep every other `writer` out of it;
    processes that this one forks do not inherit the lock.

    InputError if another is there, with the `flags` that name another folder, or if nothing can be written or locked
    there.
    """
    path = os.path.join(folder, FILE)
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.islink(path) or os.path.isfile(path) and not _is_ours(path):
            raise InputError(f'{path}: is no lock of this program, and is left as it is: move it away, or name another '
                             f'{flags}')
        file = open(path, 'a+')
    except OSError as error:
        raise InputError(f'{error.filename or folder}: cannot be written: {error.strerror or error}: name another '
                         f'{flags}') \
            from None
    with file:
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock, which they would inherit
            except (BlockingIOError, PermissionError):
                file.seek(0)
                raise InputError(f'{folder}: another {writer} writes there ({file.read().strip()}): wait until it has '
                                 f'ended, or name another {flags}') from None
            except OSError as error:    # network drives without a lock service
                raise InputError(f'{folder}: no file can be locked there ({error.strerror or error}), so nothing would '
                                 f'keep a second {writer} out: name another {flags}, on a drive that has '
                                 'locks') from None
        try:
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f'process {os.getpid()} on {socket.gethostname()}'.encode())
        except OSError as error:
            raise InputError(f'{folder}: cannot be written: {error.strerror or error}') from None
        yield


def _is_ours(path):
    """Whether a lock's file holds what `locked` writes, or nothing, as between the two acts of writing it."""
    with open(path, 'rb') as file:
        return re.fullmatch(rb'(process \d+ on [^\n]*)?', file.read(1000)) is not None
