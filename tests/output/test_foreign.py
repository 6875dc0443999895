"""Nothing that is not ours is removed or replaced:
random files and folders under our own names, in every folder that a run writes.
"""
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from log.loss_log import LossLog
from model.init import OPT
from output import own_files, painted, pictures
from output.checkpoint import Checkpoint
from output.resume import new_progress
from output.training_pictures import TrainingPictures
from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import is_marked, painter_of, staged
from tests.output.test_checkpoint_whole import Stub
from tests.output.test_run import run_of
from tests.runner import message, says

FILES = ('thesis.txt', 'n_g.pdparams', 'opt.json', 'n_d.pdparams', 'progress.json', 'score.json', 'own.pdparams',
         'pics/000.png')
FOLDERS = ('model', 'best', 'best.replaced', 'scoring', 'epoch_1', 'epoch_2', 'epoch_3', 'epoch_2.replaced',
           'epoch_2.unfinished',
           'model.unfinished', 'checkpoints/000001', 'checkpoints/000002', 'checkpoints/000009',
           'checkpoints/000003.unfinished',
           'checkpoints/mine', 'current_epoch.npy', 'pics', 'scoring/pics', 'checkpoints')
NAMES = ('.lock', 'log.npy', 'log.npy.new', 'current_epoch.npy', 'scores.jsonl', 'pics/1_1.jpg', 'pics/val_0001.jpg',
         'pics/mine.jpg',
         'model', 'best', 'epoch_2', '.unfinished_scores.jsonl', 'checkpoints/contents.json', 'page.html')
PATHS = st.one_of(st.sampled_from(NAMES), st.tuples(st.sampled_from(FOLDERS), st.sampled_from(FILES)).map('/'.join))


def tree(root):
    """dict: path -> bytes, or the text of a link, of everything below `root`."""
    found = {}
    for folder, folders, files in os.walk(root):
        for path in (os.path.join(folder, name) for name in folders + files):
            if os.path.islink(path):
                found[os.path.relpath(path, root)] = os.readlink(path)
            elif os.path.isfile(path):
                found[os.path.relpath(path, root)] = Path(path).read_bytes()
    return found


def lay(root, paths):
    """Write a user's file to each path that can be made, never over an existing one; dict as of `tree`. Not into a
    checkpoint under one of its names: weights with options are the record that makes a folder ours.
    """
    laid = {}
    for number, path in enumerate(paths):
        target = Path(root, path)
        beside = {entry.name for entry in target.parent.iterdir()} if target.parent.is_dir() else set()
        checkpoint = target.name in own_files.FILES and own_files.RECORD <= beside | {target.name}
        if not checkpoint and not target.exists() and not any(parent.is_file() for parent in target.parents):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b'mine, number %d' % number)
            laid[os.path.relpath(target.resolve(), Path(root).resolve())] = target.read_bytes()   # `model` is a link
    return laid


def still_there(root, laid):
    now = tree(root)
    return [path for path, content in laid.items() if now.get(path) != content]


def run(output, restart, steps, first=1):
    """The acts of train.py on its folders: start or resume, save, copy epochs and the best, draw, restart.
    """
    opt = OPT(output=output, log=output, save_epoch_freq=1, score_epoch_freq=1, niter=3)
    run_of(opt, os.path.join(output, 'log.npy'), 'set', None, restart).stored()
    log, checkpoint = LossLog(os.path.join(output, 'log.npy')), Checkpoint(output)
    with locked(output, 'training', '--output and --log'):
        checkpoint.mend_copies()
        if restart:
            checkpoint.clear()
        for step in range(first, first + steps):
            checkpoint.save(Stub(step), opt, {**new_progress('set', 2), 'epoch': step}, keep_epoch=step)
            checkpoint.keep('best', {'score.json': {}})
        log.open(0, 0)
        log.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.lists(PATHS, max_size=5), later=st.lists(PATHS, max_size=4), restart=st.booleans(),
       begun=st.booleans())
