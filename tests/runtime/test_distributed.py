"""Runs of many processes over gloo: each sample once, and the loss of a process. Equality with one:
tests/model/test_ranks.py.
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dataset.labelled_images import LabelledImages, batches
from log.loss_log import rows_on_disk
from model.init import OPT
from model.weights import read_weights, save_weights
from runtime import distributed, watch
from runtime.errors import InputError
from tests.forked import HANGS, until
from tests.runner import contents, free_port, says


def test_fewer_samples_than_one_global_batch(tiny_set):
    opt = OPT(dataroot=str(tiny_set), label_nc=9, batchSize=4)
    assert len(LabelledImages(opt, ranks=3)) == 13
    with pytest.raises(InputError) as error:
        LabelledImages(opt, ranks=4)
    assert says(str(error.value), '13 samples', 'batchSize 4', 'processes 4', '--batchSize to at most 3')
    opt.accumulate = 7
    with pytest.raises(InputError) as error:
        LabelledImages(opt, ranks=2)
    assert says(str(error.value), 'accumulate 7', 'fewer processes')


# ---- Runs

def progress(folder):
    return json.loads(Path(folder, 'output/model/progress.json').read_text())


def rows(folder):
    return rows_on_disk(Path(folder, 'log', 'log.npy'))


@pytest.mark.parametrize('arguments', [pytest.param(('--backend', 'gloo'), id='backend gloo'),
                                       pytest.param((), id='no backend', marks=pytest.mark.thorough)])
def test_two_processes_train(scripts, tmp_path, arguments):
    said = scripts.launched(tmp_path, 2, *scripts.training(tmp_path, norm_G='spectralspadebatch3x3', niter=1),
                            arguments=arguments)
    assert says(said, 'plan: 1 epochs of 3 steps, batch 4 (2 processes x batchSize 2); each epoch skips 1 samples',
                '--norm_G spectralspadesyncbatch3x3', 'step 3/3', 'done: 1 epochs')
    other = (tmp_path / 'workers' / 'workerlog.1').read_text()
    assert not any(word in other for word in ('plan', 'step', 'done', 'settings'))
    assert rows(tmp_path) == 3 and progress(tmp_path)['seen'] == 12


@pytest.mark.thorough
def test_two_processes_validate_as_one(scripts, trained, tmp_path):
    for processes, results in ((1, 'one'), (2, 'two')):
        command = ['val.py', '--lastoutput', trained / 'output', '--results', tmp_path / results, '--png']
        said = scripts.launched(tmp_path / results, processes, *command)
        assert '3 pictures in' in said
    one, two = (contents(tmp_path / results / 'pics') for results in ('one', 'two'))
    assert one == two and len(one) == 7     # with painted.json


@pytest.mark.thorough
def test_a_run_resumes_with_another_number_of_processes(scripts, tmp_path):
    """13 samples: 4 after a step of two processes; one process takes 9 of them, 2 at a time;
    four take 8 in the next epoch.
    """
    process = scripts.launch(tmp_path, 2, *scripts.training(tmp_path, save_latest_freq=1))
    until(lambda: Path(tmp_path, 'output', 'model').exists() and progress(tmp_path)['step'] == 1, process=process)
    stop(process)   # launch, whose end the others see
    until(lambda: not ranks_of(tmp_path))
    seen, step = progress(tmp_path)['seen'], progress(tmp_path)['step']
    assert 1 <= step < 6 and seen == 4 * step
    said = scripts.trained(tmp_path, niter=1)
    assert says(said, f'{seen} of its samples seen', 'processes 2, now 1')
    expected = step + (13 - seen) // 2
    assert rows(tmp_path) == expected
    scripts.launched(tmp_path, 4, *scripts.training(tmp_path, niter=2))
    assert rows(tmp_path) == expected + 1 and progress(tmp_path)['seen'] == 8


def stop(process):
    os.killpg(process.pid, signal.SIGTERM)
    return process.wait(timeout=HANGS)


def ranks_of(folder):
    """dict of rank -> process id of the launched processes that train in `folder`."""
    found = {}
    for path in Path('/proc').glob('[0-9]*'):
        try:
            command, environment = ((path / name).read_bytes().split(b'\0') for name in ('cmdline', 'environ'))
        except OSError:
            continue
        rank = dict(item.partition(b'=')[::2] for item in environment).get(b'PADDLE_TRAINER_ID')
        if rank and any(str(folder).encode() in word for word in command):
            found[int(rank)] = int(path.name)
    return found


@pytest.mark.parametrize('dead', [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_killed_rank_ends_the_job_and_is_named(scripts, tmp_path, dead):
    settings = dict(niter=50, save_latest_freq=2)
    process = scripts.launch(tmp_path, 2, *scripts.training(tmp_path, **settings))
    until(lambda: rows(tmp_path) >= 3, process=process)
    found = ranks_of(tmp_path)
    assert sorted(found) == [0, 1]
    os.kill(found[dead], signal.SIGKILL)
    assert process.wait(timeout=HANGS) != 0
    said = (tmp_path / 'workers' / f'workerlog.{1 - dead}').read_text()
    assert says(said, f'error: rank {dead} was lost', 'the same command continues')
    until(lambda: not ranks_of(tmp_path))
    before = progress(tmp_path)['step']
    command = scripts.training(tmp_path, **{**settings, 'niter': before // 3 + 2})
    assert not any(scripts.ranks(tmp_path / 'again', 2, *command))
    said = (tmp_path / 'again/workers/workerlog.0').read_text()
    assert f'step {before}' in said and rows(tmp_path) == progress(tmp_path)['step'] > before


SHIM = '''
import os, runpy, sys
sys.argv = ['train.py'] + [argument.replace('RANK', os.environ['PADDLE_TRAINER_ID']) for argument in sys.argv[1:]]
runpy.run_path('train.py', run_name='__main__')
'''


BY_RANK = '''
import os, runpy, sys
rank = int(os.environ['PADDLE_TRAINER_ID'])
sys.argv = ['train.py'] + [argument.split('|')[rank % len(argument.split('|'))] for argument in sys.argv[1:]]
runpy.run_path('train.py', run_name='__main__')
'''


def test_ranks_with_other_options_are_refused(scripts, tmp_path):
    (tmp_path / 'shim.py').write_text(BY_RANK)
    flags = ['--lr=0.0002|--lr=0.5', '--batchSize=2|--batchSize=1', '--seed=0|--seed=3']
    command = [flag for flag in scripts.training(tmp_path)[1:] if not flag.startswith('--batchSize')]
    assert all(scripts.ranks(tmp_path, 2, tmp_path / 'shim.py', *command, *flags))
    for rank in range(2):
        said = (tmp_path / 'workers' / f'workerlog.{rank}').read_text()
        assert says(said, 'error: ', 'rank 1 on ', 'differs from rank 0', '--lr 0.5 (there 0.0002)',
                    '--batchSize 1 (there 2)', '--seed 3 (there 0)', 'the same command')
        assert 'Traceback' not in said
    assert not (tmp_path / 'output').exists()


def test_ranks_with_other_weights_are_refused(scripts, trained, tmp_path):
    for name in 'ab':
        shutil.copytree(trained / 'output' / 'model', tmp_path / name)
    weights = read_weights(tmp_path / 'b' / 'n_g.pdparams')
    weights['conv_img.bias'] = weights['conv_img.bias'] + np.float32(1e-6)
    save_weights(weights, tmp_path / 'b' / 'n_g.pdparams')
    (tmp_path / 'shim.py').write_text(BY_RANK)
    assert all(scripts.ranks(tmp_path, 2, tmp_path / 'shim.py', *scripts.training(tmp_path / 'run')[1:],
                             f'--init_from={tmp_path / "a"}|--init_from={tmp_path / "b"}'))
    for rank in range(2):
        assert says((tmp_path / 'workers' / f'workerlog.{rank}').read_text(), 'error: ', 'the weights of rank 1 on ',
                    'differ from those of rank 0')
    assert rows(tmp_path / 'run') == 0


def test_gathering_waits_without_a_time_limit(monkeypatch):
    """Even if rank 0 works alone for long: gloo fails after 30 seconds, the watch does not."""
    acts = []
    monkeypatch.setattr(distributed, 'ranks', lambda: 2)
    monkeypatch.setattr(distributed, '_watch', SimpleNamespace(barrier=lambda: acts.append('wait')))
    monkeypatch.setattr(distributed.distributed, 'all_gather_object', lambda values, value: acts.append('gather'))
    distributed.gathered(1)
    assert acts == ['wait', 'gather']


SLOW = '''
import os, runpy, sys, time
from runtime import stopping, device
from output.checkpoint import Checkpoint
save, number = Checkpoint.save, iter(range(10))
def slow(*arguments, **settings):
    if next(number) == WHICH:
        time.sleep(33)
        print('slept')
    save(*arguments, **settings)
Checkpoint.save = slow
sys.argv[0] = 'train.py'
runpy.run_path('train.py', run_name='__main__')
'''


@pytest.mark.thorough
def test_saves_of_more_than_30_seconds(scripts, tmp_path):
    """The first, one in the middle of an epoch, and the last: in three runs side by side."""
    def run(which):
        folder = tmp_path / str(which)
        folder.mkdir()
        (folder / 'shim.py').write_text(SLOW.replace('WHICH', str(which)))
        return scripts.ranks(folder, 2, folder / 'shim.py', *scripts.training(folder, niter=1, save_latest_freq=2)[1:])

    with ThreadPoolExecutor() as threads:
        statuses = list(threads.map(run, range(3)))
    for which, found in enumerate(statuses):
        folder = tmp_path / str(which)
        said = [(folder / f'workers/workerlog.{rank}').read_text() for rank in range(2)]
        assert found == [0, 0] and 'slept' in said[0], said
        assert rows(folder) == progress(folder)['step'] == 3


@contextlib.contextmanager
def two_machines(scripts, folder, *flags):
    """Two launches on this machine, a process each, that find each other as two machines do; Popen of each.

    Without --backend, which launch knows only where all processes are its own.
    """
    (folder / 'shim.py').write_text(BY_RANK)
    master = f'127.0.0.1:{free_port()}'
    machines = [scripts.launch(folder / f'machine{rank}', 1, folder / 'shim.py', *scripts.training(folder, niter=1)[1:],
                               *flags,
                               arguments=('--nnodes', 2, '--master', master, '--rank', rank)) for rank in range(2)]
    try:
        yield machines
    finally:
        # those have groups of their own
        for left in [machine.pid for machine in machines] + list(ranks_of(folder).values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(left, signal.SIGKILL)


def machine_said(folder, rank):
    return ''.join(path.read_text() for path in (folder / f'machine{rank}' / 'workers').glob('workerlog.*'))


@pytest.mark.thorough
def test_two_machines_train(scripts, tmp_path):
    with two_machines(scripts, tmp_path, f'--watch_port={free_port()}') as machines:
        assert [machine.wait(timeout=HANGS) for machine in machines] == [0, 0], [machine_said(tmp_path, rank)
                                                                               for rank in range(2)]
    assert says(machine_said(tmp_path, 0), '2 processes x batchSize 2', 'done: 1 epochs')
    assert rows(tmp_path) == 3


@pytest.mark.thorough
def test_two_machines_with_other_options_are_refused(scripts, tmp_path):
    with two_machines(scripts, tmp_path, '--lr=0.0002|--lr=0.5') as machines:
        assert all(machine.wait(timeout=HANGS) for machine in machines)
    for rank in range(2):
        assert says(machine_said(tmp_path, rank), 'rank 1 on', 'differs from rank 0', '--lr 0.5 (there 0.0002)')


def test_the_watch_s_port_is_taken(scripts, tmp_path):
    with socket.create_server(('', 0)) as listener:
        port = listener.getsockname()[1]
        assert all(scripts.ranks(tmp_path, 2, *scripts.training(tmp_path), f'--watch_port={port}'))
    assert says((tmp_path / 'workers' / 'workerlog.0').read_text(), f'error: --watch_port {port}: rank 0',
                'choose another port')


def test_a_firewall_is_distinguished_from_a_dead_rank(monkeypatch):
    """Rank 1 that reaches nobody, and rank 0 that nobody reaches: each names the port and the option."""
    with pytest.raises(InputError) as error:
        watch.Watch(1, 2, ('127.0.0.1', free_port()), 'token')
    assert says(str(error.value), 'rank 1', 'cannot connect to rank 0 at 127.0.0.1:', 'firewall', '--watch_port')
    monkeypatch.setattr(watch, 'SILENCE', 0.5)
    with socket.create_server(('', 0)) as listener, pytest.raises(InputError) as error:
        port = listener.getsockname()[1]
        watch.Watch(0, 2, None, 'token', listener)
    assert says(str(error.value), 'rank 1', f'port {port}', 'firewall', '--watch_port')


def test_a_silent_connection_does_not_delay_the_others():
    """Somebody connects to the watch first and says nothing; the rank behind is heard at once, not after the time-out.
    """
    listener = socket.create_server(('', 0))
    address = '127.0.0.1', listener.getsockname()[1]
    with socket.create_connection(address), socket.create_connection(address) as stranger:
        stranger.sendall(b'{"rank": 1, "token": "of another job"}\n')
        made = []
        other = threading.Thread(target=lambda: made.append(watch.Watch(1, 2, address, 'token')))
        other.start()
        # would raise after SILENCE seconds if it waited for the first
        main = watch.Watch(0, 2, None, 'token', listener)
        other.join()
        closing = threading.Thread(target=made[0].close)
        closing.start()
        main.close()
        closing.join()


def test_a_rank_with_other_data_is_refused(scripts, tmp_path, tiny_set):
    (tmp_path / 'shim.py').write_text(SHIM)
    for rank in range(2):
        for part in tiny_set.iterdir():
            (tmp_path / f'data{rank}' / part.name).mkdir(parents=True)
            for path in sorted(part.iterdir())[:None if rank == 0 else -1]:
                (tmp_path / f'data{rank}' / part.name / path.name).symlink_to(path)
    arguments = scripts.training(tmp_path, dataroot=tmp_path / 'dataRANK')[1:]
    assert all(scripts.ranks(tmp_path, 2, tmp_path / 'shim.py', *arguments))
    said = (tmp_path / 'workers' / 'workerlog.0').read_text()
    assert says(said, 'rank 1', '12 samples', 'rank 0', '13', 'every process must see the same data set')
    assert not (tmp_path / 'output' / 'model').exists()


def test_rank_0_prints_the_error_of_another_rank(scripts, tmp_path, tiny_set):
    """A broken photo that only rank 1 reads."""
    shutil.copytree(tiny_set, tmp_path / 'set')
    (_, index), *_ = batches(OPT(batchSize=2), scripts.TRAINING, epoch=1, rank=1, ranks=2)[0]
    photo = sorted((tmp_path / 'set/train_img').iterdir())[index]
    photo.write_bytes(photo.read_bytes()[:200])
    assert all(scripts.ranks(tmp_path, 2, *scripts.training(tmp_path, dataroot=tmp_path / 'set')))
    assert says((tmp_path / 'workers' / 'workerlog.0').read_text(), 'error: rank 1: ', photo)


def test_a_second_job_in_the_same_folder_is_refused(scripts, tmp_path):
    process = scripts.start(tmp_path, niter=50)
    until(lambda: rows(tmp_path) >= 2, process=process)
    said = scripts.train_failure(tmp_path, niter=50)
    assert says(said, tmp_path / 'output', 'another training writes there', f'process {process.pid}', '--output')
    said = scripts.train_failure(tmp_path, niter=50, output=tmp_path / 'other')
    assert says(said, tmp_path / 'log' / 'log.npy', 'rows of another run')
    assert process.poll() is None
    stop(process)


def test_ranks_wait_for_each_other_in_the_same_order():
    """A barrier of the watch holds the one that comes first until the other has come, each time."""
    listener, order = socket.create_server(('', 0)), []

    def second():
        link = watch.Watch(1, 2, ('127.0.0.1', listener.getsockname()[1]), 'token')
        for step in range(3):
            link.barrier()
            order.append((1, step))
        link.close()

    other = threading.Thread(target=second)
    other.start()
    link = watch.Watch(0, 2, None, 'token', listener)
    for step in range(3):
        time.sleep(0.2)
        assert len(order) <= 2 * step   # the other waits in this step's barrier
        link.barrier()
        order.append((0, step))
    link.close()
    other.join(timeout=10)
    assert not other.is_alive() and sorted(order) == [(rank, step) for rank in range(2) for step in range(3)]
