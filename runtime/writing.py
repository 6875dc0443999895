"""Writes files and folders whole or not at all, and never replaces another program's.

A file is written under a temporary name with a checksum of the final one. No user's file has such a name by chance, so
what a kill leaves is recognized and removed. Pictures and pages carry our `mark`; files without it are not replaced.
"""
import contextlib
import os
import re
import shutil
import zlib

from runtime.errors import InputError

UNFINISHED = '.unfinished_'  # prefix of temporary names
NAME_LONGEST = 255           # bytes of a name on common file systems
MARK = 'written by spade-paddle, which may replace this file'
HEAD = 4096     # first bytes of a file, which contain its mark
# models that come with the project
SHIPPED = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), 'pretrained')


@contextlib.contextmanager
def disk_errors(path, left=''):
    """Around reading and writing `path`: an OSError becomes an InputError, which reports what is `left`."""
    try:
        yield
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror or error}{left and "; " + left}') from None


@contextlib.contextmanager
def writing(path, left='nothing was written', alone=True):
    """Yields a temporary name beside `path`, with its ending. The file, folder or link made there replaces `path`.

    After an exception it is removed and `path` is unchanged. A folder with content is never replaced. InputError, which
    reports what is `left`, if writing fails. alone=False: other processes may write `path` too; the temporary name then
    contains the process's number, and what a kill leaves is not removed.
    """
    unfinished = staged(path) if alone else staged(path, os.getpid())
    try:
        with disk_errors(path, left):
            os.makedirs(os.path.dirname(unfinished), exist_ok=True)
            remove(unfinished)   # left by a kill
            yield unfinished
            os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            remove(unfinished)


def staged(path, process=''):
    """The temporary name beside `path` for writing or removing it."""
    folder, name = os.path.split(os.path.abspath(path))
    room = NAME_LONGEST - len(f'{UNFINISHED}01234567{process}_')
    end = os.fsdecode(os.fsencode(name)[-room:])   # a long name loses its beginning
    return os.path.join(folder, f'{UNFINISHED}{_checksum(end)}{process}_{end}')


def sweep(folder):
    """Remove what kills have left in `folder` under names of `staged`. The caller must be the only writer there."""
    for entry in os.listdir(folder):
        match = re.fullmatch(rf'{re.escape(UNFINISHED)}([0-9a-f]{{8}})\d*_(.+)', entry, re.DOTALL)
        if match and match[1] == _checksum(match[2]):
            remove(os.path.join(folder, entry))


def _checksum(name):
    return f'{zlib.crc32(os.fsencode(name)):08x}'


def mark(painter='', inputs=''):
    """The mark of pictures and pages.

    painter, inputs: 16 hex digits that identify a picture's networks (output/painted.py) and inputs (output/folder.py).
    """
    return MARK + (f'; painter {painter}' if painter else '') + (f'; inputs {inputs}' if inputs else '')


def is_marked(path):
    """Whether the file at `path` carries our mark; false for links."""
    return painter_of(path) is not None


def painter_of(path):
    """The painter in the mark of the file at `path`, '' if it names none; None without a mark or for links."""
    return _in_mark(path, 1)


def inputs_of(path):
    """The same of the inputs."""
    return _in_mark(path, 2)


def _in_mark(path, part):
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    try:
        with open(path, 'rb') as file:
            match = re.search(rf'{MARK}(?:; painter ([0-9a-f]{{16}}))?(?:; inputs ([0-9a-f]{{16}}))?'.encode(),
                              file.read(HEAD))
    except OSError:
        return None
    return match and (match[part] or b'').decode()


def refuse_existing(path, ours=lambda path: False):
    """InputError if `path` exists, unless ours(path)."""
    if os.path.lexists(path) and not ours(path):
        raise InputError(f'{path} exists and was not changed: remove it or choose another place')


def refuse_shipped(path, option):
    """InputError if `path`, of `option`, is in the folder of the models that come with the project."""
    real = os.path.realpath(path)
    if real == SHIPPED or real.startswith(os.path.join(SHIPPED, '')):
        raise InputError(f'{option}: {path} is in {SHIPPED}, where no run writes: it holds the models that come with '
                         'the project; name another place')


def remove(path):
    """Remove the file, link or folder at `path`, if it exists."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
