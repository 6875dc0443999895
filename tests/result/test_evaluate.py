"""python -m result.evaluate, val.py --score and scoring while training:
real processes with seeded networks on the tiny set.
"""
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.weights import read_weights, save_weights
from result import evaluate
from result.evaluate import Evaluation, Settings, chosen, command_line
from result.matching import matched
from result.measure import true_classes
from result.networks.deeplab import DeepLabV2
from result.networks.inception import FIDInception
from result.protocols import CITYSCAPES, DATASETS
from result.scores import LABELLED, VOID, confusion, segmentation_scores
from result.sheet import write_sheets
from runtime.errors import InputError
from tests.forked import kill, until
from tests.runner import VALIDATION, says
from tests.runtime.test_distributed import BY_RANK
from tests.scoring import seeded_state, small_photos


@pytest.fixture(scope='module')
def weights(shared):
    """Folder of seeded weights of DeepLabV2 with 182 classes and of the FID Inception."""
    def make(folder):
        save_weights(seeded_state(DeepLabV2(182)), folder / 'deeplabv2_cocostuff.pdparams')
        save_weights(seeded_state(FIDInception(), 1.6), folder / 'inception_fid.pdparams')
    return shared('scoring_weights', make)


@pytest.fixture(scope='module')
def photos(tiny_set, tmp_path_factory):
    """Folder of the validation photos at 32x32: pictures that are perfect for FID."""
    return small_photos(tiny_set / 'val_img', tmp_path_factory.mktemp('photos'))


def words(pictures, tiny_set, weights, tmp_path, *more):
    return [str(word)
            for word in ('--pictures', pictures, '--dataset', 'coco_stuff', '--dataroot', tiny_set, '--size', '32x32',
                                   '--scoring', weights, '--cache', tmp_path / 'cache', '--scores',
                         tmp_path / 'scores.jsonl',
                                   *more)]


def evaluation(*arguments):
    given = command_line('').parse_args(words(*arguments))
    return Evaluation(Settings(**chosen(given))), given.pictures


def test_scores_are_appended_to_no_other_file(tiny_set, photos, tmp_path):
    """The file is refused before anything else is read: there are no weights."""
    (tmp_path / 'scores.jsonl').write_text('my notes\n')
    with pytest.raises(InputError, match='scores.jsonl, line 1: .*name another'):
        evaluate.scored(command_line('').parse_args(words(photos, tiny_set, tmp_path, tmp_path)))
    assert (tmp_path / 'scores.jsonl').read_text() == 'my notes\n' and os.listdir(tmp_path) == ['scores.jsonl']


@pytest.mark.thorough
def test_command_line_scores_and_resumes(scripts, tiny_set, photos, weights, tmp_path):
    """Two systems side by side; a second run measures nothing again and gives the same scores."""
    command = ['-m', 'result.evaluate',
               *words(photos, tiny_set, weights, tmp_path, '--reference', photos, '--checkpoint', 'mine')]
    first = scripts.run(*command)
    assert first.returncode == 0, first.stderr
    lines = [json.loads(line) for line in (tmp_path / 'scores.jsonl').read_text().splitlines()]
    assert len(lines) == 2 and lines[0]['scores'] == lines[1]['scores'] and lines[0]['checkpoint'] == 'mine'
    assert lines[0]['scores']['fid'] < 1e-3 and 0 <= lines[0]['scores']['pixel_accuracy'] < 0.5
    protocol = lines[0]['protocol']
    assert {name: protocol[name]
            for name in ('name', 'number_of_pictures', 'picture_size', 'void', 'encoding', 'scales')} == dict(
        name='spade', number_of_pictures=VALIDATION, picture_size='32x32', void='ignored', encoding='png',
        scales='1, 0.75, 0.5 (maximum)')
    assert len(protocol['network_sha256']) == 64 and '3 photos of val_img at 32x32' in protocol['fid_reference']
    assert says(first.stdout, 'mean IoU', 'frequency-weighted IoU', 'network DeepLabV2-ResNet101')

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.npy')}
    assert len(before) == 3 * VALIDATION   # counts and features of the pictures, features of the photos
    again = scripts.run('-m', 'result.evaluate', *words(photos, tiny_set, weights, tmp_path))
    assert again.returncode == 0 and not again.stderr   # no bar where there is no terminal
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'cache').rglob('*.npy')} == before
    assert json.loads((tmp_path / 'scores.jsonl').read_text().splitlines()[2])['scores'] == lines[0]['scores']


