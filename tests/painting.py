"""python -m paint as a process of its own, and what its page would ask of it."""
import contextlib
import http.client
import json
import re
import subprocess
import sys

import numpy as np

from tests.conftest import REPOSITORY


class Served:
    """A running server; .address, .port, .model (what /model says)."""

    def __init__(self, process):
        self.process, self.said = process, []
        for line in process.stdout:
            self.said.append(line)
            found = re.match(r'open (http://(.*):(\d+)/)', line)
            if found:
                self.address, self.port = found[1], int(found[3])
                break
        else:
            raise AssertionError(f'not served: {"".join(self.said)}{process.stderr.read()}')
        self.model = json.loads(self.get('/model')[1])

    def ask(self, method, path, body=None, headers=(), timeout=120):
        """(status, bytes, headers) of one request."""
        with contextlib.closing(http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)) as connection:
            connection.request(method, path, body, dict(headers))
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
        status, content, _ = self.ask('POST', '/paint', body(dict(page=page, number=number, style=style or {'seed': 0}),
                                                             maps_of(label, instance)))
        assert status == 200, content
        return np.frombuffer(content, np.uint8).reshape(self.model['height'], self.model['width'], 3)

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


@contextlib.contextmanager
def served(run, *flags, environment=None):
    """Served for the run in the folder `run`/output; ended afterwards."""
    command = [sys.executable, '-u', '-m', 'paint', '--lastoutput', run / 'output', '--port', '0', *flags]
    process = subprocess.Popen(list(map(str, command)), cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate()
