"""How the CPU kernels are built on first use: without a compiler, by two processes at once, by a broken compiler."""
import os
import platform
import shutil

import numpy as np
import pytest

from tests.forked import REPOSITORY

# Where there is a compiler, kernels that do not build are a failure, not a reason to skip.
pytestmark = pytest.mark.skipif(platform.machine() != 'x86_64' or not shutil.which('g++'), reason='no x86-64 processor or no g++')

STEP = '''
from runtime import device
import numpy as np
from model.init import OPT
from model.train_step import TrainStep
label = np.arange(2 * 32 * 32).reshape(2, 32, 32) // 400
train_step = TrainStep(OPT(label_nc=9, crop_size=32, ngf=2, ndf=2, use_vae=False))
print([round(value, 4) for value in train_step.step(label, label, np.zeros((2, 3, 32, 32))).values()])
'''


@pytest.fixture
def steps(scripts, tmp_path):
    """What processes print that take STEP, all at once, one for each dict of environment variables given."""
    def run(*environments):
        (tmp_path / 'step.py').write_text(STEP)
        files = [tmp_path / f'said{number}' for number in range(len(environments))]
        processes = [scripts.start_command([tmp_path / 'step.py'], file, environment={'PYTHONPATH': str(REPOSITORY), **environment})
                     for file, environment in zip(files, environments)]
        statuses, said = [process.wait(timeout=180) for process in processes], [file.read_text() for file in files]
        assert not any(statuses), said
        return said
    return run


def test_without_a_compiler(steps, tmp_path):
    expected, found = steps({}, {'PATH': str(tmp_path), 'XDG_CACHE_HOME': str(tmp_path / 'cache')})
    lines = [line for line in found.splitlines() if 'kernels' in line]
    assert len(lines) == 1 and 'no g++ on PATH' in lines[0] and 'plain Paddle' in lines[0]
    np.testing.assert_allclose(eval(found.splitlines()[-1]), eval(expected.splitlines()[-1]), atol=2e-4)


@pytest.mark.thorough
def test_two_processes_with_an_empty_cache(steps, tmp_path):
    outputs = steps(*2 * [{'XDG_CACHE_HOME': str(tmp_path / 'cache')}])
    assert not any('not available' in said for said in outputs)
    assert any('CPU kernels: built in' in said for said in outputs)
    assert outputs[0].splitlines()[-1] == outputs[1].splitlines()[-1]
    assert [name.endswith('.so') for name in os.listdir(tmp_path / 'cache' / 'spade-paddle')] == [True]


def test_a_broken_compiler_is_named(steps, tmp_path):
    compiler = tmp_path / 'broken'
    compiler.write_text('#!/bin/sh\necho "error: no room" >&2\nexit 1\n')
    compiler.chmod(0o755)
    said, = steps({'CXX': str(compiler), 'XDG_CACHE_HOME': str(tmp_path / 'cache')})
    assert 'error: no room' in said
    assert not os.listdir(tmp_path / 'cache' / 'spade-paddle')
