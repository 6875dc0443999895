"""train.py from outside: its output and files, and one line for each kind of bad input."""
import os
import re
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from PIL import Image

from log import plan, progress
from model.init import OPT
from model.train_step import LOG_COLUMNS, TrainStep
from model.version import __version__
from model.weights import load_networks, read_weights, save_weights
from runtime import memory
from tests.runner import REPOSITORY, contents, message, says
from vgg.vgg19 import VGG19Features

OPENING = (REPOSITORY / 'train.py').read_text().splitlines()[0].strip('"')


@pytest.fixture
def data(tiny_set, tmp_path):
    """A copy of the data set that the test may spoil."""
    shutil.copytree(tiny_set, tmp_path / 'set')
    return tmp_path / 'set'


# ---- A good run

def test_what_a_run_prints(trained, scripts):
    lines = [line for line in (trained / 'said').read_text().splitlines() if not line.startswith('CPU kernels: built')]
    assert says(lines[0], 'settings: label_nc 9 (default: 182)', 'niter 2 (default: 50)') and 'preset' not in lines[0]
    assert says(lines[1], 'device: ', 'threads', 'Paddle')
    assert says(lines[2], f'data: 13 samples in {scripts.data}; pictures 32 wide and 32 high')
    assert says(lines[3], 'plan: 2 epochs of 6 steps, batch 2 (batchSize 2); each epoch skips 1 samples')
    space = re.match(rf'space: a checkpoint in {re.escape(str(trained))}/output takes (\S+) MB, of which (\S+) MB are '
                     'weights; the disk will hold two, and the weights of every 1 epochs', lines[4])
    whole, weights = map(float, space.groups())
    sizes = {path.suffix: 0 for path in (trained / 'output/model').iterdir()}
    for path in (trained / 'output/model').iterdir():
        sizes[path.suffix] += path.stat().st_size / 1e6
    assert sizes['.pdparams'] == pytest.approx(weights, rel=0.2)      # names and heads of the files beside tiny arrays
    assert sizes['.pdparams'] + sizes['.pdopt'] == pytest.approx(whole, rel=0.2)
    steps = [line for line in lines if line.startswith('epoch ')]
    assert len(steps) == 12
    number = r'-?\d+\.\d+'
    losses = ', '.join(f'{name}: {number}' for name in LOG_COLUMNS)
    assert re.fullmatch(rf'epoch 2, step 12/12, {losses}, avg_reader_cost: {number} sec, avg_batch_cost: {number} sec, '
                        rf'avg_ips: {number} images/sec, left: 0:00:00', steps[-1])
    assert says(lines[-1], 'done: 2 epochs; 0:', ' since this start', trained / 'output/pics', 'python -m log.plot',
                'python val.py')
    assert [line for line in lines if not line.startswith('epoch ')] == lines[:5] + lines[-1:]    # and nothing else


def test_printed_commands_run_where_they_are_printed(scripts, tmp_path):
    """In another folder than the checkout, with data set, output and log relative to it; val.py from a third folder.
    """
    shutil.copytree(scripts.data, tmp_path / 'here/my set')
    training = scripts.training('.', dataroot='my set', output='my run', log='my log', niter=1, max_dataset_size=2)
    said = scripts.run(scripts.REPOSITORY / training[0], *training[1:], cwd=tmp_path / 'here')
    assert said.returncode == 0, said.stderr
    for command in re.findall(r'(?:PYTHONPATH=|python )[^;\n]*', said.stdout.splitlines()[-1]):
        words = shlex.split(command.replace('python ', f'{shlex.quote(sys.executable)} ', 1))
        assert subprocess.run(['env', *words], cwd=tmp_path / 'here', env=scripts.environment).returncode == 0, command
    assert (tmp_path / 'here/my log/log.png').exists() and list((tmp_path / 'here/output_val/pics').iterdir())
    (tmp_path / 'there').mkdir()
    said = scripts.run(scripts.REPOSITORY / 'val.py', '--lastoutput', '../here/my run', cwd=tmp_path / 'there')
    assert said.returncode == 0 and says(said.stdout, tmp_path / 'here/my set', 'not in this folder'), said.stderr
    refused = scripts.run(scripts.REPOSITORY / 'train.py', '--no_vgg_loss', 'false', '--dataroot', '../here/my set',
                          cwd=tmp_path / 'there')
    assert says(refused.stderr, f'`PYTHONPATH={shlex.quote(str(scripts.REPOSITORY))} python -m vgg.fetch`')


