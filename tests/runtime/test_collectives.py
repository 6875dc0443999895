"""What a step asks of a device and of the other ranks, counted: copies through the host, reads, collectives."""
import contextlib

import numpy as np
import paddle
import pytest

from model.init import OPT
from model.normalization import BatchNorm
from model.train_step import TrainStep
from runtime import distributed
from tests.rank import TINY, batch
from tests.scaling import exchanged, multiplications, networks

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
    return _as_one_of(2, monkeypatch)


def _as_one_of(ranks, monkeypatch):
    reduced = []

    def all_reduce(tensor, group=None):
        reduced.append((tensor.size, tensor.dtype))
        with paddle.no_grad():
            return tensor.scale_(ranks)
    monkeypatch.setattr(distributed, 'ranks', lambda: ranks)
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
    expected = exchanged(*networks(opt))
    statistics = [size for size, dtype in two_ranks if dtype == paddle.float64]
    assert (8 * sum(statistics), len(statistics)) == expected['batch-norm statistics']
    gradients = [size for size, dtype in two_ranks if dtype != paddle.float64]
    assert 4 * sum(gradients[:-1]) == sum(expected[name][0] for name in ('G gradients', 'D gradients'))
    assert len(gradients) == 1 + sum(expected[name][1] for name in ('G gradients', 'D gradients'))


@pytest.mark.parametrize('settings', [{}, dict(use_vae=True), dict(num_D=3)], ids=str)
def test_what_a_rank_sends_does_not_grow_with_their_number(monkeypatch, settings):
    sent = []
    for ranks in (2, 64):
        reduced = _as_one_of(ranks, monkeypatch)
        train_step = TrainStep(OPT(**{**TINY, **settings}))
        train_step.step(*batch(0, 2))
        sent.append(sorted(size for size, _ in reduced))
        buckets = train_step.exchange_g.buckets + train_step.exchange_d.buckets
        names = [parameter.name for bucket in buckets for parameter in bucket]
        assert sorted(names) == sorted(parameter.name
                                       for parameter in train_step.parameters_g + train_step.parameters_d)
    assert sent[0] == sent[1] and len(sent[0]) > 3


@pytest.mark.thorough
def test_multiplications_are_those_of_the_paper():
    """191 GMAC, as counted with the official generator."""
    opt = OPT(use_vae=False)
    found, _ = networks(opt)
    work = multiplications(opt, found)
    assert round(sum(work[parameter.name] for parameter in found['G'].parameters()) / 1e9) == 191


def test_two_ranks_with_the_same_samples_equal_one(two_ranks):
    """Of the synchronized norm: output, gradient, running statistics; unequal ranks are in tests/model/test_ranks.py.
    """
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
