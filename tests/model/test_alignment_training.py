"""The comparison of whole trainings: its statistics, its options, and a small one from beginning to end."""
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from model.init import OPT
from tests import alignment_training
from tests.alignment_training import WINDOWS, compared, options, report
from tests.runner import STEPS, TINY, TRAINING, VALIDATION, message, says

GOLDEN = np.load(alignment_training.GOLDEN_FILE)
TINY_SET = f'tiny, {TRAINING} photographs'


def of_levels(levels, steps=4):
    """(seeds, steps, 7): g_loss_feat and d_loss_r of each seed have a mean of its level, the rest is zero."""
    log = np.zeros((len(levels), steps, 7))
    log[..., [1, 6]] = np.array(levels, float)[:, None, None] + np.linspace(-1, 1, steps)[:, None]
    return log


def test_the_distance_in_closed_form():
    rows = compared(of_levels([0, 1, 2]), of_levels([3, 4, 5]), [(0, 4)])
    assert [row.loss for row in rows] == ['g_loss_feat', 'd_loss_r']
    assert all(row[3:] == pytest.approx((1, 4, 1, 3)) for row in rows)
    more, _ = compared(of_levels([0, 2]), of_levels([5, 5, 5, 5]), [(0, 4)])   # variances 2 and 0, 1 and 3 degrees
    assert more[3:] == pytest.approx((1, 5, 0.5 ** 0.5, 4 / 0.5 ** 0.5))
    first, last, *_ = compared(of_levels([0, 1]), of_levels([1, 0]), [(0, 2), (2, 4)])
    assert first.official == pytest.approx(0.5 - 2 / 3) and last.official == pytest.approx(0.5 + 2 / 3)
    assert first.distance == last.distance == pytest.approx(0)


def test_the_stored_runs():
    """Against themselves without any difference; shifted by a hundredth they are told apart where they are certain."""
    rows = compared(GOLDEN['log'], GOLDEN['log'], WINDOWS)
    assert len(rows) == 25 and all(row.distance == 0 and row.spread > 0 for row in rows)
    assert WINDOWS[0][0] == 0 and WINDOWS[-1][1] == GOLDEN['log'].shape[1]
    assert all(one[1] == other[0] for one, other in zip(WINDOWS, WINDOWS[1:]))
    shifted = compared(GOLDEN['log'], GOLDEN['log'] * 1.5, WINDOWS)
    assert sum(abs(row.distance) > alignment_training.FAR for row in shifted) > alignment_training.ALLOWED
    scores = json.loads(str(GOLDEN['scores']))
    assert says(report(rows, scores, scores), '| g_loss_gan | 0-10 |', '| mean IoU | 0.2749 (0.2683 to 0.2809) |')


def test_options_need_the_same_number_of_photographs(tiny_set):
    settings = {**json.loads(str(GOLDEN['options'])), 'label_nc': TINY['label_nc']}
    found = options({'options': json.dumps({**settings, 'steps': 9, 'dataset': TINY_SET})}, tiny_set)
    assert found['niter'] == 3 and OPT(**found).norm_D == 'spectralinstance'
    assert says(message(options, {'options': json.dumps(settings)}, tiny_set), '--dataroot', '13 photographs', '367')


@pytest.mark.thorough
def test_a_small_one(scripts, tiny_set, tmp_path, monkeypatch, capfd):
    """Two seeds of six steps, against losses far away, then against themselves; the second start trains nothing."""
    settings = {**json.loads(str(GOLDEN['options'])), **TINY, 'use_vae': False, 'contain_dontcare_label': True,
                'steps': STEPS, 'dataset': TINY_SET}
    for name in ('niter', 'save_latest_freq', 'display_freq', 'print_freq'):
        settings.pop(name)
    arguments = Namespace(dataroot=str(tiny_set), output=str(tmp_path), seeds=2, plot=str(tmp_path / 'plot.png'))

    def stored(log):
        np.savez(tmp_path / 'stored.npz', log=log, options=json.dumps(settings), scores=GOLDEN['scores'])
        return tmp_path / 'stored.npz'
    afresh = alignment_training.script

    def script(*command):
        if command[0] == '-m':
            return afresh(*command)
        process = scripts.run(*command)     # forked
        assert process.returncode == 0, process.stderr
        print(process.stdout)
    monkeypatch.setattr(alignment_training, 'script', script)
    monkeypatch.setattr(alignment_training, 'SCORING', ('--epochs', '1'))
    monkeypatch.setattr(alignment_training, 'WINDOWS', [(0, STEPS)])
    log = GOLDEN['log'][:, :STEPS]
    monkeypatch.setattr(alignment_training, 'GOLDEN_FILE', stored(log + 100 * (log != 0)))
    with pytest.raises(SystemExit, match='^5 windows differ by more than 2.5'):
        alignment_training.main(arguments)
    logs = [np.load(path) for path in sorted(tmp_path.glob('paddle_*/seed_*/log/log.npy'))]
    assert len(logs) == 2 and logs[0].shape == (STEPS, 7) and not np.array_equal(*logs)
    assert len(list(tmp_path.glob('paddle_*/seed_0/val/pics/*.png'))) == VALIDATION and Path(arguments.plot).exists()
    capfd.readouterr()
    monkeypatch.setattr(alignment_training, 'GOLDEN_FILE', stored(np.stack(logs)))
    with pytest.raises(SystemExit) as end:
        alignment_training.main(arguments)
    assert end.value.code == 0
    assert says(capfd.readouterr().out, 'training is already complete', '5 of 5 windows differ by at most 2.5', '+0.00')
