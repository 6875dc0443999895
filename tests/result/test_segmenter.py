"""The scoring network of one's own set: result.train_segmenter, killed and resumed.
Scores with it: tests/result/test_own_score.py.
"""
import json
import math
import os
import pickle
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from PIL import Image

from dataset.files import Sample
from model.init import OPT
from model.weights import save_weights, set_weights
from result.networks.segmenter import Segmenter, weighted_cross_entropy
from result.own import scoring_network
from result.own.images import MOST_WEIGHT, SegmenterImages, class_weights
from result.scores import VOID
from result.train_segmenter import Training, learning_rate
from runtime.errors import InputError
from runtime.locking import locked
from tests.forked import kill, until
from tests.runner import contents, message, says
from tests.scoring import seeded_state
from tests.segmenting import command, kept

CAMVID = os.environ.get('SPADE_CAMVID')


# ---- The network and its loss

@pytest.mark.parametrize('size', [(32, 48), (37, 50)])
def test_the_network_on_kernels_equals_the_plain_formula(size):
    """Batch norms folded in and plain; sides that are no multiples of 16 too."""
    network = Segmenter(5, widths=(4, 6, 8, 10, 12))
    set_weights(network, seeded_state(network), 'seeded')
    network.eval()
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32))
    logits, features = network(x), network.features(x)

    def plain(layer, y):
        y = F.conv2d(y, layer.conv.weight, None, layer.conv.stride, 1)
        return F.relu(F.batch_norm(y, layer.bn._mean, layer.bn._variance, layer.bn.weight, layer.bn.bias))

    maps = [plain(network.down[0], x)]
    for down, along in zip(network.down[1:], network.along):
        maps.append(plain(along, plain(down, maps[-1])))
    y = maps.pop()
    assert np.allclose(features.numpy(), y.mean([2, 3]).numpy(), atol=1e-4) and features.shape == [2, 12]
    while maps:
        skip = maps.pop()
        y = F.interpolate(plain(network.up[len(maps)], y), scale_factor=2,
                          mode='nearest')[:, :, :skip.shape[2], :skip.shape[3]]
        y = plain(network.join[len(maps)], y + skip)
    expected = network.classify(y).numpy()
    assert logits.shape == [2, 5, *size] and np.abs(logits.numpy() - expected).max() < 1e-4 * np.abs(expected).max()
    assert logits.stop_gradient


def test_the_loss_in_closed_form():
    """Equal logits: log(classes) whatever the weights; else the weighted mean; unlabelled pixels have no part in it."""
    weights = np.zeros(256, np.float32)
    weights[:3] = 1, 2, 4
    label = np.array([[[0, 1], [2, VOID]]])
    assert float(weighted_cross_entropy(paddle.zeros([1, 3, 2, 2]), label, weights)) == pytest.approx(math.log(3))
    logits = paddle.to_tensor(np.random.default_rng(0).standard_normal((1, 3, 2, 2)).astype(np.float32),
                              stop_gradient=False)
    loss = weighted_cross_entropy(logits, label, weights)
    values = logits.numpy()[0].reshape(3, 4)
    nll = np.log(np.exp(values).sum(0)) - values[[0, 1, 2, 0], range(4)]
    assert float(loss) == pytest.approx((nll[0] + 2 * nll[1] + 4 * nll[2]) / 7, rel=1e-5)
    loss.backward()
    assert (logits.grad.numpy()[0, :, 1, 1] == 0).all() and (logits.grad.numpy()[0, :, 0, 0] != 0).all()
    assert float(weighted_cross_entropy(logits, np.full((1, 2, 2), VOID), weights)) == 0


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate(0.1, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == rates[9] == rates[10] == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.05) and rates[99] < 1e-4 and \
        rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)


# ---- What it learns from

@pytest.fixture
def halves(tmp_path):
    """A sample: class 1 and white to the left, class 0 and black to the right, unlabelled and grey below."""
    label = np.zeros((60, 80), np.uint8)
    label[:, :40], label[50:] = 1, 255
    photo = np.uint8([0, 255])[np.minimum(label, 1)]
    photo[50:] = 128
    Image.fromarray(label).save(tmp_path / 'label.png')
    Image.fromarray(photo).convert('RGB').save(tmp_path / 'photo.png')
    return Sample('halves', str(tmp_path / 'label.png'), None, str(tmp_path / 'photo.png'))


