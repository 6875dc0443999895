"""Averaged weights of the generator: closed form, no effect on training, resumption, and painting."""
import numpy as np
import pytest
from PIL import Image

from model.averaged import COPIED, AveragedGenerator
from model.generator import build_generator
from model.init import OPT
from model.train_step import TrainStep
from model.weights import as_arrays, read_weights
from tests.rank import TINY, batch
from tests.runner import says

DECAY = 0.75


def state(network):
    return {name: value.copy() for name, value in as_arrays(network.state_dict()).items()}


def same(one, other):
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize('kernels, settings', [(True, {}), (False, {}), (True, dict(netG='pix2pixhd'))])
def test_closed_form_of_a_toy(kernels, settings):
    """Weights set by hand to v_1, v_2, v_3 after v_0: d^3 v_0 + (1 - d) (d^2 v_1 + d v_2 + v_3)."""
    opt = OPT(**TINY, **settings, ema_decay=DECAY, cpu_kernels=kernels)
    generator = build_generator(opt)
    values, average = [state(generator)], AveragedGenerator(opt, generator)
    for number in range(3):
        rng = np.random.default_rng(number)
        values.append({name: rng.standard_normal(value.shape).astype('float32') for name, value in values[0].items()})
        for name, value in generator.state_dict().items():
            value.set_value(values[-1][name])
        average.update()
    found = state(average.network)
    assert same(state(generator), values[-1])
    for name, (v0, v1, v2, v3) in {name: [each[name] for each in values] for name in found}.items():
        expected = v3 if name.endswith(COPIED) else DECAY ** 3 * v0 + (1 - DECAY) * (DECAY ** 2 * v1 + DECAY * v2 + v3)
        np.testing.assert_allclose(found[name], expected, atol=1e-6)
    assert any(name.endswith('weight_u') for name in found) and any(name.endswith('_variance') for name in found)


@pytest.mark.parametrize('settings', [dict(), dict(cpu_kernels=False, D_steps_per_G=2, use_vae=True)])
def test_averaging_changes_no_bits_and_follows_g_updates(settings):
    plain, averaging = (TrainStep(OPT(**{**TINY, **settings}, ema_decay=decay)) for decay in (0, DECAY))
    assert plain.averaged is None
    expected = state(averaging.generator)
    for step in range(4):
        samples = batch(step, 2)
        assert plain.step(*samples) == averaging.step(*samples)
        if step % averaging.opt.D_steps_per_G == 0:
            for name, value in state(averaging.generator).items():
                expected[name] = value if name.endswith(COPIED) else DECAY * expected[name] + (1 - DECAY) * value
    for network in ('generator', 'discriminator'):
        assert same(state(getattr(plain, network)), state(getattr(averaging, network)))
    found = state(averaging.averaged)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
    label, instance, image = batch(9, 2)
    z = np.ones((2, TINY['z_dim']))
    painted = [step.generate(label, instance, image, z).numpy() for step in (plain, averaging)]
    assert 0 < np.abs(painted[0] - painted[1]).max()
    assert averaging.painter.weights == 'averaged' and averaging.painter.generator is averaging.averaged


@pytest.fixture(scope='module')
def averaged(scripts, tmp_path_factory):
    """Folder of a run that averages, otherwise that of the fixture `trained`."""
    folder = tmp_path_factory.mktemp('averaged')
    scripts.trained(folder, ema_decay=DECAY, save_epoch_freq=1)
    return folder


def weights(folder, name='n_g_ema.pdparams'):
    return read_weights(folder / 'output/model' / name)


def pixels(path):
    """Bytes of a picture's pixels; those of its file name the networks too."""
    with Image.open(path) as image:
        return image.tobytes()


def painted(scripts, run, folder, *flags):
    """(pixels of the pictures that val.py paints, its output)."""
    process = scripts.run('val.py', '--lastoutput', run / 'output', '--results', folder, '--png', *flags)
    assert process.returncode == 0, process.stderr
    return [pixels(path) for path in sorted((folder / 'pics').glob('*.png'))], process.stdout


