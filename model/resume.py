"""How a run begins: afresh, from other weights, or where the same command stopped; and what it refuses."""
import os

import paddle

from log.loss_log import rows_on_disk
from model import cpu
from model.checkpoint import Checkpoint, folder_of, load_networks
from model.convolution import bfloat16
from model.errors import InputError
from model.init import OPT

WAYS_OUT = 'begin anew with --restart, which replaces that run, or keep it and name another --output and --log'


def stored_progress(opt, log_path, dataset, restart):
    """Counters to go on from, None for a new run; InputError if what is on disk belongs to another run.

    dataset: fingerprint of the training samples.
    """
    if restart:
        return None
    checkpoint = Checkpoint(opt.output)
    progress = checkpoint.progress()
    if progress is None:
        rows = rows_on_disk(log_path)
        if rows:
            raise InputError(f'{log_path} holds {rows} rows of another run, and {opt.output} no checkpoint to go on from: '
                             f'{WAYS_OUT}')
        return None
    before = OPT.load(os.path.join(checkpoint.link, 'opt.json'))
    changed = {name: values for name, values in before.differences(opt).items() if name in OPT.network_fields()}
    if changed:
        raise InputError(f'{checkpoint.link} was trained with other networks: {_listed(changed)}: give those options again, '
                         f'{WAYS_OUT}')
    if dataset != progress['dataset']:
        raise InputError(f'{checkpoint.link} was trained on another data set (dataroot {before.dataroot}, '
                         f'{progress["samples"]} samples; now {opt.dataroot}): name that one again, {WAYS_OUT}')
    changed = before.differences(opt)
    if changed:
        print(f'changed since the checkpoint: {_listed(changed)}')
    for name, now in surroundings(opt).items():
        if progress.get(name) != now:
            print(f'the checkpoint was written with {name} {progress.get(name)}, now {now}: this run goes on, but not bit for bit')
    return progress


def new_progress(dataset, samples):
    """Counters of a run that has not begun."""
    return dict(epoch=1, seen=0, log_rows=0, log_checksum=0, dataset=dataset, samples=samples)


def surroundings(opt):
    """What the bits of a result depend on beside what is learned."""
    kernels = ('compiled, bfloat16' if bfloat16(opt) else 'compiled, float32') if cpu.in_use(opt) else 'Paddle\'s'
    return {'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', ''), 'Paddle': paddle.__version__,
            'device': paddle.get_device(), 'kernels': kernels, 'modulation': opt.modulation}


def start(opt, log, train_step, progress, init_from=None, restart=False):
    """Begin a new run: other weights if wanted, and a first checkpoint, so that there is one before the first row of the log."""
    if init_from:
        left_out = load_networks(train_step, folder_of(init_from), optional=('n_d.pdparams', 'n_e.pdparams'))
        print(f'weights from {init_from}' + (f'; not there, so newly initialized: {", ".join(left_out)}' if left_out else ''))
    checkpoint = Checkpoint(opt.output)
    if restart:
        print(f'--restart: replaces {checkpoint.contents()}, and {rows_on_disk(log.path)} rows of {log.path}')
        checkpoint.clear()
    checkpoint.save(train_step, opt, progress)
    log.open(0, 0)


def go_on(opt, log, train_step, progress):
    """Load the checkpoint that `progress` was read from, and cut the log to its rows."""
    log.open(progress['log_rows'], progress['log_checksum'])
    Checkpoint(opt.output).load(train_step)
    print(f'goes on from {opt.output}: epoch {progress["epoch"]}, {progress["seen"]} of its samples seen, step '
          f'{progress["step"]}')


def _listed(changed):
    return ', '.join(f'{name} was {before}, now {now}' for name, (before, now) in changed.items())
