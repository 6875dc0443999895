"""Files of weights: strict and safe to load, and Paddle's own."""
import pickle

import numpy as np
import paddle
import pytest

from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import checkpoint_parser, load_painter
from model.weights import folder_of, load_weights, read_weights, save_weights, write_model
from tests.runner import message, says


@pytest.fixture(scope='module')
def generator():
    return SPADEGenerator(tiny())


def tiny():
    return OPT(label_nc=9, crop_size=32, load_size=36, ngf=2, ndf=2, z_dim=8, use_vae=False)


def arrays(layer):
    return {name: value.numpy() for name, value in layer.state_dict().items()}


def test_loading_is_strict_and_changes_nothing(generator, tmp_path):
    state, path = arrays(generator), str(tmp_path / 'n_g.pdparams')
    wrong = {name: value for name, value in state.items() if name not in ('conv_img.bias', 'fc.bias')}
    wrong.update({'fc.weight': state['fc.weight'][:5], 'stranger': np.zeros(3, np.float32), 'conv_img.weight':
                  state['conv_img.weight'] + 1})
    save_weights(wrong, path)
    said = message(load_weights, generator, path)
    assert says(said, path, '2 missing: fc.bias, conv_img.bias', '1 unexpected: stranger',
                '1 wrongly shaped: fc.weight [5, 11, 3, 3] for [32, 11, 3, 3]')
    assert all(np.array_equal(value, state[name]) for name, value in arrays(generator).items())


def test_what_is_no_folder_of_a_run(tmp_path):
    (tmp_path / 'weights').mkdir()
    file = tmp_path / 'weights/n_g.pdparams'
    file.touch()
    for place, epoch, said in ((tmp_path / 'none', None, 'no such folder'), (tmp_path / 'none', 3, 'no such folder'),
                               (tmp_path, None, 'no n_g.pdparams there or in'),
                               (file, None, f'a file, expected the folder of a run or of weights: name {file.parent}')):
        assert says(message(folder_of, str(place), epoch), f'--lastoutput {place}: {said}')
    assert says(message(folder_of, str(file.parent), 3), f'--which_epoch 3: {file.parent}', 'omit --which_epoch')
    assert folder_of(str(file.parent)) == str(file.parent)


def test_a_long_list_is_cut(generator, tmp_path):
    save_weights({}, tmp_path / 'empty.pdparams')
    said = message(load_weights, generator, tmp_path / 'empty.pdparams')
    assert says(said, f'{len(generator.state_dict())} missing: ', ', ...') and len(said) < 400


class Hostile:
    """Unpickling it makes the file `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_a_hostile_file_runs_nothing(tmp_path, protocol):
    path, made = tmp_path / 'n_g.pdparams', tmp_path / 'made'
    path.write_bytes(pickle.dumps({'fc.weight': Hostile(made)}, protocol=protocol))
    assert says(message(read_weights, path), path, 'open', 'do not trust it')
    assert not made.exists()
    pickle.loads(path.read_bytes())['fc.weight'].close()
    assert made.exists()    # an ordinary reader would have run it


@pytest.mark.parametrize('content, said', [
    (b'', 'cannot be read'), (b'no pickle', 'cannot be read'), (pickle.dumps([1, 2]), 'holds a list'),
    (pickle.dumps({'fc.weight': 'text'}), "'fc.weight' is a str"),
    (pickle.dumps({'fc.weight': np.array([{}], object)}), "type 'O8', expected plain numbers"),
    (pickle.dumps({1: np.zeros(3)}), 'expected names with arrays')])
def test_files_other_than_weights(generator, tmp_path, content, said):
    path = tmp_path / 'n_g.pdparams'
    path.write_bytes(content)
    assert says(message(load_weights, generator, path), path, said)


def test_every_truncation_is_an_error(tmp_path):
    path = tmp_path / 'n_d.pdparams'
    save_weights({'a': np.arange(12, dtype=np.float32).reshape(3, 4), 'b': np.float32(2)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert str(path) in message(read_weights, path)


def test_what_paddle_saves_is_read(generator, tmp_path):
    paddle.save(generator.state_dict(), str(tmp_path / 'n_g.pdparams'))
    found = read_weights(tmp_path / 'n_g.pdparams')
    assert found.keys() == generator.state_dict().keys()
    assert all(np.array_equal(value, found[name]) for name, value in arrays(generator).items())


def test_paddle_reads_what_is_saved(trained):
    """The files are ordinary .pdparams."""
    state = paddle.load(str(trained / 'output/model/n_g.pdparams'))
    network = SPADEGenerator(tiny())
    missing, unexpected = network.set_state_dict(state)
    assert not missing and not unexpected
    assert all(np.array_equal(value, np.asarray(state[name])) for name, value in arrays(network).items())


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e300])
def test_weights_that_are_not_finite_are_not_set(generator, tmp_path, value):
    """Black pictures and exit 0 before. 1e300 is finite in the file, and not in the network."""
    state, path = arrays(generator), tmp_path / 'n_g.pdparams'
    spoilt = state['conv_img.bias'].astype(np.float64)
    spoilt[1] = value
    save_weights({**state, 'conv_img.bias': spoilt}, path)
    assert says(message(load_weights, generator, path), path, '1 of ', 'NaN or infinite', 'conv_img.bias')
    assert all(np.array_equal(value, state[name]) for name, value in arrays(generator).items())


def test_the_cores_of_the_training_machine_do_not_paint(generator, tmp_path):
    """val.py once read nThreads from the checkpoint: it hung if opt.json had a million, and used another machine's
    number.
    """
    opt = tiny()
    opt.nThreads = 1000
    write_model(str(tmp_path / 'model'), opt, {'n_g.pdparams': arrays(generator)})
    for flags, expected in ((), 0), (('--nThreads', '2'), 2):
        words = checkpoint_parser('', ['nThreads']).parse_args(['--lastoutput', str(tmp_path), *flags])
        assert load_painter(words)[0].nThreads == expected
