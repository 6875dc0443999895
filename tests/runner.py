"""train.py, val.py and predict.py as real processes on a tiny data set, and assertions on their output."""
import contextlib
import io
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.errors import InputError
from tests.forked import HANGS, REPOSITORY, Server, kill
from tests.golden.fixture import inputs

TINY = dict(label_nc=9, crop_size=32, load_size=36, ngf=2, ndf=2, z_dim=8, use_vae='false', batchSize=2, niter=2,
            save_latest_freq=2, display_freq=5, print_freq=1)
TRAINING, VALIDATION = 13, 3  # samples; batches of 2 leave one out
STEPS = 6                     # of an epoch


def write_tiny_set(root, seed=1):
    for split, count, first in (('train', TRAINING, seed), ('val', VALIDATION, seed + 900)):
        labels, instances, photos = inputs(first, count, 40, 48, TINY['label_nc'])
        parts = {'label': labels, 'inst': instances, 'img': np.uint8((photos + 1) * 127.5).transpose(0, 2, 3, 1)}
        for part, pictures in parts.items():
            folder = Path(root, f'{split}_{part}')
            folder.mkdir(parents=True)
            for index, pixels in enumerate(pictures):
                Image.fromarray(pixels).save(folder / f'{index:03d}.png')
    return Path(root)


def copy_tracked(folder):
    """Copy the files that git tracks to the new `folder`."""
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=REPOSITORY, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f'a fresh copy is made of the files that git tracks: {listed.stderr.strip()}')
    for name in filter(None, listed.stdout.split('\0')):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)


