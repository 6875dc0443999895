"""How a run begins: afresh, from other weights, or where the same command stopped; and what it refuses."""
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
from model.weights import NETWORKS, folder_of, load_training
from output.checkpoint import WAYS_OUT, Checkpoint
from runtime import distributed
from runtime.errors import InputError
from runtime.locking import locked


class Run:
    """A training in opt.output and opt.log: afresh, or where the same command stopped. Every rank makes one; rank 0
    decides.

    progress: counters to go on from, None for a new run. InputError if the ranks' data differ, or if what is on disk
    belongs to another run; with restart that is replaced.
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
        """Keep other trainings from writing into opt.output and opt.log while this process lives, however it ends.

        InputError if another training writes there, or has done so since this run was opened.
        """
        with contextlib.ExitStack() as locks:
            if distributed.is_main():
                for folder in dict.fromkeys(map(os.path.realpath, (self.opt.output, self.opt.log))):
                    locks.enter_context(locked(folder, 'training', '--output and --log'))
                self.checkpoint.mend_copies()
                if not self.restart:
                    self._check_nobody_was_here()
            yield

    def _check_nobody_was_here(self):
        begun = self.progress is None and rows_on_disk(self.log.path)   # into another --output, perhaps
        if begun or self.checkpoint.progress() != self.progress:
            raise InputError(f'{self.opt.output}, {self.log.path}: another training has just ended there: give the '
                             'command again to go on from it')

    def begin(self, train_step, init_from=None):
        """Load the checkpoint, or write the first one, perhaps with weights from elsewhere; then the ranks compare
        theirs.
        """
        unknown = not self.progress or self.progress.get('files', {}).get('stamps') != self.files.stamps
        files = {'files': self.files.summary} if unknown and distributed.is_main() else {}   # reads all of them, once
        if self.progress:
            self.progress.update(surroundings(self.opt), **files)
            if init_from:
                print('--init_from is left aside: this run has begun already')
            self._go_on(train_step)
        else:
            self.progress = {**new_progress(self.dataset, self.samples), **files, **surroundings(self.opt)}
            self._start(train_step, init_from)
        if files:   # for the next start, to name what will have changed
            self.files.write(self.checkpoint.generations)
        self._check_same_weights(train_step)

    def stored(self):
        """Counters to go on from, None for a new run; InputError if what is on disk belongs to another run."""
        opt, checkpoint = self.opt, self.checkpoint
        checkpoint.refuse_foreign(opt, self.restart)
        if self.restart:
            rows_on_disk(self.log.path)
            return None
        progress = checkpoint.progress()
        if progress is None:
            rows = rows_on_disk(self.log.path)
            if rows:
                raise InputError(f'{self.log.path} holds {rows} rows of another run, and {opt.output} no checkpoint to '
                                 f'go on from: {WAYS_OUT}')
            return None
        before = OPT.load(os.path.join(checkpoint.link, 'opt.json'))
        changed = before.differences(opt, ['networks'])
        if changed:
            raise InputError(f'{checkpoint.link} was trained with other networks: {_listed(changed)}: give those '
                             f'options again, {WAYS_OUT}')
        # Checkpoints of earlier versions have no 'files'.
        changes = self.files.changes(progress['files'], checkpoint.generations) if 'files' in progress else ''
        if changes or self.dataset != progress['dataset']:
            raise InputError(f'{checkpoint.link} was trained on another data set (dataroot {before.dataroot}, '
                             f'{progress["samples"]} samples; now {opt.dataroot}{": " if changes else ""}{changes}): '
                             f'name that one again, {WAYS_OUT}')
        changed = before.differences(opt, ['order'])
        if changed and 0 < progress['seen'] <= progress['samples'] - global_batch(opt, distributed.ranks()):
            raise InputError(f'{checkpoint.link} was saved in the middle of epoch {progress["epoch"]}: '
                             f'{_listed(changed)}: its samples would come in another order, so that some repeat and '
                             f'others are lost: give that option again, {WAYS_OUT}')
        changed = before.differences(opt, ['order', 'learned'])
        if changed:
            print(f'changed since the checkpoint: {_listed(changed)}')
        bits = before.differences(opt, ['bits'])
        if bits:
            print(f'changed since the checkpoint: {_listed(bits)}: this run goes on, but not bit for bit')
        for name, now in surroundings(opt).items():
            of_options = name == 'kernels' and bits
            if progress.get(name) != now and not of_options:
                print(f'the checkpoint was written with {name} {progress.get(name)}, now {now}: this run goes on, but '
                      'not bit for bit')
        return progress

    def _start(self, train_step, init_from):
        """Begin a new run: other weights if wanted, and a first checkpoint, so that there is one before the first row
        of the log.

        Every rank calls this; rank 0 writes.
        """
        if init_from:
            folder = folder_of(init_from, option='--init_from')
            try:
                left_out = load_training(train_step, folder, optional=('n_d.pdparams', 'n_e.pdparams'))
            except InputError:
                _name_other_networks(self.opt, init_from, folder)
                raise
            missing = f'; not there, so newly initialized: {", ".join(left_out)}' if left_out else ''
            print(f'weights from {init_from}{missing}')
        if not distributed.is_main():
            return
        if self.restart:
            print(f'--restart: replaces {self.checkpoint.contents()}, and {rows_on_disk(self.log.path)} rows of '
                  f'{self.log.path}')
            self.checkpoint.clear()
        self.checkpoint.save(train_step, self.opt, self.progress)
        self.log.open(0, 0)

    def _go_on(self, train_step):
        """Load the checkpoint, and cut the log to its rows. Every rank calls this; rank 0 cuts."""
        self.checkpoint.load(train_step)
        if distributed.is_main():
            self.log.open(self.progress['log_rows'], self.progress['log_checksum'])
        steps = distributed.gathered(train_step.steps)
        if len(set(steps)) > 1:
            raise InputError(f'{self.opt.output}: the ranks find checkpoints of steps {steps} there: it must be one '
                             'folder for all of them')
        print(f'goes on from {self.opt.output}: epoch {self.progress["epoch"]}, {self.progress["seen"]} of its samples '
              f'seen, step {self.progress["step"]}')

    def _check_same_data(self):
        """InputError if a rank's training samples are not those of rank 0."""
        found = distributed.gathered((f'{self.dataset} {self.files.sizes}', self.samples, self.opt.dataroot,
                                      socket.gethostname()))
        for rank, (other, count, dataroot, host) in enumerate(found):
            if other != found[0][0]:
                others = ' others' if count == found[0][1] else ''
                raise InputError(f'{dataroot}: rank {rank} on {host} finds {count} samples there, rank 0 on '
                                 f'{found[0][3]} {found[0][1]}{others}: every process must see the same data set')

    def _check_same_weights(self, train_step):
        """InputError if a rank's weights are not those of rank 0 to the last bit."""
        if distributed.ranks() == 1:
            return
        digest = hashlib.sha256()
        for network in filter(None, (getattr(train_step, name) for name in NETWORKS.values())):
            for name, value in network.state_dict().items():
                digest.update(name.encode() + value.numpy().tobytes())
        found = distributed.gathered((digest.hexdigest(), socket.gethostname()))
        for rank, (other, host) in enumerate(found):
            if other != found[0][0]:
                raise InputError(f'the weights of rank {rank} on {host} are not those of rank 0 on {found[0][1]}: its '
                                 'device draws other random numbers, or it reads other files: begin with the same '
                                 'weights, --init_from DIR, and one folder --output that all see')


