"""Runs Python commands one after the other, each in a fork of this process, which has imported the libraries but nothing of ours.

    python warm.py < commands > results

On stdin a line of JSON for each command, ["python", "train.py", ...]; on stdout a line {"status": 0, "cpu": seconds, "said": text}.
To be run in the folder that holds the repository. The forks save the seconds that importing Paddle takes.
"""
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile

import numpy  # noqa: F401  before Paddle (model/processes/device.py)

import matplotlib.pyplot  # noqa: F401
import onnx  # noqa: F401
import paddle  # noqa: F401

LIMIT = 300  # seconds for one command


def run(words):
    """What the interpreter does with FILE, -m MODULE or -c CODE."""
    sys.path[0] = os.getcwd()
    if words[0] == '-c':
        exec(words[1], {'__name__': '__main__'})
    elif words[0] == '-m':
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name='__main__')


def cpu_seconds():
    """Of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    commands = [json.loads(line) for line in sys.stdin]
    for words in commands:
        before = cpu_seconds()
        with tempfile.TemporaryFile() as said:
            # Settings of the environment and the processes of a launch need an interpreter of their own.
            if words[0] != 'python' or 'paddle.distributed.launch' in words:
                status = subprocess.run([sys.executable if word == 'python' else word for word in words], stdin=subprocess.DEVNULL,
                                        stdout=said, stderr=said, timeout=LIMIT).returncode
            else:
                child = os.fork()
                if child == 0:
                    os.dup2(said.fileno(), 1)
                    os.dup2(said.fileno(), 2)
                    signal.alarm(LIMIT)
                    return run(words[1:])
                status = os.waitpid(child, 0)[1]
            said.seek(0)
            print(json.dumps({'status': status, 'cpu': round(cpu_seconds() - before, 1),
                              'said': said.read().decode(errors='replace')}), flush=True)


if __name__ == '__main__':
    main()
