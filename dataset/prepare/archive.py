"""Downloads as they come: members of a zip archive, or the same files unpacked,
read one by one and never unpacked as a whole.

A member's name never becomes a path: what is written is named by dataset.prepare. Members that would lead out of a
folder, and links, are left aside all the same, and counted.
"""
import contextlib
import functools
import io
import os
import stat
import zipfile
from collections import namedtuple

from dataset.files import DataError
from runtime.errors import InputError

LARGEST = 1 << 28  # bytes of one member, unpacked: photos and maps have a few million; a larger one is no picture
LARGEST_RATIO = 250     # of a member's size to its packed size: pictures have 1, annotations 4, zip bombs 1000

Member = namedtuple('Member', 'archive name')  # path of a zip file or of a folder; name inside, with slashes


class NamedBytes(io.BytesIO):
    """Bytes that Pillow reads like a file and that errors call by name."""

    def __init__(self, content, name):
        super().__init__(content)
        self.name = name

    def __str__(self):
        return self.name


def source(directory, archive, folder, unpacked=False, inside=''):
    """Where to read: the zip file directory/archive, else, if directory/folder holds the same files, directory/inside.

    `inside` is where the zip file was unpacked to. With `unpacked` only the folder will do. InputError if nothing is
    there.
    """
    packed, folder = os.path.join(directory, archive), os.path.join(directory, folder)
    if os.path.isfile(packed) and not unpacked:
        return packed
    if os.path.isdir(folder):
        return os.path.join(directory, inside)
    if unpacked:
        raise InputError(f'{folder}: not there, and --link needs the files unpacked: unpack {archive} or leave --link '
                         'out')
    raise InputError(f'{packed}: not there, and neither is the folder {folder} with the same files unpacked: put one '
                     'of them there or name another --archives')


def members(path, prefix):
    """(names below `prefix` of a zip file or folder, sorted; names that were left aside because they are not safe)."""
    if os.path.isdir(path):
        return sorted(_files(path, prefix)), []
    names, hostile = [], []
    for info in _opened(path, os.getpid()).infolist():
        if info.is_dir():
            continue
        if not is_safe(info):
            hostile.append(info.filename)
        elif info.filename.startswith(prefix):
            names.append(info.filename)
    return sorted(names), hostile


def is_safe(info):
    """Whether a ZipInfo is a plain file whose name stays below the folder that it would be unpacked to."""
    parts = info.filename.split('/')
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG) and not info.filename.startswith('/') and '..' not in parts and not any(
        character in info.filename for character in '\\:\0')


def _files(folder, prefix):
    for place, _, files in os.walk(os.path.join(folder, prefix)):
        inside = os.path.relpath(place, folder).replace(os.sep, '/')
        yield from (f'{inside}/{file}' for file in files)


def read(member, largest=LARGEST):
    """NamedBytes of a member; DataError as from `reading`."""
    with reading(member, largest) as file:
        return NamedBytes(file.read(), f'{member.archive}: {member.name}')


@contextlib.contextmanager
def reading(member, largest):
    """The binary stream of a member; DataError if it is missing, damaged, encrypted, beyond `largest` bytes,
    or a zip bomb.
    """
    named = f'{member.archive}: {member.name}'
    try:
        if os.path.isdir(member.archive):
            path = path_of(member)
            size, packed, opened = os.path.getsize(path), None, functools.partial(open, path, 'rb')
        else:
            archive = _opened(member.archive, os.getpid())
            info = archive.getinfo(member.name)     # zipfile reads no more than it declares
            size, packed, opened = info.file_size, info.compress_size, functools.partial(archive.open, info)
        if size > largest:
            raise DataError(f'{named}: more than {largest} bytes, which no such file has: download the archive again',
                            'too large')
        if packed is not None and size > LARGEST_RATIO * packed + 1000:
            raise DataError(f'{named}: packed to {packed} of {size} bytes, which no such file can be: download the '
                            'archive again', 'too large')
        with opened() as file:
            yield file
    except InputError:
        raise
    # damaged archives make zipfile raise nearly anything: zlib.error, EOFError, struct.error, ...
    except Exception as error:
        raise DataError(f'{named}: cannot read it ({" ".join(str(error).split()) or type(error).__name__}): download '
                        'the archive again', 'unreadable file') from None


def stamp(member):
    """[name, size, date or, in an archive, checksum] of a member: others, once it has changed;
    [name] if it is not there.
    """
    try:
        if os.path.isdir(member.archive):
            status = os.stat(path_of(member))
            return [member.name, status.st_size, status.st_mtime_ns]
        info = _opened(member.archive, os.getpid()).getinfo(member.name)
        return [member.name, info.file_size, info.CRC]
    except (OSError, KeyError):
        return [member.name]


def path_of(member):
    """Path of an unpacked member."""
    return os.path.join(member.archive, *member.name.split('/'))


@functools.lru_cache(maxsize=None)
def _opened(path, process):
    """ZipFile; `process` keeps forked processes from sharing one position in the file."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(f'{path}: no readable zip archive ({error}): download it again') from None