def test_print_freq(scripts, tmp_path):
    """A line every print_freq steps, and one at the end."""
    said = scripts.trained(tmp_path, niter=1, print_freq=4)
    assert re.findall(r'step (\d+)/6', said) == ['1', '4', '6']     # the first at once


def test_slow_steps_print_a_line_every_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress, 'time', SimpleNamespace(perf_counter=lambda: now[0]))
    report = progress.Progress(0, 100, 2, print_freq=50)
    for _ in range(7):
        now[0] += 25
        report.done(1, {})
    assert re.findall(r'step (\d+)/100.*avg_batch_cost: 25.0', capsys.readouterr().out) == ['1', '3', '6']


@pytest.mark.parametrize('seconds, days', [(500, ''), (1000, ''), (3000, '1.0'), (4000, '1.3')])
def test_a_run_of_more_than_a_day_prints_how_to_shorten_it(monkeypatch, seconds, days):
    now, said = [0.0], []
    monkeypatch.setattr(progress, 'time', SimpleNamespace(perf_counter=lambda: now[0]))
    report = progress.Progress(10, 42, 2, print_freq=50)
    for step in range(5):
        now[0] += seconds * (1 if step else 9)      # the first is slower, and does not count
        report.done(1, {})
        if report.seconds_left() is not None:
            said.append(plan.shorter(OPT(batchSize=4), 5000, report.seconds_left()))
    assert len(said) == 1 and bool(said[0]) == bool(days)
    assert not days or says(said[0], f'takes {days} days', '--niter', '--max_dataset_size 1000',
                            '--crop_size 128 --load_size 143', '--ngf 32')


@pytest.mark.parametrize('options, ways', [
    (dict(batchSize=32, cpu_kernels=False),
     ['--batchSize 16 --accumulate 2', '--recompute true', '--crop_size (now 256)', '--ngf (64)']),
    (dict(batchSize=3, accumulate=2), ['--batchSize 1 --accumulate 6']),
    (dict(batchSize=1, cpu_kernels=False), ['--recompute true', '--crop_size'])])
@pytest.mark.parametrize('error',
                         [MemoryError(), MemoryError('(ResourceExhausted) Fail to alloc memory of 268435456 size'),
                                   RuntimeError('\n\nResourceExhaustedError: \n\nOut of memory error on GPU 0. Cannot '
                                                'allocate 3 GB'),
                                   RuntimeError('(External) CUDNN error(4), CUDNN_STATUS_ALLOC_FAILED.'),
                          SystemError('std::bad_alloc'),
                                   OSError(12, 'Cannot allocate memory')], ids=str)
def test_lack_of_memory_prints_what_to_lower(error, options, ways):
    def work():
        with memory.enough(plan.smaller(OPT(**options))):
            raise error
    assert says(message(work), 'out of memory (', 'checkpoints remain', *ways)


@pytest.mark.parametrize('error', [RuntimeError('cuDNN has no such algorithm'), OSError(28, 'No space left on device'),
                                   ValueError('x')])
def test_other_errors_are_not_mistaken_for_lack_of_memory(error):
    with pytest.raises(type(error)) as caught, memory.enough('lower it'):
        raise error
    assert caught.value is error


def test_a_training_that_runs_out_of_memory_ends_in_a_line(scripts, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainStep, '_losses_d', lambda *micro_batch: paddle.zeros([1 << 20, 1 << 20, 1 << 10]))
    said = scripts.train_refusal(tmp_path, niter=1)
    assert says(said, 'out of memory', '--batchSize 1 --accumulate 2', '--crop_size')


