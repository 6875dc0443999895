"""val.py and predict.py on small trained models."""
import os
import re
import shutil
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.init import OPT
from predict import check_arguments, resized, single_job
from tests.runner import VALIDATION, contents, says
from val import command_line

NAMES = ['000', '001', '002']


def pixels(path):
    return np.array(Image.open(path), np.float32)


def drawn(scripts, model, results, *flags, fresh=False):
    """dict: name -> pixels of the PNG files that val.py writes."""
    process = scripts.run('val.py', '--lastoutput', model / 'output', '--results', results, '--png', *flags,
                          fresh=fresh)
    assert process.returncode == 0, process.stderr
    assert f'3 pictures in {results}/pics' in process.stdout
    return {name: pixels(Path(results, 'pics', f'{name}.png')) for name in NAMES}


def predicted(scripts, model, out, *flags, label=None, instance=None):
    label, instance = label or scripts.data / 'val_label/001.png', instance or scripts.data / 'val_inst/001.png'
    process = scripts.run('predict.py', '--lastoutput', model / 'output', '--label', label, '--instance', instance,
                          '--out', out, *flags)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1].split(';')[0] == f'{out}: 32 wide and 32 high'
    return pixels(out)


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# ---- val.py

@pytest.fixture(scope='module')
def validation(scripts, trained, tmp_path_factory):
    """(folder, pictures) of the model without style encoder, one by one."""
    folder = tmp_path_factory.mktemp('validation')
    return folder, drawn(scripts, trained, folder, fresh=True)


def test_every_sample_once(validation):
    folder, pictures = validation
    files = [f'{name}.{ending}' for name in NAMES for ending in ('jpg', 'png')]
    assert sorted(os.listdir(folder / 'pics')) == ['.lock', *files, 'painted.json']
    for name in NAMES:
        assert pictures[name].shape == (32, 32, 3)
        assert np.abs(pictures[name] - pixels(folder / f'pics/{name}.jpg')).mean() < 4    # JPEG, quality 95
    assert not np.array_equal(pictures['000'], pictures['001'])


def test_the_same_command_gives_the_same_bytes(scripts, trained, validation, tmp_path):
    drawn(scripts, trained, tmp_path)
    assert contents(tmp_path) == contents(validation[0])


@pytest.mark.parametrize('flags', [('--batchSize', 2), ('--batchSize', 3, '--nThreads', 1), ('--max_dataset_size', 3)])
def test_batches_and_workers_change_nothing(scripts, trained, validation, tmp_path, flags):
    """Up to rounding, since a batch sums in another order."""
    pictures = drawn(scripts, trained, tmp_path, *flags)
    assert all(np.abs(pictures[name] - validation[1][name]).max() <= 1 for name in NAMES)


def test_a_limit_is_said_in_a_line_of_its_own(scripts, trained, tmp_path):
    process = scripts.run('val.py', '--lastoutput', trained / 'output', '--results', tmp_path, '--max_dataset_size', 2)
    assert process.returncode == 0, process.stderr
    assert f'\nonly the first 2 of {VALIDATION} validation samples' in process.stdout and says(
        process.stdout, f'--max_dataset_size {VALIDATION} takes all', f'2 pictures in {tmp_path}/pics')


def test_without_a_style_encoder_no_photo_is_read(scripts, trained, validation, tmp_path):
    data = without_photos(scripts, tmp_path)
    assert equal(drawn(scripts, trained, tmp_path / 'results', '--dataroot', data), validation[1])


def without_photos(scripts, tmp_path):
    shutil.copytree(scripts.data, tmp_path / 'set')
    shutil.rmtree(tmp_path / 'set/val_img')
    return tmp_path / 'set'


def test_styles(scripts, styled, tmp_path):
    """The photo's style or a random one: the same every time, another with another seed, alone or in a batch."""
    runs = {'photo': (), 'again': ('--style', 'photo'), 'random': ('--style', 'random'),
            'seed': ('--style', 'random', '--seed', 1, '--batchSize', 3),
            'batch': ('--style', 'random', '--batchSize', 3)}
    pictures = {name: drawn(scripts, styled, tmp_path / name, *flags) for name, flags in runs.items()}
    assert equal(pictures['photo'], pictures['again'])
    for one, other in (('photo', 'random'), ('random', 'seed')):
        assert not any(np.array_equal(pictures[one][name], pictures[other][name]) for name in NAMES)
    assert all(np.abs(pictures['random'][name] - pictures['batch'][name]).max() <= 1 for name in NAMES)


