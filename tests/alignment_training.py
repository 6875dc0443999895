"""Whole trainings against the official code's: python -m tests.alignment --training --dataroot CAMVID

tests/golden/training_64.npz holds the losses and scores of three official runs and their options. train.py runs here
with the same options, photographs and number of steps, and val.py scores what it learned. Weights and order of the data
are drawn differently, so no single step can agree: means over windows of steps are compared, by their spread over
seeds. A killed run continues with the same command.
"""
import collections
import json
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
import paddle

from dataset.files import find_samples
from log import plot, score_log
from model.init import OPT
from model.train_step import LOG_COLUMNS
from runtime.errors import InputError
from tests.forked import GOLDEN, REPOSITORY

GOLDEN_FILE = GOLDEN / 'training_64.npz'
WINDOWS = (0, 10), (10, 45), (45, 91), (91, 182), (182, 273)   # steps, from 0, the last not included
FAR, ALLOWED = 2.5, 2     # pooled standard deviations; windows that may be farther apart
SCORING = '--epochs', '15'   # of the network that scores
SMOOTH = 21               # steps that a point of the plot averages

# official, ours: means over seeds; spread: pooled standard deviation; distance: difference / spread
Row = collections.namedtuple('Row', 'loss first last official ours spread distance')


def compared(official, ours, windows):
    """list of Row for every loss that is not zero throughout; official, ours: (seeds, steps, losses)."""
    rows = []
    for column, loss in enumerate(LOG_COLUMNS):
        for first, last in windows if official[..., column].any() else ():
            means = [log[:, first:last, column].mean(1) for log in (official, ours)]
            squares = sum(((values - values.mean()) ** 2).sum() for values in means)
            spread = (squares / (sum(map(len, means)) - len(means))) ** 0.5
            one, other = (values.mean() for values in means)
            rows.append(Row(loss, first, last, one, other, spread, (other - one) / spread))
    return rows


def options(golden, dataroot):
    """dict of OPT's fields for a run on dataroot; InputError if it has another number of photographs."""
    settings = json.loads(str(golden['options']))
    steps, what = settings.pop('steps'), settings.pop('dataset')
    opt = OPT(**settings, dataroot=str(dataroot))
    count = len(find_samples(opt, 'train'))
    if f' {count} photographs' not in what:
        raise InputError(f'--dataroot {dataroot}: {count} photographs for training, expected {what}: name that set')
    epochs = steps // (count // opt.batchSize)
    return {**settings, 'dataroot': str(dataroot), 'niter': epochs, 'niter_decay': 0, 'nThreads': 0}


def run(golden, dataroot, output, seeds):
    """Train and score `seeds` runs in the folder output/VERSION; (losses (seeds, steps, 7), list of dicts of scores).

    All versions of Paddle share the network that scores, in output/segmenter.
    """
    settings = options(golden, dataroot)
    flags = [part for name, value in settings.items() for part in (f'--{name}', str(value))]
    size = '{1}x{0}'.format(*OPT(**settings).picture_size)
    network, logs, scores = output / 'segmenter', [], []
    script('-m', 'result.train_segmenter', '--dataroot', dataroot, '--label_nc', settings['label_nc'], '--size', size,
           *SCORING, '--nThreads', 0, '--output', network)
    for seed in range(seeds):
        folder = output / f'paddle_{paddle.__version__}' / f'seed_{seed}'
        script('train.py', *flags, '--seed', seed, '--output', folder, '--log', folder / 'log')
        if not (folder / score_log.FILE).exists():
            script('val.py', '--lastoutput', folder, '--results', folder / 'val', '--score', '--scoring', network,
                   '--cache', output / 'cache', '--scores', folder / score_log.FILE)
        logs.append(np.load(folder / 'log/log.npy'))
        scores.append(score_log.read(folder / score_log.FILE)[-1].scores)
    return np.stack(logs), scores


def script(*command):
    """Run a script of this repository; InputError, after its own message, if it fails."""
    command = [sys.executable, *map(str, command)]
    if subprocess.run(command, cwd=REPOSITORY).returncode:
        raise InputError(f'{" ".join(command[1:3])} failed: see its message above')


