"""python -m log.plot: the curves of log.npy."""
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from log import plot as plot_module
from log.plot import envelope, main, plot, smooth, smoothing_window
from runtime.errors import InputError
from tests.forked import REPOSITORY

pytestmark = pytest.mark.without_paddle


def losses(steps):
    """(steps, 7) noisy losses with the perceptual loss switched off."""
    draw = np.random.RandomState(0)
    values = 1 + draw.rand(steps, 7) + np.exp(-np.linspace(0, 5, steps))[:, None]
    values[:, 2] = 0
    return values


@pytest.mark.parametrize('steps', [1, 2, 40, 5000])
def test_picture_for_short_and_long_runs(tmp_path, steps):
    path = tmp_path / 'log.png'
    plot(losses(steps), path)
    pixels = np.asarray(Image.open(path).convert('RGB'))
    assert pixels.shape[1] > 1500 and pixels.shape[0] > 700 and (pixels != 255).any(-1).mean() > 0.005
    assert os.listdir(tmp_path) == ['log.png']


def test_a_column_of_zeros_is_marked_off(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plot_module.plt, 'close', figures.append)
    plot(losses(50), tmp_path / 'log.png')
    notes = [[text.get_text() for text in axis.texts] for axis in figures[0].axes[:7]]
    assert [note == ['off'] for note in notes] == [name == 'g_loss_vgg' for name in plot_module.CURVES]
    monkeypatch.undo()
    plot_module.plt.close(figures[0])


@pytest.mark.parametrize('steps', [5000, 500000])
def test_a_long_run_draws_no_more_points_than_a_short_one(tmp_path, monkeypatch, steps):
    """So half a million rows take seconds."""
    figures = []
    monkeypatch.setattr(plot_module.plt, 'close', figures.append)
    plot(losses(steps), tmp_path / 'log.png')
    drawn = [axis for axis in figures[0].axes[:7] if axis.lines]
    assert len(drawn) == 6
    for axis in drawn:
        assert sum(len(line.get_xdata()) for line in axis.lines) <= 4 * plot_module.BINS
        assert sum(len(path.vertices) for band in axis.collections
                   for path in band.get_paths()) <= 2 * (2 * plot_module.BINS + 3)
    monkeypatch.undo()
    plot_module.plt.close(figures[0])


def test_nan_does_not_spoil_the_rest(tmp_path):
    values = losses(3000)
    values[100:200, 0] = np.nan
    values[5, 1] = np.inf
    plot(values, tmp_path / 'log.png')


def test_smoothing_is_a_mean_over_the_window():
    column = np.random.RandomState(0).rand(101)
    window = 11
    expected = [column[max(0, i - 5):i + 6].mean() for i in range(101)]
    assert np.allclose(smooth(column, window), expected)
    assert smoothing_window(10) == 1 and smoothing_window(465798) == 9315 and smoothing_window(500) % 2


def test_envelope_keeps_the_extremes():
    column = np.zeros(10007)
    column[1234], column[10006] = 5, -3
    steps, lowest, tenth, ninetieth, highest = envelope(column, 50)
    assert highest.max() == 5 and lowest.min() == -3 and (tenth == 0).all() and (ninetieth == 0).all()
    assert abs(steps[highest.argmax()] - 1235) < 10007 / 50 and (np.diff(steps) > 0).all()


def test_command(tmp_path):
    np.save(tmp_path / 'log.npy', losses(20))
    done = subprocess.run([sys.executable, '-m', 'log.plot', '--log', str(tmp_path)], capture_output=True, text=True,
                          cwd=REPOSITORY)
    assert done.returncode == 0 and '20 steps drawn' in done.stdout and (tmp_path / 'log.png').exists()


def test_bad_logs_are_named(tmp_path):
    arguments = ['--log', str(tmp_path)]
    with pytest.raises(InputError, match='log.npy: no such file'):
        main(arguments)
    for content, said in ((losses(0), 'no rows to draw yet'), (np.zeros((3, 4)), r'shape \(3, 4\)')):
        np.save(tmp_path / 'log.npy', content)
        with pytest.raises(InputError, match=said) as error:
            main(arguments)
        assert str(tmp_path / 'log.npy') in str(error.value)
    (tmp_path / 'log.npy').write_bytes(b'nothing')
    with pytest.raises(InputError, match='cannot read the log'):
        main(arguments)
    assert not (tmp_path / 'log.png').exists()


def test_names_are_those_of_the_log():
    train_step = pytest.importorskip('model.train_step')
    assert tuple(plot_module.CURVES) == train_step.LOG_COLUMNS
