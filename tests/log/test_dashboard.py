"""--visualdl: records read back as by VisualDL's page, after a good run, a kill, a stop and a refusal.
"""
import io
import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
from PIL import Image

import log.dashboard
from log.dashboard import FILE, Dashboard
from log.loss_log import rows_on_disk
from model.init import OPT
from model.train_step import LOG_COLUMNS
from tests.forked import kill, until
from tests.output.test_resume import assert_same_run
from tests.runner import message, says

visualdl = pytest.importorskip('visualdl', reason='VisualDL is not installed: pip install -r tests/requirements.txt')

SETTINGS = dict(print_freq=4, display_freq=5, niter=3)
STEPS = 18


def records(folder):
    """dict: tag -> [(step, value)] in the order of the file; the value of a picture is its size, (width, height)."""
    reader = visualdl.LogReader(file_path=str(folder / FILE))
    found = {}
    for kind, tags in reader.get_tags().items():
        for tag in tags:
            for record in reader.get_data(kind, tag):
                if kind == 'image':
                    value = Image.open(io.BytesIO(record.image.encoded_image_string)).size
                elif kind == 'scalar':
                    value = record.value
                else:
                    continue
                found.setdefault(record.tag, []).append((record.id, value))
    return found


def steps(found, tag):
    return [step for step, _ in found.get(tag, [])]


def assert_shows(folder, log, last=STEPS):
    """The records are the rows of the log, each once, and everything that belongs to them."""
    found, rows = records(folder), np.load(log)
    assert len(rows) == last
    for column, name in enumerate(LOG_COLUMNS):
        assert steps(found, f'losses/{name}') == list(range(1, last + 1))
        assert np.array_equal([value for _, value in found[f'losses/{name}']], rows[:, column].astype(np.float32))
    printed = list(range(4, last + 1, 4))
    assert [found.pop(f'optimizer/learning_rate_{network}', []) for network in 'GD'] == [
        [(step, np.float32(rate)) for step in printed] for rate in (0.0001, 0.0004)]
    assert steps(found, speed := 'speed/images_per_second') == printed and \
        all(value > 0 for _, value in found.get(speed, []))
    assert found.get('pictures/training', []) == [(step, (3 * 32 + 8, 2 * 32 + 4)) for step in range(1, last + 1)
                                                  if step % 5 == 0 or step in (1, 10)]
    assert found.get('pictures/validation', []) == [(step, (3 * 32 + 8, 3 * 32 + 8)) for step in range(6, last + 1, 6)]
    return found


@pytest.fixture(scope='module')
def seen(scripts, shared):
    """A run with records in seen/."""
    return shared('seen', lambda folder: (folder / 'said').write_text(
        scripts.trained(folder, **SETTINGS, visualdl=folder / 'seen')))


def test_what_is_recorded(seen):
    found = assert_shows(seen / 'seen', seen / 'log/log.npy')
    assert set(found) == {*(f'losses/{name}' for name in LOG_COLUMNS), 'speed/images_per_second', 'pictures/training',
                          'pictures/validation'}
    assert sorted(os.listdir(seen / 'seen')) == ['.lock', FILE]
    assert 'isuald' not in (seen / 'said').read_text()      # it prints nothing of its own


def test_the_page_finds_the_run(seen):
    """Its server sees one run in the folder, with curves and pictures."""
    reader = visualdl.LogReader(str(seen))
    assert reader.runs() == [str(seen / 'seen')]
    assert reader.component_tabs() >= {'scalar', 'image'}


@pytest.mark.thorough
def test_the_bits_are_those_of_a_run_without_it(scripts, seen, tmp_path):
    scripts.trained(tmp_path, **SETTINGS)
    assert_same_run(tmp_path, seen)


def test_scores_and_loss_scales(tmp_path):
    class Rate:
        def get_lr(self):
            return 0.5

    class Step:
        steps, optimizer_g, optimizer_d = 8, Rate(), Rate()
        loss_scales = [dict(scale=1024.0), dict(scale=2048.0)]

    with Dashboard(OPT(visualdl=tmp_path / 'seen', print_freq=4)) as dashboard:
        dashboard.begin(0, {})
        dashboard.step(Step, {'d_loss': 0.25}, 3.0)
        dashboard.scores(8, {'mean_iou': 0.5, 'fid': None})
        dashboard.scores(8, {'mean_iou': 0.75, 'fid': None})    # of the same step again: that of a run that has gone on
    found = records(tmp_path / 'seen')
    assert (found['optimizer/loss_scale_G'], found['optimizer/loss_scale_D']) == ([(8, 1024.0)], [(8, 2048.0)])
    assert (found['scores/mean_iou'], found['losses/d_loss']) == ([(8, 0.5)], [(8, 0.25)]) and 'scores/fid' not in found


