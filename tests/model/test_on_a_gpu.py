"""What a person with a GPU is asked to run (tests.benchmark --device gpu, tests.device_check),
as far as it runs on a CPU.
"""
import json

import paddle
import pytest

from model.init import OPT
from runtime import device
from tests import device_check
from tests.benchmark_gpu import until_memory_ends
from tests.runner import says


@pytest.mark.thorough
def test_the_benchmark_writes_its_file(scripts, tmp_path):
    process = scripts.run('-m', 'tests.benchmark', '--device', 'cpu', '--crop_size', 32, '--ngf', 2, '--batches', 1, 2,
                          '--warm_up', 1, '--timed', 1, '--settings', 'dense', 'deterministic', '--out',
                          tmp_path / 'found.json')
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / 'found.json').read_text())
    assert [(row['setting'], row['amp'], row['batch']) for row in report['rows']] == [
        ('dense', 'none', 1), ('dense', 'none', 2), ('deterministic', 'none', 1), ('deterministic', 'none', 2)]
    for row in report['rows']:
        assert row['forward_s'] > 0 and row['step_s'] > 0 and row['peak_gb'] > 0.1
        assert row['images_per_s'] == row['batch'] / row['step_s']
    assert report['paddle'] == paddle.__version__ and report['sizes']['crop_size'] == 32
    assert says(process.stdout, 'images/s', 'please send it in', 'device CPU')


@pytest.mark.parametrize('error', [RuntimeError('\n\nResourceExhaustedError: \n\nOut of memory error on GPU 0. Cannot '
                                                'allocate 3'),
                                   MemoryError()])
def test_batches_grow_until_the_memory_ends(error):
    def measure(count):
        if count > 2:
            raise error
        return dict(batch=count)
    rows = list(until_memory_ends(measure, [1, 2, 4, 8]))
    assert rows[:2] == [dict(batch=1), dict(batch=2)] and rows[2]['batch'] == 4 and rows[2]['ended'] and len(rows) == 3


def test_other_errors_are_not_taken_for_it():
    def measure(count):
        raise RuntimeError('cuDNN has no such algorithm')
    with pytest.raises(RuntimeError, match='no such algorithm'):
        list(until_memory_ends(measure, [1]))


@pytest.mark.parametrize('module', ['tests.benchmark', 'tests.device_check'])
def test_without_a_gpu_they_say_so(scripts, module):
    process = scripts.run('-m', module, '--device', 'gpu')
    assert process.returncode == 1 and \
        says(process.stderr, 'error: --device gpu: there is none that this Paddle can use')


@pytest.mark.thorough
def test_the_check_shows_the_stored_values(scripts):
    process = scripts.run('-m', 'tests.device_check', '--device', 'cpu', '--cases', 'pix2pixhd_64.npz')
    assert process.returncode == 0, process.stdout + process.stderr
    assert says(process.stdout, 'no TF32 on a CPU', 'float32', 'float64', 'eval picture', 'all log rows')
    assert 'FAILED' not in process.stdout


def test_the_check_fails_beyond_a_tolerance(monkeypatch, capsys):
    """With TF32 other tolerances hold; no number is within none."""
    found = [('eval picture', 1e-3, 1e-5), ('first losses', 1e-2, 1e-4), ('all log rows', 9.0, 2e-2),
             ('eval mu', float('nan'), 1e-5)]
    monkeypatch.setattr(device_check, 'measure', lambda path, dtype: found)
    assert device_check.show(['base_64.npz'], ['float32'], False) == 4
    assert device_check.show(['base_64.npz'], ['float32'], True) == 1
    assert says(capsys.readouterr().out, 'float32 TF32', 'FAILED')


def test_deterministic_algorithms_are_asked_for_where_paddle_knows_them(monkeypatch):
    asked = []
    monkeypatch.setattr(device.paddle, 'set_flags', asked.append)
    monkeypatch.setattr(device.paddle, 'is_compiled_with_cuda', lambda: False)
    device.choose_algorithms(OPT(cudnn='deterministic'))
    monkeypatch.setattr(device.paddle, 'is_compiled_with_cuda', lambda: True)
    device.choose_algorithms(OPT())
    assert not asked
    device.choose_algorithms(OPT(cudnn='deterministic'))
    assert asked == [{'FLAGS_cudnn_deterministic': True, 'FLAGS_embedding_deterministic': 1}]


def test_paddle_s_gpu_builds_know_these_flags():
    if not paddle.is_compiled_with_cuda():
        pytest.skip('a CPU build')
    names, asked = ['FLAGS_cudnn_deterministic', 'FLAGS_embedding_deterministic'], {}
    before = paddle.get_flags(names)
    try:
        device.choose_algorithms(OPT(cudnn='deterministic'))
        asked = paddle.get_flags(names)
    finally:
        paddle.set_flags(before)
    assert all(asked.values()) and not any(before.values())
