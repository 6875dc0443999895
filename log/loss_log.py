"""log.npy: one row of losses a step, a float64 .npy file that numpy.load reads at any moment, also after SIGKILL.

A row's bytes are written behind the rows there are, then the header, whose size is fixed, is rewritten in place with
the new count: in between, numpy.load sees the rows before. Cutting goes the other way, header first. So the header
never promises more than the file holds, and a row costs the same however long the log is.
"""
import os
import struct
import zlib

import numpy

from runtime.errors import InputError
from runtime.writing import staged

HEADER_SIZE = 128   # bytes; a multiple of 64 as the format asks, with room for any number of rows
CHUNK = 1 << 20     # bytes read at a time for a checksum


class LossLog:
    """Rows of `columns` float64 in the file `path`.
    Call `open` first; errors of the disk are InputErrors naming the path.
    """

    def __init__(self, path, columns=7):
        self.path, self.columns = os.fspath(path), columns
        self.rows = self.checksum = 0   # rows in the file, CRC32 of their bytes
        self._file = None

    def open(self, rows=0, checksum=0):
        """Cut the file to its first `rows` rows and go on behind them; InputError if their CRC32 is not `checksum`.

        With 0 rows whatever the log held is dropped, and a missing file is created, with its folder.
        """
        self.close()
        if rows < 0:
            self._refuse(f'the checkpoint was saved after {rows} rows of it')
        with _disk_errors(self.path):
            if rows == 0 and not os.path.exists(self.path):
                self._create()
            found = rows_on_disk(self.path, self.columns)
            if rows and not os.path.exists(self.path):
                raise InputError(f'{self.path} is missing, but the checkpoint was saved after {rows} rows of it: put '
                                 f'it back, name its folder with --log, or begin anew with --restart')
            if found < rows:
                self._refuse(f'it holds {found} rows, the checkpoint was saved after {rows}')
            self._file = open(self.path, 'r+b', buffering=0)
            if _crc_of_rows(self._file, rows * self.columns * 8) != checksum:
                self._refuse(f'its first {rows} rows are not those of the checkpoint')
            self._write(0, _header(rows, self.columns))
            self._file.truncate(self._end(rows))
        self.rows, self.checksum = rows, checksum

    def append(self, row):
        """Add one row of `columns` numbers."""
        row = numpy.asarray(row, '<f8')
        if row.shape != (self.columns,):
            raise ValueError(f'a row of {self.path} has shape {row.shape}, expected ({self.columns},)')
        data = row.tobytes()
        with _disk_errors(self.path):
            self._write(self._end(self.rows), data)
            self._write(0, _header(self.rows + 1, self.columns))
        self.rows, self.checksum = self.rows + 1, zlib.crc32(data, self.checksum)

    def last(self, count):
        """The last `count` rows, or all where there are fewer: (rows, columns)."""
        count = min(count, self.rows)
        with _disk_errors(self.path):
            self._file.seek(self._end(self.rows - count))
            return numpy.frombuffer(self._file.read(count * self.columns * 8), '<f8').reshape(count, self.columns)

    def sync(self):
        """Wait until all rows are on the disk; called before a checkpoint counts on them."""
        with _disk_errors(self.path):
            os.fsync(self._file.fileno())

    def close(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def _end(self, rows):
        return HEADER_SIZE + rows * self.columns * 8

    def _write(self, position, data):
        self._file.seek(position)
        while data:   # a nearly full disk takes a part; the next try then raises
            data = data[self._file.write(data):]

    def _create(self):
        new = staged(self.path)
        os.makedirs(os.path.dirname(new), exist_ok=True)
        with open(new, 'wb') as file:
            file.write(_header(0, self.columns))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)

    def _refuse(self, reason):
        self.close()
        raise InputError(f'{self.path} belongs to another run: {reason}. Begin anew with --restart, which replaces it, '
                         f'or keep it and choose another folder with --log')


def rows_on_disk(path, columns=7):
    """Number of whole rows in the log at `path` by its size, 0 if there is none; InputError if it is not such a log."""
    with _disk_errors(path):
        try:
            with open(path, 'rb') as file:
                header = file.read(HEADER_SIZE)
                size = file.seek(0, os.SEEK_END)
        except FileNotFoundError:
            return 0
    if not _is_header(header, columns):
        raise InputError(f'{path}: found no log of losses (float64, {columns} columns, as train.py writes it); move '
                         f'the file away or choose another folder with --log')
    return (size - HEADER_SIZE) // (columns * 8)


def _header(rows, columns):
    """Header of a C-ordered (rows, columns) float64 array in .npy format 1.0, HEADER_SIZE bytes (numpy.lib.format)."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, {columns}), }}".encode('latin1')
    before = b'\x93NUMPY\x01\x00' + struct.pack('<H', HEADER_SIZE - 10)
    return before + text.ljust(HEADER_SIZE - len(before) - 1) + b'\n'


def _is_header(header, columns):
    """Whether `header` is one that `_header` wrote, for any number of rows."""
    try:
        rows = int(header.split(b"'shape': (")[1].split(b',')[0])
    except (IndexError, ValueError):
        return False
    return header == _header(rows, columns)


def _crc_of_rows(file, size):
    """CRC32 of `size` bytes behind the header."""
    file.seek(HEADER_SIZE)
    checksum = 0
    while size:
        data = file.read(min(size, CHUNK))
        checksum, size = zlib.crc32(data, checksum), size - len(data)
    return checksum


class _disk_errors:
    """Around work on the file `path`: an OSError becomes an InputError that names it."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OSError):
            raise InputError(f'{self.path}: cannot write the log: {error.strerror or error}') from None
