"""What a step asks of a device and of the other ranks, counted: copies through the host, reads, collectives."""
import contextlib

import numpy as np
import paddle
import pytest

from model.init import OPT
from model.normalization import BatchNorm
from model.processes import distributed
from model.train_step import TrainStep
from tests.rank import TINY, batch
from tests.scaling import exchanged

PLAIN = dict(cpu_kernels=False, modulation='dense')


@contextlib.contextmanager
def counted(*names):
    """dict of name -> calls of that method of tensors."""
    calls, kept = dict.fromkeys(names, 0), {name: getattr(paddle.Tensor, name) for name in names}

    def counting(name):
        def call(tensor, *arguments, **options):
            calls[name] += 1
            return kept[name](tensor, *arguments, **options)
        return call
    for name in names:
        setattr(paddle.Tensor, name, counting(name))
    try:
        yield calls
    finally:
        for name, method in kept.items():
            setattr(paddle.Tensor, name, method)


@pytest.fixture
def two_ranks(monkeypatch):
    """As in one of two processes that see the same: list of (elements, dtype) of each all-reduce."""
    reduced = []

    def all_reduce(tensor):
        reduced.append((tensor.size, tensor.dtype))
        return tensor.scale_(2)
    monkeypatch.setattr(distributed, 'ranks', lambda: 2)
    monkeypatch.setattr(distributed.distributed, 'all_reduce', all_reduce)
    return reduced


READS = ('numpy', 'item', 'tolist', '__int__', '__float__', '__bool__', '__index__', '__array__', 'set_value')


@pytest.mark.parametrize('ranks', [1, 2])
def test_a_step_reads_its_losses_once_and_nothing_else(ranks, request):
    if ranks == 2:
        request.getfixturevalue('two_ranks')
    train_step = TrainStep(OPT(**{**TINY, **PLAIN, 'norm_D': 'spectralsyncbatch'}))
    train_step.step(*batch(0, 2))
    with counted(*READS) as calls:
        train_step.step(*batch(1, 2))
    # tolist() is numpy() inside
    assert calls == {**dict.fromkeys(READS, 0), 'tolist': 1, 'numpy': 1}


@pytest.mark.parametrize('speed', [PLAIN, {}], ids=['plain', 'kernels'])
def test_collectives_are_those_that_the_forecast_counts(two_ranks, speed):
    opt = OPT(**TINY, **speed)
    train_step = TrainStep(opt)
    del two_ranks[:]
    train_step.step(*batch(0, 2))
    expected = exchanged(opt)
    statistics = [size for size, dtype in two_ranks if dtype == paddle.float64]
    assert (8 * sum(statistics), len(statistics)) == expected['batch-norm statistics']
    gradients = [size for size, dtype in two_ranks if dtype != paddle.float64]
    assert 4 * sum(gradients[:-1]) == sum(expected[name][0] for name in ('G gradients', 'D gradients'))
    assert len(gradients) == 1 + sum(expected[name][1] for name in ('G gradients', 'D gradients'))


def test_two_ranks_that_see_the_same_are_as_one(two_ranks):
    """Of the synchronized norm: output, gradient, running statistics; unequal ranks are in tests/test_distributed.py."""
    values = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    weight = paddle.to_tensor(np.random.default_rng(1).standard_normal((2, 3, 4, 5)))
    results = []
    for synchronized in (False, True):
        x, norm = paddle.to_tensor(values, stop_gradient=False), BatchNorm(3, False, synchronized)
        norm.astype('float64')
        y = norm(x)
        (y * weight).sum().backward()
        results.append([y.numpy(), x.grad.numpy(), norm._mean.numpy()])
        unbiased = values.var((0, 2, 3)) * 40 * (1 + synchronized) / (40 * (1 + synchronized) - 1)
        np.testing.assert_allclose(norm._variance.numpy(), 0.9 + 0.1 * unbiased, atol=1e-12)
    for one, other in zip(*results):
        np.testing.assert_allclose(other, one, atol=1e-12)
