"""--generator_input: what the generator starts from, and where its noise comes from."""
import numpy as np
import paddle
import pytest

from model.generator import SPADEGenerator
from model.init import OPT
from model.semantics import SemanticMap
from model.styles import drawn, of_seed
from model.train_step import TrainStep
from output.draw import style_noise
from runtime.errors import InputError
from tests.model.test_networks import arrays, batch, equal
from tests.output.test_resume import assert_same_run
from tests.runner import message, says

NOISY = 'noise', 'segmap_noise'


def tiny(**settings):
    return OPT(**{**dict(label_nc=9, crop_size=32, load_size=36, ngf=2, ndf=2, z_dim=8), **settings})


@pytest.fixture
def float64():
    paddle.set_default_dtype('float64')
    yield
    paddle.set_default_dtype('float32')


def with_contrast(generator):
    """Weights whose picture shows every input: the initial ones of the first and of the last layer are tiny."""
    for name, tensor in generator.state_dict().items():
        if name in ('fc.weight', 'conv_img.weight'):
            tensor.set_value(100 * tensor)
    return generator


# ---- The option

def test_only_the_label_map_has_a_style_encoder_by_default():
    assert OPT().use_vae and OPT(generator_input='segmap').use_vae
    assert not any(OPT(generator_input=name).use_vae for name in NOISY)
    assert OPT().z_shape() == (256,) and OPT(use_vae=False).reads_z is False
    assert OPT(generator_input='segmap_noise', z_dim=4, crop_size=128, aspect_ratio=2.0).z_shape() == (4, 2, 4)


@pytest.mark.parametrize('generator_input', NOISY)
def test_a_style_encoder_beside_noise_is_refused(generator_input):
    opt = tiny(generator_input=generator_input, use_vae=True)
    for make in (SPADEGenerator, TrainStep):
        assert says(message(lambda make=make: make(opt)), 'use_vae true', f'generator_input {generator_input}',
                    '--use_vae false')


# ---- The draws

def test_a_place_keeps_its_noise_in_maps_of_any_size():
    small, large = (drawn(tiny(generator_input='segmap_noise'), size, 5, 7) for size in ((64, 64), (384, 180)))
    assert small.shape == (8, 2, 2) and large.shape == (8, 12, 6)
    np.testing.assert_array_equal(large[:, :2, :2], small)
    assert np.unique(large).size == large.size      # no place repeats another


