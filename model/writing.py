"""Files and folders that are whole or not there."""
import contextlib
import os
import shutil

from model.errors import InputError


@contextlib.contextmanager
def writing(path, left='nothing is left of it'):
    """Yields a name beside `path` to write a file or folder to, of the same ending; at the end it takes the place of `path`.

    After an exception it is removed, and what was at `path` stays. InputError, which says what is `left`, if it cannot be
    written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    unfinished = os.path.join(folder, f'.unfinished_{name}')
    try:
        os.makedirs(folder, exist_ok=True)
        remove(unfinished)   # left by a kill
        yield unfinished
        if os.path.isdir(path):
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