@pytest.mark.thorough
def test_killed_and_resumed(scripts, tiny_set, photos, weights, tmp_path):
    """Killed after the first picture: its measurement remains, and the scores equal those of an undisturbed run."""
    command = ['-m', 'result.evaluate', *words(photos, tiny_set, weights, tmp_path, '--batch', '1', '--no_fid')]
    process = scripts.start_command(command, tmp_path / 'said')
    first = until(lambda: list((tmp_path / 'cache').rglob('*.npy')), process=process)[0]
    kill(process)
    assert not (tmp_path / 'scores.jsonl').exists()
    measured = first.stat().st_mtime_ns
    found, folder = evaluation(photos, tiny_set, weights, tmp_path, '--batch', '1', '--no_fid')
    score = found.score(folder)
    assert first.stat().st_mtime_ns == measured
    assert score.scores == evaluation(photos, tiny_set, weights, tmp_path / 'other', '--no_fid')[0].score(folder).scores


@pytest.mark.thorough
def test_protocols(tiny_set, photos, weights, tmp_path):
    """The scores are those of the counted pixels of `predict`:
    at the picture's size, at the label's, with void as wrong.
    """
    scores = {}
    for name in ('spade', 'full_size', 'void_counted'):
        found, folder = evaluation(photos, tiny_set, weights, tmp_path, '--no_fid', '--protocol', name)
        score = found.score(folder)
        counts = 0
        for picture in matched(folder, found.samples, found.size, False):
            image, label = Image.open(picture.path), Image.open(picture.label)
            if name == 'full_size':
                image = image.resize(label.size, Image.Resampling.BILINEAR)
            else:
                label = label.resize(image.size, Image.Resampling.NEAREST)
            predicted = next(iter(found.segmentation.predict(np.array(image)[None])))
            counts = counts + confusion(np.array(label), predicted, 182)
        wanted = segmentation_scores(counts, name == 'void_counted')
        assert score.scores == {**{key: value for key, value in wanted.items() if key != 'class_iou'}, 'fid': None}
        assert score.protocol['name'] == name and score.protocol['mean_iou_over'] == LABELLED
        scores[name] = score.scores, counts
    assert scores['spade'][1][-1].sum() > 0 and scores['full_size'][1].sum() == VALIDATION * 40 * 48
    assert scores['void_counted'][0]['mean_accuracy'] == scores['spade'][0]['mean_accuracy']


def test_ade20k_ids(tmp_path):
    Image.fromarray(np.array([[0, 1, 2, 13, 150]], np.uint8)).save(tmp_path / 'a.png')
    found = true_classes(tmp_path / 'a.png', DATASETS['ade20k'])[0]
    assert found[0] == VOID and [DATASETS['ade20k'].names[index]
                                 for index in found[1:]] == ['wall', 'building', 'person', 'flag']


def test_cityscapes_ids(tmp_path):
    Image.fromarray(np.arange(36, dtype=np.uint8)[None] % 35).save(tmp_path / 'a.png')
    found = true_classes(tmp_path / 'a.png', DATASETS['cityscapes'])[0]
    assert [int(number) for number in np.flatnonzero(found != 255)] == list(CITYSCAPES)
    assert found[[7, 8, 33, 0, 9]].tolist() == [0, 1, 18, 255, 255]


@pytest.mark.thorough
def test_folders_that_do_not_match(tiny_set, photos, weights, tmp_path):
    def refused(said, *more, folder=tmp_path / 'pics'):
        with pytest.raises(InputError, match=said) as caught:
            evaluation(folder, tiny_set, weights, tmp_path, *more)[0].score(str(folder))
        assert '\n' not in str(caught.value)

    shutil.copytree(photos, tmp_path / 'pics')
    (tmp_path / 'pics/001.png').write_bytes(b'no picture')
    (tmp_path / 'pics/000.png').rename(tmp_path / 'pics/zero.png')
    refused(r'do not match: 1 missing, 1 extra, 1 unreadable '
            r'\(000: missing; zero.png: no label map of this name; 001.png')
    refused(r'\(FID\) compares distributions and needs at least two pictures, found 1', '--allow-missing',
            '--no_segmentation')
    refused('have 64x64: paint at that size', '--size', '64x64', '--allow-missing')
    refused('leave nothing to score', '--no_fid', '--no_segmentation')
    refused('cannot list the pictures', folder=tmp_path / 'nowhere')
    refused('the weights of DeepLabV2-ResNet101 are missing', '--scoring', tmp_path)
    refused('not reference statistics', '--no_segmentation', '--statistics', tmp_path / 'pics/001.png', folder=photos)
    found, folder = evaluation(tmp_path / 'pics', tiny_set, weights, tmp_path, '--allow-missing', '--no_fid')
    assert found.score(folder).protocol['missing_pictures'] == 2


