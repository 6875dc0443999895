"""Ctrl-C and SIGTERM at any moment: a message and no traceback, with the run saved or its last checkpoint whole."""
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.forked import HANGS, REPOSITORY, kill, until
from tests.output.test_resume import assert_whole_generation
from tests.runner import says

SIGNALS = 50
RUNS = 2        # that are interrupted side by side
FILES = ('n_g.pdparams', 'n_d.pdparams', 'n_g.pdopt', 'n_d.pdopt')

# Leader of a session, so that the terminal it opens becomes its own, with the key for Ctrl-C.
# SIGUSR2 shows where it waits.
ON_TERMINAL = '''
import faulthandler, os, runpy, signal, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for standard in range(3):
    os.dup2(terminal, standard)
sys.stdout, sys.stderr = (open(standard, 'w', 1, closefd=False) for standard in (1, 2))  # the old ones may seek
faulthandler.register(signal.SIGUSR2)
sys.argv = sys.argv[2:]
sys.path[0] = ''
runpy.run_path(sys.argv[0], run_name='__main__')
'''


class Terminal:
    """A pseudo-terminal that is read all the time; text: what was written to it."""

    def __init__(self):
        self.ours, self.theirs = pty.openpty()
        self.name, self.text = os.ttyname(self.theirs), ''
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def press_ctrl_c(self):
        os.write(self.ours, b'\x03')

    def close(self):
        os.close(self.theirs)
        self.reader.join(timeout=10)
        os.close(self.ours)

    def _read(self):
        try:
            while data := os.read(self.ours, 1 << 16):
                self.text += data.decode(errors='replace')
        except OSError:     # nobody writes there any more
            pass


class Training:
    """A run of train.py that is begun again and again, each time in a process of its own on a terminal of its own."""

    def __init__(self, scripts, folder):
        self.scripts, self.folder = scripts, folder
        folder.mkdir()
        (folder / 'on_terminal.py').write_text(ON_TERMINAL)
        self.arguments = scripts.training(folder, niter=10000, save_latest_freq=1, display_freq=7)

    def start(self, fresh):
        """(Popen or Process, Terminal) as soon as the handlers are set. fresh: with the imports."""
        terminal = Terminal()
        process = self.scripts.start_command([self.folder / 'on_terminal.py', terminal.name, *self.arguments],
                                             os.devnull, fresh)
        until(lambda: catches_sigterm(process.pid), process=process)
        return process, terminal

    def ended(self, process, terminal):
        """(exit status, what the terminal shows); a process that does not end tells where it waits, and fails."""
        try:
            status = process.wait(timeout=HANGS)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGUSR2)
            time.sleep(2)
            kill(process)
            terminal.close()
            raise AssertionError(f'the signal did not end it:\n{terminal.text}') from None
        terminal.close()
        return status, terminal.text

    def rows(self):
        path = self.folder / 'log/log.npy'
        return len(np.load(path)) if path.exists() else 0


def catches_sigterm(process):
    """Whether a handler is set, as the system sees it: Python itself has none for it."""
    mask = next(line for line in Path(f'/proc/{process}/status').read_text().splitlines() if line.startswith('SigCgt'))
    return int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1


