"""OPT: names, types, derived values, files, presets and the command line; and the learning rate that follows from it.
"""
import argparse
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as run_with
from hypothesis import strategies as st

from model import sizes
from model.init import EFFECTS, OPT, UPSAMPLINGS, LayerNorm, SpadeNorm
from model.presets import PRESETS
from model.train_step import learning_rate
from runtime.errors import InputError, OptionError
from tests.runner import message, says

ON_A_SLOW_MACHINE = run_with(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def parsed(*words):
    return OPT().update(OPT.parser('').parse_args(list(map(str, words))))


# ---- Names, types, ranges

def test_defaults_are_the_official_ones():
    opt = OPT()
    expected = dict(lr=0.0002, beta1=0, beta2=0.9, lambda_vgg=10, lambda_feat=10, lambda_kld=0.05, ngf=64, ndf=64,
                    crop_size=256, load_size=286, batchSize=1,
                    n_layers_D=4, num_D=2, niter=50, niter_decay=0, label_nc=182, z_dim=256,
                    contain_dontcare_label=True, no_instance=False, aspect_ratio=1, num_upsampling_layers='normal',
                    norm_G='spectralspadesyncbatch3x3', norm_D='spectralinstance', norm_E='spectralinstance',
                    gan_mode='hinge',
                    no_TTUR=False, no_flip=False, no_ganFeat_loss=False, preprocess_mode='resize_and_crop', output_nc=3,
                    use_vae=True, no_vgg_loss=True, seed=0, dataroot='dataset/coco_stuff/', log='log/',
                    output='output/', vggwpath='vgg/vgg19pretrain.pdparams', lastoutput='output/')
    assert {name: getattr(opt, name) for name in expected} == expected
    assert opt.semantic_nc == 184 and opt.picture_size == (256, 256) and opt.latent_size == (8, 8)


@pytest.mark.parametrize('name, near', [('crop_sise', 'crop_size'), ('batchsize', 'batchSize'), ('norm_g', 'norm_G'),
                                        ('lambda_vg', 'lambda_vgg'), ('iter', 'niter'),
                                        ('num_epochs', 'niter'), ('learning_rate', 'lr'), ('width', 'crop_size'),
                                        ('num_workers', 'nThreads'), ('batch_size', 'batchSize'),
                                        ('num_classes', 'label_nc'),
                                        ('data', 'dataroot'), ('ema', 'ema_decay'), ('n_epoch', 'niter')])
def test_unknown_names_name_the_nearest(name, near):
    for call in (lambda: OPT(**{name: 1}), lambda: setattr(OPT(), name, 1)):
        assert says(message(call), repr(name), f'did you mean {near!r}?')
    with pytest.raises(AttributeError):
        setattr(OPT(), name, 1)
    with pytest.raises(AttributeError):
        getattr(OPT(), name)


@pytest.mark.parametrize('settings', [
    dict(crop_size='128'), dict(crop_size=128.0), dict(crop_size=True), dict(lr='0.1'), dict(use_vae=1),
    dict(use_vae='true'), dict(norm_G=3), dict(dataroot=None), dict(niter=None), dict(lr=1j)])
def test_wrong_types(settings):
    (name, value), = settings.items()
    assert says(message(OPT, **settings), f'option {name}: found {value!r} ({type(value).__name__}), expected ')
    with pytest.raises(TypeError):
        OPT(**settings)
    opt = OPT()
    before = opt.as_dict()
    message(setattr, opt, name, value)
    assert opt.as_dict() == before


@pytest.mark.parametrize('settings, said', [
    (dict(crop_size=0), 'at least 1'), (dict(niter=-1), 'at least 0'), (dict(lr=float('inf')), 'finite'),
    (dict(lr=float('nan')), 'nan'), (dict(gan_mode='wgan'), 'hinge, ls, original, w'),
    (dict(aspect_ratio=0), 'at least'), (dict(beta1=1.0), 'at most'), (dict(beta2=1.0), 'at most'),
    (dict(ema_decay=1.0), 'at most'), (dict(niter=10 ** 11), 'at most'), (dict(niter_decay=10 ** 11), 'at most'),
    (dict(num_upsampling_layers='less'), 'normal, more, most'), (dict(norm_G='spade'), "unknown norm 'spade'"),
    (dict(norm_G='spectralspadesyncbatch3x5'), 'unknown norm'), (dict(norm_D='group'), "unknown norm 'group'")])
def test_wrong_values(settings, said):
    assert says(message(OPT, **settings), f'option {next(iter(settings))}: ', said)


def test_whole_numbers_are_numbers_too():
    opt = OPT(lr=1, crop_size=np.int64(128))
    assert (opt.lr, type(opt.lr), type(opt.crop_size)) == (1.0, float, int)


def test_runs_do_not_share_settings():
    one, other = OPT(ngf=8), OPT()
    one.crop_size = 128
    assert (other.ngf, other.crop_size) == (64, 256)


# ---- Derived

@pytest.mark.parametrize('settings, betas', [
    ({}, (0.0, 0.9)), (dict(no_TTUR=True), (0.5, 0.999)), (dict(no_TTUR=True, beta1=0.0), (0.0, 0.999)),
    (dict(beta2=0.999), (0.0, 0.999)), (dict(beta1=0.0, beta2=0.9, no_TTUR=True), (0.0, 0.9))])
def test_betas_follow_ttur_unless_given(settings, betas):
    opt = OPT(**settings)
    assert (opt.beta1, opt.beta2) == betas
    assert (OPT(**opt.as_dict()).beta1, OPT(**opt.as_dict()).beta2) == betas


def test_ttur_switched_later():
    opt = OPT()
    opt.no_TTUR = True
    assert (opt.beta1, opt.beta2) == (0.5, 0.999)


@pytest.mark.parametrize('dontcare, no_instance, channels', [(True, False, 184), (True, True, 183), (False, False, 183),
                                                             (False, True, 182)])
def test_semantic_channels(dontcare, no_instance, channels):
    opt = OPT(semantic_nc=channels, contain_dontcare_label=dontcare, no_instance=no_instance)
    assert opt.semantic_nc == channels
    assert says(message(OPT, semantic_nc=channels + 1, contain_dontcare_label=dontcare, no_instance=no_instance),
                f'semantic_nc: found {channels + 1}', f'give {channels}', 'omit it')
    assert 'semantic_nc' not in opt.as_dict()


@pytest.mark.parametrize('settings, picture, latent', [
    (dict(crop_size=512, aspect_ratio=2), (256, 512), (8, 16)), (dict(crop_size=64), (64, 64), (2, 2)),
    (dict(num_upsampling_layers='more'), (256, 256), (4, 4)), (dict(num_upsampling_layers='most'), (256, 256), (2, 2)),
    (dict(aspect_ratio=0.5, crop_size=32), (64, 32), (2, 1)), (dict(aspect_ratio=4 / 3), (192, 256), (6, 8))])
def test_sizes(settings, picture, latent):
    opt = OPT(**settings)
    assert (opt.picture_size, opt.latent_size) == (picture, latent)


@pytest.mark.parametrize('settings', [dict(crop_size=48), dict(aspect_ratio=1.5), dict(crop_size=64, aspect_ratio=200),
                                      dict(crop_size=64, num_upsampling_layers='most')])
def test_sizes_that_do_not_double(settings):
    assert says(message(lambda: OPT(**settings).latent_size), 'multiples of', '--crop_size', 'num_upsampling_layers')


HD = dict(netG='pix2pixhd')


@ON_A_SLOW_MACHINE
@given(st.integers(1, 3000), st.floats(0.1, 10), st.integers(1, 3000), st.sampled_from(list(UPSAMPLINGS)),
       st.sampled_from([{}, HD, {**HD, 'resnet_n_downsample': 2, 'resnet_kernel_size': 9},
                        {**HD, 'resnet_n_downsample': 1, 'resnet_kernel_size': 1, 'resnet_initial_kernel_size': 15}]),
       st.sampled_from(OPT.preprocess_mode.choices))
def test_the_sizes_that_a_refusal_names_work(crop_size, aspect_ratio, load_size, layers, generator, mode):
    """Whatever the sizes: they are accepted, or the flags of the refusal are, added to the same command."""
    opt = OPT(crop_size=crop_size, aspect_ratio=aspect_ratio, load_size=load_size, num_upsampling_layers=layers,
              preprocess_mode=mode, **generator)
    wrong = sizes.wrong(opt)
    height, width = opt.picture_size
    multiple = 2 ** (opt.resnet_n_downsample if generator else UPSAMPLINGS[layers])
    least = max(multiple * (opt.resnet_kernel_size // 2 + 1), opt.resnet_initial_kernel_size // 2 + 1,
                4) if generator else multiple
    assert bool(wrong) == (width % multiple > 0 or height % multiple > 0 or min(width, height) < least or
                           load_size < sizes.least_load_size(opt, width, height) or
                           mode in sizes.UNCROPPED and load_size > sizes.least_load_size(opt, width, height))
    if wrong:
        flags = wrong.split('nearest that works: ')[1]
        assert not sizes.wrong(opt.update(OPT.parser('').parse_args(flags.split())))
        assert min(width, height) < least or max(opt.crop_size / width, width / opt.crop_size) <= 2, 'near'


def test_a_shape_is_kept_where_it_can_be():
    assert sizes.nearest(256, 171, 32) == (288, 192)
    assert sizes.flags(OPT(), 288, 192) == '--crop_size 288 --aspect_ratio 1.5 --load_size 322'


def test_norms():
    assert OPT().generator_norm == SpadeNorm(True, 'syncbatch', 3)
    assert OPT(norm_G='spadeinstance5x5').generator_norm == SpadeNorm(False, 'instance', 5)
    assert OPT(norm_D='spectralsync_batch').discriminator_norm == LayerNorm(True, 'syncbatch')
    assert OPT(norm_E='none').encoder_norm == LayerNorm(False, 'none')
    assert OPT(netG='pix2pixhd').generator_norm == LayerNorm(True, 'syncbatch')


# ---- Files and presets

def test_saved_and_loaded(tmp_path):
    opt = OPT(crop_size=128, lr=1e-3, use_vae=False, no_TTUR=True, dataroot=tmp_path / 'set', max_dataset_size=7)
    opt.save(tmp_path / 'opt.json')
    assert OPT.load(tmp_path / 'opt.json').as_dict() == opt.as_dict()
    assert list(opt.as_dict()) == list(OPT.fields())


@pytest.mark.parametrize('content',
                         ['', '{', '[]', '3', '{"crop_size": "wide"}', '{"crop_sise": 3}', '\ud800', '{"self": 1}',
                                     '[' * 100000, '{"crop_size": %s}' % ('9' * 5000), '{"crop_size": 1e9}',
                                     '{"crop_size": 1000000000}', '{"nThreads": 1000000}', '{"dataroot": "a\\u0000b"}',
                                     '{"dataroot": "\\ud800"}', '{"lr": NaN}', '{"lr": 1e999}', '{"lr": null}',
                          '{"lr": [[1]]}',
                                     '{"label_nc": 1000000000}', '{"semantic_nc": "x"}',
                          '{"semantic_nc": 6, "label_nc": 3}'])
def test_files_other_than_options(tmp_path, content):
    path = tmp_path / 'opt.json'
    path.write_bytes(content.encode('utf8', 'surrogatepass'))
    said = message(OPT.load, path)
    assert said.startswith(f'{path}: ') and len(said) < 500


@ON_A_SLOW_MACHINE
@given(st.dictionaries(st.sampled_from([*OPT.fields(), 'semantic_nc', 'other']), st.none() | st.booleans() |
                               st.integers() | st.floats() | st.text() | st.just([])))
def test_any_options_in_a_file_are_options_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / 'opt.json'
    path.write_text(json.dumps(content))
    try:
        opt = OPT.load(path)
    except InputError as error:
        assert str(error).startswith(f'{path}: ') and '\n' not in str(error)
    else:
        assert {name: getattr(opt, name) for name in content} == content


def test_no_file(tmp_path):
    assert says(message(OPT.load, tmp_path / 'opt.json'), tmp_path / 'opt.json', 'missing')


@pytest.mark.parametrize('name', PRESETS)
def test_presets(name):
    opt = OPT.preset(name)
    assert all(getattr(opt, key) == value for key, value in PRESETS[name].items())
    assert opt.differences(OPT.preset(name)) == {} and opt.latent_size
    assert OPT.preset(name, batchSize=3).differences(opt) == {'batchSize': (3, opt.batchSize)}


def test_the_paper_s_preset():
    opt = OPT.preset('coco_stuff_paper')
    assert (opt.niter, opt.batchSize, opt.beta1, opt.beta2, opt.use_vae,
            opt.no_vgg_loss) == (100, 32, 0, 0.9, False, False)
    assert says(message(OPT.preset, 'coco'), "'coco'", 'coco_stuff_paper', 'demo')


@pytest.mark.parametrize('name', [name for name in PRESETS if name.endswith('_paper')])
def test_presets_have_the_settings_of_the_published_numbers(name):
    """beta2 0.9 (an author, NVlabs/SPADE issue 50, quoted in 88) and batch 32 (paper, appendix A), for every data set.
    """
    opt = OPT.preset(name)
    assert (opt.beta1, opt.beta2, opt.batchSize, opt.lr, opt.no_TTUR) == (0, 0.9, 32, 0.0002, False)


def test_differences_leave_out_what_changes_nothing_learned():
    assert OPT(output='a', log='b', nThreads=3, amp='bfloat16', dataroot='c', print_freq=1).differences(OPT()) == {}
    assert OPT(lr=1.0, ngf=3, seed=4).differences(OPT()) == {'lr': (1.0, 0.0002), 'ngf': (3, 64), 'seed': (4, 0)}
    assert OPT(amp='bfloat16', ngf=3).differences(OPT(), ['bits']) == {'amp': ('bfloat16', 'none')}


def test_every_option_has_an_effect():
    """A new option must state the effect of another value on a resumed run, and be entered here."""
    expected = {
        'networks': 'netG label_nc contain_dontcare_label no_instance output_nc crop_size aspect_ratio ngf '
        'resnet_n_downsample resnet_n_blocks resnet_kernel_size resnet_initial_kernel_size '
        'num_upsampling_layers norm_G '
                    'ndf num_D n_layers_D norm_D generator_input use_vae z_dim norm_E activation attention',
        'order': 'seed',
        'learned': 'gan_mode no_ganFeat_loss lambda_feat no_vgg_loss lambda_vgg vgg_taps lambda_kld batchSize '
        'accumulate niter '
                   'niter_decay lr no_TTUR beta1 beta2 ema_decay D_steps_per_G preprocess_mode load_size no_flip',
        'bits': 'modulation cpu_kernels cpu_precision amp cudnn recompute',
        'free': 'vggwpath dataroot nThreads max_dataset_size output lastoutput log size print_freq display_freq '
        'save_latest_freq '
                'save_epoch_freq score_epoch_freq score_by dataset watch_port scoring visualdl',
    }
    assert expected.keys() == EFFECTS.keys()
    found = {effect: {name for name, option in OPT.fields().items() if option.effect == effect} for effect in EFFECTS}
    assert found == {effect: set(names.split()) for effect, names in expected.items()}


# ---- Command line

def test_every_field_is_a_flag_with_a_line_of_help():
    parser = OPT.parser('')
    text = ' '.join(parser.format_help().split())
    for name, option in OPT.fields().items():
        assert f'--{name} ' in text
        value = getattr(OPT(), name)
        again = parsed(f'--{name}', str(value).lower() if option.kind is bool else value)
        assert getattr(again, name) == value and option.help


def test_a_script_offers_what_changes_something_there(capsys):
    parser = OPT.parser('', ['crop_size', 'use_vae', 'lastoutput'], defaults='the checkpoint\'s')
    text = ' '.join(parser.format_help().split())
    assert says(text, 'width of the picture, in pixels [the checkpoint\'s]', 'default: output', 'networks:')
    assert not any(f'--{name} ' in text for name in OPT.fields() if name not in ('crop_size', 'use_vae', 'lastoutput'))
    assert parser.parse_args(['--crop_size', '64', '--use_vae']).crop_size == '64'
    for words, said in ((['--lr', '0.1'], '--lr is an option of train.py and changes nothing here: omit it;'),
                        (['--output=x'], '(or was --lastoutput meant?)'),
                        (['--crop_sise', '3'], "did you mean 'crop_size'?")):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(words)
        error = capsys.readouterr().err
        assert caught.value.code == 2 and error.count('\n') == 1 and says(error, 'error: ', said, '--help lists all')


def test_help_has_the_flags_of_the_device_in_one_place():
    text = OPT.parser('').format_help().split('device, precision and speed:')[1].split('\n\n')[0]
    assert says(text, '--cpu_kernels', '--cpu_precision', '--amp', '--modulation', '--recompute', '--watch_port')


@pytest.mark.parametrize('words, value', [
    (['--use_vae', 'false'], False), (['--use_vae', 'No'], False), (['--use_vae', '0'], False),
    (['--use_vae', 'TRUE'], True), (['--use_vae'], True), (['--use_vae=yes'], True), ([], True)])
def test_booleans(words, value):
    assert parsed(*words).use_vae is value


def test_only_given_flags_are_set():
    arguments = OPT.parser('').parse_args(['--crop_size', '128', '--lr', '1e-4', '--no_instance'])
    assert vars(arguments).keys() == {'crop_size', 'lr', 'no_instance'}
    opt = OPT.preset('demo').update(arguments)
    assert (opt.crop_size, opt.lr, opt.no_instance, opt.ngf) == (128, 1e-4, True, 16)
    assert isinstance(arguments, argparse.Namespace)


@pytest.mark.parametrize('words, said', [
    (['--crop_sise', '64'], ("'crop_sise'", "'crop_size'")), (['--crop', '64'], ("'crop'",)), (['64'], ("'64'",)),
    (['--crop_size'], ('--crop_size', 'expected'))])
def test_wrong_flags_end_in_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*words)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.startswith('error: ') and error.count('\n') == 1
    assert says(error, *said)


@pytest.mark.parametrize('words, said', [
    (['--crop_size', 'wide'], ('--crop_size', "'wide'", 'whole number')), (['--lr', 'x'], ('--lr', 'a number')),
    (['--use_vae', '2'], ('--use_vae', 'true or false')), (['--crop_size', '-5'], ('crop_size', 'at least 1')),
    (['--gan_mode', 'x'], ('gan_mode', "'x'"))])
def test_wrong_values_of_flags(words, said):
    assert says(message(parsed, *words), *said)
    assert issubclass(OptionError, InputError)


# ---- Learning rate

def official_rates(lr, niter, niter_decay):
    """Trainers/pix2pix_trainer.py, update_learning_rate, called after each epoch: the rate of each epoch."""
    rates, old = [], lr
    for epoch in range(1, niter + niter_decay + 1):
        rates.append(old)
        if epoch > niter:
            old -= lr / niter_decay
    return rates


@pytest.mark.parametrize('niter, niter_decay', [(5, 0), (3, 4), (0, 5), (100, 100), (2, 1)])
def test_learning_rate_is_the_official_one(niter, niter_decay):
    """Its off-by-one included: the first epoch of the decay still has the full rate."""
    opt = OPT(niter=niter, niter_decay=niter_decay, lr=0.0002)
    rates = [learning_rate(opt, epoch) for epoch in range(1, opt.epochs + 1)]
    assert rates == pytest.approx(official_rates(opt.lr, niter, niter_decay), rel=1e-9)
    assert rates[:niter + 1] == [opt.lr] * len(rates[:niter + 1])