@pytest.mark.thorough
def test_statistics_are_stored_and_reused(tiny_set, photos, weights, tmp_path):
    """Those of train photos, made once; then as a file with pytorch-fid's names."""
    def statistics(*which):
        return evaluation(photos, tiny_set, weights, tmp_path, '--no_segmentation', '--statistics', *which)[0]

    made = statistics('train').reference
    stored, = (weights / 'statistics').glob('coco_stuff_train_32x32_*.npz')
    shutil.rmtree(tmp_path / 'cache')
    again = statistics('train').reference
    assert '13 photos of train_img' in made['what'] and not (tmp_path / 'cache').exists()
    assert again['what'] == made['what'] and np.array_equal(again['sigma'], made['sigma'])
    np.savez(tmp_path / 'theirs.npz', mu=made['mu'], sigma=made['sigma'])
    score = statistics(tmp_path / 'theirs.npz').score(str(photos))
    assert score.scores['fid'] > 1 and 'theirs.npz' in score.protocol['fid_reference']


@pytest.fixture(scope='module')
def scored(scripts, weights, shared):
    """A training of 182 classes, with style encoder, that scores after every epoch."""
    settings = dict(label_nc=182, dataset='coco_stuff', use_vae='true', niter=2, score_epoch_freq=1, scoring=weights)
    folder = shared('scored', lambda folder: (folder / 'said').write_text(scripts.trained(folder, **settings)))
    return folder, (folder / 'said').read_text()


@pytest.mark.thorough
def test_training_copies_the_best(scored):
    folder, said = scored
    lines = [json.loads(line) for line in (folder / 'output/scores.jsonl').read_text().splitlines()]
    assert says(said, 'scores after epoch 1', 'scores after epoch 2', f'new best: {folder}/output/best')
    found = [line['scores']['mean_iou'] for line in lines]
    assert len(found) == 2 and lines[0]['protocol']['style'] == 'random'
    kept = json.loads((folder / 'output/best/score.json').read_text())
    assert kept['scores']['mean_iou'] == max(found) and not list((folder / 'output').glob('*scoring*'))
    assert sorted(os.listdir(folder / 'output/best')) == ['current_epoch.npy', 'n_d.pdparams', 'n_e.pdparams',
                                                          'n_g.pdparams', 'opt.json', 'score.json']
    assert int(np.load(folder / 'output/best/current_epoch.npy')) == 1 + int(np.argmax(found))


@pytest.mark.thorough
def test_scoring_changes_nothing_in_training(scripts, scored, tmp_path):
    scripts.trained(tmp_path, label_nc=182, use_vae='true', niter=2)
    one, other = (read_weights(Path(folder, 'output/model/n_g.pdparams')) for folder in (scored[0], tmp_path))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.thorough
def test_scoring_stops_at_once_and_is_done_at_the_next_start(scripts, weights, tmp_path):
    settings = dict(label_nc=182, dataset='coco_stuff', niter=1, score_epoch_freq=1, scoring=weights)
    process = scripts.start(tmp_path, **settings)
    until(lambda: list((tmp_path / 'output').glob('.unfinished_*_scoring/pics/*.png')), process=process)
    assert kill(process, signal.SIGINT) == 130
    assert says((tmp_path / 'said').read_text(), 'all is saved except these scores')
    assert not (tmp_path / 'output/scores.jsonl').exists()
    assert 'scores after epoch 1' in scripts.trained(tmp_path, **settings)
    assert 'already complete' in scripts.trained(tmp_path, **settings)
    assert len((tmp_path / 'output/scores.jsonl').read_text().splitlines()) == 1


