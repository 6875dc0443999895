"""Scores by the network of one's own set: val.py, training, result.evaluate and result.sheet."""
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset.contents import fingerprint
from dataset.files import find_samples
from log.score_log import FEATURES, table
from model.init import OPT
from result.evaluate import Evaluation, Settings
from result.networks.kinds import NETWORKS
from result.own import scoring_network
from result.own.nearest import closest, compared
from result.sheet import GAP, TITLE, WIDTH
from runtime.errors import InputError
from tests.runner import TINY, VALIDATION, message, says
from tests.scoring import small_photos
from tests.segmenting import command, kept


def evaluated(scripts, root, pictures, tmp_path, *more):
    process = scripts.run('-m', 'result.evaluate', '--dataset', 'own', '--dataroot', root, '--pictures', pictures,
                          '--cache', tmp_path / 'cache', '--scores', tmp_path / 'scores.jsonl', *more)
    assert process.returncode == 0, process.stderr
    return json.loads((tmp_path / 'scores.jsonl').read_text().splitlines()[-1]), process.stdout


@pytest.fixture(scope='module')
def photos(mine, tmp_path_factory):
    """Folder of the validation photos at 32x32: perfect pictures."""
    return small_photos(mine / 'val_img', tmp_path_factory.mktemp('photos'))


def test_real_photos_reach_the_ceiling(scripts, mine, photos, segmented, tmp_path):
    """Their scores as pictures equal those stored by the training, with distance zero."""
    line, said = evaluated(scripts, mine, photos, tmp_path)
    found, _ = kept(mine / 'segmenter')
    for name, value in found['ceiling'].items():
        assert line['scores'][name] == pytest.approx(value) and line['real'][name] == pytest.approx(value)
    assert line['part_of_ceiling'] == {'pixel_accuracy': 1, 'mean_iou': 1,
                                       'segmenter_frechet': pytest.approx(0, abs=1e-6)}
    assert line['real']['segmenter_frechet'] > 1e-3
    assert line['class_iou'] == line['real_class_iou'] == pytest.approx(found['ceiling_class_iou'])
    assert 0 <= line['scores']['segmenter_frechet'] < 1e-6 and 'fid' not in line['scores']
    protocol = line['protocol']
    assert protocol['name'] == 'own' and protocol['network_sha256'] == found['weights_sha256'] and found['train'] in \
        protocol['network_trained_on']
    assert says(said, 'real photos: mean IoU', "Frechet distance (own network's features)", 'cannot score pictures',
                "real photos: Frechet distance (own network's features)", 'kind 3', f'{VALIDATION} pictures are fewer')
    assert 'part of that' not in said and 'FID' not in said    # the tiny set is noise
    assert line['network_mean_iou'] == found['ceiling']['mean_iou'] < 0.2
    assert all(NETWORKS[name].features == FEATURES[score] for name, score in (
        ('inception', 'fid'), ('segmenter', 'segmenter_frechet')))


def test_unlabelled_maps_have_no_scores(mine, photos, segmented, tmp_path):
    """Neither the pictures nor the photos: nothing is divided, and what is written is JSON."""
    root = tmp_path / 'set'
    shutil.copytree(mine, root)
    for path in (root / 'val_label').iterdir():
        Image.fromarray(np.full_like(np.array(Image.open(path)), 255)).save(path)
    about = json.loads((root / 'segmenter/segmenter.json').read_text())
    about['val'] = fingerprint(find_samples(OPT(dataroot=root, label_nc=TINY['label_nc'], no_instance=True), 'val'))
    (root / 'segmenter/segmenter.json').write_text(json.dumps(about))
    score = Evaluation(Settings('own', str(root), cache=str(tmp_path / 'cache'), distance=False)).score(str(photos))
    json.dumps(score.as_dict(), allow_nan=False)
    assert score.real['mean_iou'] is score.scores['mean_iou'] is score.part_of_ceiling['mean_iou'] is None
    assert 'real photos: mean IoU' in table([score])