def test_noise_is_standard_normal_and_of_its_key_alone():
    opt = tiny(generator_input='segmap_noise', crop_size=512)
    one, again, other = (drawn(opt, opt.picture_size, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert abs(one.mean()) < 0.1 and abs(one.std() - 1) < 0.1
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1
    assert of_seed(opt, 3).dtype == np.float32
    first, second = style_noise(opt, ['001', '002'])    # val.py: of seed and name
    np.testing.assert_array_equal(second, style_noise(opt, ['002'])[0])
    assert not np.array_equal(first, second)


# ---- The generator

def test_without_weights_on_the_noise_it_is_the_generator_of_the_map(float64):
    opt, noisy = tiny(use_vae=False, crop_size=64), tiny(generator_input='segmap_noise', crop_size=64)
    plain, both = SPADEGenerator(opt), SPADEGenerator(noisy)
    state = with_contrast(plain).state_dict()
    extended = {**state, 'fc.weight': paddle.concat([state['fc.weight'], paddle.zeros([32, 8, 3, 3])], axis=1)}
    both.set_state_dict(extended)
    semantics = SemanticMap(*batch(opt)[:2], opt)
    expected, found = plain(semantics), both(semantics, 100 * paddle.randn([2, 8, 2, 2]))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=1e-12)
    assert expected.numpy().std() > 0.01


def test_a_shifted_map_with_shifted_noise_shifts_the_picture(float64):
    """By one place, 32 pixels, to the left, away from the left and right borders; in float64, to rounding."""
    opt = tiny(generator_input='segmap_noise', crop_size=512, aspect_ratio=16.0, no_instance=True, modulation='dense')
    generator = with_contrast(SPADEGenerator(opt))
    generator.eval()
    rng = np.random.default_rng(0)
    label, z = rng.integers(0, 9, (1, 32, 544)), rng.standard_normal((1, 8, 1, 17))
    with paddle.no_grad():
        one, other = (generator(SemanticMap(label[..., 32 * shift:][..., :512], None, opt),
                                paddle.to_tensor(z[..., shift:][..., :16])).numpy() for shift in (0, 1))
        still = generator(SemanticMap(label[..., 32:], None, opt), paddle.to_tensor(z[..., :16])).numpy()
    middle = slice(224, 256)    # 7 places from either border: the reach of all convolutions is less
    shifted = slice(256, 288)
    np.testing.assert_allclose(other[..., middle], one[..., shifted], rtol=0, atol=1e-12)
    assert np.abs(still[..., middle] - one[..., shifted]).max() > 1e-6     # of the noise alone


@pytest.mark.parametrize('generator_input', NOISY)
def test_other_noise_is_another_picture_and_a_seed_paints_it_again(generator_input):
    opt = tiny(generator_input=generator_input)
    train_step = TrainStep(opt)
    with_contrast(train_step.generator)
    label, instance, _ = batch(opt)
    pictures = [train_step.generate(label, instance, z=z).numpy() for z in (None, None, np.ones((2, *opt.z_shape())))]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    opt.seed = 1
    assert not np.array_equal(pictures[0], train_step.generate(label, instance).numpy())
    with pytest.raises(InputError, match=r'z: found shape \(2, 3\), expected \(2, 8'):
        train_step.generate(label, instance, z=np.ones((2, 3)))


# ---- Training

@pytest.mark.parametrize('generator_input', NOISY)
def test_a_step_draws_noise_by_seed_and_step_for_either_update(generator_input):
    opt = tiny(generator_input=generator_input)
    steps = [TrainStep(opt) for _ in range(2)]
    assert steps[0].encoder is None
    draws = [steps[0]._noise(None, update, 0, [steps[0]._micro_batch(*batch(opt))]) for update in range(2)]
    assert draws[0].shape == [2, *opt.z_shape()] and not np.array_equal(*draws)
    losses = [steps[0].step(*batch(opt)), steps[1].step(*batch(opt), noise=[draw.numpy() for draw in draws])]
    assert losses[0] == losses[1] and losses[0]['g_loss_vae'] == 0
    assert all(map(equal, arrays(steps[0].generator), arrays(steps[1].generator)))
    assert steps[0].generator.fc.weight.grad.numpy().any()


@pytest.mark.parametrize('generator_input', [pytest.param('noise', marks=pytest.mark.thorough), 'segmap_noise'])
def test_a_resumed_run_equals_an_uninterrupted_one(scripts, tmp_path, generator_input):
    settings = dict(generator_input=generator_input, use_vae='false', ema_decay=0.9)
    scripts.trained(tmp_path / 'whole', niter=2, **settings)
    scripts.trained(tmp_path / 'resumed', niter=1, **settings)
    assert 'resumed from' in scripts.trained(tmp_path / 'resumed', niter=2, **settings)
    assert_same_run(tmp_path / 'whole', tmp_path / 'resumed')

    run, label = tmp_path / 'whole' / 'output', scripts.data / 'val_label' / '000.png'
    words = ['predict.py', '--lastoutput', run, '--label', label, '--instance', scripts.data / 'val_inst' / '000.png']
    process = scripts.run(*words, '--styles', 4, '--out', tmp_path / 'sheet.png')
    assert process.returncode == 0 and '140 wide and 32 high' in process.stdout, process.stdout + process.stderr
    assert says(scripts.run(*words, '--style_photo', label).stderr, '--style_photo', 'no style encoder')
    assert says(scripts.run('val.py', '--lastoutput', run, '--style', 'photo').stderr, '--style photo',
                f'generator_input {generator_input}')
    process = scripts.run('val.py', '--lastoutput', run, '--results', tmp_path / 'val')
    assert process.returncode == 0 and '3 pictures' in process.stdout, process.stdout + process.stderr
    process = scripts.run('-m', 'model.convert', 'export', 'nvlabs', run, tmp_path / 'official')
    assert says(process.stderr, f'generator_input {generator_input}', 'segmap') and not (tmp_path / 'official').exists()
