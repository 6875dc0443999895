"""log.npy: readable at any moment, resumable after any kill, cheap per row."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest

from log.loss_log import HEADER_SIZE, LossLog, rows_on_disk
from runtime.errors import InputError
from tests.forked import REPOSITORY

pytestmark = pytest.mark.without_paddle

ROW_BYTES = 7 * 8


def row(step):
    """The row that every test writes for `step`."""
    return np.sin(np.arange(7) + step) * 10.0 ** (step % 5)


def rows(steps):
    return np.array([row(step) for step in range(steps)]).reshape(-1, 7)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'log' / 'log.npy')


def written(path, steps):
    log = LossLog(path)
    log.open(0, 0)
    for step in range(steps):
        log.append(row(step))
    return log


def test_new_log_is_an_empty_array_in_a_new_folder(path):
    assert rows_on_disk(path) == 0
    log = LossLog(path)
    log.open(0, 0)
    assert np.load(path).shape == (0, 7) and np.load(path).dtype == np.float64
    assert (log.rows, log.checksum) == (0, 0)
    assert os.listdir(os.path.dirname(path)) == ['log.npy']


def test_every_row_is_readable_at_once(path):
    log = LossLog(path)
    log.open()
    for step in range(120):
        log.append(row(step))
        if step in (0, 8, 9, 10, 98, 99, 100, 119):
            assert np.array_equal(np.load(path), rows(step + 1))
    assert log.rows == rows_on_disk(path) == 120
    assert log.checksum == zlib.crc32(rows(120).tobytes())
    assert os.path.getsize(path) == HEADER_SIZE + 120 * ROW_BYTES
    assert np.array_equal(np.load(path, mmap_mode='r'), rows(120))


def test_the_file_is_what_numpy_itself_would_write(path, tmp_path):
    written(path, 12).close()
    np.save(tmp_path / 'numpy.npy', rows(12))
    assert open(path, 'rb').read() == (tmp_path / 'numpy.npy').read_bytes()


def test_resume_truncates_to_the_checkpoint(path):
    log = written(path, 10)
    checksum = log.checksum
    for step in range(10, 25):
        log.append(row(step + 1000))
    log.sync()
    log.close()
    resumed = LossLog(path)
    resumed.open(10, checksum)
    assert np.array_equal(np.load(path), rows(10)) and os.path.getsize(path) == HEADER_SIZE + 10 * ROW_BYTES
    for step in range(10, 30):
        resumed.append(row(step))
    assert np.array_equal(np.load(path), rows(30)) and resumed.checksum == zlib.crc32(rows(30).tobytes())


@pytest.mark.parametrize('torn', [0, 1, ROW_BYTES - 1])
def test_header_behind_and_partial_row(path, torn):
    log = written(path, 6)
    log.close()
    header = open(path, 'rb').read(HEADER_SIZE)
    with open(path, 'ab') as file:   # a kill between a row and its header, or in the middle of a row
        file.write(row(6).tobytes() + row(7).tobytes()[:torn])
    assert len(np.load(path)) == 6 and rows_on_disk(path) == 7
    again = LossLog(path)
    again.open(7, zlib.crc32(rows(7).tobytes()))
    assert open(path, 'rb').read(HEADER_SIZE) != header and np.array_equal(np.load(path), rows(7))


@pytest.mark.parametrize('count, checksum, said', [(9, 0, 'holds 5 rows, the checkpoint was saved after 9'),
                                                   (5, 1, 'first 5 rows differ from those')])
def test_the_log_of_another_run_is_refused_and_unchanged(path, count, checksum, said):
    written(path, 5).close()
    with pytest.raises(InputError, match=said) as error:
        LossLog(path).open(count, checksum)
    assert path in str(error.value) and '--restart' in str(error.value) and '--log' in str(error.value)
    assert np.array_equal(np.load(path), rows(5))


@pytest.mark.parametrize('how', ['deleted', 'moved', 'copied'])
def test_a_file_that_goes_away_during_the_run_is_written_anew(path, tmp_path, how):
    log = written(path, 3)
    if how == 'copied':     # as an editor or rsync replaces a file
        shutil.copy(path, tmp_path / 'copy')
        os.replace(tmp_path / 'copy', path)
    else:
        os.rename(os.path.dirname(path), tmp_path / 'moved')
        if how == 'deleted':
            shutil.rmtree(tmp_path / 'moved')
        log.sync()
        assert np.array_equal(np.load(path), rows(3))
    log.append(row(3))
    log.sync()
    assert np.array_equal(np.load(path), rows(4)) and np.array_equal(log.last(2), rows(4)[2:])
    assert how != 'moved' or np.array_equal(np.load(tmp_path / 'moved/log.npy'), rows(3))


@pytest.mark.parametrize('steps', [0, 3])
def test_another_log_in_the_place_of_ours_is_unchanged(path, tmp_path, steps):
    log = written(path, steps)
    os.rename(path, tmp_path / 'ours.npy')
    np.save(path, rows(9)[::-1])
    with pytest.raises(InputError, match='log.npy belongs to another run'):
        for step in range(steps, 9):
            log.append(row(step))
    assert np.array_equal(np.load(path), rows(9)[::-1])


def test_missing_log_with_a_checkpoint_is_refused(path):
    with pytest.raises(InputError, match='is missing, but the checkpoint was saved after 3 rows'):
        LossLog(path).open(3, 1)
    assert not os.path.exists(path)


@pytest.mark.parametrize('array', [np.zeros((4, 7), 'f4'), np.zeros((4, 6)), np.zeros(3), None])
def test_a_foreign_file_is_never_touched(tmp_path, array):
    path = tmp_path / 'log.npy'
    path.write_bytes(b'no array') if array is None else np.save(path, array)
    content = path.read_bytes()
    with pytest.raises(InputError, match='no log of losses'):
        LossLog(path).open(0, 0)
    assert path.read_bytes() == content


def test_wrong_row_is_refused(path):
    with pytest.raises(ValueError, match=r'expected \(7,\)'):
        written(path, 1).append([1.0] * 6)


def test_unwritable_place(tmp_path):
    (tmp_path / 'file').write_text('')
    path = str(tmp_path / 'file' / 'log.npy')
    with pytest.raises(InputError, match='cannot be written') as error:
        LossLog(path).open(0, 0)
    assert path in str(error.value)


def test_a_full_disk_leaves_a_whole_log(path):
    """A limit on the file's size stands for the disk's; the log is whole, and continues when there is room again."""
    resource = pytest.importorskip('resource')
    log = written(path, 5)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (HEADER_SIZE + 5 * ROW_BYTES + 20, before[1]))
        with pytest.raises(InputError, match='cannot be written') as error:
            log.append(row(5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path in str(error.value)
    assert np.array_equal(np.load(path), rows(5)) and log.rows == 5
    log.append(row(5))
    assert np.array_equal(np.load(path), rows(6))


def test_a_row_costs_the_same_in_a_long_log(path):
    """In bytes read and written by the process, as the system counts them: a header and a row, not the file's 22 MB.
    """
    np.save(os.path.join(os.path.dirname(written(path, 0).path), 'long.npy'), np.zeros((400000, 7)))
    log = LossLog(os.path.join(os.path.dirname(path), 'long.npy'))
    log.open(400000, zlib.crc32(bytes(400000 * ROW_BYTES)))
    before = traffic()
    for step in range(1000):
        log.append(row(step))
    read, wrote = (now - then for now, then in zip(traffic(), before))
    assert wrote == 1000 * (HEADER_SIZE + ROW_BYTES) and read < 10000
    assert np.array_equal(np.load(log.path, mmap_mode='r')[400000:], rows(1000))


def traffic():
    """(bytes read, bytes written) by this process so far."""
    with open('/proc/self/io') as file:
        return [int(next(file).split()[1]) for _ in range(2)]


CHILD = '''
import sys
from log.loss_log import LossLog
from tests.log.test_loss_log import row
log = LossLog(sys.argv[1])
log.open(int(sys.argv[2]), int(sys.argv[3]))
print('ready', flush=True)
while True:
    log.append(row(log.rows))
'''


def test_sigkill_at_random_moments(path):
    """Killed repeatedly while it writes as fast as it can, each time resumed from some existing row."""
    draw, kept, longest = random.Random(0), 0, 0
    for _ in range(12):
        checksum = zlib.crc32(rows(kept).tobytes())
        child = subprocess.Popen([sys.executable, '-c', CHILD, path, str(kept), str(checksum)], cwd=REPOSITORY,
                                 stdout=subprocess.PIPE)
        try:
            assert child.stdout.readline() == b'ready\n'
            seen, enough = kept, kept + draw.randint(0, 400)
            # a reader beside the writer; how fast that is depends on the machine, what it finds does not
            while seen < enough:
                assert child.poll() is None
                before, seen = seen, len(np.load(path))
                assert seen >= before
            time.sleep(draw.uniform(0, 0.005))
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
        found = np.load(path)
        assert np.array_equal(found, rows(len(found))) and seen <= len(found) <= rows_on_disk(path)
        longest, kept = max(longest, len(found)), draw.randint(0, min(len(found), 300))
    assert longest > 50
