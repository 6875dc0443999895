"""model.export: damaged files, other weights, bad input, a full disk and missing packages are told,
and nothing wrong is left.
"""
import json
import os
import pickle
import resource
import sys

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import pytest

from model.export import inference
from model.export.__main__ import main
from model.weights import save_weights
from runtime.errors import InputError
from tests.exporting import exported, write_checkpoint
from tests.forked import REPOSITORY
from tests.model.test_convert_ctkindle import of_ctkindle  # noqa: F401  a fixture

onnx = pytest.importorskip('onnx')
pytestmark = pytest.mark.usefixtures('short_stacks')


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
    with open(inference.program_of(out, 'generator'), 'rb') as file:     # 2.6.2 puts Python's call stacks there
        assert str(REPOSITORY).encode() not in file.read()
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
    """With the slope that paddle2onnx once gave leaky ReLU, the comparison fails, and nothing is written; right exports
    come first, since Paddle's tracing once kept what it knew of them.
    """
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
                        (['onnx', '--lastoutput', str(folder), '--out', str(tmp_path / 'file' / 'a.onnx')],
                         'cannot be written'),
                        (['onnx', '--lastoutput', str(folder), '--out', 'spade.txt'], 'ends in .onnx'),
                        (['paddle', '--lastoutput', str(folder), '--out', str(folder), '--force'], 'is not an export'),
                        (['tflite'], 'allowed: onnx, paddle'), (['check', str(tmp_path / 'none.onnx')], 'no such file'),
                        (['check', str(tmp_path / 'file')], 'ONNX')):
        with pytest.raises(InputError, match=said) as caught:
            main(words)
        assert '\n' not in str(caught.value)


def test_sizes_that_no_export_has(pair, tmp_path):
    write_checkpoint(tmp_path, use_vae=True)
    for folder, size, said in ((pair[0], '100x40', r'--size 100x40: found 100 wide and 40 high, .*multiples of 32.*: '
                                                   r'--size \d+x\d+$'),
                               (pair[0], '0x0', 'allowed: WIDTHxHEIGHT'), (pair[0], 'map', 'one size: name it'),
                               (pair[0], '99968x99968', 'GB are free: choose a smaller --size'),
                               (tmp_path, '64x64', 'style encoder')):
        with pytest.raises(InputError, match=said) as caught:
            main(['onnx', '--lastoutput', str(folder), '--out', str(tmp_path / 'a.onnx'), '--size', size])
        assert '\n' not in str(caught.value) and not (tmp_path / 'a.onnx').exists()


@pytest.mark.parametrize('content',
                         ['[]', '{}', '{"name": "another program"}', '{"generator": {"network": "generator"}}'])
def test_a_foreign_metadata_json_is_told(pair, tmp_path, content):
    """Not read as an export, and its folder not replaced."""
    (tmp_path / 'metadata.json').write_text(content)
    for words, said in ((['describe', str(tmp_path)], 'no export of this project'),
                        (['check', str(tmp_path), '--lastoutput', str(pair[0])], 'no export of this project'),
                        (['paddle', '--lastoutput', str(pair[0]), '--out', str(tmp_path), '--force'],
                         'is not an export')):
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


def altered(path, change):
    """A copy of an ONNX file with a change to its model."""
    model = onnx.load(path[1])
    change(model)
    with open(path[0], 'wb') as file:   # onnx.save would follow where weights are said to be
        file.write(model.SerializeToString())
    return path[0]


def set_entry(key, value):
    def change(model):
        entries = {entry.key: entry.value for entry in model.metadata_props}
        entries.update({key: value(entries[key]) if callable(value) else value})
        onnx.helper.set_model_props(model, entries)
    return change


def option(**changes):
    return set_entry('options', lambda text: json.dumps({**json.loads(text), **changes}))


def add_node(model):
    """One more operator behind the picture, of which the tried inputs show nothing:
    it acts from the 200th grey level on.
    """
    model.graph.node[-1].output[0] = 'hidden'
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.uint8(255), 'top'))
    model.graph.node.append(onnx.helper.make_node('Min', ['hidden', 'top'], ['picture']))


