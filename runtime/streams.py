"""Standard output and error that cannot be written, as behind `| head -1`, on a full disk, after `>&-`:
the work goes on without.
"""
import contextlib
import errno
import io
import os
import select
import sys

NAMES = 'stdin', 'stdout', 'stderr'     # of descriptors 0, 1, 2


def keep_going():
    """From here on no write to stdout or stderr raises;
    from the first that fails on, what is written there goes nowhere.

    Closed descriptors lead nowhere, too, or a file that is opened next would get what is printed.
    """
    for descriptor, name in enumerate(NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            _lead_nowhere(descriptor)
        stream = getattr(sys, name)
        # not one that a test has put there
        if descriptor and stream is getattr(sys, f'__{name}__') and not _is_kept(stream):
            kept = _kept(stream, _Descriptor(descriptor, 'w', closefd=False))
            setattr(sys, name, kept)
            setattr(sys, f'__{name}__', kept)


def _is_kept(stream):
    return isinstance(getattr(getattr(stream, 'buffer', None), 'raw', None), _Descriptor)


def _kept(stream, raw):
    if stream is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=True)
    stream.flush()
    # Python writes through where it is not to buffer (-u); a line is soon enough, and needs no other buffer.
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, '\n',
                            stream.line_buffering or stream.write_through)


class _Descriptor(io.FileIO):
    def write(self, data):
        try:
            while (written := super().write(data)) is None:     # a pipe that does not block, and is full
                select.select([], [self], [])
            return written
        except OSError as error:
            _lead_nowhere(self.fileno())
            if self.fileno() == 1 and error.errno != errno.EPIPE:      # that is a reader who has seen enough
                with contextlib.suppress(OSError):
                    os.write(2, f'stdout cannot be written: {error.strerror}; the work goes on without it\n'.encode())
            return len(data)


def _lead_nowhere(descriptor):
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
