"""python -m log.plot [--log log/]: the seven losses of log.npy, raw and smoothed, as log.png beside it.

    python -m log.plot --compare runs/a/log runs/b/log     smoothed losses of several runs, as log/compare.png
"""
import argparse
import os

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from runtime.errors import InputError, shown_in_one_line
from runtime.writing import is_marked, mark, refuse_existing, writing

# The columns of log.npy and their titles; model.train_step.LOG_COLUMNS is not imported, since drawing needs no Paddle.
CURVES = {
    'g_loss_gan': 'generator: adversarial',
    'g_loss_feat': 'generator: feature matching',
    'g_loss_vgg': 'generator: perceptual (VGG19)',
    'g_loss_vae': 'style encoder: KL divergence',
    'd_loss': 'discriminator: fake + real',
    'd_loss_f': 'discriminator: fake',
    'd_loss_r': 'discriminator: real',
}
SMOOTH_PARTS = 50     # smoothing windows in a run
BINS = 600            # intervals of the raw envelope, about one per two pixels of a panel
# Okabe and Ito's colours, which colour-blind readers can distinguish
RUNS = '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'
STYLES = '-', '--', ':'   # of the lines, for more runs than colours
GENERATOR, DISCRIMINATOR, INK, FAINT = '#1f5fa8', '#b8432f', '#333333', '#8a8a8a'


def plot(rows, path):
    """Draw `rows` (steps, 7) into the picture `path`."""
    save(losses(rows), path)


def losses(rows):
    """Figure of the losses `rows` (steps, 7)."""
    window = smoothing_window(len(rows))
    smoothed = [smooth(column, window) for column in rows.T]
    figure, axes = _panels(len(rows), _colour)
    for axis, name, raw, mean in zip(axes, CURVES, rows.T, smoothed):
        _curve(axis, raw, mean, _colour(name)) if raw.any() else _off(axis)
    _summary(axes[-1], rows, smoothed, window)
    return figure


def compare(runs, path):
    """Draw the smoothed losses of `runs`, a dict: name -> rows (steps, 7), over each other into the picture `path`.

    The shortest run sets one smoothing window for all, so that no run looks calmer than another.
    """
    window = smoothing_window(min(map(len, runs.values())))
    figure, axes = _panels(max(map(len, runs.values())), lambda name: INK)
    for column, axis in enumerate(axes[:-1]):
        drawn = []
        for number, rows in enumerate(runs.values()):
            if rows[:, column].any():
                mean = smooth(rows[:, column], window)
                at = _points(len(mean), 2 * BINS)
                axis.plot(at + 1, mean[at], linewidth=1.6, marker='.' if len(rows) < 30 else None, **_line(number))
                drawn.append(mean[at])
        _limit(axis, np.concatenate(drawn)) if drawn else _off(axis)
    _legend(axes[-1], runs, window)
    save(figure, path)


def _colour(name):
    return GENERATOR if name.startswith('g_') else DISCRIMINATOR