def dead_node(model):
    model.graph.node.append(onnx.helper.make_node('Identity', ['label'], ['more']))


def other_attribute(model):
    next(node for node in model.graph.node if node.op_type == 'LeakyRelu').attribute[0].f += 1e-7


def external(model):
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key='location', value='../../etc/passwd')


ALTERATIONS = {
    'a node': (add_node, 'damaged: top'), 'a dead node': (dead_node, 'operators differ from'),
    'an attribute': (other_attribute, 'operators differ from'),
    'another output': (lambda model: model.graph.output.append(
        onnx.helper.make_tensor_value_info('label', onnx.TensorProto.INT32, None)), 'inputs, outputs'),
    'a domain': (lambda model: model.opset_import.append(onnx.helper.make_opsetid('ai.strange', 1)), 'inputs, outputs'),
    'a description': (lambda model: setattr(model, 'doc_string', 'free to use'), 'inputs, outputs'),
    'a weight twice': (lambda model: model.graph.initializer.append(model.graph.initializer[0]),
                       'a weight given twice'),
    'weights elsewhere': (external, 'outside this file'),
    'licence': (set_entry('licence', 'CC0'), 'licence CC0'), 'epoch': (set_entry('epoch', '900'), 'epoch 900'),
    'weights': (set_entry('weights', 'best'), 'no export of this project'),
    'an entry': (set_entry('author', 'me'), 'author me'),
    'class names': (set_entry('class_names', '["a"]'), 'class_names'),
    'width': (option(crop_size=64), 'damaged: '), 'no size': (option(crop_size=50), 'multiples of 32'),
    'no such option': (option(crop_sise=64), "'crop_sise'"), 'no options': (set_entry('options', '{}'), 'missing'),
    'deep options': (set_entry('options', '[' * 100000), 'nested'), 'huge options': (option(ngf=10 ** 9), 'at most'),
    'a flag': (set_entry('float', '[' * 100000), 'no export of this project'),
    'options of a wrong type': (option(label_nc=[1]), 'label_nc')}


@pytest.mark.parametrize('change, said', ALTERATIONS.values(), ids=ALTERATIONS)
def test_check_vouches_for_nothing_that_was_altered(pair, tmp_path, change, said):
    file = altered((str(tmp_path / 'altered.onnx'), pair[1]), change)
    with pytest.raises(InputError, match=said) as caught:
        main(['check', file, '--lastoutput', str(pair[0])])
    assert str(caught.value).startswith(file) and '\n' not in str(caught.value) and len(str(caught.value)) < 1000


def test_digests_do_not_vouch_for_themselves(tmp_path):
    """A folder's list of digests, emptied, or written anew for an altered file."""
    write_checkpoint(tmp_path)
    _, out = exported('paddle', tmp_path)
    place, program = os.path.join(out, 'metadata.json'), inference.program_of(out, 'generator')
    with open(place) as file:
        told = json.load(file)
    for content in ({}, {'generator.json': ''}, None):
        if content is None:
            with open(program, 'rb') as file:
                changed = file.read().replace(b'relu', b'tanh', 1)
            with open(program, 'wb') as file:
                file.write(changed)
            content = inference.digests(out, 'generator')
        told['generator']['files_sha256'] = json.dumps(content)
        with open(place, 'w') as file:
            json.dump(told, file)
        with pytest.raises(InputError, match='altered|does not fit its files'):
            main(['check', out, '--lastoutput', str(tmp_path)])


def test_a_damaged_epoch_is_told(pair, tmp_path):
    write_checkpoint(tmp_path)
    for content in (b'', b'no epoch', b'\x93NUMPY\1\0', b'PK\3\4', pickle.dumps({})):
        (tmp_path / 'model/current_epoch.npy').write_bytes(content)
        with pytest.raises(InputError, match='current_epoch.npy: not the number of an epoch'):
            exported('onnx', tmp_path)
