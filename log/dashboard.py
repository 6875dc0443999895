"""--visualdl DIR: losses, learning rates, speed, pictures and scores as records that VisualDL shows:
visualdl --logdir DIR
"""
import contextlib
import os
import struct
import zlib

import numpy as np

from runtime import distributed
from runtime.errors import InputError
from runtime.locking import locked

INSTALL = 'pip install visualdl==2.5.3'
# One file, which a run that goes on adds to: of several in a folder VisualDL's page shows only one.
# The name must hold the word.
FILE = 'vdlrecords.spade.log'
TAIL = 1 << 16  # bytes


class Dashboard:
    """with Dashboard(opt, progress, replace) as dashboard: dashboard.begin(step) and then what it is to show.

    Without opt.visualdl, and in all processes but that of rank 0, nothing is written. progress: None for a new run;
    replace: its records may take the place of another's. InputError, on entering, if the package is missing, if the
    folder cannot be written, or if another run's records are there.

    VisualDL writes from a thread of its own: a full disk costs records and not the training. A step is recorded once:
    what a run repeats after a kill has been cut off, and pictures that it draws again, at the end of an epoch, are
    those there are.
    """

    def __init__(self, opt, progress=None, replace=False):
        self.folder, self.every = opt.visualdl if distributed.is_main() else '', opt.print_freq
        self.new, self.replace, self.known = progress is None, replace, (progress or {}).get('visualdl')
        self.path = os.path.join(self.folder, FILE)
        self.writer, self.steps = None, {}     # steps: tag -> the last step recorded of it

    def __enter__(self):
        with contextlib.ExitStack() as held:
            if self.folder:
                self._library()
                held.enter_context(locked(self.folder, 'training', '--visualdl'))
                self._check()
            self.held = held.pop_all()
        return self

    def __exit__(self, *error):
        with self.held:
            if self.writer:
                self.writer.close()

    def begin(self, step, losses):
        """With opt.visualdl, on rank 0: cut off what was recorded after `step`, and go on from there.

        losses: dict of arrays, what the log has of each step; InputError if the records are of another run by them.
        """
        kept, known = 0, self.known and os.path.getsize(self.path)   # an empty file: of a folder named just now
        if known:
            kept, self.steps = self.known['bytes'], dict(self.known['steps'])
            if _checksum(self.path, kept) != self.known['checksum']:
                raise InputError(f'{self.path} holds the records of another run: they do not end as at the checkpoint: '
                                 'name another --visualdl')
        # checkpoints of earlier versions do not know
        for end, record in [] if self.new or known else _records(self.path):
            if record.id > step:
                break
            group, _, name = record.tag.partition('/')
            if group == 'losses' and record.value != np.float32(losses[name][record.id - 1]):
                raise InputError(f'{self.path} holds the records of another run: its {name} of step {record.id} is not '
                                 'that of the log: name another --visualdl')
            kept, self.steps[record.tag] = end, record.id
        with open(self.path, 'ab') as file:
            file.truncate(kept)
        # It prints that the file is there.
        with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
            self.writer = self._library().LogWriter(self.folder, file_name=FILE)

    def step(self, train_step, losses, speed):
        """After a training step: its losses, a dict;
        every print_freq steps learning rates, loss scales, and images per second.
        """
        if not self.writer:
            return
        self._scalars(train_step.steps, 'losses', losses)
        if train_step.steps % self.every == 0:
            rates = {'learning_rate_G': train_step.optimizer_g.get_lr(),
                     'learning_rate_D': train_step.optimizer_d.get_lr()}
            scales = {f'loss_scale_{network}': state['scale'] for network, state in zip('GD', train_step.loss_scales)}
            self._scalars(train_step.steps, 'optimizer', {**rates, **scales})
            self._scalars(train_step.steps, 'speed', {'images_per_second': speed})

    def picture(self, step, name, pixels):
        """pixels: uint8 (H, W, 3)."""
        if self.writer and self._is_new(tag := f'pictures/{name}', step):
            self.writer.add_image(tag, np.array(pixels), step)    # a copy: it brightens a black one in place

    def scores(self, step, scores):
        """scores: a dict of floats, or None where there is none."""
        if self.writer:
            self._scalars(step, 'scores', {name: value for name, value in scores.items() if value is not None})
            self.flush()

    def flush(self):
        """Wait until all is in the file, so that a checkpoint is never ahead of it -> what the checkpoint keeps of
        that, a dict.
        """
        if not self.writer:
            return {}
        self.writer.flush()
        size = os.path.getsize(self.path)
        return {'visualdl': {'bytes': size, 'checksum': _checksum(self.path, size), 'steps': dict(self.steps)}}

    def _scalars(self, step, group, values):
        for name, value in values.items():
            if self._is_new(tag := f'{group}/{name}', step):
                self.writer.add_scalar(tag, value, step)

    def _is_new(self, tag, step):
        new = step > self.steps.get(tag, -1)
        self.steps[tag] = step
        return new

    def _library(self):
        try:
            import visualdl
            return visualdl
        except (ImportError, OSError) as error:     # the import writes ~/.visualdl
            raise InputError(f'--visualdl {self.folder}: VisualDL cannot be imported ({error}): {INSTALL}, or leave '
                             '--visualdl out') from None

    def _check(self):
        """InputError if the file cannot be written, or holds what a new run may not replace."""
        try:
            with open(self.path, 'ab') as file:
                size = file.tell()
        except OSError as error:
            raise InputError(f'{self.path}: cannot be written: {error.strerror or error}: name another '
                             '--visualdl') from None
        if size and next(_records(self.path), None) is None:
            raise InputError(f'{self.path}: holds no records of VisualDL, and is left as it is: name another '
                             '--visualdl')
        if self.new and size and not self.replace:
            raise InputError(f'{self.path} holds the records of another run: name another --visualdl, or begin anew '
                             'with --restart, which replaces them')


def _checksum(path, end):
    """CRC32 of the last bytes before `end`: enough to tell one run from another without reading all;
    None of a shorter file.
    """
    with open(path, 'rb') as file:
        file.seek(max(0, end - TAIL))
        tail = file.read(min(end, TAIL))
    return zlib.crc32(tail) if len(tail) == min(end, TAIL) else None


def _records(path):
    """Yields (where it ends in the file, record) of all that are whole; a kill may leave a torn one at the end."""
    from google.protobuf.message import DecodeError
    from visualdl.proto.record_pb2 import Record
    with open(path, 'rb') as file:
        while len(header := file.read(8)) == 8:
            size, = struct.unpack('<Q', header)
            data = file.read(min(size, os.path.getsize(path)))
            try:
                value = Record.FromString(data).values[0]
            except (DecodeError, IndexError):
                return
            if len(data) == size:
                yield file.tell(), value