def report(rows, official, ours):
    """Markdown: the table of windows, and that of scores (lists of dicts, one a seed)."""
    lines = ['| loss | steps | official | here | pooled deviation | difference / deviation |', '| --- ' * 6 + '|']
    lines += [f'| {row.loss} | {row.first}-{row.last} | {row.official:.4f} | {row.ours:.4f} | {row.spread:.4f} | '
              f'{row.distance:+.2f}{" **far**" if abs(row.distance) > FAR else ""} |' for row in rows]
    lines += ['', '| score | official: mean (lowest to highest) | here |', '| --- ' * 3 + '|']
    for name in official[0]:
        cells = [[seed[name] for seed in runs] for runs in (official, ours)]
        lines.append(f'| {score_log.SHOWN[name]} | ' + ' | '.join(
            f'{np.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})' for values in cells) + ' |')
    return '\n'.join(lines)


def draw(groups, path):
    """Draw the losses of `groups`, a dict: name -> (seeds, steps, 7), each a line with a band, into a picture."""
    live = [column for column in range(len(LOG_COLUMNS)) if any(log[..., column].any() for log in groups.values())]
    figure, axes = plt.subplots(2, 3, figsize=(11.5, 6), constrained_layout=True)
    for axis, column in zip(axes.flat, live):
        axis.set_title(LOG_COLUMNS[column], loc='left', fontweight='bold')
        axis.set_xlabel('step')
        axis.grid(color='#ececec')
        for (name, log), colour in zip(groups.items(), plot.RUNS):
            means = np.stack([plot.smooth(run[:, column], SMOOTH) for run in log])
            steps = np.arange(1, 1 + log.shape[1])
            axis.fill_between(steps, means.min(0), means.max(0), color=colour, alpha=0.25, linewidth=0)
            axis.plot(steps, means.mean(0), color=colour, label=f'{name} ({len(log)} seeds)')
    for axis in axes.flat[len(live):]:
        axis.axis('off')
    axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc='upper left', frameon=False)
    axes.flat[-1].text(0, 0, f'line: mean over seeds; band: lowest to highest;\nmeans over {SMOOTH} steps')
    plot.save(figure, path)


def complete(output, official):
    """dict: 'official', 'Paddle 2.6.2', ... -> losses (seeds, steps, 7) of all runs in `output` that are complete."""
    groups = {'official': official}
    for folder in sorted(output.glob('paddle_*')):
        runs = [np.load(path) for path in sorted(folder.glob('seed_*/log/log.npy'))]
        runs = [run for run in runs if len(run) == official.shape[1]]
        groups.update({folder.name.replace('paddle_', 'Paddle '): np.stack(runs)} if runs else {})
    return groups


def summary(rows):
    furthest = max(rows, key=lambda row: abs(row.distance))
    near = [sum(abs(row.distance) <= bound for row in rows) for bound in (FAR, 2)]
    return (f'{near[0]} of {len(rows)} windows differ by at most {FAR} deviations, {near[1]} by at most 2; the most: '
            f'{furthest.loss} of steps {furthest.first}-{furthest.last}, {furthest.distance:+.2f}')


def main(arguments):
    golden, output = np.load(GOLDEN_FILE), Path(arguments.output)
    logs, scores = run(golden, arguments.dataroot, output, arguments.seeds)
    rows = compared(golden['log'], logs, WINDOWS)
    print(f'Paddle {paddle.__version__}, {len(logs)} seeds; official: {len(golden["log"])}\n\n'
          f'{report(rows, json.loads(str(golden["scores"])), scores)}\n\n{summary(rows)}')
    groups = complete(output, golden['log'])
    every = np.concatenate(list(groups.values())[1:])
    if len(every) > len(logs):
        print(f'all {len(every)} runs in {output}: {summary(compared(golden["log"], every, WINDOWS))}')
    if arguments.plot:
        draw(groups, arguments.plot)
    far = sum(not abs(row.distance) <= FAR for row in rows)
    sys.exit(f'{far} windows differ by more than {FAR} deviations; {ALLOWED} may' if far > ALLOWED else 0)
