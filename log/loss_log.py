"""log.npy: a row of losses for each step, a float64 .npy file that numpy.load reads at any moment, even after SIGKILL.

Each row is appended before the fixed-size header is rewritten in place with the new count. In between, numpy.load
returns the earlier rows. Truncation writes the header first, so that it never counts more rows than the file has. A
row costs the same in a long log as in a short one.
"""
import os
import shutil
import struct
import zlib

import numpy as np

from runtime.errors import InputError
from runtime.writing import disk_errors, staged, writing

COLUMNS = 7                # of model.train_step.LOG_COLUMNS
ROW_SIZE = 8 * COLUMNS     # bytes
HEADER_SIZE = 128          # bytes; a multiple of 64, as the format requires, with room for any number of rows
CHUNK = 1 << 20            # bytes read at a time for a checksum


class LossLog:
    """Rows of COLUMNS float64 in the file `path`. Call `open` first. Disk errors become InputErrors with the path."""

    def __init__(self, path):
        self.path = os.fspath(path)
        self.rows = self.checksum = 0   # rows in the file, CRC32 of their bytes
        self._file = None

    def open(self, rows=0, checksum=0):
        """Truncate the file to its first `rows` rows and continue from there; InputError if their CRC32 differs.

        0 rows: start an empty log, and create its folder.
        """
        self.close()
        if rows < 0:
            self._refuse(f'the checkpoint was saved after {rows} rows of it')
        with disk_errors(self.path):
            if rows == 0 and not os.path.exists(self.path):
                self._create()
            there = rows_on_disk(self.path)
            if rows and not os.path.exists(self.path):
                raise InputError(f'{self.path} is missing, but the checkpoint was saved after {rows} rows of it: '
                                 'restore it, name its folder with --log, or restart with --restart')
            if there < rows:
                self._refuse(f'it holds {there} rows, the checkpoint was saved after {rows}')
            self._file = open(self.path, 'r+b', buffering=0)
            if _crc_of_rows(self._file, rows) != checksum:
                self._refuse(f'its first {rows} rows differ from those of the checkpoint')
            self._write(0, _header(rows))
            self._file.truncate(_end(rows))
        self.rows, self.checksum = rows, checksum

    def append(self, row):
        """Add one row of COLUMNS numbers."""
        row = np.asarray(row, '<f8')
        if row.shape != (COLUMNS,):
            raise ValueError(f'a row of {self.path} has shape {row.shape}, expected ({COLUMNS},)')
        data = row.tobytes()
        self._restore()
        with disk_errors(self.path):
            self._write(_end(self.rows), data)
            self._write(0, _header(self.rows + 1))
        self.rows, self.checksum = self.rows + 1, zlib.crc32(data, self.checksum)

    def last(self, count):
        """The last `count` rows, or all if there are fewer: (rows, COLUMNS)."""
        count = min(count, self.rows)
        with disk_errors(self.path):
            self._file.seek(_end(self.rows - count))
            return np.frombuffer(self._file.read(count * ROW_SIZE), '<f8').reshape(count, COLUMNS)

    def sync(self):
        """Wait until all rows are on the disk, before a checkpoint counts on them."""
        self._restore()
        with disk_errors(self.path):
            os.fsync(self._file.fileno())

    def close(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def _restore(self):
        """Write the file anew if it was deleted or moved away since `open`: the open file still has every row.

        A copy with the same rows is taken over. InputError if another log is in its place.
        """
        with disk_errors(self.path):
            if os.path.lexists(self.path):  # with 0 rows `open` would truncate another log
                if self.rows == 0 or os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno())):
                    return
            else:
                self._file.seek(0)
                with writing(self.path) as unfinished, open(unfinished, 'wb') as file:
                    shutil.copyfileobj(self._file, file)
        self.open(self.rows, self.checksum)

    def _write(self, position, data):
        self._file.seek(position)
        while data:   # a nearly full disk writes a part; the next try then raises
            data = data[self._file.write(data):]

    def _create(self):
        new = staged(self.path)
        os.makedirs(os.path.dirname(new), exist_ok=True)
        with open(new, 'wb') as file:
            file.write(_header(0))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)

    def _refuse(self, reason):
        self.close()
        raise InputError(f'{self.path} belongs to another run: {reason}. Replace it with --restart, or choose another '
                         'folder with --log')


def rows_on_disk(path):
    """Number of whole rows in the log at `path`, by its size; 0 without a file, InputError for any other file."""
    with disk_errors(path):
        try:
            with open(path, 'rb') as file:
                header = file.read(HEADER_SIZE)
                size = file.seek(0, os.SEEK_END)
        except FileNotFoundError:
            return 0
    if not _is_header(header):
        raise InputError(f'{path}: no log of losses (float64, {COLUMNS} columns, as train.py writes it): move the file '
                         'away or choose another folder with --log')
    return (size - HEADER_SIZE) // ROW_SIZE


def _end(rows):
    """Size in bytes of a file with `rows` rows."""
    return HEADER_SIZE + rows * ROW_SIZE


def _header(rows):
    """Header of a C-ordered (rows, COLUMNS) float64 array in .npy format 1.0, HEADER_SIZE bytes (numpy.lib.format)."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, {COLUMNS}), }}".encode('latin1')
    before = b'\x93NUMPY\x01\x00' + struct.pack('<H', HEADER_SIZE - 10)
    return before + text.ljust(HEADER_SIZE - len(before) - 1) + b'\n'


def _is_header(header):
    """Whether `_header` wrote `header`, for any number of rows."""
    try:
        rows = int(header.split(b"'shape': (")[1].split(b',')[0])
    except (IndexError, ValueError):
        return False
    return header == _header(rows)


def _crc_of_rows(file, rows):
    """CRC32 of the first `rows` rows."""
    file.seek(HEADER_SIZE)
    checksum, left = 0, rows * ROW_SIZE
    while left:
        data = file.read(min(left, CHUNK))
        checksum, left = zlib.crc32(data, checksum), left - len(data)
    return checksum
