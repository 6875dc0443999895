"""What of a data set a training reads: names, sizes and dates of all its files at every start,
their contents where those differ.

contents.json, in a set that dataset.prepare has made or dataset.check has gone over, and in the folder of a run:
columns with a row for each file: its name below the set, its size in bytes, when it was last changed (nanoseconds) and
a digest of its bytes.
"""
import contextlib
import hashlib
import json
import os
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from dataset.picture_file import unreadable
from runtime import json_file
from runtime.bar import counted
from runtime.cores import cores
from runtime.errors import InputError
from runtime.json_file import listing, record, text, whole
from runtime.writing import writing

FILE = 'contents.json'
REMEDY = 'remove it: the files are read once more instead'
COLUMNS = record(dict(names=listing(text(), longest=1 << 30), sizes=listing(whole(), longest=1 << 30),
                      dates=listing(whole(-1 << 63), longest=1 << 30), digests=listing(text(64, 1), longest=1 << 30)))
SUMMARY = record(dict(stamps=text(64), contents=text(64)))   # of the files of a run, in its progress.json
NAMED = 3   # files of a kind that a message names

Entry = namedtuple('Entry', 'name path size date')   # name: part folder/file, which is the same wherever the set lies


def fingerprint(samples):
    """Short hex string that tells data sets apart in a moment: of all stems and of the bytes of up to 16 label files.
    """
    digest = hashlib.sha256(b'\0'.join(os.fsencode(sample.stem) for sample in samples))
    for index in np.unique(np.linspace(0, len(samples) - 1, min(16, len(samples))).round().astype(int)):
        try:
            with open(samples[index].label, 'rb') as file:
                digest.update(file.read())
        except OSError as error:
            raise unreadable(samples[index].label, error) from None
    return digest.hexdigest()[:16]


def identity(samples, dataroot, before=''):
    """Hex string of the contents of all files of the samples;
    `before`: such a string to compare with, perhaps an old fingerprint.
    """
    return fingerprint(samples) if len(before) == 16 else Contents.of_samples(samples, dataroot).summary['contents']


def labels_identity(samples):
    """Hex string of the contents of the samples' label maps alone."""
    dataroot = os.path.dirname(os.path.dirname(samples[0].label))
    return identity([sample._replace(instance=None, photo=None) for sample in samples], dataroot)


class Contents:
    """Files of a set. DataError for one that is gone. Some seconds for 300,000 of them; `digests` reads them all."""

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
        """Hex string of names, sizes and dates:
        another wherever a file was changed, and in a copy that did not keep the dates.
        """
        return _hex(f'{entry.name}\0{entry.size}\0{entry.date}' for entry in self.found)

    @cached_property
    def digests(self):
        """list of a digest of each file's bytes:
        as the set's own contents.json has it, where size and date fit, else read.
        """
        known = read(self.dataroot)
        result = [row[2] if (row := known.get(entry.name)) and row[:2] == (entry.size, entry.date) else None
                  for entry in self.found]
        left = [index for index, digest in enumerate(result) if digest is None]
        with ThreadPoolExecutor(2 * cores()) as threads:   # reading and hashing both let other threads run
            hashed = threads.map(digest_of, (self.found[index].path for index in left))
            for index, digest in zip(left, counted(hashed, len(left), 'contents of the data set', 'file', leave=False,
                                                   delay=1)):
                result[index] = digest
        return result

    @cached_property
    def summary(self):
        """SUMMARY of the files: what a run keeps in its progress.json."""
        return {'stamps': self.stamps, 'contents': _hex(f'{entry.name}\0{digest}' for entry, digest in
                                                        zip(self.found, self.digests))}

    def changes(self, before, folder):
        """What differs from `before`, a run's SUMMARY, whose contents.json lies in `folder`;
        '' if nothing, or the dates alone.
        """
        if self.stamps == before['stamps'] or self.summary['contents'] == before['contents']:
            return ''
        now, old = {entry.name: digest for entry, digest in zip(self.found, self.digests)}, read(folder)
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
    """Write the contents.json of a set: of all files in its folders, read anew."""
    paths = [os.path.join(dataroot, folder, name) for split in ('train', 'val') for part in ('img', 'label', 'inst')
             if os.path.isdir(os.path.join(dataroot, folder := f'{split}_{part}'))
             for name in sorted(os.listdir(os.path.join(dataroot, folder))) if not name.startswith('.')]
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(dataroot, FILE))     # `digests` would believe it
    Contents(paths, dataroot).write(dataroot)


def _hex(lines):
    return hashlib.sha256(os.fsencode('\0'.join(lines))).hexdigest()


def digest_of(path):
    """Hex string of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, 'rb') as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise unreadable(path, error) from None
    return digest.hexdigest()


def read(folder):
    """dict: name -> (size, date, digest) as a folder's contents.json has them; empty without one.
    InputError if it is damaged.
    """
    path = os.path.join(folder, FILE)
    try:
        columns = json_file.read(path, COLUMNS, REMEDY, largest=1 << 30)
    except FileNotFoundError:
        return {}
    if len({len(column) for column in columns.values()}) != 1:
        raise InputError(f'{path}: its columns differ in length: {REMEDY}')
    return dict(zip(columns['names'], zip(columns['sizes'], columns['dates'], columns['digests'])))