def check_same_options(opt):
    """InputError if a rank was started with other options or software than rank 0: gradients of two trainings would be
    mixed.
    """
    own = {f'--{name}': getattr(opt, name) for name, option in opt.fields().items() if option.effect != 'free'}
    own.update({'Paddle': paddle.__version__, 'the kernels': surroundings(opt)['kernels'],
                'the device': paddle.get_device().split(':')[0]})
    found = distributed.gathered((own, socket.gethostname()))
    for rank, (other, host) in enumerate(found):
        differ = [f'{name} {other.get(name)} (there {value})'
                  for name, value in found[0][0].items() if other.get(name) != value]
        if differ:
            raise InputError(f'rank {rank} on {host} differs from rank 0 on {found[0][1]}: {", ".join(differ)}: start '
                             'every process with the same command and the same software')


def new_progress(dataset, samples):
    """Counters of a run that has not begun."""
    return dict(epoch=1, seen=0, log_rows=0, log_checksum=0, dataset=dataset, samples=samples)


def surroundings(opt):
    """What the bits of a result depend on beside what is learned."""
    kernels = ('compiled, bfloat16' if bfloat16(opt) else 'compiled, float32') if fast.in_use(opt) else 'Paddle\'s'
    return {'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', ''), 'Paddle': paddle.__version__,
            'device': paddle.get_device(), 'kernels': kernels, 'processes': distributed.ranks()}


def _name_other_networks(opt, init_from, folder):
    """InputError with the options of the networks in `folder`, if it holds any, that are not these."""
    path = os.path.join(folder, 'opt.json')
    saved = OPT.load(path) if os.path.exists(path) else opt
    changed = [f'{name} is {getattr(saved, name)} there, {getattr(opt, name)} here' for name in OPT.network_fields()
               if getattr(saved, name) != getattr(opt, name)]
    if changed:
        raise InputError(f'--init_from {init_from}: weights of other networks: {", ".join(changed)}; give the same '
                         'options') from None


def _listed(changed):
    return ', '.join(f'{name} was {before}, now {now}' for name, (before, now) in changed.items())
