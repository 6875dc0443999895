"""The training commands that dataset.prepare prints, and their duration.

On two cores a training step takes 6.6 s at the defaults (docs/speed.md, python -m tests.benchmark), 0.6 s for a first
look; on n cores 2 / n of that. Old or busy processors take up to three times as long.
"""
import os
import shlex

from model.init import OPT
from runtime.commands import runnable
from runtime.cores import cores

FULL_STEP, LOOK_STEP = 6.6, 0.6         # seconds on two cores
LOOK = dict(crop_size=128, load_size=144, ngf=16, ndf=16, use_vae='false')
LOOK_STEPS = 600                        # of a first look: some minutes
DAY, HOUR, MINUTE = 86400, 3600, 60


def preset(flags):
    """Lines for a released set, which has a preset."""
    return [f'train:   {runnable(shlex.join(["python", "train.py", *flags]))}']


def own(dataroot, samples, validation, tiles=None):
    """Lines for a set of one's own, with these numbers of training and validation samples; tiles: their side, if the
    photographs were cut.
    """
    run, full = os.path.join('runs', os.path.basename(os.path.normpath(dataroot))), OPT().epochs
    epochs = max(1, min(full, round(LOOK_STEPS / samples)))
    look = {**LOOK, 'niter': epochs, **({'max_dataset_size': LOOK_STEPS} if samples > LOOK_STEPS else {})}
    size, native = 256, {}
    if tiles and tiles >= 32:       # crops as wide as a tile allows, not scaled
        size, native = min(256, tiles // 32 * 32), {'preprocess_mode': 'crop'}
        look.update(native, crop_size=min(look['crop_size'], size))
        native = {**native, 'crop_size': size}
        del look['load_size']
    lines = [f'train:   {_command(dataroot, run, native)}',
             f'         ({full} epochs at {size}x{size}: about '
             f'{_duration(full * samples * FULL_STEP * size ** 2 / 256 ** 2)}; meant for a GPU)',
             f'look:    {_command(dataroot, f"{run}_look", look)}',
             f'         (a small first look: about {_duration(epochs * min(samples, LOOK_STEPS) * LOOK_STEP)})']
    return lines if validation else [*lines, 'no validation samples (--val): val.py has nothing to paint or score']


def _command(dataroot, run, settings=()):
    flags = [word for name, value in dict(settings).items() for word in (f'--{name}', str(value))]
    return runnable(shlex.join(['python', 'train.py', '--dataroot', dataroot, *flags, '--output', run,
                                '--log', os.path.join(run, 'log')]))


def _duration(seconds):
    """Text of the time that work of `seconds` on two cores takes on this machine's cores."""
    seconds = seconds * 2 / cores()
    units = ((DAY, 'days'), (HOUR, 'hours'), (MINUTE, 'minutes'))
    length = next((f'{seconds / unit:.0f} {name}' for unit, name in units if seconds >= 2 * unit), 'a minute or two')
    return f'{length} on {cores()} CPU cores'
