"""python -m log.plot [--log log/]: the seven losses of log.npy, raw and smoothed, as log.png beside it.

    python -m log.plot --compare runs/a/log runs/b/log     smoothed losses of several runs, as log/compare.png
"""
import argparse
import os

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy
from matplotlib.ticker import FuncFormatter, MaxNLocator

from runtime.errors import InputError, shown_in_one_line
from runtime.writing import is_marked, mark, refuse_existing, writing

# The columns of log.npy (model.train_step.LOG_COLUMNS, not imported: drawing needs no Paddle) and what they are.
CURVES = {
    'g_loss_gan': 'generator: adversarial',
    'g_loss_feat': 'generator: feature matching',
    'g_loss_vgg': 'generator: perceptual (VGG19)',
    'g_loss_vae': 'style encoder: KL divergence',
    'd_loss': 'discriminator: fake + real',
    'd_loss_f': 'discriminator: fake',
    'd_loss_r': 'discriminator: real',
}
SMOOTH_PARTS = 50     # the smoothing window is this part of the run
BINS = 600            # intervals of the raw envelope, about one per two pixels of a panel
# Okabe and Ito: told apart by all eyes
RUNS = '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'
STYLES = '-', '--', ':'   # of the lines, where there are more runs than colours
GENERATOR, DISCRIMINATOR, INK, FAINT = '#1f5fa8', '#b8432f', '#333333', '#8a8a8a'


def plot(rows, path):
    """Draw `rows` (steps, 7) into the picture `path`; InputError if there is no row."""
    rows = _checked(rows)
    window = smoothing_window(len(rows))
    figure, axes = plt.subplots(2, 4, figsize=(17, 7.6), constrained_layout=True)
    smoothed = [smooth(column, window) for column in rows.T]
    for (name, title), axis, raw, mean in zip(CURVES.items(), axes.flat, rows.T, smoothed):
        colour = GENERATOR if name.startswith('g_') else DISCRIMINATOR
        _panel(axis, name, title, colour)
        if raw.any():
            _curve(axis, raw, mean, colour)
        else:
            _off(axis)
        axis.set_xlim(0.5, len(rows) + 0.5)
    _summary(axes.flat[-1], rows, smoothed, window)
    _save(figure, path)


