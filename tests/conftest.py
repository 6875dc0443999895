"""Fixtures of several test files: a tiny data set, and runs and archives that are made once for all of pytest's
workers.
"""
import contextlib
import ctypes
import fcntl
import os
import shutil

from runtime import device  # noqa: F401  first: sets the threads, then imports numpy and Paddle in the order that works

# isort: split

import pytest

from model import fast
from model.weights import read_weights, save_weights
from tests.archives import small_coco
from tests.browser import browser, page  # noqa: F401  fixtures
from tests.exporting import pair, short_stacks  # noqa: F401  fixtures
from tests.painting import any_size, plain_model, server  # noqa: F401  fixtures
from tests.runner import Scripts, write_tiny_set
from tests.scheduling import (  # noqa: F401  hooks
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_xdist_auto_num_workers,
)
from tests.segmenting import mine, segmented  # noqa: F401  fixtures


@contextlib.contextmanager
def threads(count):
    """Set the threads of each OpenMP runtime, Paddle's and that of the kernels, whatever pytest's workers have."""
    fast.kernels()  # loads the latter
    with open('/proc/self/maps') as file:
        runtimes = [ctypes.CDLL(path)
                    for path in {line.split()[-1] for line in file if 'libgomp' in line or 'libiomp' in line}]
    before = [runtime.omp_get_max_threads() for runtime in runtimes]
    for runtime in runtimes:
        runtime.omp_set_num_threads(count)
    yield
    for runtime, threads in zip(runtimes, before):
        runtime.omp_set_num_threads(threads)


@pytest.fixture(scope='module')
def two_threads():
    with threads(2):
        yield


@pytest.fixture(scope='module')
def one_thread():
    """As the entry scripts have it in tests, where bits are compared with theirs."""
    with threads(1):
        yield


@pytest.fixture(scope='session')
def shared(tmp_path_factory):
    """shared(name, make): a folder that make(folder) fills, in the first of pytest's workers that wants it,
    for all of them.
    """
    root = tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        root = root.parent

    def folder(name, make):
        path, done = root / name, root / f'{name}.done'
        with open(root / f'{name}.lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)     # of a worker that could not finish it
                path.mkdir()
                make(path)
                done.touch()
        return path
    return folder


@pytest.fixture(scope='session')
def tiny_set(shared):
    return shared('tiny', lambda folder: write_tiny_set(folder / 'set')) / 'set'


@pytest.fixture(scope='session')
def scripts(tiny_set):
    scripts = Scripts(tiny_set)
    yield scripts
    scripts.close()


@pytest.fixture(scope='session')
def trained(scripts, shared):
    """Folder of a finished run without style encoder: output/ with a copy of epoch 1, and log/."""
    return shared('trained', lambda folder: (folder / 'said').write_text(scripts.trained(folder, save_epoch_freq=1)))


@pytest.fixture(scope='session')
def trained_vae(scripts, shared):
    """The same with style encoder."""
    return shared('trained_vae', lambda folder: (folder / 'said').write_text(
        scripts.trained(folder, use_vae='true', niter=1)))


@pytest.fixture(scope='session')
def styled(trained_vae, shared):
    """Folder of a model whose pictures depend visibly on map and style; a few steps would leave weights tiny: output/.
    """
    def make(folder):
        shutil.copytree(trained_vae / 'output/model', folder / 'output')
        for name, factors in (('n_g', {'fc.': 300, '.mlp_': 100}), ('n_e', {'fc_mu.': 300})):
            state = read_weights(folder / f'output/{name}.pdparams')
            for part, factor in factors.items():
                state.update({key: factor * state[key] for key in state if part in key and key.endswith('weight')})
            save_weights(state, folder / f'output/{name}.pdparams')
    return shared('styled', make)


@pytest.fixture(scope='session')
def archives(shared):
    """Folder of miniature archives like COCO-Stuff's, with foreign members."""
    return shared('archives', lambda folder: small_coco().write(folder / 'archives', hostile=True)) / 'archives'


@pytest.fixture(scope='session')
def coco(scripts, archives, shared):
    """(folder of the set prepared from them, what the command printed)."""
    folder = shared('coco', lambda folder: (folder / 'said').write_text(
        scripts.prepared('coco_stuff', '--archives', archives, '--output', folder / 'coco')))
    return folder / 'coco', (folder / 'said').read_text()