def test_windows_are_compared_with_windows(scripts, mine, photos, segmented, tmp_path, capsys):
    """The middle windows of the real photos are perfect pictures; the whole photos, resized, are not."""
    for path in (mine / 'val_img').iterdir():   # 48 wide and 40 high
        Image.open(path).crop((8, 4, 40, 36)).save(tmp_path / path.name)

    def scored(folder, **settings):
        return Evaluation(Settings('own', str(mine), cache=str(tmp_path / 'cache'), **settings)).score(str(folder))
    score = scored(tmp_path, region='middle')
    assert score.scores['mean_iou'] == score.real['mean_iou'] and score.scores['segmenter_frechet'] < 1e-6
    assert score.protocol['label_size'] == '32x32 (middle window)'
    assert 'result.train_segmenter --native trains one for windows' in capsys.readouterr().out
    process = scripts.run(*command(mine, '--native', '--output', tmp_path / 'native', epochs=1))
    assert process.returncode == 0, process.stderr
    native = scored(tmp_path, region='middle', scoring=str(tmp_path / 'native'))
    ceiling = kept(tmp_path / 'native')[0]['ceiling']
    assert native.scores['mean_iou'] == pytest.approx(ceiling['mean_iou']) and '--native' not in capsys.readouterr().out
    evaluation = Evaluation(Settings('own', str(mine), cache=str(tmp_path / 'cache'), distance=False, region='middle'))
    sample = evaluation.samples[0]
    counts = next(evaluation.segmentation.counts([(str(tmp_path / '000.png'), sample.label)], 'counts'))
    window = np.asarray(Image.open(sample.label).crop((8, 4, 40, 36)))
    assert counts.sum(1)[:-1].tolist() == np.bincount(window.ravel(), minlength=256)[:len(counts) - 1].tolist()
    whole = scored(photos, region='middle')
    assert whole.scores['mean_iou'] != whole.real['mean_iou'] and whole.scores['segmenter_frechet'] > 1e-3
    with pytest.raises(InputError, match='full_size: enlarges pictures to the whole label map'):
        scored(tmp_path, region='middle', protocol='full_size')


def few(mine, folder, count):
    """A set with `count` of the validation samples and no training photos."""
    for part in ('val_img', 'val_label', 'val_inst'):
        (folder / part).mkdir(parents=True)
        for path in sorted((mine / part).iterdir())[:count]:
            shutil.copy(path, folder / part)
    return folder


def test_photos_of_elsewhere(scripts, mine, segmented, trained, tmp_path, capsys):
    """A few maps and photos without training photos, scored by the network of another set: only what they tell."""
    process = scripts.run(*command(mine, '--native', '--output', tmp_path / 'native', epochs=1))
    assert process.returncode == 0, process.stderr
    for count in (1, 2):
        root = few(mine, tmp_path / f'set {count}', count)
        process = scripts.run('val.py', '--lastoutput', trained / 'output', '--dataroot', root, '--results',
                              tmp_path / f'val {count}', '--score', '--dataset', 'own', '--scoring', mine / 'segmenter',
                              '--cache', tmp_path / 'cache', '--scores', tmp_path / 'scores.jsonl')
        assert process.returncode == 0, process.stderr
        line = json.loads((tmp_path / 'scores.jsonl').read_text().splitlines()[-1])
        assert line['scores']['mean_iou'] is not None and line['real']['mean_iou'] is not None
        assert (line['scores']['segmenter_frechet'] is None) == (count == 1)
        assert 'segmenter_frechet' not in line['real'] and 'label_maps' in line['protocol']
        assert says(process.stdout, *{1: ['at least two pictures, found 1', 'left out'],
                                      2: ['missing folder', 'real photos is unknown']}[count])
    whole = Evaluation(Settings('own', str(root), size=(48, 40), cache=str(tmp_path / 'cache'),
                                scoring=str(tmp_path / 'native')))   # photos at their own scale: any size
    score = whole.score(str(root / 'val_img'))
    assert score.scores['mean_iou'] == score.real['mean_iou'] and score.scores['segmenter_frechet'] < 1e-6
    for scoring, size in ((tmp_path / 'native', (64, 64)), (mine / 'segmenter', (48, 40))):
        with pytest.raises(InputError, match='was trained for 32x32'):
            Evaluation(Settings('own', str(root), size=size, scoring=str(scoring)))
    (root / 'classes.json').write_text((mine / 'classes.json').read_text().replace('kind 3', 'water'))
    with pytest.raises(InputError, match='kind 3.*names .*water'):
        scoring_network.dataset(str(root), str(mine / 'segmenter'))