def test_random_styles_need_no_photos(scripts, trained_vae, tmp_path):
    data = without_photos(scripts, tmp_path)
    drawn(scripts, trained_vae, tmp_path / 'results', '--dataroot', data, '--style', 'random')
    said = scripts.refusal('val.py', '--lastoutput', trained_vae / 'output', '--dataroot', data,
                           '--results', tmp_path / 'none')
    assert says(said, data / 'val_img', '--style random')
    assert not (tmp_path / 'none').exists()


def test_a_missing_checkpoint(scripts, tmp_path):
    label = scripts.data / 'val_label/000.png'
    for script in (['val.py', '--results', tmp_path / 'results'], ['predict.py', '--label', label]):
        assert says(scripts.failure(*script, '--lastoutput', tmp_path / 'output'), tmp_path / 'output',
                    'no such folder', 'python train.py', '--lastoutput')
    assert contents(tmp_path) == {}


@pytest.mark.parametrize('flags, said', [
    (('--crop_size', 64), ('--crop_size is an option of train.py and changes nothing here: omit it',)),
    (('--no_instance', 'true', '--label_nc', 3), ('--no_instance is an option of train.py',)),
    (('--ngf', 2), ('--ngf is an option of train.py and changes nothing here: omit it',)),
    (('--lr=0.1', '--niter', 3), ('--lr is an option of train.py', 'omit it')),
    (('--output', 'output/'), ('--output is', 'was --lastoutput meant?')),
    (('--batchSize', 0), ('batchSize', 'at least 1')),
    (('--style', 'sketch'), ('--style', "'sketch'", 'random')), (('--stile', 'photo'), ("'stile'", "'style'")),
    (('--which_epoch', 'last'), ('--which_epoch', "'last'")),
    (('--which_epoch', 7), ('--which_epoch 7', 'epoch_7 is missing', 'has those of epochs 1, 2')),
    (('--dataroot', '/nowhere'), ('/nowhere/val_label', 'missing folder'))])
def test_contradictions_are_refused(scripts, trained, tmp_path, flags, said):
    results = tmp_path / 'results'
    assert says(scripts.refusal('val.py', '--lastoutput', trained / 'output', '--results', results, *flags), *said)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize('script', [('val.py',), ('predict.py',), ('-m', 'model.export', 'onnx')], ids=' '.join)
def test_help_shows_only_accepted_flags(scripts, script):
    """The checkpoint has the settings that shape the networks; their flags are neither shown nor accepted."""
    process = scripts.run(*script, '--help')
    shown = set(re.findall(r'^  --(\w+)', process.stdout, re.M))
    assert process.returncode == 0 and {'lastoutput', 'which_epoch', 'weights'} <= shown, process.stderr
    assert not shown & set(OPT.network_fields())


@pytest.mark.parametrize('flags, named', [
    (('--scoring', 'a', '--dataset', 'own', '--no_fid'), '--scoring, --dataset, --no_fid'), (('--size', '64x64'), ''),
    (('--scores', 'mine', '--protocol', 'full_size', '--allow-missing'), '--protocol, --scores, --allow-missing')])
def test_flags_of_scores_are_named_without_scores(monkeypatch, capsys, flags, named):
    for more in ((), ('--score',)):
        monkeypatch.setattr(sys, 'argv', ['val.py', *flags, *more])
        command_line()
        assert capsys.readouterr().out == (f'{named} ignored without --score\n' if named and not more else '')


