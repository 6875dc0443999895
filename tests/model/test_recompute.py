"""--recompute true: the same step, with less stored for backward."""
import numpy as np
import paddle
import pytest

from model.init import OPT
from model.train_step import TrainStep
from tests.device_cost import kept_by_updates
from tests.rank import TINY, batch


@pytest.mark.parametrize('settings', [
    {}, dict(modulation='windows'), *(pytest.param(settings, marks=pytest.mark.thorough) for settings in (
        dict(norm_G='spectralspadeinstance3x3'), dict(norm_G='spadebatch5x5'), dict(use_vae=True),
        dict(activation='gelu', attention='simam')))], ids=str)
def test_a_step_is_the_same(settings):
    """Gradients, running statistics, u and v to 1e-9 in float64."""
    paddle.set_default_dtype('float64')
    try:
        results = []
        for recompute in (False, True):
            train_step = TrainStep(OPT(**{**TINY, 'modulation': 'dense', **settings}, recompute=recompute))
            # One step: Adam's first turns gradients of rounding size into steps.
            losses = np.array(list(train_step.step(*batch(0, 2)).values()))
            networks = [network for network in (train_step.generator, train_step.encoder, train_step.discriminator)
                        if network]
            results.append([losses] + [value.numpy() for network in networks for value in network.buffers()])
            for network in networks:
                gradients = [parameter.grad.numpy() for parameter in network.parameters()]
                scale = max(np.abs(gradient).max() for gradient in gradients)
                results[-1] += [gradient / scale for gradient in gradients]
        for kept, again in zip(*results):
            assert np.abs(again - kept).max() <= 1e-9 * max(1, np.abs(kept).max())
    finally:
        paddle.set_default_dtype('float32')


def test_less_is_stored():
    """Whole networks on small pictures: the weights, which do not grow with the batch,
    are told apart by a second sample.
    """
    kept = {}
    for recompute in (False, True):
        train_step = TrainStep(OPT(**{**TINY, 'ngf': 8, 'ndf': 8}, cpu_kernels=False, modulation='dense',
                                   recompute=recompute))
        one, two = (sum(kept_by_updates(train_step, batch(0, count))[0].values()) for count in (1, 2))
        kept[recompute] = two - one
    assert kept[True] < 0.55 * kept[False]