def test_a_run_changes_no_foreign_byte(before, later, restart, begun):
    with tempfile.TemporaryDirectory() as output:
        if begun:
            run(output, False, 2)
        laid = lay(output, before)
        was = tree(output)
        try:
            run(output, restart, 2, first=2)
        except InputError as error:
            assert '\n' not in str(error) and tree(output) == was, error
        assert not still_there(output, laid)
        laid.update(lay(output, later))
        try:
            run(output, True, 3)
        except InputError as error:
            assert '\n' not in str(error)
        assert not still_there(output, laid)


# ---- Single cases, as they were found

def begun(output, **settings):
    opt = OPT(output=output, **settings)
    Checkpoint(output).save(Stub(1), opt, {**new_progress('set', 2), 'epoch': 1})
    return opt


@pytest.mark.parametrize('restart', [False, True])
@pytest.mark.parametrize('path', ['model/thesis.txt', 'best/photo.txt', 'epoch_2/photo.txt', 'best.replaced/photo.txt',
                                  'model/n_g.pdparams', 'current_epoch.npy', 'scores.jsonl'])
def test_a_foreign_folder_of_our_name_is_named_and_unchanged(tmp_path, path, restart):
    """model/n_g.pdparams: weights of ctkindle/SPADE-Paddle, copied there for val.py."""
    laid = lay(tmp_path, [path])
    said = message(run, tmp_path, restart, 2)
    assert says(said, tmp_path / path.split('/')[0], 'not written by training',
                'move it away, or name another --output')
    assert tree(tmp_path) == laid


def test_copies_that_the_run_does_not_write_are_not_checked(tmp_path):
    laid = lay(tmp_path, ['epoch_7/photo.txt', 'epoch_x/photo.txt', 'scoring/own.pdparams',
                          'checkpoints/mine/photo.txt'])
    run(tmp_path, True, 3)
    assert not still_there(tmp_path, laid)


def test_a_link_that_training_has_not_made_remains(tmp_path):
    begun(tmp_path / 'other')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/model').symlink_to('../other/model')
    assert says(message(run, tmp_path / 'run', True, 1), tmp_path / 'run/model', 'is a link to ../other/model')
    assert os.readlink(tmp_path / 'run/model') == '../other/model' and len(os.listdir(tmp_path / 'run')) == 1


def test_a_dangling_link_falls_back_to_the_checkpoint_before(tmp_path, capsys):
    begun(tmp_path)
    Checkpoint(tmp_path).save(Stub(2), OPT(output=tmp_path), {**new_progress('set', 2), 'epoch': 2})
    shutil.rmtree(tmp_path / 'checkpoints/000002')
    assert Checkpoint(tmp_path).progress()['step'] == 1
    assert says(capsys.readouterr().out, 'checkpoints/000002', 'does not exist',
                'using the newest checkpoint instead, 000001')
    assert os.readlink(tmp_path / 'model') == 'checkpoints/000001'
    shutil.rmtree(tmp_path / 'checkpoints/000001')
    assert says(message(Checkpoint(tmp_path).progress), tmp_path / 'model', 'checkpoints/000001', 'does not exist')


def test_the_folder_of_checkpoints_is_synced_after_the_rename(tmp_path, monkeypatch):
    """Otherwise a power cut may leave the link to a checkpoint without a name."""
    acts, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        acts.append(('sync', os.path.realpath(f'/proc/self/fd/{descriptor}')))
        fsync(descriptor)
    monkeypatch.setattr(os, 'fsync', synced)
    monkeypatch.setattr(os, 'replace', lambda source,
                        target: (acts.append(('replace', os.fspath(target))), replace(source, target)))
    begun(tmp_path)
    named, linked = (acts.index(act)
                     for act in (('replace', f'{tmp_path}/checkpoints/000001'), ('replace', f'{tmp_path}/model')))
    assert ('sync', f'{tmp_path}/checkpoints') in acts[named:linked]


def test_the_scoring_network_in_the_run_remains(tmp_path):
    """--scoring OUTPUT/scoring."""
    laid = lay(tmp_path, ['scoring/own.pdparams', 'scoring/pics/000.png'])
    folder = Path(staged(tmp_path / 'scoring'))
    assert folder.name != 'scoring' and folder.parent == tmp_path
    run(tmp_path, False, 2)
    run(tmp_path, True, 2)
    assert not still_there(tmp_path, laid)


