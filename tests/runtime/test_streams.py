"""A log that cannot be written does not end the program."""
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from tests.forked import HANGS
from tests.runner import says

NOWHERE = {'| head -1': "| head -1; exit ${PIPESTATUS[0]}", '2>&1 | head -1': "2>&1 | head -1; exit ${PIPESTATUS[0]}",
           '| true': "| true; exit ${PIPESTATUS[0]}", '>/dev/full': '>/dev/full', '2>/dev/full': '2>/dev/full',
           '>/dev/full 2>&1': '>/dev/full 2>&1', '>&-': '>&-', '<&- >&- 2>&-': '<&- >&- 2>&-'}


def in_shell(scripts, command, where, **environment):
    return subprocess.run(['bash', '-c', f'{shlex.join([sys.executable, *map(str, command)])} '
                           f'{NOWHERE.get(where, "")}'], capture_output=True,
                          cwd=scripts.REPOSITORY, env={**scripts.environment, **environment}, text=True, timeout=HANGS)


@pytest.mark.parametrize('where', ['2>&1 | head -1', '>/dev/full', '<&- >&- 2>&-'])
def test_training_continues_to_its_end(scripts, tmp_path, where):
    process = in_shell(scripts, scripts.training(tmp_path, niter=1, save_latest_freq=1), where)
    assert process.returncode == 0, process.stderr
    assert len(np.load(tmp_path / 'log/log.npy')) == scripts.STEPS and (tmp_path / 'output/model/n_g.pdparams').exists()
    assert scripts.trained(tmp_path, niter=1, save_latest_freq=1).count('already complete') == 1
    if where == '>/dev/full':
        assert process.stderr.count('stdout cannot be written: No space left on device') == 1


LOOP = '''
import os, sys, time
from runtime.errors import shown_in_one_line
from runtime.bar import bar
from tqdm import tqdm
with shown_in_one_line():
    with bar(300, 'work') as progress, tqdm(total=300) as shown:
        for step in range(300):
            print('step', step, 200 * 'x', flush=step % 2)
            progress.update()
            shown.update()
            if step % 50 == 0:
                tqdm.write('so far')
                print('warning', file=sys.stderr)
                os.system('echo child; echo child >&2')
    with open(sys.argv[1], 'w') as done:
        assert done.fileno() > 2
        done.write('done')
'''


@pytest.mark.parametrize('unbuffered', ['', '1'])
@pytest.mark.parametrize('where', NOWHERE)
def test_prints_bars_and_children_end_no_program(scripts, tmp_path, where, unbuffered):
    (tmp_path / 'loop.py').write_text(LOOP)
    process = in_shell(scripts, [tmp_path / 'loop.py', tmp_path / 'done'], where, PYTHONPATH=str(scripts.REPOSITORY),
                       PYTHONUNBUFFERED=unbuffered)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / 'done').read_text() == 'done' and 'Traceback' not in process.stderr and \
        'Exception' not in process.stderr


def test_output_is_whole_and_in_order(scripts, tmp_path):
    (tmp_path / 'loop.py').write_text(LOOP)
    process = in_shell(scripts, [tmp_path / 'loop.py', tmp_path / 'done'], '', PYTHONPATH=str(scripts.REPOSITORY))
    assert [int(line.split()[1]) for line in process.stdout.splitlines() if line.startswith('step')] == list(range(300))
    assert process.stdout.count('child') == 6 and process.stderr.count('child') == 6


def test_a_slow_reader_of_a_pipe_that_does_not_block_gets_all(tmp_path):
    (tmp_path / 'wide.py').write_text("from runtime.streams import keep_going\nkeep_going()\nprint(500000 * "
                                      "'x')\nprint('end')")
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([sys.executable, tmp_path / 'wide.py'], stdout=writing,
                               env={**os.environ, 'PYTHONPATH': os.getcwd()})
    os.close(writing)
    with open(reading) as file:
        assert file.read() == 500000 * 'x' + '\nend\n'
    assert process.wait(60) == 0


def test_an_error_still_has_its_line_and_status(scripts, tmp_path):
    process = in_shell(scripts, ['train.py', '--dataroot', tmp_path / 'nothing', '--output', tmp_path / 'o'],
                       '>/dev/full')
    assert process.returncode == 1 and says(process.stderr, 'error: ', 'nothing')