def test_photo_and_labels_are_moved_alike(halves):
    """White is class 1 wherever scale, crop and flip have moved it, but for pixels beside the border."""
    data, sides = SegmenterImages([halves], 3, (40, 30), seed=1), set()
    for epoch in range(40):
        arrays = data[epoch, 0]
        assert arrays['rgb'].shape == (30, 40, 3) and arrays['rgb'].dtype == np.uint8 and \
            arrays['label'].shape == (30, 40)
        ones, zeros = (arrays['rgb'][arrays['label'] == value].mean(1) for value in (1, 0))
        assert len(ones) + len(zeros) > 200
        if min(len(ones), len(zeros)) > 100:   # else one of them may be outside
            assert np.median(ones) > np.median(zeros) + 60
            where = np.nonzero(arrays['label'] == 1)[1].mean() < np.nonzero(arrays['label'] == 0)[1].mean()
            sides.add(bool(where))
    assert sides == {True, False}


def test_native_windows_keep_the_scale(halves):
    """Twice as wide as a window, a photo fills it at every scale and is scored by its middle; else it shrinks to it."""
    native, whole = (SegmenterImages([halves], 3, (40, 30), native=native) for native in (True, False))
    label, photo = (np.asarray(Image.open(path))[15:45, 20:60] for path in (halves.label, halves.photo))
    scored = native[None, 0]
    assert np.array_equal(scored['rgb'], photo) and np.array_equal(scored['label'], np.where(label == 255, VOID, label))
    unlabelled = Image.fromarray(np.full((60, 80), 255, np.uint8))
    unlabelled.save(halves.label)
    Image.fromarray(np.full((60, 80, 3), 255, np.uint8)).save(halves.photo)
    padded = [[(np.ptp(data[epoch, 0]['rgb'].astype(int), (0, 1)) > 0).any() for epoch in range(20)]
              for data in (native, whole)]
    assert not any(padded[0]) and any(padded[1])
    with pytest.raises(InputError, match='80 wide and 60 high, smaller than a window of --size 81x30'):
        SegmenterImages([halves], 3, (81, 30), native=True)[None, 0]


def test_draws_are_functions_of_seed_epoch_and_sample(halves):
    def arrays(seed, *key):
        return SegmenterImages([halves, halves], 3, (40, 30), seed)[key]

    def alike(one, other):
        return all(np.array_equal(one[name], other[name]) for name in one)

    assert alike(arrays(0, 1, 0), arrays(0, 1, 0))
    assert not any(alike(arrays(0, 1, 0), other) for other in (arrays(1, 1, 0), arrays(0, 2, 0), arrays(0, 1, 1)))
    whole = arrays(0, None, 0)
    assert alike(whole, arrays(7, None, 1)) and whole['label'][0, 0] == 1 and whole['label'][29, 0] == VOID


def test_rare_classes_weigh_more(tmp_path):
    label = np.zeros((10, 100), np.uint8)       # 890, 100 and 9 pixels; one is unlabelled
    label[0], label[1, :9], label[1, 9] = 1, 2, 255
    Image.fromarray(label).save(tmp_path / 'label.png')
    weights = class_weights([Sample('', str(tmp_path / 'label.png'), None, None)], OPT(label_nc=4))
    assert weights.tolist() == pytest.approx([1, 1, math.sqrt(100 / 9), 1]) and math.sqrt(100 / 9) < MOST_WEIGHT
    label[:] = 0
    label[0, :1], label[1:3] = 2, 1
    Image.fromarray(label).save(tmp_path / 'label.png')
    assert class_weights([Sample('', str(tmp_path / 'label.png'), None, None)], OPT(label_nc=4))[2] == MOST_WEIGHT


# ---- The command