def test_chain_of_native_crops(scripts, mine, segmented, tmp_path):
    """Training on crops scores windows; so do val.py and, told by painted.json, result.evaluate."""
    scripts.trained(tmp_path, dataroot=mine, score_epoch_freq=2, preprocess_mode='crop')
    first = json.loads((tmp_path / 'output/scores.jsonl').read_text())
    process = scripts.run('val.py', '--lastoutput', tmp_path / 'output', '--results', tmp_path / 'val', '--score',
                          '--cache', tmp_path / 'cache', '--scores', tmp_path / 'scores.jsonl')
    assert process.returncode == 0, process.stderr
    assert says(process.stdout, 'preprocess_mode crop: val.py, scores and validation pictures show the middle 32 x 32')
    second = json.loads((tmp_path / 'scores.jsonl').read_text())
    line, _ = evaluated(scripts, mine, tmp_path / 'val/pics', tmp_path)
    for found in (first, second, line):
        assert found['protocol']['label_size'] == '32x32 (middle window)'
        assert found['scores']['mean_iou'] == pytest.approx(line['scores']['mean_iou'])


def test_chain_from_the_segmenter_to_the_sheet(scripts, mine, segmented, tmp_path):
    """Training that scores, the best kept; val.py --score says the same; then the sheet."""
    said = scripts.trained(tmp_path, dataroot=mine, score_epoch_freq=1)
    lines = [json.loads(line) for line in (tmp_path / 'output/scores.jsonl').read_text().splitlines()]
    assert says(said, 'scores after epoch 2', 'cannot score pictures') and len(lines) == 2
    assert lines[0]['protocol']['name'] == 'own' and lines[0]['part_of_ceiling']['mean_iou'] is not None
    found = json.loads((tmp_path / 'output/best/score.json').read_text())
    assert found['scores']['mean_iou'] == max(line['scores']['mean_iou'] for line in lines)
    process = scripts.run('val.py', '--lastoutput', tmp_path / 'output', '--results', tmp_path / 'val', '--score',
                          '--cache', tmp_path / 'cache', '--scores', tmp_path / 'scores.jsonl')
    assert process.returncode == 0, process.stderr
    assert says(process.stdout, 'cannot score pictures', 'generated', 'kind 3')
    line = json.loads((tmp_path / 'scores.jsonl').read_text())
    assert line['scores']['mean_iou'] == pytest.approx(lines[1]['scores']['mean_iou']) and \
        line['scores']['segmenter_frechet'] > 0
    process = scripts.run('-m', 'result.sheet', '--dataset', 'own', '--dataroot', mine, '--pictures',
                          tmp_path / 'val/pics',
                          '--cache', tmp_path / 'cache', '--scores', tmp_path / 'scores.jsonl', '--log',
                          tmp_path / 'log', '--checkpoint', tmp_path / 'output', '--output', tmp_path / 'sheet')
    assert process.returncode == 0, process.stderr
    text = (tmp_path / 'sheet/index.html').read_text()
    assert says(text, 'real photos: mean IoU', 'in italics: real photos', 'kind 1', 'own network')
    assert f'{VALIDATION} rows' in process.stdout
    sheet = np.asarray(Image.open(tmp_path / 'sheet/1.jpg'))
    label, *_, ours, real = np.split(sheet[TITLE:], range(WIDTH + GAP, 5 * WIDTH, WIDTH + GAP), 1)
    for column in label, ours, real:
        assert np.median(column) < 20, 'the colours of the set are nearly black'
    ids = np.asarray(Image.open(mine / 'val_label/000.png').resize((32, 32), Image.Resampling.NEAREST))
    red = np.where(ids == 255, 0, ids).repeat(6, 0).repeat(6, 1)
    assert np.abs(label[:WIDTH, :WIDTH, 0] - red.astype(int)).mean() < 2     # JPEG
    assert text.count('<u style="background:#') == sum(value is not None for value in line['class_iou'])


