"""Reads members of a downloaded zip archive, or the same files unpacked, one by one.

A member's name never becomes a path: dataset.prepare names the files it writes. Links, and members whose names lead out
of their folder, are counted but not read.
"""
import contextlib
import functools
import io
import os
import stat
import zipfile
from collections import namedtuple

from dataset.picture_file import DataError
from runtime.errors import InputError

LARGEST = 1 << 28       # bytes of an unpacked member: photos and maps have a few million
LARGEST_RATIO = 250     # of a member's size to its packed size: 1 for pictures, 4 for annotations, 1000 for zip bombs

Member = namedtuple('Member', 'archive name')  # path of a zip file or a folder; name inside, with slashes


class NamedBytes(io.BytesIO):
    """Bytes with a name: Pillow reads them as a file, messages show the name."""

    def __init__(self, content, name):
        super().__init__(content)
        self.name = name

    def __str__(self):
        return self.name


def source(directory, archive, folder, unpacked=False, inside=''):
    """Path to read: the zip file directory/archive, or directory/inside if directory/folder has its files unpacked.

    inside: the folder to which the zip file was unpacked; unpacked: whether only the folder counts. InputError if
    absent.
    """
    packed, folder = os.path.join(directory, archive), os.path.join(directory, folder)
    if os.path.isfile(packed) and not unpacked:
        return packed
    if os.path.isdir(folder):
        return os.path.join(directory, inside)
    if unpacked:
        raise InputError(f'{folder}: missing, and --link needs unpacked files: unpack {archive} or omit --link')
    raise InputError(f'{packed}: missing, and there is no folder {folder} of its unpacked files: put one '
                     'of them there or name another --archives')


def files_by_stem(path, prefix, ending, unsafe, deeper=0):
    """dict: name without folders and `ending` -> Member, of the files in `prefix`, or `deeper` folders further down.

    Adds the names of unsafe members of a zip file to the set `unsafe`.
    """
    if os.path.isdir(path):
        names = _files(path, prefix)
    else:
        files = [info for info in _opened(path, os.getpid()).infolist() if not info.is_dir()]
        unsafe.update(info.filename for info in files if not _is_safe(info))
        names = (info.filename for info in files if info.filename.startswith(prefix) and _is_safe(info))
    return {os.path.basename(name)[:-len(ending)]: Member(path, name) for name in sorted(names)
            if name.lower().endswith(ending.lower()) and name.count('/') == prefix.count('/') + deeper}


def _is_safe(info):
    """Whether a ZipInfo is a plain file whose name stays below the folder it would be unpacked to."""
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
    """Binary stream of a member; DataError if missing, damaged, encrypted, beyond `largest` bytes, or a zip bomb."""
    named = f'{member.archive}: {member.name}'
    try:
        if os.path.isdir(member.archive):
            path = path_of(member)
            size, packed, opened = os.path.getsize(path), None, functools.partial(open, path, 'rb')
        else:
            archive = _opened(member.archive, os.getpid())
            info = archive.getinfo(member.name)     # zipfile reads no more than the declared size
            size, packed, opened = info.file_size, info.compress_size, functools.partial(archive.open, info)
        if size > largest:
            raise DataError(f'{named}: more than {largest} bytes, impossible for such a file: download the archive '
                            'again',
                            'too large')
        if packed is not None and size > LARGEST_RATIO * packed + 1000:
            raise DataError(f'{named}: {size} bytes packed to {packed}, impossible for such a file: download the '
                            'archive again', 'too large')
        with opened() as file:
            yield file
    except InputError:
        raise
    # damaged archives make zipfile raise nearly anything: zlib.error, EOFError, struct.error, ...
    except Exception as error:
        remedy = 'replace the file' if os.path.isdir(member.archive) else 'download the archive again'
        raise DataError(f'{named}: cannot be read ({" ".join(str(error).split()) or type(error).__name__}): {remedy}',
                        'unreadable file') from None


def stamp(member):
    """[name, size, date or, in an archive, checksum] of a member, to detect changes; [name] if it is missing."""
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
    """ZipFile, cached for each `process`, since forked processes would share one position in the file."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(f'{path}: not a readable zip archive ({error}): download it again') from None
