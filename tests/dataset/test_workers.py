"""Batches from worker processes equal those of this process, bit for bit, by shared memory and by pipe."""
import functools
import mmap
import os
import resource

import numpy as np
import pytest

from dataset import workers
from dataset.labelled_images import LabelledImages, batches
from dataset.loader import Loader
from dataset.workers import Workers
from model.init import OPT
from model.semantics import prepared


def arrays_in(batch):
    """dict: name -> array, of a batch and of its SemanticMap with all windows that were found."""
    semantics = batch['semantics']
    found = {**batch, 'labels': semantics.label, 'edge': semantics.edge}
    for key, windows in semantics._kept.items():
        found.update({f'{key} {name}': value for name, value in vars(windows).items()})
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}


def shared(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview) and isinstance(array.obj, mmap.mmap)


@pytest.fixture
def little_memory():
    """As without free shared memory: files, which include shared memory, have at most 1 KB.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize('processes', [1, 2])
@pytest.mark.parametrize('modulation', ['dense', 'windows'])
@pytest.mark.parametrize('little', [False, True], ids=['shared', 'little memory'])
def test_a_batch_from_a_worker_is_the_same_to_the_bit(scripts, request, processes, modulation, little):
    opt = OPT(**{**scripts.TINY, 'use_vae': False, 'dataroot': str(scripts.data), 'modulation': modulation,
                 'batchSize': 6})
    data, keys = LabelledImages(opt), [batch for epoch in (1, 2) for batch in batches(opt, 13, epoch)]
    expected = list(map(arrays_in, Loader(data, 0, functools.partial(prepared, opt=opt))(keys)))
    if little:
        request.getfixturevalue('little_memory')
    with Loader(data, processes, functools.partial(prepared, opt=opt)) as load:
        found = list(map(arrays_in, load(keys)))
    assert len(found) == len(expected) == 4
    for ours, theirs in zip(found, expected):
        assert ours.keys() == theirs.keys() and len(ours) > (5 if modulation == 'windows' else 4)
        for name, array in theirs.items():
            assert ours[name].dtype == array.dtype and ours[name].shape == array.shape and ours[name].flags.writeable
            assert ours[name].tobytes() == array.tobytes()
        assert shared(ours['image']) != little


def test_memory_is_freed_with_the_last_array():
    open_files = []
    with Workers(1, lambda size: np.ones(size)) as process:
        for result in process([50000] * 20):
            kept = result[:3]
            open_files.append(len(os.listdir('/proc/self/fd')))
        with open('/proc/self/maps') as maps:
            assert sum('memfd:batch' in line for line in maps) <= 2
        assert (kept == 1).all() and open_files[-1] == open_files[1]


@pytest.mark.parametrize('result', [None, 'x', {'a': np.zeros(0), 'b': np.zeros((0, 3))}, np.zeros((3, 70000))[:, ::2],
                                    np.asfortranarray(np.arange(90000.0).reshape(300, 300)), np.arange(3),
                                    b'y' * 200000,
                                    [np.arange(9000, dtype=np.uint8)] * 9], ids=lambda value: type(value).__name__)
def test_any_result_arrives_as_it_was(result):
    with Workers(2, lambda item: (item, result)) as processes:
        for number, (item, found) in enumerate(processes(range(9))):
            assert item == number
            np.testing.assert_equal(found, result)


def test_an_error_after_large_results_is_the_one_that_was_raised():
    def work(item):
        if item == 3:
            raise ValueError('the fourth')
        return np.full(100000, item)
    with Workers(2, work) as processes:
        found = processes(range(9))
        assert [next(found)[0] for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match='the fourth'):
            next(found)
        # what is left of the first iteration is passed over
        assert [array[-1] for array in processes([5, 6])] == [5, 6]


def test_arrays_of_a_batch_outlive_the_next_batches():
    with Workers(1, lambda item: np.full(workers.LARGE, item, np.uint8)) as process:
        assert [array[7] for array in list(process(range(20)))] == list(range(20))
