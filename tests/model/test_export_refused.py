"""model.export: damaged files, other weights, bad input, a full disk and missing packages are told, and nothing wrong is left."""
import os
import resource
import sys

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import pytest

from model.export.__main__ import main
from model.weights import save_weights
from runtime.errors import InputError
from tests.exporting import exported, write_checkpoint
from tests.model.test_convert_ctkindle import of_ctkindle  # noqa: F401  a fixture

onnx = pytest.importorskip('onnx')


def test_check_tells_a_flipped_weight(pair, tmp_path):
    model = onnx.load(pair[1])
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == 'up_2.conv_0.weight')
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[7] *= -1
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / 'damaged.onnx')
    main(['check', pair[1], '--lastoutput', str(pair[0])])
    with pytest.raises(InputError, match=r'damaged: up_2\.conv_0\.weight differs in 1 of'):
        main(['check', str(tmp_path / 'damaged.onnx'), '--lastoutput', str(pair[0])])


@pytest.mark.thorough
def test_check_tells_a_damaged_paddle_file(tmp_path):
    write_checkpoint(tmp_path)
    _, out = exported('paddle', tmp_path)
    main(['check', out, '--lastoutput', str(tmp_path)])
    with open(os.path.join(out, 'generator.pdiparams'), 'r+b') as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 0x80]))
    with pytest.raises(InputError, match='generator.pdiparams: damaged'):
        main(['check', out, '--lastoutput', str(tmp_path)])


@pytest.mark.parametrize('kind', ['onnx', pytest.param('paddle', marks=pytest.mark.thorough)])
def test_check_tells_a_checkpoint_trained_further(tmp_path, kind):
    """By the smallest step that float32 has, in one weight."""
    painter = write_checkpoint(tmp_path)
    _, out = exported(kind, tmp_path)
    weight = painter.generator.conv_img.weight
    values = weight.numpy()
    values.flat[0] = np.nextafter(values.flat[0], np.float32(1))
    weight.set_value(values)
    save_weights(painter.generator.state_dict(), tmp_path / 'model' / 'n_g.pdparams')
    np.save(tmp_path / 'model' / 'current_epoch.npy', 4)
    with pytest.raises(InputError, match='other weights than the checkpoint\'s: epoch 3 there, 4 here'):
        main(['check', out, '--lastoutput', str(tmp_path)])


@pytest.mark.thorough
def test_a_wrong_file_is_not_left(tmp_path, monkeypatch):
    """With the slope that paddle2onnx once gave leaky ReLU, the comparison fails, and nothing is written; right exports come first,
    since Paddle's tracing once kept what it knew of them."""
    write_checkpoint(tmp_path)
    for kind in ('onnx', 'paddle'):
        exported(kind, tmp_path)
    before = sorted(entry.name for entry in tmp_path.iterdir())
    monkeypatch.setattr('model.export.networks.SLOPE', 0.01)
    for kind in ('onnx', 'paddle'):
        with pytest.raises(InputError, match='other pictures'):
            exported(kind, tmp_path, '--force')
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before == ['model', 'served', 'spade.onnx']


def test_bad_input_is_refused_in_one_line(pair, tmp_path):
    folder, file, _ = pair
    (tmp_path / 'file').write_text('')
    for words, said in ((['onnx', '--lastoutput', str(tmp_path), '--out', str(tmp_path / 'a.onnx')], 'no n_g.pdparams'),
                        (['onnx', '--lastoutput', str(folder), '--out', file], '--force'),
                        (['onnx', '--lastoutput', str(folder), '--out', str(tmp_path / 'file' / 'a.onnx')], 'cannot be written'),
                        (['onnx', '--lastoutput', str(folder), '--out', 'spade.txt'], 'ends in .onnx'),
                        (['paddle', '--lastoutput', str(folder), '--out', str(folder), '--force'], 'other files'),
                        (['tflite'], 'allowed: onnx, paddle'), (['check', str(tmp_path / 'none.onnx')], 'no such file'),
                        (['check', str(tmp_path / 'file')], 'ONNX')):
        with pytest.raises(InputError, match=said) as caught:
            main(words)
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['[]', '{}', '{"name": "another program"}', '{"generator": {"network": "generator"}}'])
def test_a_foreign_metadata_json_is_told(pair, tmp_path, content):
    """Not read as an export, and its folder not replaced."""
    (tmp_path / 'metadata.json').write_text(content)
    for words, said in ((['describe', str(tmp_path)], 'no export of this project'),
                        (['check', str(tmp_path), '--lastoutput', str(pair[0])], 'no export of this project'),
                        (['paddle', '--lastoutput', str(pair[0]), '--out', str(tmp_path), '--force'], 'other files than')):
        with pytest.raises(InputError, match=said) as caught:
            main(words)
        assert '\n' not in str(caught.value)
    assert (tmp_path / 'metadata.json').read_text() == content


@pytest.mark.parametrize('kind', ['onnx', 'paddle'])
def test_a_full_disk_leaves_nothing(pair, tmp_path, kind):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, limits[1]))
    try:
        with pytest.raises(InputError, match='cannot be written') as caught:
            main([kind, '--lastoutput', str(pair[0]), '--out', str(tmp_path / 'a.onnx')])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir()) and '\n' not in str(caught.value)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(InputError, match='model/export/requirements.txt'):
        main(['onnx'])
