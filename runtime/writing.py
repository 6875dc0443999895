"""Files and folders that are whole or not there, and that never take the place of what somebody else has put there.

What is being written has a name with a checksum of the final one, which no file of a user has by chance: what a kill
leaves of it is known as ours, and goes. Pictures and pages carry a line that says who wrote them (`mark`); what lacks
it stays.
"""
import contextlib
import os
import re
import shutil
import zlib

from runtime.errors import InputError

UNFINISHED = '.unfinished_'  # what is being written begins with this
NAME_LONGEST = 255           # bytes of a name on common file systems
MARK = 'written by spade-paddle, which may replace this file'
HEAD = 4096     # bytes of a file among which its mark stands


@contextlib.contextmanager
def writing(path, left='nothing is left of it', alone=True):
    """Yields a name beside `path` to write a file, folder or link to, of the same ending;
    at the end it takes the place of `path`.

    After an exception it is removed, and what was at `path` stays; so does a folder that holds anything. InputError,
    which says what is `left`, if it cannot be written. Not alone: other processes may write `path` too, each its own
    file; what a kill leaves of one then stays.
    """
    unfinished = staged(path) if alone else staged(path, os.getpid())
    try:
        os.makedirs(os.path.dirname(unfinished), exist_ok=True)
        remove(unfinished)   # left by a kill
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror or error}; {left}') from None
    finally:
        with contextlib.suppress(OSError):
            remove(unfinished)


def staged(path, process=''):
    """The name beside `path` under which it is written, or removed."""
    folder, name = os.path.split(os.path.abspath(path))
    # a long name loses its beginning
    end = os.fsdecode(os.fsencode(name)[-(NAME_LONGEST - len(f'{UNFINISHED}01234567{process}_')):])
    return os.path.join(folder, f'{UNFINISHED}{_checksum(end)}{process}_{end}')


def sweep(folder):
    """Remove from `folder` what kills have left under names of `staged`; only who is alone there may call this."""
    for entry in os.listdir(folder):
        match = re.fullmatch(rf'{re.escape(UNFINISHED)}([0-9a-f]{{8}})\d*_(.+)', entry, re.DOTALL)
        if match and match[1] == _checksum(match[2]):
            remove(os.path.join(folder, entry))


def _checksum(name):
    return f'{zlib.crc32(os.fsencode(name)):08x}'


def mark(painter=''):
    """The line that pictures and pages carry;
    painter: 16 hex digits that identify the networks of a picture (output/painted.py).
    """
    return f'{MARK}; painter {painter}' if painter else MARK


def is_marked(path):
    """Whether the file at `path` carries our mark; of a link, never."""
    return painter_of(path) is not None


def painter_of(path):
    """The painter in the mark of the file at `path`, '' where it names none;
    None without a mark, and for links and folders.
    """
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    try:
        with open(path, 'rb') as file:
            match = re.search(rf'{MARK}(?:; painter ([0-9a-f]{{16}}))?'.encode(), file.read(HEAD))
    except OSError:
        return None
    return match and (match[1] or b'').decode()


def refuse_existing(path, ours=lambda path: False):
    """InputError if there is anything at `path` but what ours(path) knows as this program's."""
    if os.path.lexists(path) and not ours(path):
        raise InputError(f'{path} exists and is left as it is: remove it or choose another place')


def remove(path):
    """Remove the file, link or folder at `path`, if there is one."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