def test_files_of_the_network(mine, segmented):
    found, weights = kept(mine / 'segmenter')
    assert says(segmented, 'epoch 3/3: loss', 'ceiling, from 3 real validation photos: mean IoU',
                f'{found["ceiling"]["mean_iou"]:.4f}', 'low (below 0.2)')   # the tiny set is noise
    assert sorted(os.listdir(mine / 'segmenter')) == ['.lock', 'segmenter.json', 'segmenter.pdparams']
    assert found['classes'][8] == 'kind 8' and found['size'] == '32x32' and found['training_photos'] == 13
    assert len(found['history']) == found['epochs_run'] == 3 and len(found['ceiling_class_iou']) == 9
    assert found['ceiling']['mean_iou'] == pytest.approx(max(row[1] for row in found['history']))
    assert found['weights_sha256'] and weights['classify.weight'].shape == (9, 16, 1, 1)


def test_killed_and_resumed_it_is_the_same_network(scripts, mine, segmented, tmp_path):
    """Killed after an epoch, then stopped within another; the rest of an epoch is repeated, to the same bits."""
    one = command(mine, '--output', tmp_path / 'out')
    for fresh, number, status in (True, signal.SIGKILL, -signal.SIGKILL), (False, signal.SIGINT, 130):
        before = contents(tmp_path / 'out').get('training.pdstate') if (tmp_path / 'out').exists() else None
        process = scripts.start_command(one, tmp_path / 'said', fresh)
        until(lambda: (tmp_path / 'out/training.pdstate').exists() and
              contents(tmp_path / 'out').get('training.pdstate') != before, process=process)
        assert kill(process, number) == status
    assert says((tmp_path / 'said').read_text(), 'stopped: whole epochs are saved; the same command resumes')
    process = scripts.run(*one)
    assert process.returncode == 0 and says(process.stdout, 'resumes after epoch 2 of 3'), process.stderr
    (first, weights), (again, other) = kept(mine / 'segmenter'), kept(tmp_path / 'out')
    assert again['history'] == first['history'] and again['ceiling'] == first['ceiling']
    assert weights.keys() == other.keys() and all(np.array_equal(weights[name], other[name]) for name in weights)


def test_training_stops_without_improvement(scripts, mine, tmp_path):
    process = scripts.run(*command(mine, '--output', tmp_path / 'out', '--patience', 1, '--lr', 1e-9, epochs=9))
    found, _ = kept(tmp_path / 'out')
    assert process.returncode == 0 and found['epochs_run'] < 9 and \
        found['best_epoch'] == found['epochs_run'] - 1, process.stderr
    assert found['ceiling']['mean_iou'] == pytest.approx(max(row[1] for row in found['history']))   # of what is kept


def test_the_same_command_afterwards_changes_nothing(scripts, mine, segmented):
    before = contents(mine)
    again = scripts.run(*command(mine))
    assert again.returncode == 0 and \
        says(again.stdout, 'already complete', mine / 'segmenter/segmenter.json', '--restart'), again
    assert contents(mine) == before


def test_refused_settings(scripts, mine, tiny_set, segmented, tmp_path):
    assert says(scripts.failure(*command(mine, '--seed', 7)),
                'network of another training: seed 0 (now 7); replace it with --restart')
    assert says(scripts.failure('-m', 'result.train_segmenter', '--dataroot', tiny_set), 'classes.json', '--label_nc')
    assert says(scripts.failure(*command(mine, '--lr', 'inf')), '--lr')
    assert says(scripts.failure(*command(tiny_set, '--label_nc', 1)), tiny_set, '1 class',
                'label the rest as a class too')
    (tmp_path / 'file').write_text('')      # as a set on a drive that may not be written to
    assert says(scripts.failure(*command(mine, '--output', tmp_path / 'file/segmenter')), tmp_path / 'file',
                'cannot be written', 'name another --output')
    assert says(scripts.failure(*command(tmp_path)), 'missing folder')
    with locked(tmp_path / 'busy', 'training of a scoring network', '--output'):
        assert says(scripts.failure(*command(mine, '--output', tmp_path / 'busy')), tmp_path / 'busy',
                    f'another training of a scoring network writes there (process {os.getpid()}',
                    'name another --output')
    shutil.copytree(mine, tmp_path / 'unlabelled', ignore=shutil.ignore_patterns('segmenter'))
    for path in (tmp_path / 'unlabelled/val_label').iterdir():
        Image.new('L', (48, 40), VOID).save(path)
    assert says(scripts.failure(*command(tmp_path / 'unlabelled')), tmp_path / 'unlabelled',
                'no pixel of val_label has a class')
    state = {'about': np.array(json.dumps({'seed': 7})), 'history': np.zeros((1, 3))}
    (tmp_path / 'out').mkdir()
    save_weights(state, tmp_path / 'out/training.pdstate')
    assert says(scripts.failure(*command(mine, '--output', tmp_path / 'out')), 'another training has begun there',
                'seed 7 (now 0)')


