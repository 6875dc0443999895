"""Files and folders that are whole or not there."""
import contextlib
import os
import shutil

from runtime.errors import InputError

UNFINISHED = '.unfinished_'  # what is being written begins with this
NAME_LONGEST = 255           # bytes of a name on common file systems


@contextlib.contextmanager
def writing(path, left='nothing is left of it', alone=True):
    """Yields a name beside `path` to write a file, folder or link to, of the same ending; at the end it takes the place of `path`.

    After an exception it is removed, and what was at `path` stays. InputError, which says what is `left`, if it cannot be
    written; a folder is replaced by a folder alone. Not alone: other processes may write `path` too, each its own file; what a
    kill leaves of one then stays until someone removes what begins with UNFINISHED.
    """
    folder, name = os.path.split(os.path.abspath(path))
    writer = UNFINISHED if alone else f'{UNFINISHED}{os.getpid()}_'
    unfinished = os.path.join(folder, writer + os.fsdecode(os.fsencode(name)[-(NAME_LONGEST - len(writer)):]))
    try:
        os.makedirs(folder, exist_ok=True)
        remove(unfinished)   # left by a kill
        yield unfinished
        if os.path.isdir(unfinished) and os.path.isdir(path):
            remove(path)
        os.replace(unfinished, path)
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror or error}; {left}') from None
    finally:
        with contextlib.suppress(OSError):
            remove(unfinished)


def refuse_existing(path):
    """InputError if there is anything at `path`."""
    if os.path.lexists(path):
        raise InputError(f'{path} exists and is left as it is: remove it or choose another place')


def remove(path):
    """Remove the file, link or folder at `path`, if there is one."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
