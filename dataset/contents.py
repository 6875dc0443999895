"""Identity of a data set's files: every start of a run compares names, sizes and dates, and contents if those differ.

contents.json is in a set that dataset.prepare made or dataset.check checked, and in the folder of a run. Its columns
have a row for each file: name within the set, size in bytes, date of the last change in nanoseconds, digest.
"""
import contextlib
import hashlib
import json
import os
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from dataset.files import evenly_spaced
from dataset.picture_file import unreadable
from runtime import json_file
from runtime.bar import counted
from runtime.cores import cores
from runtime.errors import InputError
from runtime.json_file import listing, record, text, whole
from runtime.writing import writing

FILE = 'contents.json'
REMEDY = 'move it away, or remove it; the files are then read again'
COLUMNS = record(dict(names=listing(text(), longest=1 << 30), sizes=listing(whole(), longest=1 << 30),
                      dates=listing(whole(-1 << 63), longest=1 << 30), digests=listing(text(64, 1), longest=1 << 30)))
SUMMARY = record(dict(stamps=text(64), contents=text(64)))   # of a run's files, in its progress.json
NAMED = 3   # files of a kind that a message names

Entry = namedtuple('Entry', 'name path size date')   # name: folder/file within the set


def fingerprint(samples):
    """Short hex string that quickly identifies a set, from all stems and the bytes of up to 16 label files."""
    digest = hashlib.sha256(b'\0'.join(os.fsencode(sample.stem) for sample in samples))
    for sample in evenly_spaced(samples, 16):
        with _opened(sample.label) as file:
            digest.update(file.read())
    return digest.hexdigest()[:16]


def identity(samples, dataroot, before=''):
    """Hex string of all the samples' contents; their fingerprint if `before`, to compare with, is one."""
    return fingerprint(samples) if len(before) == 16 else Contents.of_samples(samples, dataroot).summary['contents']


def labels_identity(samples):
    """Hex string of the contents of the samples' label maps."""
    dataroot = os.path.dirname(os.path.dirname(samples[0].label))
    return identity([sample._replace(instance=None, photo=None) for sample in samples], dataroot)


class Contents:
    """Names, sizes and dates of a set's files; DataError for a missing one. `digests` reads them all."""

    def __init__(self, paths, dataroot):
        self.dataroot, self.found = dataroot, []
        for path in paths:
            try:
                status = os.stat(path)
            except OSError as error:
                raise unreadable(path, error) from None
            folder, file = os.path.split(path)
            self.found.append(Entry(f'{os.path.basename(folder)}/{file}', path, status.st_size, status.st_mtime_ns))

    @classmethod
    def of_samples(cls, samples, dataroot):
        return cls((path for sample in samples for path in (sample.label, sample.instance, sample.photo) if path),
                   dataroot)

    @cached_property
    def sizes(self):
        """Hex string of names and sizes: the same for every copy of a set."""
        return _hex(f'{entry.name}\0{entry.size}' for entry in self.found)

    @cached_property
    def stamps(self):
        """Hex string of names, sizes and dates. A changed file changes it; so does a copy with new dates."""
        return _hex(f'{entry.name}\0{entry.size}\0{entry.date}' for entry in self.found)

    @cached_property
    def digests(self):
        """list of each file's digest: from the set's contents.json if size and date fit, else from its bytes."""
        known = read(self.dataroot)
        result = [row[2] if (row := known.get(entry.name)) and row[:2] == (entry.size, entry.date) else None
                  for entry in self.found]
        left = [index for index, digest in enumerate(result) if digest is None]
        with ThreadPoolExecutor(2 * cores()) as threads:   # reading and hashing let other threads run
            hashed = threads.map(digest_of, (self.found[index].path for index in left))
            shown = counted(hashed, len(left), 'contents of the data set', 'file', leave=False, delay=1)
            for index, digest in zip(left, shown):
                result[index] = digest
        return result

    @cached_property
    def summary(self):
        """SUMMARY of the files, for a run's progress.json."""
        return {'stamps': self.stamps, 'contents': _hex(f'{name}\0{digest}' for name, digest in self._by_name())}

    def _by_name(self):
        return [(entry.name, digest) for entry, digest in zip(self.found, self.digests)]

    def changes(self, before, folder):
        """Text on the differences from `before`, the SUMMARY of the run in `folder`; '' if only dates differ."""
        if self.stamps == before['stamps'] or self.summary['contents'] == before['contents']:
            return ''
        now, old = dict(self._by_name()), read(folder)
        kinds = {'changed': [name for name in now if name in old and old[name][2] != now[name]],
                 'new': [name for name in now if name not in old] if old else [],
                 'gone': [name for name in old if name not in now]}
        return '; '.join(f'{len(names)} {kind}: {", ".join(names[:NAMED])}{", ..." if len(names) > NAMED else ""}'
                         for kind, names in kinds.items() if names) or 'the contents of its files'

    def write(self, folder):
        """Write contents.json; InputError."""
        columns = {'names': [entry.name for entry in self.found], 'sizes': [entry.size for entry in self.found],
                   'dates': [entry.date for entry in self.found], 'digests': self.digests}
        with writing(os.path.join(folder, FILE)) as unfinished, open(unfinished, 'w') as file:
            json.dump(columns, file)


def keep(dataroot):
    """Write the contents.json of a set after reading all files in its folders; InputError if another file lies there.
    """
    read(dataroot)
    paths = [os.path.join(dataroot, folder, name) for split in ('train', 'val') for part in ('img', 'label', 'inst')
             if os.path.isdir(os.path.join(dataroot, folder := f'{split}_{part}'))
             for name in sorted(os.listdir(os.path.join(dataroot, folder))) if not name.startswith('.')]
    if read(dataroot):      # InputError for a foreign file
        os.remove(os.path.join(dataroot, FILE))     # or `digests` would trust it
    Contents(paths, dataroot).write(dataroot)


def _hex(lines):
    return hashlib.sha256(os.fsencode('\0'.join(lines))).hexdigest()


def digest_of(path):
    """Hex string of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with _opened(path) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(path):
    try:
        with open(path, 'rb') as file:
            yield file
    except OSError as error:
        raise unreadable(path, error) from None


def read(folder):
    """dict: name -> (size, date, digest) in a folder's contents.json; {} without one; InputError if it is damaged."""
    path = os.path.join(folder, FILE)
    try:
        columns = json_file.read(path, COLUMNS, REMEDY, largest=1 << 30)
    except FileNotFoundError:
        return {}
    if len({len(column) for column in columns.values()}) != 1:
        raise InputError(f'{path}: its columns differ in length: {REMEDY}')
    return dict(zip(columns['names'], zip(columns['sizes'], columns['dates'], columns['digests'])))