def test_networks_of_other_data_and_damaged_ones_are_refused(scripts, mine, segmented, tmp_path):
    shutil.copytree(mine, tmp_path / 'mine')
    one, path = command(tmp_path / 'mine'), tmp_path / 'mine/segmenter/segmenter.json'
    next((tmp_path / 'mine/val_label').iterdir()).rename(tmp_path / 'mine/val_label/other.png')
    next((tmp_path / 'mine/val_img').iterdir()).rename(tmp_path / 'mine/val_img/other.png')
    assert says(scripts.failure(*one), path, 'network of another training: the validation maps changed; replace it',
                '--restart')
    path.write_text('{}')
    assert says(scripts.failure(*one), path, 'cannot be read', 'move it away, or name another --output')


@pytest.mark.parametrize('restart', [False, True])
@pytest.mark.parametrize('name', ['segmenter.pdparams', 'segmenter.json', 'training.pdstate'])
@pytest.mark.parametrize('content', [b'mine', b'{}', pickle.dumps({'about': np.zeros(2)})],
                         ids=['text', 'json', 'weights'])
def test_a_foreign_file_of_our_name_is_refused_and_unchanged(tmp_path, name, content, restart):
    """At 204147d --restart replaced all three."""
    (tmp_path / name).write_bytes(content)
    training = Training.__new__(Training)
    training.output, training.settings = str(tmp_path), SimpleNamespace(restart=restart)
    assert says(message(training.run), tmp_path / name, 'replaces only its own files', 'name another --output')
    assert contents(tmp_path) == {name: content}


def test_a_kill_while_the_network_is_saved_leaves_a_resumable_state(mine, segmented, tmp_path):
    """The weights are new; their description is the previous training's, or missing."""
    for name in ('segmenter.json', 'segmenter.pdparams'):
        shutil.copy(mine / 'segmenter' / name, tmp_path)
    scoring_network.refuse_foreign(tmp_path)
    best = {'a': np.ones(3, np.float32)}
    save_weights(best, tmp_path / 'segmenter.pdparams')
    assert says(message(scoring_network.refuse_foreign, tmp_path), tmp_path / 'segmenter.pdparams')
    save_weights({'about': np.array('{}'), 'history': np.zeros((1, 3)), 'best/a': best['a']},
                 tmp_path / 'training.pdstate')
    scoring_network.refuse_foreign(tmp_path)
    (tmp_path / 'segmenter.json').unlink()
    scoring_network.refuse_foreign(tmp_path)


# ---- Real photographs

@pytest.mark.skipif(not CAMVID, reason='SPADE_CAMVID does not name the folder of street photographs')
def test_street_photographs(scripts, tmp_path):
    """From the folders as they came to a network that knows roads, buildings, sky and trees, in two epochs at 64x48."""
    source = Path(CAMVID)
    process = scripts.run('-m', 'dataset.prepare', 'folder', '--images', source / 'train_img', '--labels',
                          source / 'train_label',
                          '--val_images', source / 'val_img', '--val_labels', source / 'val_label', '--void', '11',
                          '--output', tmp_path / 'set', '--link')
    assert process.returncode == 0, process.stderr
    process = scripts.run('-m', 'result.train_segmenter', '--dataroot', tmp_path / 'set', '--label_nc', 11, '--size',
                          '64x48', '--epochs', 2)
    assert process.returncode == 0, process.stderr
    found, _ = kept(tmp_path / 'set/segmenter')
    assert found['training_photos'] == 367 and found['validation_photos'] == 101
    assert found['ceiling']['mean_iou'] > 0.18 and found['ceiling']['pixel_accuracy'] > 0.6