class Scripts:
    """The entry scripts on the tiny data set, in one thread: two would only wait for each other at this size."""

    REPOSITORY, TINY, STEPS, TRAINING, VALIDATION = REPOSITORY, TINY, STEPS, TRAINING, VALIDATION

    def __init__(self, data):
        self.data = data
        self.environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'}
        self._server = Server(self.environment) if Server.possible else None

    def close(self):
        if self._server:
            self._server.close()

    def run(self, *command, fresh=False, cwd=REPOSITORY):
        """CompletedProcess of `python *command`; fresh: not forked (tests/forked.py) but started as by a user."""
        if fresh or self._server is None:
            return subprocess.run([sys.executable, *map(str, command)], cwd=cwd, env=self.environment,
                                  capture_output=True, text=True, timeout=HANGS)
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder, 'stdout'), Path(folder, 'stderr')
            process = self._server.start(command, *files, cwd=cwd)
            try:
                status = process.wait(timeout=HANGS)
            except subprocess.TimeoutExpired:
                kill(process)
                raise
            return subprocess.CompletedProcess(command, status, *(file.read_text() for file in files))

    def training(self, folder, *flags, **settings):
        """Arguments of python that train the tiny networks, with outputs in folder/output and folder/log."""
        settings = {'dataroot': self.data, 'output': Path(folder, 'output'), 'log': Path(folder, 'log'), **TINY,
                    **settings}
        return ['train.py', *(f'--{name}={value}' for name, value in settings.items()), *map(str, flags)]

    def trained(self, folder, *flags, fresh=False, **settings):
        """The output of a training that must succeed."""
        process = self.run(*self.training(folder, *flags, **settings), fresh=fresh)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def prepared(self, *arguments, fresh=False):
        """The output of `python -m dataset.prepare *arguments`, which must succeed."""
        process = self.run('-m', 'dataset.prepare', *arguments, fresh=fresh)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def start(self, folder, *flags, fresh=False, **settings):
        """A Popen-like training in its own process group; stdout and stderr go to folder/said."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        return self.start_command(self.training(folder, *flags, **settings), Path(folder, 'said'), fresh)

    def start_command(self, command, file, fresh=False, environment=()):
        """The same for any `python *command`, which prints into `file`; environment: variables beside ours."""
        with open(file, 'w') as said:
            if not fresh and self._server:
                return self._server.start(command, said.name, said.name, environment)
            return subprocess.Popen([sys.executable, *map(str, command)], cwd=REPOSITORY, stdout=said, stderr=said,
                                    env={**self.environment, **dict(environment)}, start_new_session=True)

    def launch(self, folder, processes, *command, arguments=('--backend', 'gloo')):
        """Popen of `python *command` in several processes; output of launch goes to folder/launched."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        # Behind --, or launch would take our --log for an abbreviation of its own flags.
        launcher = ['-m', 'paddle.distributed.launch', '--nproc_per_node', processes, *arguments, '--log_dir',
                    Path(folder, 'workers'), '--', *command]
        return self.start_command(launcher, Path(folder, 'launched'), environment={'PYTHONPATH': str(REPOSITORY)})

    def ranks(self, folder, count, *command):
        """Exit statuses of `python *command` in so many ranks of one training; what they print goes to folder/workers.

        Forked, with what launch tells its processes, where launch itself is not what is tried.
        """
        if not self._server:
            return [self.launch(folder, count, *command).wait(timeout=HANGS)]
        Path(folder, 'workers').mkdir(parents=True, exist_ok=True)
        addresses = [f'127.0.0.1:{free_port()}' for _ in range(count + 1)]
        common = {'PYTHONPATH': str(REPOSITORY), 'PADDLE_MASTER': addresses.pop(), 'PADDLE_NNODES': '1',
                  'PADDLE_TRAINERS_NUM': str(count), 'PADDLE_TRAINER_ENDPOINTS': ','.join(addresses),
                  'PADDLE_DISTRI_BACKEND': 'gloo'}
        processes = []
        for rank, address in enumerate(addresses):
            file = Path(folder, 'workers', f'workerlog.{rank}')
            processes.append(self._server.start(command, file, file, {
                **common, 'PADDLE_TRAINER_ID': str(rank), 'PADDLE_RANK_IN_NODE': str(rank),
                'PADDLE_CURRENT_ENDPOINT': address}))
        try:
            return [process.wait(timeout=HANGS) for process in processes]
        finally:
            for process in processes:
                if process.poll() is None:
                    kill(process)

    def launched(self, folder, processes, *command, **rules):
        """The output of rank 0 of a launch that must succeed."""
        process = self.launch(folder, processes, *command, **rules)
        process.wait(timeout=HANGS)
        said = ''.join(path.read_text() for path in sorted(Path(folder, 'workers').glob('workerlog.*')))
        assert process.returncode == 0, Path(folder, 'launched').read_text()[-3000:] + said
        return Path(folder, 'workers', 'workerlog.0').read_text()

    def failure(self, *command, fresh=False):
        """The message of a script that must fail: one line on stderr, an exit status, no traceback."""
        process = self.run(*command, fresh=fresh)
        assert process.returncode in (1, 2), process.stdout
        assert process.stderr.startswith('error: ') and process.stderr.count('\n') == 1, process.stderr
        return process.stderr[len('error: '):-1]

    def prepare_failure(self, *arguments, fresh=False):
        return self.failure('-m', 'dataset.prepare', *arguments, fresh=fresh)

    def train_failure(self, folder, *flags, fresh=False, **settings):
        return self.failure(*self.training(folder, *flags, **settings), fresh=fresh)

    def refusal(self, script, *flags):
        """The same for a script that is refused before its work; in this process, which saves the seconds of a
        start.
        """
        stdout, stderr, argv = io.StringIO(), io.StringIO(), sys.argv
        # train.py sets its own
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), \
                pytest.raises(SystemExit) as caught:
            sys.argv = [script, *map(str, flags)]
            try:
                runpy.run_path(str(REPOSITORY / script), run_name='__main__')
            finally:
                sys.argv = argv
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        code = caught.value.code
        assert code == 2 or isinstance(code, str), code     # Python prints a text on stderr, and exits with 1
        message = stderr.getvalue().rstrip('\n') if code == 2 else code
        assert message.startswith('error: ') and '\n' not in message, message
        return message[len('error: '):]

    def train_refusal(self, folder, *flags, **settings):
        return self.refusal(*self.training(folder, *flags, **settings))


def free_port():
    with socket.create_server(('', 0)) as listener:
        return listener.getsockname()[1]


def contents(folder):
    """dict: path below `folder` -> bytes of the file, links followed, but for what holds dates;
    to see that nothing was written.
    """
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob('*'))
            if path.is_file() and path.name not in ('.lock', 'contents.json')}


def says(text, *parts):
    missing = [str(part) for part in parts if str(part) not in text]
    assert not missing, f'{missing} not in: {text}'
    return True


def message(call, *arguments, **settings):
    """The one line of the InputError that the call must raise."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **settings)
    assert '\n' not in str(caught.value)
    return str(caught.value)
