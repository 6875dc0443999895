"""The counts of tests.device_cost: that they count, and what a step may cost."""
import numpy as np
import paddle
import pytest

from tests.device_cost import PATHS, Transfers, cost, operators, summary

SMALL = dict(crop_size=32, load_size=32, ngf=2, ndf=2)


def test_transfers_are_counted_once_with_their_place():
    transfers, tensor = Transfers(), paddle.ones([3])
    with transfers.counted():
        tensor.tolist()
        float(tensor.sum())
        paddle.to_tensor(np.ones(2))
    assert [place.split(':')[0] for place in transfers.reads] == 2 * ['tests/model/test_device_cost.py']
    assert sum(transfers.reads.values()) == 2 and sum(transfers.sent.values()) == 1


def test_operators_are_counted_by_part():
    x = paddle.ones([2, 2])
    x.stop_gradient = False
    found = operators(lambda: (x.reshape([4]).exp() * 2).sum().backward())
    if found is None:
        pytest.skip('this wheel\'s profiler needs a GPU driver')
    names = {(part, name) for part, name in found if name != 'full'}
    assert {('forward', 'exp'), ('forward', 'scale'), ('forward', 'sum'), ('backward', 'exp_grad')} <= names
    assert not any('reshape' in name for _, name in names)


@pytest.mark.parametrize('path', PATHS)
def test_one_read_a_step_and_few_operators(path):
    found = cost({**SMALL, **PATHS[path]}, 1)
    assert list(found['reads'].values()) == [1] and next(iter(found['reads'])).startswith('model/train_step.py')
    numbers = summary(found)
    if path == 'dense' and numbers['operators'] is not None:
        assert 1000 < numbers['operators'] <= 2500      # of the whole networks: sizes and channels do not change it
    assert numbers['collectives'] == 0 and numbers['kept_bytes_g'] > numbers['kept_bytes_d'] > 0


def test_adam_in_one_operator_is_not_the_same_to_the_bit():
    """Why the step does not take it. Where this fails, it may."""
    results = []
    for multi_tensor in (False, True):
        rng = np.random.default_rng(0)
        weight = paddle.to_tensor(rng.standard_normal((64, 500)).astype(np.float32), stop_gradient=False)
        adam = paddle.optimizer.Adam(2e-4, 0.0, 0.9, 1e-8, parameters=[weight], use_multi_tensor=multi_tensor)
        for _ in range(6):
            (weight * paddle.to_tensor(rng.standard_normal(weight.shape).astype(np.float32))).sum().backward()
            adam.step()
            adam.clear_grad(set_to_zero=False)
        results.append(weight.numpy())
    assert 0 < np.abs(results[0] - results[1]).max() < 1e-6
