"""--visualdl DIR: losses, learning rates, speed, pictures and scores for VisualDL (visualdl --logdir DIR)."""
import contextlib
import os
import struct
import zlib

import numpy as np

from runtime import distributed
from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import disk_errors

INSTALL = 'pip install visualdl==2.5.3'
# A resumed run appends to this file: VisualDL's page shows one file of a folder. The name must have 'vdlrecords'.
FILE = 'vdlrecords.spade.log'
TAIL = 1 << 16  # bytes in a checksum


class Dashboard:
    """with Dashboard(opt, progress, replace) as dashboard: dashboard.begin(step, losses), then the other methods.

    Writes on rank 0 only, and only with opt.visualdl. progress: None for a new run; replace: overwrite another run's
    records. Entering raises InputError if the package is missing, the folder is not writable, or another run's records
    are there.

    VisualDL writes in its own thread: a full disk loses records but does not stop training. Each step is recorded once:
    records of steps that a resumed run repeats are truncated, and a picture that it draws again is skipped.
    """

    def __init__(self, opt, progress=None, replace=False):
        self.folder, self.every = opt.visualdl if distributed.is_main() else '', opt.print_freq
        self.new, self.replace, self.saved = progress is None, replace, (progress or {}).get('visualdl')
        self.path = os.path.join(self.folder, FILE)
        self.writer, self.steps = None, {}     # steps: tag -> its last recorded step

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            if self.folder:
                self._library()
                stack.enter_context(locked(self.folder, 'training', '--visualdl'))
                self._check()
            self.lock = stack.pop_all()
        return self

    def __exit__(self, *error):
        with self.lock:
            if self.writer:
                self.writer.close()

    def begin(self, step, losses):
        """With opt.visualdl, on rank 0: truncate the records after `step`, and append from there.

        losses: dict of arrays, the log's value of each step; InputError if the records are another run's.
        """
        end = 0
        saved = self.saved if self.saved and os.path.getsize(self.path) else None   # size 0: a new file
        if saved:
            end, self.steps = saved['bytes'], dict(saved['steps'])
            if _checksum(self.path, end) != saved['checksum']:
                raise InputError(f'{self.path} holds the records of another run, which differ from the checkpoint: '
                                 'name another --visualdl')
        elif not self.new:   # checkpoints of earlier versions lack the entry
            for position, record in _records(self.path):
                if record.id > step:
                    break
                group, _, name = record.tag.partition('/')
                if group == 'losses' and record.value != np.float32(losses[name][record.id - 1]):
                    raise InputError(f'{self.path} holds the records of another run: its {name} of step {record.id} '
                                     'differs from the log: name another --visualdl')
                end, self.steps[record.tag] = position, record.id
        with open(self.path, 'ab') as file:
            file.truncate(end)
        # VisualDL prints that the file exists
        with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
            self.writer = self._library().LogWriter(self.folder, file_name=FILE)

    def step(self, train_step, losses, speed):
        """Record the losses of a step (dict); every print_freq steps also learning rates, loss scales and speed."""
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
            # a copy, since VisualDL brightens a black picture in place
            self.writer.add_image(tag, np.array(pixels), step)

    def scores(self, step, scores):
        """scores: dict of floats or None."""
        if self.writer:
            self._scalars(step, 'scores', {name: value for name, value in scores.items() if value is not None})
            self.flush()

    def flush(self):
        """Wait until the file is complete, so that no checkpoint is ahead of it -> the checkpoint's entry, a dict."""
        if not self.writer:
            return {}
        self.writer.flush()
        with disk_errors(self.path, 'the same command resumes from the last checkpoint'):   # deleted during the run
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
            raise InputError(f'--visualdl {self.folder}: VisualDL cannot be imported ({error}): {INSTALL}, or omit '
                             '--visualdl') from None

    def _check(self):
        """InputError if the file is not writable, or a run may not replace it."""
        try:
            with open(self.path, 'ab') as file:
                size = file.tell()
        except OSError as error:
            raise InputError(f'{self.path}: cannot be written: {error.strerror or error}: name another '
                             '--visualdl') from None
        if size and next(_records(self.path), None) is None:
            raise InputError(f'{self.path}: holds no records of VisualDL: name another --visualdl')
        if self.new and size and not self.replace:
            raise InputError(f'{self.path} holds the records of another run: name another --visualdl, or replace '
                             'them with --restart')


def _checksum(path, end):
    """CRC32 of the last TAIL bytes before `end`, which identify a run; None if the file is shorter."""
    with open(path, 'rb') as file:
        file.seek(max(0, end - TAIL))
        tail = file.read(min(end, TAIL))
    return zlib.crc32(tail) if len(tail) == min(end, TAIL) else None


def _records(path):
    """Yields (end in the file, record) of all whole records; a kill may leave a torn one at the end."""
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