def test_files_of_a_run(trained):
    output = trained / 'output'
    assert sorted(os.listdir(output)) == ['.lock', 'checkpoints', 'current_epoch.npy', 'epoch_1', 'epoch_2', 'model',
                                          'pics']
    assert sorted(os.listdir(output / 'pics')) == ['1_1.jpg', '1_5.jpg', '2_10.jpg', 'val_0001.jpg', 'val_0002.jpg']
    # label map, generated, photo: three columns with gaps of 4 pixels; a row for each sample
    assert Image.open(output / 'pics/1_5.jpg').size == (3 * 32 + 2 * 4, 2 * 32 + 4)
    assert Image.open(output / 'pics/val_0001.jpg').size == (3 * 32 + 2 * 4, 3 * 32 + 2 * 4)
    log = np.load(trained / 'log/log.npy')
    assert log.shape == (12, len(LOG_COLUMNS)) and np.isfinite(log).all()
    assert np.allclose(log[:, 4], log[:, 5] + log[:, 6], atol=1e-5) and not log[:, 2:4].any() and log[:, 1].all()
    assert np.load(output / 'current_epoch.npy') == 2


def test_the_printed_losses_are_those_of_the_log(trained):
    said = re.findall(r'd_loss: (\S+),', (trained / 'said').read_text())
    assert said == [f'{value:.4f}' for value in np.load(trained / 'log/log.npy')[:, 4]]


def test_the_seed_decides(scripts, trained, tmp_path):
    scripts.trained(tmp_path, niter=1, seed=1)
    assert not np.isclose(np.load(trained / 'log/log.npy')[:6], np.load(tmp_path / 'log/log.npy'))[:, 4].any()


def test_without_validation_set(scripts, data, tmp_path):
    for part in ('label', 'inst', 'img'):
        shutil.rmtree(data / f'val_{part}')
    said = scripts.trained(tmp_path, dataroot=data, niter=1, max_dataset_size=4)
    assert says(said, 'no validation pictures while training', data / 'val_label', '4 samples')
    assert not list((tmp_path / 'output').glob('pics/val*'))


def test_perceptual_loss(scripts, tmp_path):
    """With random VGG weights: the column is no longer zero."""
    save_weights(VGG19Features().state_dict(), tmp_path / 'vgg.pdparams')
    scripts.trained(tmp_path, niter=1, max_dataset_size=2, no_vgg_loss='false', vggwpath=tmp_path / 'vgg.pdparams')
    log = np.load(tmp_path / 'log/log.npy')
    assert log.shape == (1, 7) and log[0, 2] > 0


def test_presets_are_named(scripts, tmp_path):
    said = scripts.train_refusal(tmp_path, '--preset', 'coco_stuff_papr')
    assert says(said, 'preset', 'coco_stuff_papr', 'coco_stuff_paper', 'demo', 'model.help --tables')
    process = scripts.run('train.py', '--preset', 'coco_stuff_paper', '--dataroot', tmp_path / 'nowhere', '--output',
                          tmp_path, '--log', tmp_path)
    assert says(process.stdout, 'settings: preset coco_stuff_paper (', 'beta2 0.9', 'batchSize 32', 'nothing changed')
    process = scripts.run('train.py', '--preset', 'coco_stuff_paper', '--lr', '1e-3', '--dataroot',
                          tmp_path / 'nowhere')
    assert says(process.stdout, 'preset coco_stuff_paper', 'different here: lr 0.001 (preset: 0.0002)')
    assert process.returncode == 1 and not os.listdir(tmp_path)


def test_help_explains_every_setting(scripts):
    process = scripts.run('train.py', '--help', fresh=True)
    assert process.returncode == 0 and \
        says(process.stdout, *(f'--{name} ' for name in OPT.fields()), '--restart', '--preset',
                                            '--init_from', '--gan_mode {hinge,ls,original,w}', 'SPADE-Paddle 0.')
    examples = [line for line in process.stdout.splitlines() if line.startswith('    python ')]
    assert len(examples) == 3, 'an example a line'
    assert process.stdout.splitlines()[:3] == ['usage: train.py [options]', '', OPENING]
    assert scripts.run('predict.py', '--help').stdout.startswith('usage: predict.py --label PATH [options]\n')


