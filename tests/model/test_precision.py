"""Mixed precision as far as a CPU goes: refused, without effect, and float16's loss scale,
which no CPU enables by itself.
"""
import types

import numpy as np
import paddle
import pytest

from model import precision
from model.init import OPT
from model.train_step import TrainStep
from output.checkpoint import Checkpoint
from tests.rank import TINY, batch
from tests.runner import says


@pytest.fixture
def scaled(monkeypatch):
    """GradScalers that believe in a GPU."""
    place = types.SimpleNamespace(is_gpu_place=lambda: True, is_xpu_place=lambda: False, is_custom_place=lambda: False)
    monkeypatch.setattr(paddle.amp.grad_scaler, '_dygraph_tracer', lambda: types.SimpleNamespace(_expected_place=place))
    monkeypatch.setattr(precision, 'check', lambda opt: None)


def progress():
    return dict(epoch=1, seen=0, log_rows=0, log_checksum=0, dataset='0' * 16, samples=2)


@pytest.mark.filterwarnings('ignore:amp_guard')
def test_the_loss_scale_is_in_the_checkpoint(scaled, tmp_path):
    opt = OPT(**TINY, amp='float16', output=str(tmp_path))
    one, other = TrainStep(opt), TrainStep(opt)
    start = one.loss_scales
    assert [state['scale'] for state in start] == 2 * [2.0 ** 16] and other.loss_scales == start
    one.step(*batch(0, 2))
    assert [state['incr_count'] for state in one.loss_scales] == [1, 1]
    one.scaler_d.load_state_dict({**one.scaler_d.state_dict(), 'scale': np.array([512.0], np.float32), 'decr_count': 1})
    Checkpoint(opt.output).save(one, opt, progress())
    Checkpoint(opt.output).load(other)
    assert other.loss_scales == one.loss_scales != start
    assert float(np.ravel(other.scaler_d.state_dict()['scale'])[0]) == 512
    assert other.step(*batch(1, 2)) == one.step(*batch(1, 2))


def test_without_float16_there_is_none(tmp_path):
    opt = OPT(**TINY, output=str(tmp_path))
    train_step = TrainStep(opt)
    assert train_step.loss_scales == []
    Checkpoint(opt.output).save(train_step, opt, progress())
    Checkpoint(opt.output).load(train_step)


@pytest.mark.parametrize('amp', ['bfloat16', 'float16'])
def test_amp_is_refused_on_a_cpu(scripts, tmp_path, amp):
    assert says(scripts.train_refusal(tmp_path, amp=amp), 'amp', amp, 'cpu', '--cpu_precision bfloat16')


def test_amp_changes_nothing_where_paddle_ignores_it(monkeypatch):
    """The code path itself: on a CPU auto_cast does nothing. float16's scaling of the loss is above."""
    monkeypatch.setattr(precision, 'check', lambda opt: None)
    plain, mixed = (TrainStep(OPT(**TINY, amp=amp)).step(*batch(0, 2)) for amp in ('none', 'bfloat16'))
    assert plain == mixed
