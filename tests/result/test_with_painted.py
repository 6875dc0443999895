"""result.train_segmenter --add: the same steps with and without painted pictures, the table, the sentence."""
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dataset.files import Sample, find_samples
from dataset.labelled_images import epoch_order
from model.init import OPT
from model.weights import read_weights
from result.own import with_painted
from result.own.images import SegmenterImages
from result.train_segmenter import Training
from tests.runner import TRAINING, VALIDATION, contents, message, says
from tests.segmenting import CLASSES, command

PAINTED = 5


@pytest.fixture(scope='module')
def painted(mine, tmp_path_factory):
    """(pictures of another size than their maps, maps with classes.json), of five training samples."""
    folder = tmp_path_factory.mktemp('painted')
    maps, pictures = folder / 'maps', folder / 'pictures'
    maps.mkdir()
    pictures.mkdir()
    for index in range(PAINTED):
        shutil.copy(mine / f'train_label/{index:03d}.png', maps / f'new_{index}.png')
        Image.open(mine / f'train_img/{index:03d}.png').resize((24, 20)).save(pictures / f'new_{index}.jpg')
    shutil.copy(mine / 'classes.json', maps)
    (pictures / 'painted.json').write_text('{}')
    return pictures, maps


def settings(mine, painted, **more):
    pictures, maps = painted
    return SimpleNamespace(**{**dict(dataroot=str(mine), label_nc=None, add=str(pictures), add_labels=str(maps),
                                     seed=0, seeds=2, output=None, epochs=2, patience=1, size=(32, 32), batch=4,
                                     lr=2e-3, nThreads=0, restart=False, native=False), **more})


def test_the_command(scripts, mine, painted):
    """Networks side by side, as many steps in each; the table holds their scores; again, nothing is trained."""
    flags = command(mine, '--add', painted[0], '--add_labels', f'{painted[1]}/', '--seeds', 2, epochs=2)
    process = scripts.run(*flags)
    assert process.returncode == 0, process.stderr
    folders = sorted((mine / 'segmenter_added').iterdir())
    assert len(folders) == 4 and folders[2].name == 'real_0' and not (mine / 'segmenter').exists()
    runs = [json.loads((folder / 'segmenter.json').read_text()) for folder in folders]
    assert all(run['epochs_run'] == 2 for run in runs)
    scores = [run['ceiling']['mean_iou'] for run in runs]
    assert says(process.stdout, f'trained on {TRAINING} real photos, alone and with 5 painted pictures',
                with_painted.verdict(scores[2:], scores[:2], VALIDATION), *with_painted.table(runs[2:], runs[:2]))
    one, two = (read_weights(folders[side] / 'segmenter.pdparams') for side in (0, 2))
    assert any(not np.array_equal(one[name], two[name]) for name in one)
    assert 'cannot score' not in process.stdout and says(   # the tiny set is noise
        process.stdout.splitlines()[-1],
        'networks below 0.2: train longer first', f'{VALIDATION} validation photos: validate on')
    before = contents(mine)
    again = scripts.run(*flags)
    assert again.stdout.count('already complete') == 4 and again.stdout.splitlines()[-1] == \
        process.stdout.splitlines()[-1]
    assert contents(mine) == before


def test_an_epoch_has_as_many_samples_and_painted_ones_among_them(mine, painted):
    seen = set()
    for epoch in range(1, 4):
        for added in ((), with_painted.painted_samples(settings(mine, painted))):
            training = Training(settings(mine, painted), added)
            assert training.steps == TRAINING // 4 and len(training.data) == TRAINING + len(added)
            training.history = [[0, 0, 0]] * (epoch - 1)
            keys = []
            training.step = lambda batch: 0.0

            def loader(rows, keys=keys):
                keys += [key for row in rows for key in row]
                return iter(rows)
            training.train_epoch(loader)
            assert len(keys) == TRAINING // 4 * 4
            seen |= {index for _, index in keys} if added else set()
            if not added:   # as ever
                assert [index for _, index in keys] == epoch_order(training.opt, TRAINING, epoch)[:len(keys)].tolist()
    assert max(seen) >= TRAINING and min(seen) < TRAINING


def test_a_map_is_resized_to_its_picture_as_when_it_was_painted(tmp_path):
    label = np.arange(16, dtype=np.uint8).reshape(4, 4).repeat(4, 0).repeat(4, 1)
    Image.fromarray(label).save(tmp_path / 'label.png')
    Image.fromarray(label[::4, ::4] * 16).convert('RGB').save(tmp_path / 'picture.png')
    data = SegmenterImages([], 20, (4, 4), painted=[Sample('', str(tmp_path / 'label.png'), None,
                                                           str(tmp_path / 'picture.png'))])
    arrays = data[None, 0]
    assert len(data) == 1 and np.array_equal(arrays['label'] * 16, arrays['rgb'][..., 0])
    assert np.array_equal(arrays['label'], np.arange(16).reshape(4, 4))