@pytest.mark.thorough
def test_val_scores_the_lossless_pictures(scripts, scored, weights, tmp_path):
    command = ['val.py', '--lastoutput', scored[0] / 'output/best', '--results', tmp_path / 'val', '--score',
               '--no_fid', '--scoring', weights, '--cache', tmp_path / 'cache', '--scores', tmp_path / 'scores.jsonl']
    process = scripts.run(*command)
    assert process.returncode == 0, process.stderr
    line, = map(json.loads, (tmp_path / 'scores.jsonl').read_text().splitlines())
    kept = json.loads((scored[0] / 'output/best/score.json').read_text())
    assert line['protocol']['encoding'] == 'png' and line['protocol']['style'] == 'random' and \
        'best' in line['checkpoint']
    assert line['scores']['mean_iou'] == pytest.approx(kept['scores']['mean_iou'])
    assert says(scripts.failure('val.py', '--lastoutput', scored[0] / 'output/best', '--score', '--scoring', tmp_path),
                'the weights of DeepLabV2-ResNet101 are missing')
    process = scripts.run('val.py', '--lastoutput', scored[0] / 'output/best', '--results', tmp_path / 'val')
    assert process.returncode == 0 and not list((tmp_path / 'val/pics').glob('*.png'))   # they would be scored as these
    (tmp_path / 'val/pics/other.png').write_bytes(b'')
    assert says(scripts.failure(*command), tmp_path / 'val/pics', '1 pictures without a label map', 'other.png')


def test_a_set_without_a_network_for_its_classes(scripts, trained, tmp_path):
    said = 'its 9 classes do not identify it', '--dataset', 'turn scoring off'
    assert says(scripts.failure('val.py', '--lastoutput', trained / 'output', '--score'), scripts.data, *said)
    assert says(scripts.train_failure(tmp_path, score_epoch_freq=1), scripts.data, *said)
    said = scripts.train_failure(tmp_path, score_epoch_freq=1, dataset='cityscapes')
    assert says(said, 'dataset cityscapes has 35 classes', 'found 9 here', '--dataset')


@pytest.mark.thorough
def test_sheets_and_page(scripts, tiny_set, photos, weights, trained, tmp_path):
    """Rows in the order of the names, ten a sheet; the page has all in it and asks for nothing from outside."""
    process = scripts.run('-m', 'result.sheet',
                          *words(photos, tiny_set, weights, tmp_path, '--reference', photos, '--no_fid'),
                          '--rows', '2', '--log', trained / 'log', '--checkpoint', trained / 'output', '--output',
                          tmp_path / 'out')
    assert process.returncode == 0, process.stderr
    assert f'2 rows: {tmp_path}/out/1.jpg; page: {tmp_path}/out/index.html' in process.stdout
    assert Image.open(tmp_path / 'out/1.jpg').size == (7 * 196 - 4, 28 + 2 * 196 - 4)
    text = (tmp_path / 'out/index.html').read_text()
    assert 'http' not in text and text.count('<img src="data:image/jpeg;base64,') == 1 + 2 * 2 + 1
    assert says(text, 'Scores', 'mean IoU', 'IoU by class', 'Worst pictures', 'Best pictures', 'Losses', 'Settings',
                'person', 'label_nc: 9')
    assert len((tmp_path / 'scores.jsonl').read_text().splitlines()) == 2


def test_eleven_rows_are_two_sheets(tmp_path):
    cells = [np.full((80, 192, 3), 40 * column, np.uint8) for column in range(4)]
    paths = write_sheets(str(tmp_path), ['a', 'b', 'c', 'd'], [cells] * 11)
    assert [Image.open(path).size for path in paths] == [(780, 28 + 10 * 84 - 4), (780, 28 + 80)]
    assert np.abs(np.array(Image.open(paths[1]))[60, [90, 290, 480, 680], 0].astype(int) - [0, 40, 80, 120]).max() < 12


@pytest.mark.thorough
def test_rank_0_alone_needs_the_scoring_networks(scripts, weights, tmp_path):
    (tmp_path / 'shim.py').write_text(BY_RANK)
    command = scripts.training(tmp_path, label_nc=182, dataset='coco_stuff', niter=1, score_epoch_freq=1)[1:]
    assert not any(scripts.ranks(tmp_path, 2, tmp_path / 'shim.py', *command,
                                 f'--scoring={weights}|--scoring={tmp_path / "nowhere"}'))
    assert 'scores after epoch 1' in (tmp_path / 'workers/workerlog.0').read_text()