def test_weights_that_are_not_finite_are_named(scripts, trained, tmp_path):
    shutil.copytree(trained / 'output/epoch_2', tmp_path / 'weights')
    path = tmp_path / 'weights/n_g.pdparams'
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert says(scripts.refusal('val.py', '--lastoutput', tmp_path / 'weights', '--results', tmp_path), path,
                'cannot be read')
    path.write_bytes(whole)
    (tmp_path / 'weights/opt.json').unlink()
    assert says(scripts.refusal('val.py', '--lastoutput', tmp_path / 'weights', '--results', tmp_path),
                tmp_path / 'weights/opt.json', 'missing')


# ---- predict.py

def test_a_prediction_is_the_validation_picture(scripts, trained, validation, tmp_path):
    assert np.array_equal(predicted(scripts, trained, tmp_path / 'one.png'), validation[1]['001'])
    predicted(scripts, trained, tmp_path / 'one.jpg')
    one, other = (np.array(Image.open(path)) for path in (tmp_path / 'one.jpg', validation[0] / 'pics/001.jpg'))
    assert np.array_equal(one, other)
    assert sorted(os.listdir(tmp_path)) == ['one.jpg', 'one.png']


def random_maps(folder, size):
    """Flags of a label map and an instance map in `folder`."""
    for name in ('label', 'instance'):
        Image.fromarray(np.random.default_rng(0).integers(0, 9, size[::-1], np.uint8)).save(folder / f'{name}.png')
    return '--label', folder / 'label.png', '--instance', folder / 'instance.png'


@pytest.mark.parametrize('size, said', [
    ((32, 32), ''), ((64, 64),
                     '; the label map was 64 wide and 64 high, resized to the size of this model, 32 wide and 32 high'),
    ((200, 31), '; the label map was 200 wide and 31 high, resized to the size of this model, 32 wide and 32 high, '
     'which distorts shapes')])
def test_label_maps_of_any_size(scripts, trained, tmp_path, size, said):
    process = scripts.run('predict.py', '--lastoutput', trained / 'output', *random_maps(tmp_path, size), '--out',
                          tmp_path / 'out.png')
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == f'{tmp_path}/out.png: 32 wide and 32 high{said}'


@pytest.mark.parametrize('sizes, said', [
    ([(32, 32)] * 3, ''), ([(32, 32), (64, 64)], '; 1 label map was 64 wide and 64 high, resized'),
    ([(32, 32), (64, 64), (16, 16)], '; 2 label maps were 16 wide and 16 high to 64 wide and 64 high, resized'),
    ([(64, 96)] * 2, '; 2 label maps were 96 wide and 64 high, resized'), ([(64, 96)], 'which distorts shapes'),
    ([], '')])
def test_a_folder_of_maps_reports_what_was_resized(sizes, said):
    found = resized(OPT(crop_size=32), sizes)
    assert says(found, said) and bool(found) == bool(said)


def test_prediction_takes_the_style_of_a_photo(scripts, styled, tmp_path):
    photos = [('--style_photo', scripts.data / f'val_img/00{index}.png') for index in (0, 2)]
    one, again, other, seeded, seed = (predicted(scripts, styled, tmp_path / f'{index}.png', *flags) for index, flags in
                                       enumerate((photos[0], photos[0], photos[1], (), ('--seed', 3))))
    assert np.array_equal(one, again)
    for two in ((one, other), (one, seeded), (seeded, seed)):
        assert not np.array_equal(*two)


def test_a_name_with_a_line_break_is_printed_in_one_line(scripts, trained, tmp_path):
    process = scripts.run('predict.py', '--lastoutput', trained / 'output', *random_maps(tmp_path, (32, 32)), '--out',
                          tmp_path / 'a\nb.png')
    assert process.stdout.splitlines()[-1] == f'{tmp_path}/a\\nb.png: 32 wide and 32 high', process.stderr


def test_default_name(scripts, trained, tmp_path):
    """Beside nothing: <label>_painted.jpg in the current folder."""
    process = scripts.run(scripts.REPOSITORY / 'predict.py', '--lastoutput', trained / 'output', '--label',
                          scripts.data / 'val_label/001.png',
                          '--instance', scripts.data / 'val_inst/001.png', cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / '001_painted.jpg').exists() and '001_painted.jpg: 32 wide' in process.stdout