def test_a_black_picture_stays_black(tmp_path):
    pixels = np.ones((4, 4, 3), np.uint8)
    with Dashboard(OPT(visualdl=tmp_path / 'seen')) as dashboard:
        dashboard.begin(0, {})
        dashboard.picture(1, 'training', pixels)
    assert (pixels == 1).all() and records(tmp_path / 'seen')['pictures/training'] == [(1, (4, 4))]


# ---- Ends and beginnings

@pytest.mark.thorough
def test_kills_leave_each_step_once(scripts, tmp_path):
    """SIGKILL three times between checkpoints, then to the end."""
    settings = dict(SETTINGS, save_latest_freq=4, visualdl=tmp_path / 'seen')
    for known in (1, 7, 13):
        process = scripts.start(tmp_path, **settings)
        until(lambda: rows_on_disk(tmp_path / 'log/log.npy') >= known + 2, process=process)
        assert kill(process) == -signal.SIGKILL
        step = json.loads((tmp_path / 'output/model/progress.json').read_text())['step']
        # no checkpoint is ahead
        assert steps(records(tmp_path / 'seen'), 'losses/d_loss')[:step] == list(range(1, step + 1))
    scripts.trained(tmp_path, **settings)
    assert_shows(tmp_path / 'seen', tmp_path / 'log/log.npy')