def compare(runs, path):
    """Draw the smoothed losses of `runs`, a dict: name -> rows (steps, 7), over each other into the picture `path`.

    All are smoothed over the same number of steps, that of the shortest, so that no run looks calmer than another.
    """
    runs = {name: _checked(rows) for name, rows in runs.items()}
    window = smoothing_window(min(map(len, runs.values())))
    figure, axes = plt.subplots(2, 4, figsize=(17, 7.6), constrained_layout=True)
    for column, ((name, title), axis) in enumerate(zip(CURVES.items(), axes.flat)):
        _panel(axis, name, title, INK)
        shown = []
        for number, rows in enumerate(runs.values()):
            mean = smooth(rows[:, column], window)
            if rows[:, column].any():
                drawn = numpy.unique(numpy.linspace(0, len(mean) - 1, 2 * BINS).astype(int))
                axis.plot(drawn + 1, mean[drawn], STYLES[number // len(RUNS) % len(STYLES)],
                          color=RUNS[number % len(RUNS)], linewidth=1.6, marker='.' if len(rows) < 30 else None)
                shown.append(mean[drawn])
        if shown:
            _limit(axis, numpy.concatenate(shown))
        else:
            _off(axis)
        axis.set_xlim(0.5, max(map(len, runs.values())) + 0.5)
    _legend(axes.flat[-1], runs, window)
    _save(figure, path)


def _checked(rows):
    rows = numpy.asarray(rows, float)
    if rows.ndim != 2 or rows.shape[1] != len(CURVES):
        raise InputError(f'log has shape {rows.shape}, expected (steps, {len(CURVES)})')
    if not len(rows):
        raise InputError('the log has no rows yet: nothing to draw; train.py writes one a step')
    return rows


def _save(figure, path):
    try:
        refuse_existing(path, is_marked)
        with writing(path) as unfinished:
            figure.savefig(unfinished, dpi=110, metadata={'Comment': mark()} if str(path).lower().endswith('.png')
                           else None)
    finally:
        plt.close(figure)


def smoothing_window(steps):
    """Odd number of steps that a smoothed value is the mean of."""
    return max(1, steps // SMOOTH_PARTS) // 2 * 2 + 1


def smooth(column, window):
    """Centred moving mean (steps,) over `window` (odd); towards the ends over the steps there are; NaN is left out."""
    finite = numpy.isfinite(column)
    total = numpy.concatenate([[0.0], numpy.cumsum(numpy.where(finite, column, 0.0))])
    count = numpy.concatenate([[0], numpy.cumsum(finite)])
    middle = numpy.arange(len(column))
    first, last = numpy.maximum(middle - window // 2, 0), numpy.minimum(middle + window // 2 + 1, len(column))
    counted = count[last] - count[first]
    return numpy.where(counted > 0, total[last] - total[first], numpy.nan) / numpy.maximum(counted, 1)


def envelope(column, bins=BINS):
    """(steps, lowest, tenth, ninetieth, highest), each (bins,):
    what `column` spans in `bins` equal intervals of its length.

    steps are the middles, counted from 1; tenth and ninetieth are percentiles.
    """
    edges = numpy.linspace(0, len(column), bins + 1).astype(int)
    lowest = numpy.fmin.reduceat(column, edges[:-1])
    highest = numpy.fmax.reduceat(column, edges[:-1])
    inside = column[edges[:-1, None] + numpy.arange(len(column) // bins)]   # (bins, the values that every interval has)
    with numpy.errstate(invalid='ignore'):   # an interval with NaN has a gap
        tenth, ninetieth = numpy.percentile(inside, [10, 90], axis=1)
    return (edges[:-1] + edges[1:] + 1) / 2, lowest, tenth, ninetieth, highest


def _panel(axis, name, title, colour):
    axis.set_title(name, loc='left', fontsize=11, fontweight='bold', color=colour)
    axis.set_title(title, loc='right', fontsize=9, color=FAINT)
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
    for side in ('left', 'bottom'):
        axis.spines[side].set_color('#bbbbbb')
    axis.tick_params(colors=INK, labelsize=9, length=3, color='#bbbbbb')
    axis.grid(axis='y', color='#ececec', linewidth=0.8)
    axis.set_axisbelow(True)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f'{step:,.0f}'))
    axis.set_xlabel('step', fontsize=9, color=INK)


def _curve(axis, raw, mean, colour):
    """Raw values faint, as bands where they are too many to draw one by one, and the smoothed line over them."""
    steps = numpy.arange(1, len(raw) + 1)
    if len(raw) > 2 * BINS:
        at, lowest, tenth, ninetieth, highest = envelope(raw)
        axis.fill_between(at, lowest, highest, color=colour, alpha=0.13, linewidth=0)
        axis.fill_between(at, tenth, ninetieth, color=colour, alpha=0.25, linewidth=0)
    else:
        axis.plot(steps, raw, color=colour, alpha=0.3, linewidth=0.8, marker='.' if len(raw) < 30 else None)
    drawn = numpy.unique(numpy.linspace(0, len(raw) - 1, 4 * BINS).astype(int))
    axis.plot(steps[drawn], mean[drawn], color=colour, linewidth=1.8)
    _limit(axis, numpy.concatenate([raw, mean[drawn]]))


def _off(axis):
    axis.set_yticks([])
    axis.text(0.5, 0.5, 'off', transform=axis.transAxes, ha='center', va='center', fontsize=15, color=FAINT)


def _limit(axis, shown):
    """A few outliers, mostly of the first steps, must not flatten the rest of the curve."""
    shown = shown[numpy.isfinite(shown)]
    if shown.size:
        low, high = numpy.percentile(shown, [0.5, 99.5])
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
        axis.set_ylim(low - margin, high + margin)


def _summary(axis, rows, smoothed, window):
    """What the eighth panel says: how to read the others, and the last smoothed value of each."""
    axis.axis('off')
    axis.text(0, 1.0, f'{len(rows):,} steps', fontsize=15, fontweight='bold', color=INK, va='top',
              transform=axis.transAxes)
    lines = [f'line: mean over {window:,} step{"s" * (window > 1)}',
             'bands: 80 % of the steps; all steps' if len(rows) > 2 * BINS else 'faint: single steps',
             'axes leave out the extreme 1 % of values']
    axis.text(0, 0.87, '\n'.join(lines), fontsize=9.5, color=INK, va='top', linespacing=1.5, transform=axis.transAxes)
    axis.text(0, 0.56, 'at the end (smoothed)', fontsize=9.5, color=FAINT, va='top', transform=axis.transAxes)
    for row, (name, column, mean) in enumerate(zip(CURVES, rows.T, smoothed)):
        height, colour = 0.47 - 0.067 * row, GENERATOR if name.startswith('g_') else DISCRIMINATOR
        axis.text(0, height, name, fontsize=9.5, color=colour, va='top', transform=axis.transAxes)
        axis.text(0.6, height, f'{mean[-1]:.4g}' if column.any() else 'off', fontsize=9.5, color=INK, va='top',
                  ha='right', transform=axis.transAxes)


def _legend(axis, runs, window):
    """What the eighth panel says of several runs: their colours, steps and smoothed ends."""
    axis.axis('off')
    for number, (name, rows) in enumerate(runs.items()):
        axis.plot([], [], STYLES[number // len(RUNS) % len(STYLES)], color=RUNS[number % len(RUNS)], linewidth=2,
                  label=f'{name} ({len(rows):,} steps)')
    axis.legend(loc='upper left', frameon=False, fontsize=9.5, labelcolor=INK, borderaxespad=0)
    axis.text(0, 0, f'lines: means over {window:,} step{"s" * (window > 1)}\naxes leave out the extreme 1 % of values',
              fontsize=9.5, color=FAINT, transform=axis.transAxes)


def read(folder):
    """(rows of folder/log.npy, its path); InputError if they cannot be read."""
    source = os.path.join(folder, 'log.npy')
    try:
        return numpy.load(source), source
    except FileNotFoundError:
        inside = os.path.join(folder, 'log')
        where = f'it is in {inside}' if os.path.exists(os.path.join(inside, 'log.npy')) else 'train.py writes it'
        raise InputError(f'{source}: no such file: name the folder that holds it, --log of its training; '
                         f'{where}') from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f'{source}: cannot read the log: {error}') from None


def main(arguments=None):
    parser = argparse.ArgumentParser(prog='python -m log.plot', description='Draw log.npy as log.png beside it.')
    parser.add_argument('--log', default='log/', help='folder of log.npy [log/]')
    parser.add_argument('--compare', nargs='+', metavar='DIR',
                        help='folders of log.npy of several runs, drawn over each other')
    parser.add_argument('--out', metavar='FILE.png', default='log/compare.png',
                        help='picture of --compare [log/compare.png]')
    given = parser.parse_args(arguments)
    if given.compare:
        runs = {}
        for folder in given.compare:
            rows, source = read(folder)
            try:
                runs[folder] = _checked(rows)
            except InputError as error:
                raise InputError(f'{source}: {error}') from None
        compare(runs, given.out)
        print(f'{len(runs)} runs drawn: {given.out}')
        return
    folder = given.log
    picture = os.path.join(folder, 'log.png')
    rows, source = read(folder)
    try:
        plot(rows, picture)
    except InputError as error:
        raise InputError(f'{source}: {error}' if picture not in str(error) else str(error)) from None
    print(f'{len(rows):,} steps drawn: {picture}')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