PREDICTIONS = [
    (dict(label='val_label/none.png'), ('val_label/none.png', 'unreadable')),
    (dict(label='val_img/001.png'), ('val_img/001.png', 'map the colours to ids')),
    (dict(instance=None), ('its instance map is missing', '--instance')),
    (dict(instance='other.png'), ('different sizes', 'other.png is 5 wide and 4 high')),
    (dict(style_photo='val_img/001.png'), ('--style_photo', 'no style encoder')),
    (dict(out='picture.gif'), ('--out picture.gif', '.jpg or .png')),
    (dict(out='val_label/001.png'), ('--out', 'would replace an input')),
]


@pytest.mark.parametrize('changes, said', PREDICTIONS, ids=[next(iter(changes)) for changes, _ in PREDICTIONS])
def test_bad_predictions(scripts, trained, tmp_path, changes, said):
    data = tmp_path / 'set'
    shutil.copytree(scripts.data, data)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(data / 'other.png')
    before = contents(tmp_path)
    arguments = {'label': 'val_label/001.png', 'instance': 'val_inst/001.png', 'out': 'out.png', **changes}
    flags = [f'--{name}={value if value == "picture.gif" else data / value}'
             for name, value in arguments.items() if value]
    assert says(scripts.refusal('predict.py', '--lastoutput', trained / 'output', *flags), *said)
    assert contents(tmp_path) == before


def test_wrong_names_and_flags_are_refused_before_weights_are_read(scripts, tmp_path):
    label, weights = scripts.data / 'val_label/001.png', ('--lastoutput', tmp_path / 'none')
    for flags, said in ((('--label', tmp_path / 'map.png'), [tmp_path / 'map.png', 'no such file']),
                        (('--label', label, '--between', label, tmp_path / 'b.jpg'), [tmp_path / 'b.jpg']),
                        (('--label', label, '--style_photo', tmp_path / 'c.jpg'), [tmp_path / 'c.jpg']),
                        (('--label', label, '--styles', 0), ['--styles 0']),
                        (('--label', label, '--styles', 2, '--style', 'random'), ['give only one']),
                        (('--label', label, '--png'), ['none: no such folder'])):
        assert says(scripts.refusal('predict.py', *weights, *flags), *said)


def test_flags_that_a_prediction_does_not_read_are_named(scripts, tmp_path, capsys):
    given = Namespace(label=str(scripts.data / 'val_label/001.png'), out=str(tmp_path / 'a.jpg'), png=True, steps=9,
                      **dict.fromkeys(('instance', 'style', 'style_photo', 'styles', 'between')))
    check_arguments(given)
    single_job(given)
    assert capsys.readouterr().out.splitlines() == [
        '--steps ignored without --between', f'--png ignored: --out {tmp_path}/a.jpg names the format']
    given.out, given.steps = str(tmp_path / 'a.PNG'), 7
    check_arguments(given)
    single_job(given)
    assert not capsys.readouterr().out


def test_a_label_is_needed(scripts):
    assert says(scripts.refusal('predict.py'), '--label')


def test_a_picture_that_cannot_be_written(scripts, trained, tmp_path):
    (tmp_path / 'file').write_text('')
    said = scripts.refusal('predict.py', '--lastoutput', trained / 'output', '--label',
                           scripts.data / 'val_label/001.png',
                           '--instance', scripts.data / 'val_inst/001.png', '--out', tmp_path / 'file' / 'out.png')
    assert says(said, tmp_path / 'file', 'cannot be written')
    said = scripts.refusal('val.py', '--lastoutput', trained / 'output', '--results', tmp_path / 'file')
    assert says(said, tmp_path / 'file', 'cannot be written')


def test_instance_maps_are_ignored_by_a_model_without(scripts, plain_model, tmp_path):
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / 'map.png')
    process = scripts.run('predict.py', '--lastoutput', plain_model / 'output', '--label', tmp_path / 'map.png',
                          '--instance', tmp_path / 'map.png', '--out', tmp_path / 'out.png')
    assert process.returncode == 0 and says(process.stdout, '--instance ignored', tmp_path / 'out.png'), process.stderr
