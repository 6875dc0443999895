"""What tests of the scoring network of one's own set share:
a set with names, its trained network, and what is kept of it.
"""
import json
import shutil
from pathlib import Path

import pytest

from model.weights import read_weights

CLASSES = 9     # of the tiny set


def command(root, *more, epochs=3, size='32x32', seed=0):
    return ['-m', 'result.train_segmenter', '--dataroot', root, '--label_nc', CLASSES, '--size', size, '--epochs',
            epochs, '--batch', 4, '--nThreads', 0, '--seed', seed, *more]


@pytest.fixture(scope='module')
def mine(tiny_set, tmp_path_factory):
    """A copy of the tiny set with names, whose network is trained."""
    root = tmp_path_factory.mktemp('mine') / 'set'
    shutil.copytree(tiny_set, root)
    names = [f'kind {index}' for index in range(CLASSES)]
    (root / 'classes.json').write_text(json.dumps({'names': names,
                                                   'colours': [[index, 0, 0] for index in range(len(names))]}))
    return root


@pytest.fixture(scope='module')
def segmented(scripts, mine):
    process = scripts.run(*command(mine))
    assert process.returncode == 0, process.stderr
    return process.stdout


def kept(folder):
    return json.loads(Path(folder, 'segmenter.json').read_text()), read_weights(Path(folder, 'segmenter.pdparams'))