def test_training_pictures_by_their_mark_or_their_size(tmp_path):
    """Those of earlier versions have no mark: a picture with three columns of the run's size is one, a photo is not."""
    opt = OPT(output=tmp_path, crop_size=32, load_size=36)
    begun(tmp_path, crop_size=32, load_size=36)
    cells = np.zeros((2 * 32 + pictures.GAP, 3 * 32 + 2 * pictures.GAP, 3), np.uint8)
    (tmp_path / 'pics').mkdir()
    Image.fromarray(cells).save(tmp_path / 'pics/1_1.jpg')
    said = []
    drawing = TrainingPictures.__new__(TrainingPictures)    # again, as a run does that goes on at the end of an epoch
    drawing.opt, drawing.say, drawing.dashboard = opt, said.append, SimpleNamespace(picture=lambda *_: None)
    drawing.train_step = SimpleNamespace(steps=1, generate=lambda label, *_: np.zeros((2, 3, 32, 32)))
    drawing.colours = np.zeros((256, 3), np.uint8)
    (tmp_path / 'pics/1_9.jpg').write_text('mine')
    batch = {'label': np.zeros((2, 32, 32), np.int32), 'image': np.zeros((2, 3, 32, 32), np.float32)}
    for name in ('1_1.jpg', '1_9.jpg'):
        drawing._save(batch, name, 'training', judged=False)
    assert is_marked(tmp_path / 'pics/1_1.jpg') and len(said) == 1
    assert says(said[0], tmp_path / 'pics/1_9.jpg', 'not written by training, so not replaced')
    (tmp_path / 'pics/1_9.jpg').unlink()
    Image.fromarray(cells).save(tmp_path / 'pics/1_1.jpg')
    pictures.save(cells[:9], str(tmp_path / 'pics/1_2.jpg'))
    Image.fromarray(cells[:9]).save(tmp_path / 'pics/mine.jpg')
    checkpoint = Checkpoint(tmp_path)
    checkpoint.refuse_foreign(opt, restart=True)
    Image.fromarray(cells[:9]).save(tmp_path / 'pics/val_0001.jpg')
    assert says(message(checkpoint.refuse_foreign, opt, restart=True), tmp_path / 'pics/val_0001.jpg',
                'not written by training')
    checkpoint.refuse_foreign(opt)      # one that goes on removes none
    checkpoint.clear()
    assert sorted(os.listdir(tmp_path / 'pics')) == ['mine.jpg', 'val_0001.jpg']


# ---- Folders of pictures

def record(painter='0123456789abcdef', **more):
    return {'painter': painter, 'weights': 64 * 'a', **more}


def paint(folder, made_by, names, **how):
    with painted.claimed(folder, made_by, names, '--results', **how):
        for name in names:
            pictures.save(np.full((8, 8, 3), len(name), np.uint8), os.path.join(folder, name), made_by['painter'])


def test_pictures_of_another_painter_are_replaced_and_nothing_else(tmp_path):
    folder = str(tmp_path)
    paint(folder, record(), ['a.jpg', 'a.png', 'b.jpg', 'b.png'])
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / 'holiday.png')
    # of a third painter
    pictures.save(np.zeros((8, 8, 3), np.uint8), str(tmp_path / 'kept.png'), 'fedcba9876543210')
    paint(folder, record(), ['a.jpg', 'a.png'])     # the same goes on: nothing is removed
    assert len(os.listdir(folder)) == 8
    paint(folder, record('1' * 16), ['a.jpg'])
    assert sorted(os.listdir(folder)) == ['.lock', 'a.jpg', 'holiday.png', 'kept.png', 'painted.json']
    assert painted.read(folder)['painter'] == painter_of(tmp_path / 'a.jpg') == '1' * 16
    before = tree(folder)
    for name in ('holiday.png', 'kept.png'):
        assert says(message(paint, folder, record('2' * 16), ['a.jpg', name]), tmp_path / name,
                    'exists, and no painted.json', 'another --results')
        assert tree(folder) == before


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(['a.jpg', 'a.png', 'b.jpg', 'mine.jpg', 'painted.json', '.lock', 'notes.txt', 'a.jpg/x',
                                 '.unfinished_a.jpg']),
                max_size=4), st.booleans(), st.booleans())