@pytest.mark.thorough
def test_val_and_predict_use_the_average_or_the_last(scripts, averaged, trained, tmp_path):
    assert same(weights(averaged, 'n_g.pdparams'), weights(trained, 'n_g.pdparams'))
    by_default, said = painted(scripts, averaged, tmp_path / 'a')
    assert says(said, 'with averaged weights (--weights last')
    assert painted(scripts, averaged, tmp_path / 'b', '--weights', 'averaged')[0] == by_default
    last, said = painted(scripts, averaged, tmp_path / 'c', '--weights', 'last')
    assert last == painted(scripts, trained, tmp_path / 'd')[0] != by_default and 'averaged' not in said
    kept = painted(scripts, averaged, tmp_path / 'e', '--which_epoch', 2)[0]
    assert kept == by_default and (averaged / 'output/epoch_1/n_g_ema.pdparams').exists()
    label, instance = (scripts.data / f'val_{part}/000.png' for part in ('label', 'inst'))
    for flags, pictures in ((), by_default), (('--weights', 'last'), last):
        out = tmp_path / 'predicted.png'
        process = scripts.run('predict.py', '--lastoutput', averaged / 'output', '--label', label, '--instance',
                              instance, '--out', out, *flags)
        assert process.returncode == 0, process.stderr
        assert pixels(out) == pictures[0]


def test_a_missing_average_is_refused(scripts, trained, tmp_path):
    said = scripts.refusal('val.py', '--lastoutput', trained / 'output', '--results', tmp_path, '--weights', 'averaged')
    assert says(said, '--weights averaged', 'has no n_g_ema.pdparams', 'omit --weights')


@pytest.mark.thorough
def test_a_run_resumes_with_and_without_an_average(scripts, trained, tmp_path):
    """An epoch without, then with: the average starts when it is switched on; then without again: its file is removed.
    """
    scripts.trained(tmp_path, niter=1)
    begin = weights(tmp_path, 'n_g.pdparams')
    said = scripts.trained(tmp_path, ema_decay=0.999999999, niter=2)    # keeps what it began with
    assert says(said, 'ema_decay was 0.0, now 0.999999999', 'has no n_g_ema.pdparams',
                'starts from its current weights')
    found = weights(tmp_path)
    assert all(np.abs(value - begin[name]).max() < 1e-8 for name, value in found.items() if not name.endswith(COPIED))
    assert same(weights(tmp_path, 'n_g.pdparams'), weights(trained, 'n_g.pdparams'))    # the training is the same
    assert says(scripts.trained(tmp_path, niter=3), 'ema_decay was 0.999999999, now 0.0')
    assert not (tmp_path / 'output/model/n_g_ema.pdparams').exists()
    said = scripts.trained(tmp_path / 'new', f'--init_from={tmp_path}/output', ema_decay=0.9, niter=1)
    assert says(said, 'weights from', 'starts from its current weights')


@pytest.mark.thorough
def test_an_exported_file_records_its_weights(scripts, averaged, tmp_path):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    inside = {}
    for which, flags in ('averaged', ()), ('last', ('--weights', 'last')):
        out = tmp_path / f'{which}.onnx'
        process = scripts.run('-m', 'model.export', 'onnx', '--lastoutput', averaged / 'output', '--out', out, *flags)
        assert process.returncode == 0, process.stderr      # it was compared with the pictures of those weights
        inside[which] = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
        assert inside[which]['weights'] == which
    assert inside['averaged']['weights_sha256'] != inside['last']['weights_sha256']
    check = '-m', 'model.export', 'check', tmp_path / 'last.onnx', '--lastoutput', averaged / 'output'
    assert scripts.run(*check).returncode == 0      # with the weights that it says it holds
    assert says(scripts.failure(*check, '--weights', 'averaged'), 'other weights than the checkpoint\'s')
