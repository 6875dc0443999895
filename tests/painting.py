"""python -m paint as a separate process, and the requests of its page."""
import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.generator import SPADEGenerator
from model.init import OPT
from model.weights import as_arrays, write_model
from tests.exporting import write_checkpoint
from tests.forked import HANGS, REPOSITORY


class Served:
    """A running server; .address, .port, .model (what /model says)."""

    def __init__(self, process, file):
        self.process, self._file = process, file
        end = time.monotonic() + HANGS
        while not (found := re.search(r'^open (http://(.*):(\d+)/(?:\?token=(\w+))?)\s', self.said, re.MULTILINE)):
            assert process.poll() is None and time.monotonic() < end, f'not served: {self.said}'
            time.sleep(0.01)
        self.address, self.port, self.token = found[1], int(found[3]), found[4]
        self.model = json.loads(self.get('/model')[1])

    @property
    def said(self):
        """Everything that it has printed."""
        return self._file.read_text()

    def ask(self, method, path, body=None, headers=(), timeout=HANGS):
        """(status, bytes, headers) of one request."""
        with contextlib.closing(http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)) as connection:
            cookie = {'Cookie': f'spade-paint-{self.port}={self.token}'} if self.token else {}
            connection.request(method, path, body, {**cookie, **dict(headers)})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())

    def get(self, path, **headers):
        return self.ask('GET', path, headers={name.replace('_', '-'): value for name, value in headers.items()})

    def maps(self, index):
        """(label, instance) uint16 (H, W) of a validation map."""
        return self.unpacked(self.get(f'/maps/{index}')[1])

    def unpacked(self, content):
        return np.frombuffer(content, '<u2').reshape(2, self.model['height'], self.model['width'])

    def painted(self, label, instance, style=None, page='page', number=1):
        """uint8 (H, W, 3); what is refused raises."""
        height, width = label.shape
        head = dict(page=page, number=number, style=style or {'seed': 0}, height=height, width=width)
        status, content, headers = self.ask('POST', '/paint', body(head, maps_of(label, instance)))
        assert status == 200, content
        milliseconds = re.search(r'paint;dur=([\d.]+)', headers['server-timing'])[1]   # of painting, as it says
        self.seconds = float(milliseconds) / 1000
        return np.frombuffer(content, np.uint8).reshape(height, width, 3)

    def refused(self, path, content, status, code, headers=()):
        """The refusal of a POST, which must be of that status and code: the facts, with the English words as 'text'."""
        found, answer, _ = self.ask('POST', path, content, headers)
        answer = json.loads(answer)
        assert (found, answer['error']) == (status, code), (found, answer)
        assert answer['text'] and 'Traceback' not in answer['text']
        return {**answer['facts'], 'text': answer['text']}


def body(head, *parts):
    return json.dumps(head).encode() + b'\n' + b''.join(parts)


def maps_of(label, instance):
    return label.astype('<u2').tobytes() + instance.astype('<u2').tobytes()


def png(pixels, mode=None, **options):
    target = io.BytesIO()
    Image.fromarray(np.asarray(pixels), mode).save(target, 'PNG', **options)
    return target.getvalue()


def resident(process):
    """Bytes of memory of a process."""
    return int(Path(f'/proc/{process.pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@contextlib.contextmanager
def served(run, *flags, start=None):
    """Served for the run in the folder `run`/output; ended afterwards. start: Scripts.start_command, which forks it."""
    command = ['-m', 'paint', '--lastoutput', run / 'output', '--port', '0', *flags]
    with tempfile.TemporaryDirectory() as folder:
        process = (start or _start)(command, Path(folder, 'said'))
        try:
            yield Served(process, Path(folder, 'said'))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(command, file):
    with open(file, 'w') as said:
        return subprocess.Popen([sys.executable, '-u', *map(str, command)], cwd=REPOSITORY, stdout=said, stderr=said,
                                start_new_session=True)


# ---- Fixtures: tests/conftest.py takes them in

@pytest.fixture(scope='session')
def server(scripts, styled):
    with served(styled, start=scripts.start_command) as found:
        yield found


@pytest.fixture(scope='session')
def any_size(tmp_path_factory):
    """A model, not trained, that paints maps of any size from noise, with contrast."""
    folder = tmp_path_factory.mktemp('any_size')
    write_checkpoint(folder / 'output', no_instance=True, contain_dontcare_label=False, generator_input='segmap_noise')
    return folder


@pytest.fixture(scope='session')
def plain_model(tmp_path_factory):
    """An untrained model for label maps of five classes, without instances, unlabelled pixels and styles."""
    folder = tmp_path_factory.mktemp('plain')
    opt = OPT(label_nc=5, no_instance=True, contain_dontcare_label=False, use_vae=False, crop_size=32, ngf=2,
              dataroot='nowhere/')
    write_model(folder / 'output/model', opt, {'n_g.pdparams': as_arrays(SPADEGenerator(opt).state_dict())})
    return folder