@pytest.mark.parametrize('script', ['train.py', 'val.py', 'predict.py'])
def test_version(scripts, script):
    process = scripts.run(script, '--version')
    assert process.returncode == 0 and process.stdout == f'SPADE-Paddle {__version__}\n'


def test_training_at_another_scale_than_validation_is_reported(scripts, tmp_path):
    """Crops in native size: val.py and scores squeeze the whole map. The photos are 48 wide and 40 high."""
    crops = dict(preprocess_mode='scale_width_and_crop', load_size=96, niter=1, max_dataset_size=2)
    said = scripts.trained(tmp_path / 'crops', **crops)
    assert says(said, 'another scale: training crops 32 x 32 from photos resized by scale_width_and_crop with '
                'load_size 96', '3.0 times smaller horizontally and 2.5 times vertically')
    process = scripts.run('val.py', '--lastoutput', tmp_path / 'crops/output', '--results', tmp_path / 'val')
    assert process.returncode == 0 and says(process.stdout, 'another scale: ', '3.0 times smaller horizontally')


@pytest.mark.thorough
def test_a_copy_without_data_trains_on_demo_scenes(scripts, tmp_path):
    """python train.py in a fresh clone: says so, makes the scenes, trains the small preset; a second run makes none."""
    for name in ('runtime', 'model', 'dataset', 'log', 'vgg', 'result'):
        shutil.copytree(scripts.REPOSITORY / name, tmp_path / name,
                        ignore=lambda folder, names: [name for name in names
                                                      if not name.endswith(('.py', '.cpp', '.h', '.txt'))
                                                      and not os.path.isdir(os.path.join(folder, name))
                                                      or name in ('demo', '__pycache__')])
    (tmp_path / 'output').mkdir()
    for path in (scripts.REPOSITORY / 'train.py', *(scripts.REPOSITORY / 'output').glob('*.py')):
        shutil.copy(path, tmp_path / path.relative_to(scripts.REPOSITORY))
    flags = ('--niter', 1, '--ngf', 2, '--ndf', 2, '--crop_size', 32, '--load_size', 36, '--max_dataset_size', 8,
             '--batchSize', 4, '--niter_decay', 0)
    process = scripts.run('train.py', *flags, fresh=True, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert says(process.stdout, 'no data set in dataset/coco_stuff/ and none named with --dataroot', '--preset demo',
                'settings: preset demo', 'data: 8 samples in dataset/demo/', 'step 2/2', 'done: 1 epochs')
    assert np.load(tmp_path / 'log/log.npy').shape == (2, 7)
    assert (tmp_path / 'output/pics/val_0001.jpg').exists() and (tmp_path / 'dataset/demo/sheet.jpg').exists()
    before = contents(tmp_path / 'dataset')
    process = scripts.run('train.py', *flags, fresh=True, cwd=tmp_path)
    assert process.returncode == 0 and 'already complete' in process.stdout
    assert contents(tmp_path / 'dataset') == before


# ---- Options that a run does not read

def test_weights_of_another_run_are_not_ignored(scripts, tmp_path):
    """ctkindle's --lastoutput named the weights to continue from; that of --output itself is where a run resumes."""
    said = refused(scripts, tmp_path, lastoutput=tmp_path / 'other')
    assert says(said, f'--lastoutput {tmp_path}/other', '--output', '--init_from')
    said = refused(scripts, tmp_path, lastoutput=f'{tmp_path}/run/output/', dataroot=tmp_path / 'nowhere')
    assert says(said, 'nowhere', 'missing folder')


@pytest.mark.parametrize('switch, values', plan.UNREAD.items())
def test_options_that_are_not_read_are_named(switch, values, capsys):
    unread, names = values
    kind = OPT.fields()[switch].choices or ([False, True] if OPT.fields()[switch].kind is bool else [0, 1])
    for value in kind:
        plan.print_settings(OPT(**{switch: value}), None, names)
        line = [line for line in capsys.readouterr().out.splitlines() if line.startswith('ignored: ')]
        own = [f'--{name} ({switch} {str(value).lower()})' for name in names]
        assert all(text in ''.join(line) for text in own) == (value in unread), value
    plan.print_settings(OPT(), None, ['lr', 'z_dim'])
    assert 'ignored' not in capsys.readouterr().out


@pytest.mark.parametrize('settings, said', [
    (dict(ema_decay=0.999, niter=150), ['more updates than the 150 of this run', '--ema_decay 0.93 ']),
    (dict(ema_decay=0.9995, niter=1900), ['than the 1900', '--ema_decay 0.995 ']),
    (dict(ema_decay=0.99, niter=300, D_steps_per_G=4), ['than the 75', '--ema_decay 0.9 ']),
    (dict(ema_decay=0.9, niter=9), ['than the 9', '--ema_decay 0 ']),
    (dict(ema_decay=0.999999999, niter=10 ** 6), ['ema_decay 1:']),
    (dict(ema_decay=0.9, niter=0), ['than the 1 ']), (dict(ema_decay=0.999, niter=1000), []), (dict(niter=1), [])])
def test_an_average_over_more_than_the_run_is_named(settings, said, tmp_path, capsys):
    rate = SimpleNamespace(get_lr=lambda: 0.1)
    train_step = SimpleNamespace(optimizer_g=rate, optimizer_d=rate)
    plan.print_plan(OPT(output=tmp_path, batchSize=2, **settings), 3, train_step)
    out = capsys.readouterr().out
    assert says(out, *said) and ('ema_decay' in out) == bool(said)


# ---- Bad input

def refused(scripts, tmp_path, *flags, **settings):
    """The message of a run that must not begin, and must leave nothing behind."""
    said = scripts.train_refusal(tmp_path / 'run', *flags, **settings)
    assert not (tmp_path / 'run').exists()
    return said


@pytest.mark.parametrize('part, said', [('label', 'label maps'), ('img', 'photos'), ('inst', '--no_instance true')])
def test_a_missing_folder(scripts, data, tmp_path, part, said):
    shutil.rmtree(data / f'train_{part}')
    assert says(refused(scripts, tmp_path, dataroot=data), data / f'train_{part}', 'missing folder', said, '--dataroot')


def test_a_missing_data_set(scripts, tmp_path):
    assert says(refused(scripts, tmp_path, dataroot=tmp_path / 'nowhere'), tmp_path / 'nowhere', 'missing folder',
                'does not exist')


def test_unpaired_files(scripts, data, tmp_path):
    for index in range(4):
        (data / f'train_label/00{index}.png').unlink()
    assert says(refused(scripts, tmp_path, dataroot=data), '4 photos without label map', '000, 001, 002, ...')


def test_a_wrong_label_stops_the_run_with_its_name(scripts, data, tmp_path):
    """The error comes when the sample is read; the first checkpoint is whole."""
    path = data / 'train_label/004.png'
    Image.fromarray(np.full((40, 48), 77, np.uint8)).save(path)
    said = scripts.train_failure(tmp_path / 'run', dataroot=data)
    assert says(said, path, 'label value 77 (', '0 .. 8', '--label_nc')
    assert set(read_weights(tmp_path / 'run/output/model/n_g.pdparams'))


def test_unlabelled_pixels_need_their_option(scripts, tmp_path):
    said = scripts.train_failure(tmp_path / 'run', contain_dontcare_label='false')
    assert says(said, scripts.data, 'train_label', 'label value 255', '--contain_dontcare_label true')


@pytest.mark.parametrize('nThreads', [pytest.param(0, marks=pytest.mark.thorough), 1])
def test_an_unreadable_photo(scripts, data, tmp_path, nThreads):
    path = data / 'train_img/007.png'
    path.write_bytes(path.read_bytes()[:200])
    said = scripts.train_failure(tmp_path / 'run', dataroot=data, nThreads=nThreads)
    assert says(said, path, 'unreadable or truncated')


SETTINGS = [
    (dict(load_size=30), ('load_size 30 is too small', '32 wide', 'nearest that works: --crop_size 32 --load_size 36')),
    (dict(crop_size=40, load_size=44), ('crop_size 40', 'multiples of 32', "'normal'", 'that works: --crop_size ')),
    (dict(crop_size=256, aspect_ratio=1.5, load_size=200),
     ('256 wide and 171 high', 'multiples of 32', 'load_size 200 is too small',
      '--crop_size 288 --aspect_ratio 1.5 --load_size 322')),
    (dict(num_epochs=3), ("unknown option 'num_epochs'; did you mean 'niter'?",)),
    (dict(num_upsampling_layers='most'), ('crop_size 32', 'multiples of 128')),
    (dict(aspect_ratio=2), ('aspect_ratio 2.0', '32 wide and 16 high')),
    (dict(norm_G='spectralspadegroup3x3'), ('norm_G', "unknown norm 'spectralspadegroup3x3'", 'syncbatch', '3x3|5x5')),
    (dict(norm_D='spectrallayer'), ('norm_D', "unknown norm 'spectrallayer'", 'instance')),
    (dict(crop_sise=64), ("unknown option 'crop_sise'", "'crop_size'", '--help')),
    (dict(batchsize=64), ("unknown option 'batchsize'", "'batchSize'")),
    (dict(niter='ten'), ('--niter', "'ten'", 'whole number')),
    (dict(niter='1.5'), ('--niter', "'1.5'", 'whole number')),
    (dict(use_vae='perhaps'), ('--use_vae', "'perhaps'", 'true or false')),
    (dict(lr='nan'), ('lr', 'nan')),
    (dict(batchSize=0), ('batchSize', 'at least 1')),
    (dict(batchSize=14), ('13 samples', 'batchSize 14', 'train_label')),
    (dict(gan_mode='hing'), ('gan_mode', "'hing'", 'hinge, ls, original, w')),
    (dict(no_vgg_loss='false', vggwpath='nowhere/vgg.pdparams'),
     ('nowhere/vgg.pdparams', '`python -m vgg.fetch nowhere/vgg.pdparams`', 'model.convert vgg19',
      '--no_vgg_loss true')),
]


@pytest.mark.parametrize('settings, said', SETTINGS, ids=[','.join(settings) for settings, _ in SETTINGS])
def test_a_wrong_setting(scripts, tmp_path, settings, said):
    assert says(refused(scripts, tmp_path, **settings), *said)


def test_refusals_end_the_process(scripts, tmp_path):
    """The refusals tested above in this process: one line on stderr and an exit status (asserted by `failure`)."""
    assert 'crop_size' in scripts.train_failure(tmp_path / 'run', fresh=True, crop_sise=64)
    assert 'load_size' in scripts.train_failure(tmp_path / 'run', load_size=30)
    assert not (tmp_path / 'run').exists()


def test_a_folder_that_is_a_file(scripts, tmp_path):
    (tmp_path / 'file').write_text('')
    for name in ('output', 'log'):
        said = scripts.train_refusal(tmp_path / 'run', **{name: tmp_path / 'file' / 'below'})
        assert says(said, tmp_path / 'file', 'cannot')
    assert (tmp_path / 'file').read_text() == ''


@pytest.mark.parametrize('settings', [dict(save_latest_freq=1), *(
    pytest.param(more, marks=pytest.mark.thorough)
    for more in (dict(save_latest_freq=1000, beta1=0.5), dict(gan_mode='w')))])
def test_a_run_that_diverges(scripts, tmp_path, settings):
    """The loss or the weight is named, and the step; every row is finite; the checkpoint loads and is finite."""
    said = scripts.train_failure(tmp_path, lr='1e30', **settings)
    step = int(re.search(r'(?:_loss_\w+ is (?:nan|inf|-inf) in|d_loss is \S+ in|not finite after) step (\d+)',
                         said).group(1))
    assert says(said, 'diverged', 'the last checkpoint stays', '--lr', '--restart')
    log = np.load(tmp_path / 'log/log.npy')
    assert len(log) in (step, step - 1) and np.isfinite(log).all()
    train_step = TrainStep(OPT.load(tmp_path / 'output/model/opt.json'))
    load_networks(train_step, tmp_path / 'output/model')
    assert train_step.generator.state_dict() and all(
        np.isfinite(value.numpy()).all() for network in (train_step.generator, train_step.discriminator)
        for value in network.state_dict().values())
