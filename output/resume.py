"""Starts a run: new, from other weights, or resumed where the same command stopped. Refuses files of another run."""
import contextlib
import hashlib
import os
import socket

import paddle

from dataset.contents import Contents, fingerprint
from dataset.labelled_images import batches, global_batch
from log.loss_log import LossLog, rows_on_disk
from model import fast
from model.convolution import bfloat16
from model.init import OPT
from model.weights import NETWORKS
from output.checkpoint import WAYS_OUT, Checkpoint
from runtime import distributed
from runtime.errors import InputError
from runtime.locking import locked


class Run:
    """The run in opt.output and opt.log, new or resumed. Every rank makes one; rank 0 decides.

    progress: counters to resume from, None for a new run. InputError if the ranks' data differ, or if the files on disk
    belong to another run; with restart they are replaced instead.
    """

    def __init__(self, opt, data, restart=False):
        self.opt, self.samples, self.restart, self.dataset = opt, len(data), restart, fingerprint(data.samples)
        self.files = Contents.of_samples(data.samples, opt.dataroot)
        self._check_same_data()
        self.log, self.checkpoint = LossLog(os.path.join(opt.log, 'log.npy')), Checkpoint(opt.output)
        self.progress = distributed.gathered(self.stored() if distributed.is_main() else None)[0]

    @property
    def epoch(self):
        return self.progress['epoch'] if self.progress else 1

    def is_complete(self):
        """Whether no step is left."""
        return bool(self.progress) and self.epoch >= self.opt.epochs and not batches(
            self.opt, self.samples, self.opt.epochs, self.progress['seen'], ranks=distributed.ranks())

    @contextlib.contextmanager
    def claimed(self):
        """Lock opt.output and opt.log against other runs until this process ends, in whatever way.

        InputError if another run uses them, or has written there since this one was opened.
        """
        with contextlib.ExitStack() as locks:
            if distributed.is_main():
                for folder in dict.fromkeys(map(os.path.realpath, (self.opt.output, self.opt.log))):
                    locks.enter_context(locked(folder, 'training', '--output and --log'))
                self.checkpoint.mend_copies()
                # The log of a new run may have rows of a run with another --output.
                if not self.restart and (self.progress is None and rows_on_disk(self.log.path)
                                         or self.checkpoint.progress() != self.progress):
                    raise InputError(f'{self.opt.output}, {self.log.path}: another run has just ended there: repeat '
                                     'the command to resume it')
            yield

    def begin(self, train_step):
        """Load the checkpoint, or save the first one; then compare the ranks' weights."""
        unknown = not self.progress or self.progress.get('files', {}).get('stamps') != self.files.stamps
        files = {'files': self.files.summary} if unknown and distributed.is_main() else {}   # reads all files, once
        if self.progress:
            self.progress.update(surroundings(self.opt), **files)
            self._resume(train_step)
        else:
            self.progress = {**new_progress(self.dataset, self.samples), **files, **surroundings(self.opt)}
            self._start(train_step)
        if files:   # so that the next start can name what has changed
            self.files.write(self.checkpoint.generations)
        self._check_same_weights(train_step)

    def stored(self):
        """Counters to resume from, None for a new run; InputError if the files on disk belong to another run."""
        opt, checkpoint = self.opt, self.checkpoint
        checkpoint.refuse_foreign(opt, self.restart)
        rows = rows_on_disk(self.log.path)
        progress = None if self.restart else checkpoint.progress()
        if progress is None:
            if rows and not self.restart:
                raise InputError(f'{self.log.path} has {rows} rows of another run, but {opt.output} has no checkpoint: '
                                 f'{WAYS_OUT}')
            return None
        saved = OPT.load(os.path.join(checkpoint.link, 'opt.json'))
        if changed := saved.differences(opt, ['networks']):
            raise InputError(f'{checkpoint.link} was trained with other networks: {_listed(changed)}: give the former '
                             f'values again, {WAYS_OUT}')
        # Checkpoints of earlier versions have no 'files'.
        changes = self.files.changes(progress['files'], checkpoint.generations) if 'files' in progress else ''
        if changes or self.dataset != progress['dataset']:
            raise InputError(f'{checkpoint.link} was trained on another data set (dataroot {saved.dataroot}, '
                             f'{progress["samples"]} samples; now {opt.dataroot}{": " if changes else ""}{changes}): '
                             f'name that data set again, {WAYS_OUT}')
        changed = saved.differences(opt, ['order'])
        if changed and 0 < progress['seen'] <= progress['samples'] - global_batch(opt, distributed.ranks()):
            raise InputError(f'{checkpoint.link} was saved in the middle of epoch {progress["epoch"]}: '
                             f'{_listed(changed)}: in the new order some samples would repeat and others would be '
                             f'skipped: give the former value again, {WAYS_OUT}')
        if changed := saved.differences(opt, ['order', 'learned']):
            print(f'changed since the checkpoint: {_listed(changed)}')
        if bits := saved.differences(opt, ['bits']):
            print(f'changed since the checkpoint: {_listed(bits)}: this run resumes, but not bit for bit')
        for name, now in surroundings(opt).items():
            if progress.get(name) != now and not (name == 'kernels' and bits):
                print(f'the checkpoint was saved with {name} {progress.get(name)}, now {now}: this run resumes, but '
                      'not bit for bit')
        return progress

    def _start(self, train_step):
        """Start a new run: save a checkpoint before the log gets its first row. Every rank calls this; rank 0 writes.
        """
        if not distributed.is_main():
            return
        if self.restart:
            print(f'--restart: replaces {self.checkpoint.summary()}, and {rows_on_disk(self.log.path)} rows of '
                  f'{self.log.path}')
            self.checkpoint.clear()
        self.checkpoint.save(train_step, self.opt, self.progress)
        self.log.open(0, 0)

    def _resume(self, train_step):
        """Load the checkpoint, and cut the log to its rows. Every rank calls this; rank 0 cuts."""
        self.checkpoint.load(train_step)
        if distributed.is_main():
            self.log.open(self.progress['log_rows'], self.progress['log_checksum'])
        steps = distributed.gathered(train_step.steps)
        if len(set(steps)) > 1:
            raise InputError(f'{self.opt.output}: the ranks loaded checkpoints of different steps, {steps}: use one '
                             'folder that all of them share')
        print(f'resumed from {self.opt.output}: epoch {self.progress["epoch"]}, {self.progress["seen"]} of its samples '
              f'seen, step {self.progress["step"]}')

    def _check_same_data(self):
        """InputError if a rank's training samples differ from those of rank 0."""
        if other := _unlike_rank_0((f'{self.dataset} {self.files.sizes}', self.samples)):
            place, (_, count), first, (_, expected) = other
            raise InputError(f'{self.opt.dataroot}: {place} has {count} samples there, {first} {expected}'
                             f'{" others" if count == expected else ""}: every process must see the same data set')

    def _check_same_weights(self, train_step):
        """InputError if a rank's weights differ from those of rank 0 in any bit."""
        if distributed.ranks() == 1:
            return
        digest = hashlib.sha256()
        for network in filter(None, (getattr(train_step, name) for name in NETWORKS.values())):
            for name, value in network.state_dict().items():
                digest.update(name.encode() + value.numpy().tobytes())
        if other := _unlike_rank_0(digest.hexdigest()):
            raise InputError(f'the weights of {other[0]} differ from those of {other[2]}: its device draws other '
                             'random numbers, or it reads other files: start all with the same weights (--init_from '
                             'DIR) and one shared --output')