def test_copies_of_training_photos_are_found(scripts, mine, photos, segmented, tmp_path):
    """As pictures, training photos are nearest to themselves; validation photos show no sign of memorizing."""
    (tmp_path / 'all').mkdir()
    (tmp_path / 'copied').mkdir()
    copies = small_photos(mine / 'train_img', tmp_path / 'all')
    for path, name in zip(sorted(copies.iterdir())[5:], sorted(photos.iterdir())):
        shutil.copy(path, tmp_path / 'copied' / name.name)

    def sheet(pictures, *more):
        return scripts.run('-m', 'result.sheet', '--dataset', 'own', '--dataroot', mine, '--pictures', pictures,
                           '--cache', tmp_path / 'cache', '--scores', tmp_path / 'scores.jsonl', '--log', tmp_path,
                           '--nearest', *more)
    copied, real = sheet(tmp_path / 'copied'), sheet(photos)
    assert says(copied.stdout, 'median 0.000 of painted', f'{VALIDATION} of {VALIDATION}', 'may have memorized')
    assert says(real.stdout, f'0 of {VALIDATION} painted', 'no sign of memorizing', 'cannot score pictures')
    assert 'may have memorized' in (tmp_path / 'copied_sheet/index.html').read_text()
    sheet_of_five = np.asarray(Image.open(tmp_path / 'copied_sheet/1.jpg'), int)[TITLE:]
    ours, training, photo = (sheet_of_five[:, left:left + WIDTH]     # after the label map
                             for left in range(WIDTH + GAP, 4 * (WIDTH + GAP), WIDTH + GAP))
    assert np.abs(ours - training).mean() < 5 < 20 < np.abs(ours - photo).mean()
    failed = sheet(photos, '--no_fid')
    assert failed.returncode == 1 and says(failed.stderr, '--nearest', 'result.train_segmenter')


def test_nearest_in_closed_form():
    index, distance = closest(np.array([[0., 0], [3, 3]]), np.array([[3., 4], [0, 2], [9, 9]]))
    assert index.tolist() == [1, 0] and distance.tolist() == [2, 1]
    real = np.arange(1, 101.)
    assert says(compared(real, real), 'median 50.500 of painted', '4 of 100', 'below 5.000', 'no sign')
    assert says(compared(real - 20, real), '24 of 100', 'memorized')


@pytest.mark.thorough
def test_another_network_s_score_is_not_compared(scripts, mine, segmented, tmp_path):
    """Between two epochs the scoring network is trained again: the earlier best no longer counts, and a line reports
    it.
    """
    root = tmp_path / 'set'
    shutil.copytree(mine, root)
    scripts.trained(tmp_path, dataroot=root, score_epoch_freq=1, niter=1)
    process = scripts.run(*command(root, '--restart', seed=1, epochs=1))
    assert process.returncode == 0, process.stderr
    old, new = (kept(folder / 'segmenter')[0]['weights_sha256'] for folder in (mine, root))
    said = scripts.trained(tmp_path, dataroot=root, score_epoch_freq=1, niter=2)
    assert says(said, 'the earlier best has another protocol and cannot be compared', f'network_sha256 {old[:8]}, now '
                                                                                      f'{new[:8]}',
                f'new best: {tmp_path}/output/best')