@pytest.mark.parametrize('real, painted, said', [
    ([0.5, 0.51, 0.49], [0.6, 0.61, 0.59], 'painted pictures help: mean IoU +0.1000, 95 % interval +0.0773 to +0.1227'),
    ([0.6, 0.61, 0.59], [0.5, 0.51, 0.49], 'painted pictures do not help, they harm: mean IoU -0.1000'),
    ([0.5, 0.51, 0.49], [0.51, 0.52, 0.5], 'too close to say: mean IoU +0.0100, 95 % interval -0.0127 to +0.0327'),
    ([0.5, 0.5], [0.5, 0.5], 'too close to say: mean IoU +0.0000, 95 % interval +0.0000 to +0.0000')])
def test_the_sentence(real, painted, said):
    """t(4) = 2.776 and a standard deviation of 0.01 on both sides: half the interval is 2.776 * 0.01 * sqrt(2 / 3)."""
    found = with_painted.verdict(real, painted, 20)
    assert found.startswith(said) and found.endswith(' over seeds')


@pytest.mark.parametrize('real, photos, said', [
    ([0.5, 0.6], 20, ''), ([0.2, 0.2], 20, ''),
    ([0.5, 0.1], 20, '; networks below 0.2: train longer first (--epochs N --restart)'),
    ([0.5, 0.6], 19, '; 19 validation photos: validate on 20 or more'),
    ([0.1, 0.1], 4, '; networks below 0.2: train longer first (--epochs N --restart); 4 validation photos: '
                    'validate on 20 or more')])
def test_the_sentence_says_what_it_cannot_know(real, photos, said):
    for sides in (real, [0.6, 0.6]), ([0.6, 0.6], real):
        assert with_painted.verdict(*sides, photos).endswith(f' over seeds{said}')


def test_the_quantiles_are_those_of_students_t():
    """By Monte Carlo: 95 % of the intervals of equal sides hold zero."""
    rng = np.random.default_rng(0)
    for count in (2, 3, 10):
        sides = rng.standard_normal((2, 40_000, count))
        half = with_painted.T[count] * np.sqrt(sides.var(2, ddof=1).sum(0) / count)
        assert np.mean(np.abs(sides[0].mean(1) - sides[1].mean(1)) <= half) == pytest.approx(0.95, abs=0.005)


def test_the_table_leaves_out_absent_classes():
    run = {'classes': ['road', 'tree'], 'label_nc': 2, 'ceiling': {'mean_iou': 0.5}, 'ceiling_class_iou': [0.5, None]}
    better = {**run, 'ceiling': {'mean_iou': 0.75}, 'ceiling_class_iou': [0.75, None]}
    head, *lines = with_painted.table([run, better], [better, better])
    assert [line.split()[0] for line in lines] == ['mean', 'road']
    assert says(lines[1], '0.6250 (0.5000 to 0.7500)', '0.7500 (0.7500 to 0.7500)', '+0.1250')


def test_wrong_folders_are_refused_before_training(mine, painted, tmp_path):
    pictures, maps = painted

    def refused(*parts, **more):
        calls = []
        said = message(with_painted.compare, settings(mine, painted, **more), lambda *call: calls.append(call))
        return says(said, *parts) and not calls

    assert refused('--seeds 1: allowed: 2 .. 10', seeds=1)
    assert refused('--add_labels', 'the maps that score', add_labels=str(mine / 'val_label'), add=str(mine / 'val_img'))
    more, fewer, named, wrong = (tmp_path / name for name in ('more', 'fewer', 'named', 'wrong'))
    shutil.copytree(pictures, more)
    shutil.copy(more / 'new_0.jpg', more / 'other.jpg')
    assert refused('--add_labels', '1 files are missing: other', add=str(more))
    shutil.copytree(pictures, fewer)
    (fewer / 'new_3.jpg').unlink()
    assert refused('--add', '1 files are missing: new_3', add=str(fewer))
    shutil.copytree(maps, named)
    content = json.loads((maps / 'classes.json').read_text())
    (named / 'classes.json').write_text(json.dumps({**content, 'names': content['names'][::-1]}))
    assert refused('names other classes', add_labels=str(named))
    shutil.copytree(maps, wrong)
    Image.fromarray(np.full((8, 8), CLASSES + 3, np.uint8)).save(wrong / 'new_2.png')
    assert refused('wrong/new_2.png: label value 12', add_labels=str(wrong))


def test_both_flags_are_needed(scripts, mine, painted):
    assert says(scripts.failure(*command(mine, '--add', painted[0])), '--add and --add_labels', 'give both')


def test_a_set_without_the_flag_trains_as_ever(mine, painted):
    """No sample is painted, and segmenter.json of earlier versions, which lacks `added`, is still its own."""
    training = Training(settings(mine, painted))
    assert training.about['added'] is None and len(training.data) == len(find_samples(
        OPT(dataroot=str(mine), label_nc=CLASSES, no_instance=True), 'train'))
    earlier = {name: value for name, value in training.about.items() if name != 'added'}
    assert training.differences(earlier) == ''