def check_same_options(opt):
    """InputError if a rank has other options or software than rank 0, since their gradients would not fit together."""
    own = {f'--{name}': getattr(opt, name) for name, option in opt.fields().items() if option.effect != 'free'}
    own.update({'Paddle': paddle.__version__, 'the kernels': surroundings(opt)['kernels'],
                'the device': paddle.get_device().split(':')[0]})
    if other := _unlike_rank_0(own):
        place, found, first, expected = other
        differ = ', '.join(f'{name} {found.get(name)} (there {value})' for name, value in expected.items()
                           if found.get(name) != value)
        raise InputError(f'{place} differs from {first}: {differ}: start every process with the same command and the '
                         'same software')


def _unlike_rank_0(own):
    """('rank 1 on host', its value, 'rank 0 on host', its value) of a rank whose `own` differs, else None."""
    (expected, first), *others = distributed.gathered((own, socket.gethostname()))
    return next(((f'rank {rank} on {host}', value, f'rank 0 on {first}', expected)
                 for rank, (value, host) in enumerate(others, 1) if value != expected), None)


def new_progress(dataset, samples):
    """Counters of a run before its first step."""
    return dict(epoch=1, seen=0, log_rows=0, log_checksum=0, dataset=dataset, samples=samples)


def surroundings(opt):
    """dict of all that the bits of a result depend on, besides the options that change what is learned."""
    precision = 'bfloat16' if bfloat16(opt) else 'float32'
    kernels = f'compiled {fast.digest()}, {precision}' if fast.in_use(opt) else 'Paddle\'s'
    return {'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', ''), 'Paddle': paddle.__version__,
            'device': paddle.get_device(), 'kernels': kernels, 'processes': distributed.ranks()}


def _listed(changed):
    return ', '.join(f'{name} was {before}, now {now}' for name, (before, now) in changed.items())
