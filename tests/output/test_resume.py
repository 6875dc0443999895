"""An interrupted run equals an uninterrupted one, bit for bit. Refusals to resume: tests/output/test_run.py.
"""
import json
import math
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from model.weights import read_weights
from tests.forked import HANGS, kill, until
from tests.runner import says

KILLS = 20
FILES = ('n_g.pdparams', 'n_d.pdparams', 'n_e.pdparams', 'n_g_ema.pdparams', 'n_g.pdopt', 'n_d.pdopt')
WHOLE = dict(use_vae='true', ema_decay=0.9, niter=9)    # a run that writes all of them


def rows(folder):
    """Number of rows in the log by numpy.load; 0 without a log."""
    path = Path(folder, 'log', 'log.npy')
    return len(np.load(path)) if path.exists() else 0


def counters(folder):
    return json.loads(Path(folder, 'output', 'model', 'progress.json').read_text())


def _but_records(progress):
    """The counters without those of VisualDL's file, whose records contain times."""
    return {name: value for name, value in progress.items() if name != 'visualdl'}


def assert_same_run(one, other):
    """Log, weights, optimizers and counters of two runs are equal to the last bit."""
    assert Path(one, 'log/log.npy').read_bytes() == Path(other, 'log/log.npy').read_bytes()
    assert _but_records(counters(one)) == _but_records(counters(other))
    compared = 0
    for name in FILES:
        paths = [Path(folder, 'output', 'model', name) for folder in (one, other)]
        assert paths[0].exists() == paths[1].exists()
        if paths[0].exists():
            arrays, others = map(read_weights, paths)
            assert arrays.keys() == others.keys()
            for key in arrays:
                assert arrays[key].dtype == others[key].dtype and \
                    arrays[key].tobytes() == others[key].tobytes(), (name, key)
            compared += len(arrays)
    assert compared > 100


def assert_whole_generation(folder, files):
    """The files under the fixed names are complete and of one step, and the log has its rows."""
    output = Path(folder, 'output')
    if not os.path.lexists(output / 'model'):
        assert rows(folder) == 0        # killed before the first checkpoint
        return
    progress = counters(folder)
    assert set(files) < set(os.listdir(output / 'model'))
    assert int(np.load(output / 'model' / 'current_epoch.npy')) == progress['epoch']
    if os.path.lexists(output / 'current_epoch.npy'):
        assert int(np.load(output / 'current_epoch.npy')) == progress['epoch']
    assert rows(folder) >= progress['log_rows'] == progress['step']
    updates = set()
    for name in files:
        arrays = read_weights(output / 'model' / name)
        if name.endswith('.pdopt') and progress['step']:
            powers = [value.item() for key, value in arrays.items() if key.endswith('beta2_pow_acc')]
            updates |= {round(math.log(power) / math.log(0.9)) for power in powers} or {None}
    # Paddle stores beta2 ** (updates + 1): the optimizers are as old as the counters say.
    assert updates == ({progress['step'] + 1} if progress['step'] else set())


@pytest.fixture(scope='module')
def left_alone(scripts, tmp_path_factory):
    """An undisturbed run with style encoder, the seconds to its first row, and those of a step. Started afresh, not
    forked, so that dependence on the process (such as the order of a set of words) shows against forked runs.
    """
    folder = tmp_path_factory.mktemp('left_alone')
    begin = time.monotonic()
    process = scripts.start(folder, fresh=True, **WHOLE)
    until(lambda: rows(folder), process=process)
    first, count = time.monotonic(), rows(folder)
    assert process.wait(timeout=HANGS) == 0, (folder / 'said').read_text()
    return folder, first - begin, (time.monotonic() - first) / (rows(folder) - count)


