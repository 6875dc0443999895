"""How the CPU kernels are built on first use: without a compiler, by two processes at once, by a broken compiler."""
import os
import platform
import shutil
import stat

import numpy as np
import pytest

from model import fast
from tests.forked import HANGS, REPOSITORY

# Where there is a compiler, kernels that do not build are a failure, not a reason to skip.
pytestmark = pytest.mark.skipif(platform.machine() != 'x86_64' or not shutil.which('g++'),
                                reason='no x86-64 processor or no g++')

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
def compiler(tmp_path):
    """A compiler that gives a copy of this process's library, after $LASTS seconds.

    tests/runtime/test_signals.py runs g++ itself.
    """
    with open(fast.kernels()._name, 'rb') as file:
        (tmp_path / 'code').write_bytes(file.read()[:-fast.DIGEST])
    path = tmp_path / 'copy'
    path.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nsleep ${{LASTS:-0}}; cp {tmp_path}/code "$2"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def steps(scripts, tmp_path):
    """Outputs of processes that take STEP at the same time, one for each dict of environment variables."""
    def run(*environments):
        (tmp_path / 'step.py').write_text(STEP)
        files = [tmp_path / f'said{number}' for number in range(len(environments))]
        processes = [scripts.start_command([tmp_path / 'step.py'], file,
                                           environment={'PYTHONPATH': str(REPOSITORY), **environment})
                     for file, environment in zip(files, environments)]
        statuses, said = [process.wait(timeout=HANGS) for process in processes], [file.read_text() for file in files]
        assert not any(statuses), said
        return said
    return run


def test_without_a_compiler(steps, tmp_path):
    expected, found = steps({}, {'PATH': str(tmp_path), 'XDG_CACHE_HOME': str(tmp_path / 'cache')})
    lines = [line for line in found.splitlines() if 'kernels' in line]
    assert len(lines) == 1 and 'no g++ on PATH' in lines[0] and 'plain Paddle' in lines[0]
    np.testing.assert_allclose(eval(found.splitlines()[-1]), eval(expected.splitlines()[-1]), atol=2e-4)


@pytest.mark.thorough
def test_two_processes_with_an_empty_cache(steps, compiler, tmp_path):
    outputs = steps(*2 * [{'CXX': str(compiler), 'LASTS': '5', 'XDG_CACHE_HOME': str(tmp_path / 'cache')}])
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


LIBRARY = """
import os, sys
os.umask(int(sys.argv[1], 8))
from model import fast
print(fast.kernels() is not None, fast.kernels() and fast.kernels()._name)
"""


@pytest.fixture
def library(scripts, compiler, tmp_path):
    """(output, path of the library) of a process that loads the kernels."""
    def run(umask='022', **environment):
        (tmp_path / 'library.py').write_text(LIBRARY)
        process = scripts.start_command([tmp_path / 'library.py', umask], tmp_path / 'said', environment={
            'PYTHONPATH': str(REPOSITORY), 'CXX': str(compiler), **environment})
        assert process.wait(timeout=HANGS) == 0, (tmp_path / 'said').read_text()
        said = (tmp_path / 'said').read_text()
        found, path = said.splitlines()[-1].split()
        assert found == 'True'
        return said, path
    return run


@pytest.mark.parametrize('damage', ['half', 'empty', 'other code', 'one bit'])
def test_a_damaged_library_is_built_again(library, tmp_path, damage):
    cache = {'XDG_CACHE_HOME': str(tmp_path / 'cache')}
    said, path = library(**cache)
    assert 'CPU kernels: built in' in said
    said, again = library(**cache)
    assert 'built in' not in said and again == path     # kept
    content = bytearray(open(path, 'rb').read())
    if damage == 'one bit':
        content[len(content) // 2] ^= 1
    kept = {'half': content[:len(content) // 2], 'empty': b'', 'one bit': content, 'other code': None}[damage]
    if kept is None:    # a library without our functions
        os.system(f'echo "int other() {{ return 1; }}" | g++ -shared -fPIC -x c++ - -o {path}')
    else:
        with open(path, 'wb') as file:
            file.write(kept)
    said, again = library(**cache)
    assert 'CPU kernels: built in' in said and again == path
    assert 'built in' not in library(**cache)[0]


def planted(folder, mode=0o777):
    """A folder with another user's library at the place of ours; running it makes the file `ran`.
    """
    folder.mkdir(parents=True)
    code = '__attribute__((constructor)) void f() { __builtin_trap(); }'
    os.system(f"echo '{code}' | g++ -shared -fPIC -x c++ - -o {folder / NAME[0]}")
    folder.chmod(mode)


NAME = []   # of the library, known after the first build


def test_a_planted_library_is_not_loaded(library, tmp_path):
    """If the user's cache cannot be written, as on many clusters, anybody may have made the temporary folder first.
    """
    NAME[:] = [os.path.basename(library(XDG_CACHE_HOME=str(tmp_path / 'first'))[1])]
    (tmp_path / 'file').write_text('')
    shared = tmp_path / 'shared'
    planted(shared / 'spade-paddle')                            # its place in earlier versions
    planted(tmp_path / 'elsewhere')
    place = shared / f'spade-paddle-{os.geteuid()}'
    os.symlink(tmp_path / 'elsewhere', place)                   # a link at today's
    flags = dict(XDG_CACHE_HOME=str(tmp_path / 'file/no'), TMPDIR=str(shared))
    _, path = library(**flags)
    # of that process alone
    assert os.path.dirname(path) not in (str(place), str(shared / 'spade-paddle')) and not os.path.exists(path)
    place.unlink()
    planted(place)                                              # ours, but others could write there
    said, path = library(**flags)
    assert 'built in' in said and os.path.dirname(path) == str(place) and stat.S_IMODE(place.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        shutil.rmtree(place)
        planted(place)
        os.chown(place, 4242, 4242)                             # another user's
        assert os.path.dirname(library(**flags)[1]) != str(place)


def test_a_folder_of_its_own(library, tmp_path):
    _, path = library(umask='000', XDG_CACHE_HOME=str(tmp_path / 'cache'))
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