@pytest.mark.thorough
def test_fifty_signals_at_random_moments_on_a_terminal(scripts, tmp_path):
    """In the imports, in steps, in saves and in prints, by the key and by SIGTERM;
    each run goes on from the one before. Only for a signal in the imports does a process start afresh.
    """
    ends, failures = {'stopped and saved after step': 0, 'stopped before the first step': 0}, []

    def interrupt(number):
        draw, training, start_up = random.Random(number), Training(scripts, tmp_path / str(number)), {}
        try:
            for fresh in True, False:
                process, terminal = training.start(fresh)
                began, before = time.monotonic(), training.rows()
                until(lambda: training.rows() > before, process=process)
                start_up[fresh] = time.monotonic() - began
                os.kill(process.pid, signal.SIGTERM)
                assert training.ended(process, terminal)[0] == 143
            for attempt in range(SIGNALS // RUNS):
                by_key, fresh = attempt % 2 == 0, attempt % 3 == 0
                delay = start_up[fresh] * (draw.uniform(0, 0.8) if fresh else draw.uniform(0.2, 2))
                process, terminal = training.start(fresh)
                time.sleep(delay)
                terminal.press_ctrl_c() if by_key else os.kill(process.pid, signal.SIGTERM)
                status, text = training.ended(process, terminal)
                assert status == (130 if by_key else 143), (delay, text)
                assert 'Traceback' not in text and 'Error' not in text and 'the same command' in text, (delay, text)
                end, = [end for end in ends if end in text]
                ends[end] += 1
                assert_whole_generation(training.folder, FILES)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=interrupt, args=(number,)) for number in range(RUNS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    assert sum(ends.values()) == SIGNALS and min(ends.values()) >= 4, ends


def test_sigterm_after_paddle_has_replaced_its_handler(scripts, tmp_path):
    """A process that imports Paddle itself, whose import sets a handler of its own."""
    command = [sys.executable, *map(str, scripts.training(tmp_path, niter=1000))]
    with open(tmp_path / 'said', 'w') as said:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=scripts.environment, stdout=said, stderr=said,
                                   start_new_session=True)
    until((tmp_path / 'log/log.npy').exists, process=process)
    until(lambda: len(np.load(tmp_path / 'log/log.npy')), process=process)
    assert kill(process, signal.SIGTERM) == 143
    said = (tmp_path / 'said').read_text()
    assert says(said, 'stopping: this step', 'stopped and saved after step') and 'raceback' not in said
    assert_whole_generation(tmp_path, FILES)


WHILE_PRINTING = '''
import io, os, signal, sys
from runtime import stopping

class Terminal(io.RawIOBase):
    """Ctrl-C is pressed while a line is on its way."""
    def writable(self): return True
    def fileno(self): return 1
    def write(self, data):
        if b'losses' in bytes(data):
            os.kill(os.getpid(), signal.SIGINT)
        return os.write(1, data)

sys.stdout = io.TextIOWrapper(io.BufferedWriter(Terminal()), line_buffering=True)
with stopping.after_the_step():
    print('losses')
    print('asked', stopping.asked())
    with stopping.at_once('all is saved but these scores'):
        print('never reached')
'''


def alone(scripts, code):
    """CompletedProcess of Python code in a process that starts from nothing."""
    return subprocess.run([sys.executable, '-c', code], check=False, cwd=REPOSITORY, env=scripts.environment,
                          capture_output=True, text=True, timeout=HANGS)


def test_ctrl_c_while_printing(scripts):
    process = alone(scripts, WHILE_PRINTING)
    lines = process.stdout.splitlines()
    assert (process.returncode, process.stderr) == (130, '')
    assert sorted(lines[:2]) == ['losses', lines[0] if 'stopping' in lines[0] else lines[1]] and lines[2:] == [
        'asked 2', 'all is saved but these scores']


def test_a_second_signal_ends_at_once(scripts):
    code = ('import os, signal\nfrom runtime import stopping\nwith stopping.after_the_step():\n'
            '    for _ in range(2): os.kill(os.getpid(), signal.SIGTERM)\n    print("never reached")')
    process = alone(scripts, code)
    assert (process.returncode, process.stderr) == (143, '')
    assert says(process.stdout, 'again: stop at once', 'stopped at once: the last checkpoint stays')
    assert 'never' not in process.stdout


@pytest.mark.thorough
@pytest.mark.skipif(not shutil.which('g++'), reason='no g++: nothing is compiled here')
def test_ctrl_c_during_the_first_compilation(scripts, tmp_path):
    """To the compiler too, as a terminal does: a line, nothing half built, and the next start builds."""
    environment = {**scripts.environment, 'XDG_CACHE_HOME': str(tmp_path / 'cache')}
    command = [sys.executable, *map(str, scripts.training(tmp_path, niter=1))]
    with open(tmp_path / 'said', 'w') as said:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=said, stderr=said,
                                   start_new_session=True)
    until(lambda: list((tmp_path / 'cache').rglob('*.so')), process=process)
    assert kill(process, signal.SIGINT) == 130
    said = (tmp_path / 'said').read_text()
    assert says(said, 'stopped before the first step', 'the same command')
    assert 'Traceback' not in said and 'plain Paddle' not in said
    assert not list((tmp_path / 'cache').rglob('kernels-*.so')) and not (tmp_path / 'output/model').exists()
    again = scripts.start_command(command[1:], tmp_path / 'again',
                                  environment={'XDG_CACHE_HOME': str(tmp_path / 'cache')})
    assert again.wait(timeout=HANGS) == 0 and \
        says((tmp_path / 'again').read_text(), 'CPU kernels: built', 'done: 1 epochs')