def test_the_set_s_own_network_precedes_the_default_folder(tmp_path, monkeypatch):
    """A folder that --scoring names goes first; the default names nothing, and may hold another set's network."""
    monkeypatch.setattr(scoring_network, 'USUAL_SCORING', f'{tmp_path}/usual/')
    for folder in ('usual', 'named', 'set/segmenter'):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / 'segmenter.json').write_text('{}')
    assert scoring_network.folder_of(tmp_path / 'set', str(tmp_path / 'usual')) == str(tmp_path / 'set/segmenter')
    assert scoring_network.folder_of(tmp_path / 'set', str(tmp_path / 'named')) == str(tmp_path / 'named')
    assert scoring_network.folder_of(tmp_path / 'other', str(tmp_path / 'usual')) == str(tmp_path / 'usual')
    for root, place in (('other', 'nowhere'), ('set', 'nowhere'), ('set', 'other')):
        assert scoring_network.folder_of(tmp_path / root, str(tmp_path / place)) is None


@pytest.mark.parametrize('dataset', ['', 'own'])
@pytest.mark.parametrize('file, said', [
    (None, 'no network of result.train_segmenter: check the name'), ('segmenter.pdparams', 'check the name'),
    ('training.pdstate', 'its training is not complete: the same command of result.train_segmenter resumes it')])
def test_a_named_folder_without_a_network_is_not_replaced(mine, segmented, tmp_path, dataset, file, said):
    place = tmp_path / 'named'
    if file:
        place.mkdir()
        (place / file).write_text('')
    opt = OPT(dataroot=str(mine), label_nc=TINY['label_nc'], scoring=str(place), dataset=dataset)
    assert says(message(scoring_network.scores, opt), f'--scoring {place}: segmenter.json is missing there', said)
    assert says(message(scoring_network.dataset, str(mine), str(place)), f'--scoring {place}', said)


def test_scores_are_refused(scripts, mine, tiny_set, photos, segmented, trained, tmp_path):
    def failed(root, *more):
        return scripts.failure('-m', 'result.evaluate', '--dataset', 'own', '--dataroot', root, '--pictures', photos,
                               '--cache', tmp_path / 'cache', *more)

    assert says(failed(tiny_set), 'has no scoring network yet', 'result.train_segmenter')
    assert says(failed(mine, '--size', '64x64'), 'pictures 64x64', 'trained for 32x32')
    with pytest.raises(InputError, match='classes.json: not reference statistics'):     # before hours of painting
        Evaluation(Settings('own', str(mine), statistics=str(mine / 'classes.json')))
    assert says(scripts.train_failure(tmp_path, score_epoch_freq=1), f'its {TINY["label_nc"]} classes',
                'result.train_segmenter')
    assert says(scripts.train_failure(tmp_path, score_epoch_freq=1, score_by='fid', dataroot=mine), 'score_by fid',
                'segmenter_frechet')
    other = tmp_path / 'other'
    shutil.copytree(mine, other)
    (other / 'val_label/000.png').write_bytes((other / 'val_label/001.png').read_bytes())
    with pytest.raises(InputError, match=f'trained on other data.*--dataroot {other} --size 32x32 --restart'):
        scoring_network.dataset(str(other), 'result/')
    (mine / 'segmenter' / 'segmenter.json').rename(tmp_path / 'segmenter.json')
    try:
        shutil.copytree(mine / 'segmenter', tmp_path / 'damaged')
        another = (tmp_path / 'segmenter.json').read_text().replace('"weights_sha256": "', '"weights_sha256": "0')
        for content, said in (('{', 'cannot be read'), (another, 'does not match segmenter.json')):
            (tmp_path / 'damaged/segmenter.json').write_text(content)
            with pytest.raises(InputError, match=said):
                scoring_network.dataset(str(mine), str(tmp_path / 'damaged'))
    finally:
        (tmp_path / 'segmenter.json').rename(mine / 'segmenter' / 'segmenter.json')