def test_foreign_files_in_a_folder_of_pictures_are_unchanged(names, begun, resume):
    with tempfile.TemporaryDirectory() as folder:
        if begun:
            paint(folder, record(), ['b.jpg', 'a.png'])
        laid = lay(folder, names)
        before = tree(folder)
        try:
            paint(folder, record('1' * 16), ['a.jpg', 'b.jpg'], resume=resume)
        except InputError as error:
            assert '\n' not in str(error)
            assert {**tree(folder), '.lock': ''} == {**before, '.lock': ''}
        assert not still_there(folder, laid)


def test_two_painters_of_one_folder_at_once(tmp_path):
    with painted.claimed(str(tmp_path), record(), ['a.jpg'], '--results'):
        child = os.fork()
        if not child:
            said = message(paint, str(tmp_path), record(), ['a.jpg'])
            os._exit(0 if 'another program writes there' in said and 'name another --results' in said else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_single_picture_replaces_marked_ones_alone(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    for name in ('a.jpg', 'a.png'):
        path = str(tmp_path / name)
        for _ in range(2):
            pictures.save(pixels, path, '0123456789abcdef')
            assert is_marked(path) and painter_of(path) == '0123456789abcdef'
        Image.fromarray(pixels).save(path)
        before = Path(path).read_bytes()
        assert says(message(pictures.save, pixels, path), path, 'exists and was not changed') and \
            Path(path).read_bytes() == before


# ---- progress.json

@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_progress_ends_in_one_line(data):
    """Any field of another type or missing, and any file with other content."""
    with tempfile.TemporaryDirectory() as output:
        begun(output)
        path = Path(output, 'model/progress.json')
        content = json.loads(path.read_text())
        wrong = st.one_of(st.none(), st.booleans(), st.just(-5), st.floats(), st.text(max_size=3), st.just([]),
                          st.just({}), st.just([{}]))
        name = data.draw(st.sampled_from(['epoch', 'seen', 'log_rows', 'log_checksum', 'dataset', 'samples', 'step',
                                          'g_losses', 'loss_scales', 'files', 'said', 'visualdl', None]))
        if name is None:
            content = data.draw(wrong)
        elif data.draw(st.booleans()) and \
                name in ('epoch', 'seen', 'log_rows', 'log_checksum', 'dataset', 'samples', 'step', 'g_losses'):
            del content[name]
        else:
            content[name] = data.draw(wrong)
        path.write_text(json.dumps(content))
        try:
            found = Checkpoint(output).progress()
        except InputError as error:
            assert says(str(error), path, '--restart') and '\n' not in str(error)
        else:   # what was drawn is allowed there
            assert found['log_rows'] >= 0 and found['epoch'] >= 1 and isinstance(found['g_losses'], dict)


@pytest.mark.parametrize('content', ['{}', '[]', '{"epoch": ' + '1' * 5000 + '}', '[' * 100000, ''])
def test_progress_of_no_run(tmp_path, content):
    begun(tmp_path)
    (tmp_path / 'model/progress.json').write_text(content)
    assert says(message(Checkpoint(tmp_path).progress), tmp_path / 'model/progress.json', 'cannot be read', '--restart')


def test_losses_that_are_not_finite_are_read_back(tmp_path):
    """They are the last losses; the weights may still be finite."""
    step = Stub(1)
    step.g_losses = {'g_loss_gan': float('nan'), 'g_loss_feat': float('inf')}
    Checkpoint(tmp_path).save(step, OPT(output=tmp_path), new_progress('set', 2))
    assert str(Checkpoint(tmp_path).progress()['g_losses']) == "{'g_loss_gan': nan, 'g_loss_feat': inf}"
