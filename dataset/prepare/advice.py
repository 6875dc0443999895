"""The commands to train with that dataset.prepare prints, and how long they take.

Rule: a training step at the defaults takes 6.6 s on two cores (docs/speed.md, python -m tests.benchmark), one of the
first look 0.6 s (0.85 s of processor time); on n cores 2 / n of that. Old or busy processors take up to three times as
long.
"""
import os
import shlex

from model.init import OPT
from runtime.commands import runnable
from runtime.cores import cores

FULL_STEP, LOOK_STEP = 6.6, 0.6         # seconds on two cores
LOOK = dict(crop_size=128, load_size=144, ngf=16, ndf=16, use_vae='false')
LOOK_STEPS = 600                        # what a first look is made of: some minutes
DAY, HOUR, MINUTE = 86400, 3600, 60


def preset(flags):
    """Lines for a released set: its preset says all."""
    return [f'train:   {runnable(shlex.join(["python", "train.py", *flags]))}']


def own(dataroot, samples, validation):
    """Lines for a set of one's own of so many training and validation samples."""
    name = os.path.basename(os.path.normpath(dataroot))
    epochs = max(1, min(OPT().epochs, round(LOOK_STEPS / samples)))
    look = {**LOOK, 'niter': epochs, **({'max_dataset_size': LOOK_STEPS} if samples > LOOK_STEPS else {})}
    place = cores()
    lines = [f'train:   {_command(dataroot, os.path.join("runs", name))}',
             f'         ({OPT().epochs} epochs at 256x256: about '
             f'{_duration(OPT().epochs * samples * FULL_STEP * 2 / place)} on {place} CPU cores; meant for a GPU)',
             f'look:    {_command(dataroot, os.path.join("runs", f"{name}_look"), look)}',
             f'         (a small first look: about '
             f'{_duration(epochs * min(samples, LOOK_STEPS) * LOOK_STEP * 2 / place)} on {place} CPU cores)']
    if not validation:
        lines.append('no sample was set aside for validation (--val): val.py has nothing to draw, and no score is '
                     'possible')
    return lines


def _command(dataroot, run, settings=()):
    flags = [word for name, value in dict(settings).items() for word in (f'--{name}', str(value))]
    return runnable(shlex.join(['python', 'train.py', '--dataroot', dataroot, *flags, '--output', run,
                                '--log', os.path.join(run, 'log')]))


def _duration(seconds):
    for unit, name in ((DAY, 'days'), (HOUR, 'hours'), (MINUTE, 'minutes')):
        if seconds >= 2 * unit:
            return f'{seconds / unit:.0f} {name}'
    return 'a minute or two'
