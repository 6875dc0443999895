"""Keeps a program alive when stdout or stderr cannot be written: behind `| head -1`, on a full disk, after `>&-`."""
import contextlib
import errno
import io
import os
import select
import sys

NAMES = 'stdin', 'stdout', 'stderr'     # of descriptors 0, 1, 2


def keep_going():
    """From now on no write to stdout or stderr raises; after the first failure the stream discards its output.

    Closed descriptors are opened on /dev/null; otherwise the next file opened would receive what is printed.
    """
    for descriptor, name in enumerate(NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            _discard(descriptor)
        stream = getattr(sys, name)
        if descriptor and stream is getattr(sys, f'__{name}__') and not _is_lasting(stream):   # not a test's own stream
            lasting = _lasting(stream, _Descriptor(descriptor, 'w', closefd=False))
            setattr(sys, name, lasting)
            setattr(sys, f'__{name}__', lasting)


def _is_lasting(stream):
    return isinstance(getattr(getattr(stream, 'buffer', None), 'raw', None), _Descriptor)


def _lasting(stream, raw):
    if stream is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=True)
    stream.flush()
    # python -u writes every character at once; every line is soon enough, and needs no unbuffered stream.
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, '\n',
                            stream.line_buffering or stream.write_through)


class _Descriptor(io.FileIO):
    def write(self, data):
        try:
            while (written := super().write(data)) is None:     # a full pipe that does not block
                select.select([], [self], [])
            return written
        except OSError as error:
            _discard(self.fileno())
            if self.fileno() == 1 and error.errno != errno.EPIPE:      # EPIPE: the reader has seen enough
                with contextlib.suppress(OSError):
                    os.write(2, f'stdout cannot be written: {error.strerror}; the work continues without it\n'.encode())
            return len(data)


def _discard(descriptor):
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