@pytest.mark.parametrize('number, status', [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_by_signal_completes_the_file(scripts, tmp_path, number, status):
    settings = dict(SETTINGS, niter=1000, visualdl=tmp_path / 'seen', nThreads=1)
    process = scripts.start(tmp_path, **settings)
    until(lambda: (tmp_path / 'log/log.npy').exists() and len(np.load(tmp_path / 'log/log.npy')) >= 3, process=process)
    assert kill(process, number) == status
    said = (tmp_path / 'said').read_text()
    assert says(said, 'stopping: this step is finished', 'stopped and saved after step') and 'Traceback' not in said
    assert_shows(tmp_path / 'seen', tmp_path / 'log/log.npy', len(np.load(tmp_path / 'log/log.npy')))


def test_a_torn_record_is_cut_off(scripts, seen, tmp_path):
    for name in ('output', 'log', 'seen'):
        shutil.copytree(seen / name, tmp_path / name, symlinks=True)
    with open(tmp_path / 'seen' / FILE, 'ab') as file:
        file.write(b'\x40\0\0\0\0\0\0\0half a record')
    scripts.trained(tmp_path, **dict(SETTINGS, niter=4), visualdl=tmp_path / 'seen')
    assert_shows(tmp_path / 'seen', tmp_path / 'log/log.npy', 24)


def test_records_can_be_added_to_a_run(scripts, trained, tmp_path):
    for name in ('output', 'log'):
        shutil.copytree(trained / name, tmp_path / name, symlinks=True)
    scripts.trained(tmp_path, **SETTINGS, visualdl=tmp_path / 'seen')
    assert steps(records(tmp_path / 'seen'), 'losses/d_loss') == list(range(13, 19))


def test_another_run_is_not_replaced(scripts, seen, tmp_path):
    shutil.copytree(seen / 'seen', tmp_path / 'seen')
    before = (tmp_path / 'seen' / FILE).read_bytes()
    said = scripts.train_refusal(tmp_path / 'run', **SETTINGS, visualdl=tmp_path / 'seen')
    assert says(said, tmp_path / 'seen' / FILE, 'records of another run', 'another --visualdl', '--restart')
    assert (tmp_path / 'seen' / FILE).read_bytes() == before and not (tmp_path / 'run').exists()
    scripts.trained(tmp_path / 'run', '--restart', **dict(SETTINGS, niter=1), visualdl=tmp_path / 'seen')
    assert_shows(tmp_path / 'seen', tmp_path / 'run/log/log.npy', 6)


def test_records_of_another_run_are_not_truncated(seen, tmp_path):
    """A run that resumes with the wrong folder."""
    shutil.copytree(seen / 'seen', tmp_path / 'seen')
    path = tmp_path / 'seen' / FILE
    with Dashboard(OPT(visualdl=tmp_path / 'seen'), progress={}) as dashboard:
        losses = dict(zip(LOG_COLUMNS, np.load(seen / 'log/log.npy').T))
        losses['d_loss'] = losses['d_loss'] + 1e-3 * (np.arange(STEPS) == 6)
        before = path.read_bytes()
        assert says(message(dashboard.begin, 12, losses), path, 'd_loss of step 7 differs from the log',
                    'another --visualdl')
    assert path.read_bytes() == before


def test_a_resume_reads_the_end_alone(seen, tmp_path, monkeypatch):
    """For any number of records: those after the checkpoint are truncated, and the last step of each tag is read."""
    shutil.copytree(seen / 'seen', tmp_path / 'seen')
    path = tmp_path / 'seen' / FILE
    progress = json.loads((seen / 'output/model/progress.json').read_text())
    whole = path.read_bytes()
    assert progress['visualdl']['bytes'] == len(whole)
    path.write_bytes(whole + whole[:400])    # of steps that a kill has cut off
    parsed = []
    monkeypatch.setattr(log.dashboard, '_records',
                        lambda path: iter(parsed or parsed.append(path) or ['the first, to see what it is']))
    with Dashboard(OPT(visualdl=tmp_path / 'seen'), progress) as dashboard:
        dashboard.begin(STEPS, {})
        # VisualDL's thread may have written the record with which it opens a file
        assert path.read_bytes().startswith(whole) and path.stat().st_size < len(whole) + 400 and parsed == [str(path)]
        dashboard.picture(STEPS, 'validation', np.zeros((4, 4, 3), np.uint8))    # drawn again after a kill: it is there
        dashboard.scores(STEPS, {'mean_iou': 0.5})
    found = records(tmp_path / 'seen')
    assert steps(found, 'pictures/validation') == [6, 12, 18] and found['scores/mean_iou'] == [(STEPS, 0.5)]


def test_records_that_differ_from_the_checkpoint_remain(seen, tmp_path):
    progress = json.loads((seen / 'output/model/progress.json').read_text())
    shutil.copytree(seen / 'seen', tmp_path / 'seen')
    path = tmp_path / 'seen' / FILE
    for content in (path.read_bytes()[:-1], path.read_bytes()[:-1] + b'x'):
        path.write_bytes(content)
        with Dashboard(OPT(visualdl=tmp_path / 'seen'), progress) as dashboard:
            assert says(message(dashboard.begin, STEPS, {}), path, 'records of another run', 'name another --visualdl')
        assert path.read_bytes() == content


@pytest.mark.parametrize('progress', [None, {}])
def test_a_foreign_file_of_that_name_remains(tmp_path, progress):
    path = tmp_path / FILE
    path.write_text('mine, and longer than the head of a record')
    said = message(Dashboard(OPT(visualdl=tmp_path), progress, replace=True).__enter__)
    assert says(said, path, 'holds no records', 'name another --visualdl')
    assert path.read_text() == 'mine, and longer than the head of a record'


def test_a_folder_that_cannot_be_written(scripts, tmp_path):
    (tmp_path / 'file').write_text('')
    said = scripts.train_refusal(tmp_path / 'run', visualdl=tmp_path / 'file')
    assert says(said, tmp_path / 'file', 'cannot be written') and not (tmp_path / 'run').exists()
    (tmp_path / 'folder' / FILE).mkdir(parents=True)
    assert says(scripts.train_refusal(tmp_path / 'run', visualdl=tmp_path / 'folder'), FILE, 'cannot be written',
                '--visualdl')


def test_two_runs_at_once(tmp_path):
    opt = OPT(visualdl=tmp_path / 'seen')
    with Dashboard(opt):
        pid = os.fork()
        if not pid:
            said = message(Dashboard(opt).__enter__)
            os._exit(0 if 'another training writes there' in said and '--visualdl' in said else 1)
        assert os.waitpid(pid, 0)[1] == 0


def test_without_the_package(scripts, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'visualdl', None)
    said = scripts.train_refusal(tmp_path / 'run', visualdl=tmp_path / 'seen')
    assert says(said, '--visualdl', 'pip install visualdl==2.5.3', 'omit --visualdl')
    assert not (tmp_path / 'run').exists() and not (tmp_path / 'seen').exists()