@pytest.mark.thorough
def test_twenty_kills_change_nothing(scripts, left_alone, tmp_path):
    reference, start_up, step = left_alone
    draw = random.Random(2019)
    advanced = 0
    for attempt in range(KILLS):
        early, resumed = attempt % 5 == 0, os.path.lexists(tmp_path / 'output' / 'model')
        saved = counters(tmp_path)['log_rows'] if resumed else 0

        def beyond(count):
            """It has taken so many steps. That it goes on is said when the log has been cut to the checkpoint."""
            return (not resumed or 'resumed from' in (tmp_path / 'said').read_text()) and \
                rows(tmp_path) >= saved + count

        process = scripts.start(tmp_path, fresh=early, **WHOLE)
        if early:   # while it imports or begins
            moment = time.monotonic() + draw.uniform(0, 0.9 * start_up)
        else:
            until(lambda: beyond(1), process=process)
            moment = time.monotonic() + draw.uniform(0, 3 * step)
        # At the third step at the latest, however fast the machine has become: the run has 54.
        until(lambda: time.monotonic() >= moment or beyond(3), process=process)
        assert process.poll() is None, f'ended before kill {attempt + 1}: ' + (tmp_path / 'said').read_text()
        assert kill(process) == -signal.SIGKILL
        assert_whole_generation(tmp_path, FILES)
        advanced += os.path.lexists(tmp_path / 'output' / 'model') and counters(tmp_path)['log_rows'] > saved
    assert advanced >= 5
    assert 0 < counters(tmp_path)['step'] < 9 * scripts.STEPS
    assert 'resumed from' in scripts.trained(tmp_path, **WHOLE)
    assert_whole_generation(tmp_path, FILES)
    assert_same_run(reference, tmp_path)


@pytest.mark.parametrize('number, status',
                         [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.thorough)])
def test_a_signal_saves_first(scripts, tmp_path, number, status):
    """With D_steps_per_G 2, stopped between the two D updates of a G update; and with worker processes."""
    settings = dict(D_steps_per_G=2, save_latest_freq=1000)
    scripts.trained(tmp_path / 'alone', fresh=True, **settings)
    folder = tmp_path / 'stopped'
    process = scripts.start(folder, nThreads=2, **settings)
    until(lambda: rows(folder) >= 2, process=process)
    assert kill(process, number) == status
    said = (folder / 'said').read_text()
    step = counters(folder)['step']
    assert says(said, 'stopping: this step is finished',
                f'stopped and saved after step {step}; the same command resumes there')
    assert 'Traceback' not in said
    assert rows(folder) == step >= 3
    while step % 2 == 0:    # go on by single steps until a resume falls between two G updates
        process = scripts.start(folder, nThreads=2, **settings)
        until(lambda: rows(folder) > step, process=process)
        assert kill(process, number) in (status, 0)
        step = counters(folder)['step']
    assert f'step {step}' in scripts.trained(folder, **settings)
    assert_same_run(tmp_path / 'alone', folder)


@pytest.mark.thorough
def test_workers_change_nothing_and_leave_no_orphans(scripts, tmp_path):
    scripts.trained(tmp_path / 'none', fresh=True, nThreads=0, niter=1)
    folder = tmp_path / 'two'
    process = scripts.start(folder, nThreads=2, niter=1)
    until(lambda: rows(folder) >= 3, process=process)
    workers = [int(pid) for pid in Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()]
    assert len(workers) == 2
    os.kill(process.pid, signal.SIGKILL)    # it alone, not its group
    process.wait(timeout=HANGS)
    until(lambda: not any(running(pid) for pid in workers))
    scripts.trained(folder, nThreads=2, niter=1)
    assert_same_run(tmp_path / 'none', folder)


def running(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.thorough
@pytest.mark.parametrize('modulation', ['auto', 'windows'])
def test_a_killed_run_on_paddle_s_own_operators_equals_an_uninterrupted_one(scripts, tmp_path, modulation):
    settings = dict(cpu_kernels='false', modulation=modulation, save_latest_freq=1, niter=1)
    scripts.trained(tmp_path / 'one', **settings)
    process = scripts.start(tmp_path / 'other', **settings)
    until(lambda: rows(tmp_path / 'other') >= 3, process=process)
    kill(process)
    assert rows(tmp_path / 'other') < scripts.STEPS, 'it was faster than the kill'
    assert says(scripts.trained(tmp_path / 'other', **settings), 'resumed from')
    assert_same_run(tmp_path / 'one', tmp_path / 'other')


def test_modulation_json_of_an_earlier_version_is_ignored(scripts, trained, tmp_path):
    """modulation.json of 2026-11, damaged in the run; training continues the copy, and val.py paints with it."""
    shutil.copytree(trained, tmp_path / 'run', symlinks=True)
    whole = '{"modulation": "windows", "seconds": {"dense": 2, "windows": 1}, "device": "cpu"}'
    for folder, content in (('model', '{'), ('epoch_1', whole)):
        (tmp_path / 'run/output' / folder / 'modulation.json').write_text(content)
    assert says(scripts.trained(tmp_path / 'run', niter=3, cpu_kernels='false'), 'resumed from')
    for more in ([], ['--which_epoch', 1, '--cpu_kernels', 'false']):
        assert scripts.run('val.py', '--lastoutput', tmp_path / 'run/output', '--results', tmp_path / 'val',
                           *more).returncode == 0