def _line(number):
    """Colour and style of the line of run `number`."""
    return {'color': RUNS[number % len(RUNS)], 'linestyle': STYLES[number // len(RUNS) % len(STYLES)]}


def _points(count, most):
    """Up to `most` indices, evenly spread over `count` values."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))


def save(figure, path):
    try:
        refuse_existing(path, is_marked)
        with writing(path) as unfinished:
            comment = {'Comment': mark()} if str(path).lower().endswith('.png') else None
            figure.savefig(unfinished, dpi=110, metadata=comment)
    finally:
        plt.close(figure)


def smoothing_window(steps):
    """Odd number of steps that a smoothed value averages."""
    return max(1, steps // SMOOTH_PARTS) // 2 * 2 + 1


def smooth(column, window):
    """Centred moving mean (steps,) over `window` (odd), shorter at both ends; NaN is ignored."""
    finite = np.isfinite(column)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, column, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    middle = np.arange(len(column))
    first, last = np.maximum(middle - window // 2, 0), np.minimum(middle + window // 2 + 1, len(column))
    counted = count[last] - count[first]
    return np.where(counted > 0, total[last] - total[first], np.nan) / np.maximum(counted, 1)


def envelope(column, bins=BINS):
    """(steps, lowest, tenth, ninetieth, highest), each (bins,): the spread of `column` in `bins` equal intervals.

    steps are the middles, counted from 1; tenth and ninetieth are percentiles.
    """
    edges = np.linspace(0, len(column), bins + 1).astype(int)
    lowest = np.fmin.reduceat(column, edges[:-1])
    highest = np.fmax.reduceat(column, edges[:-1])
    inside = column[edges[:-1, None] + np.arange(len(column) // bins)]   # (bins, values that every interval has)
    with np.errstate(invalid='ignore'):   # an interval with NaN becomes a gap
        tenth, ninetieth = np.percentile(inside, [10, 90], axis=1)
    return (edges[:-1] + edges[1:] + 1) / 2, lowest, tenth, ninetieth, highest


def _panels(steps, colour_of):
    """(figure, its eight axes): a titled panel for each of CURVES, and one for text."""
    figure, axes = plt.subplots(2, 4, figsize=(17, 7.6), constrained_layout=True)
    for (name, title), axis in zip(CURVES.items(), axes.flat):
        axis.set_title(name, loc='left', fontsize=11, fontweight='bold', color=colour_of(name))
        axis.set_title(title, loc='right', fontsize=9, color=FAINT)
        axis.spines[['top', 'right']].set_visible(False)
        axis.spines[['left', 'bottom']].set_color('#bbbbbb')
        axis.tick_params(colors=INK, labelsize=9, length=3, color='#bbbbbb')
        axis.grid(axis='y', color='#ececec', linewidth=0.8)
        axis.set_axisbelow(True)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f'{step:,.0f}'))
        axis.set_xlabel('step', fontsize=9, color=INK)
        axis.set_xlim(0.5, steps + 0.5)
    axes.flat[-1].axis('off')
    return figure, axes.flat[:]


def _curve(axis, raw, mean, colour):
    """Raw values, faint, as bands if there are too many, with the smoothed line over them."""
    steps = np.arange(1, len(raw) + 1)
    if len(raw) > 2 * BINS:
        middles, lowest, tenth, ninetieth, highest = envelope(raw)
        axis.fill_between(middles, lowest, highest, color=colour, alpha=0.13, linewidth=0)
        axis.fill_between(middles, tenth, ninetieth, color=colour, alpha=0.25, linewidth=0)
    else:
        axis.plot(steps, raw, color=colour, alpha=0.3, linewidth=0.8, marker='.' if len(raw) < 30 else None)
    at = _points(len(raw), 4 * BINS)
    axis.plot(steps[at], mean[at], color=colour, linewidth=1.8)
    _limit(axis, np.concatenate([raw, mean[at]]))


def _off(axis):
    axis.set_yticks([])
    axis.text(0.5, 0.5, 'off', transform=axis.transAxes, ha='center', va='center', fontsize=15, color=FAINT)


def _limit(axis, shown):
    """Limit the axis so that a few outliers, mostly in the first steps, do not flatten the curve."""
    shown = shown[np.isfinite(shown)]
    if shown.size:
        low, high = np.percentile(shown, [0.5, 99.5])
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
        axis.set_ylim(low - margin, high + margin)


def _summary(axis, rows, smoothed, window):
    """The eighth panel: a legend of the others, and each loss's last smoothed value."""
    def write(x, y, text, size=9.5, color=INK, **style):
        axis.text(x, y, text, fontsize=size, color=color, va='top', transform=axis.transAxes, **style)
    write(0, 1.0, f'{len(rows):,} steps', 15, fontweight='bold')
    write(0, 0.87, f'line: mean over {window:,} step{"s" * (window > 1)}\n'
          + ('bands: 80 % of the steps; all steps' if len(rows) > 2 * BINS else 'faint: single steps')
          + '\naxes exclude the extreme 1 % of values', linespacing=1.5)
    write(0, 0.56, 'at the end (smoothed)', color=FAINT)
    for row, (name, column, mean) in enumerate(zip(CURVES, rows.T, smoothed)):
        write(0, 0.47 - 0.067 * row, name, color=_colour(name))
        write(0.6, 0.47 - 0.067 * row, f'{mean[-1]:.4g}' if column.any() else 'off', ha='right')


def _legend(axis, runs, window):
    """The eighth panel of several runs: their colours and steps."""
    for number, (name, rows) in enumerate(runs.items()):
        axis.plot([], [], linewidth=2, label=f'{name} ({len(rows):,} steps)', **_line(number))
    axis.legend(loc='upper left', frameon=False, fontsize=9.5, labelcolor=INK, borderaxespad=0)
    axis.text(0, 0, f'lines: means over {window:,} step{"s" * (window > 1)}\naxes exclude the extreme 1 % of values',
              fontsize=9.5, color=FAINT, transform=axis.transAxes)


def read(folder):
    """(steps, 7) float64, at least one step: folder/log.npy; InputError if it cannot be read."""
    source = os.path.join(folder, 'log.npy')
    try:
        rows = np.asarray(np.load(source), float)
    except FileNotFoundError:
        inside = os.path.join(folder, 'log')
        where = f'it is in {inside}' if os.path.exists(os.path.join(inside, 'log.npy')) else 'train.py writes it'
        raise InputError(f'{source}: no such file: name its folder, the --log of the run; {where}') from None
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f'{source}: cannot read the log: {error}') from None
    if rows.ndim != 2 or rows.shape[1] != len(CURVES):
        raise InputError(f'{source}: found shape {rows.shape}, expected (steps, {len(CURVES)})')
    if not len(rows):
        raise InputError(f'{source}: no rows to draw yet; train.py writes one a step')
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(prog='python -m log.plot', description='Draw log.npy as log.png beside it.')
    parser.add_argument('--log', default='log/', help='folder of log.npy [log/]')
    parser.add_argument('--compare', nargs='+', metavar='DIR', help='log folders of runs to draw over each other')
    parser.add_argument('--out', metavar='FILE.png', default='log/compare.png',
                        help='picture of --compare [log/compare.png]')
    options = parser.parse_args(arguments)
    if options.compare:
        compare({folder: read(folder) for folder in options.compare}, options.out)
        print(f'{len(options.compare)} runs drawn: {options.out}')
    else:
        rows, picture = read(options.log), os.path.join(options.log, 'log.png')
        plot(rows, picture)
        print(f'{len(rows):,} steps drawn: {picture}')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
