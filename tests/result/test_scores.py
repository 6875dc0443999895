"""result/scores.py against what can be worked out by hand."""
import numpy as np
import pytest

from result.protocols import DATASETS
from result.scores import ALL, EITHER, LABELLED, OTHER, VOID, Moments, confusion, frechet_distance, segmentation_scores

pytestmark = pytest.mark.without_paddle


def test_perfect_pictures_score_one():
    label = np.random.RandomState(0).randint(0, 182, (5, 64, 64))
    scores = segmentation_scores(confusion(label, label, 182))
    assert {name: scores[name] for name in scores if name != 'class_iou'} == dict(
        pixel_accuracy=1, mean_accuracy=1, mean_iou=1, mean_iou_other=1, frequency_weighted_iou=1)


def test_a_matrix_worked_out_by_hand():
    """Three classes, class 2 not there; 4 void pixels, 3 of them taken for class 0."""
    counts = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0], [3, 1, 0]])
    scores = segmentation_scores(counts)
    assert scores['pixel_accuracy'] == 9 / 12
    assert scores['mean_accuracy'] == pytest.approx((6 / 8 + 3 / 4) / 2)
    assert scores['class_iou'][:2].tolist() == [6 / 9, 3 / 6] and np.isnan(scores['class_iou'][2])
    assert scores['mean_iou'] == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert scores['frequency_weighted_iou'] == pytest.approx(8 / 12 * 6 / 9 + 4 / 12 * 3 / 6)

    counted = segmentation_scores(counts, void_counted=True)
    assert counted['pixel_accuracy'] == 9 / 16
    assert counted['mean_accuracy'] == scores['mean_accuracy']
    assert counted['class_iou'][:2].tolist() == [6 / 12, 3 / 7]
    assert counted['frequency_weighted_iou'] == pytest.approx((8 * 6 / 12 + 4 * 3 / 7) / 16)


COUNTED = confusion([0, 0, 0, 2], [0, 0, 1, 2], 4)   # class 1 is only predicted, class 3 is nowhere


@pytest.mark.parametrize('over, expected',
                         [(LABELLED, (2 / 3 + 1) / 2), (EITHER, (2 / 3 + 0 + 1) / 3), (ALL, (2 / 3 + 0 + 1 + 0) / 4)])
def test_a_mean_iou_is_over_the_classes_of_its_rule(over, expected):
    scores = segmentation_scores(COUNTED, over=over)
    assert scores['mean_iou'] == pytest.approx(expected) and scores['mean_accuracy'] == pytest.approx((2 / 3 + 1) / 2)
    assert scores['mean_iou_other'] == segmentation_scores(COUNTED, over=OTHER[over])['mean_iou'] != scores['mean_iou']


def test_rules_agree_where_every_class_is_labelled():
    counts = np.random.default_rng(0).integers(1, 9, (8, 7))
    assert len({segmentation_scores(counts, over=over)['mean_iou'] for over in OTHER}) == 1


@pytest.mark.parametrize('name, expected', [('coco_stuff', LABELLED), ('ade20k', ALL), ('cityscapes', EITHER)])
def test_each_data_set_has_the_rule_that_was_published_with_its_network(name, expected):
    assert DATASETS[name].mean_iou_over == expected


def test_counts():
    counts = confusion([[0, 1], [1, VOID]], [[0, 0], [1, 1]], 2)
    assert counts.dtype == np.int64 and counts.tolist() == [[1, 0], [1, 1], [0, 1]]
    many = counts * (2 ** 61)                        # beyond the 53 bits of a double, and beyond 32
    assert segmentation_scores(many)['pixel_accuracy'] == 2 / 3
    assert confusion([182 - 1, VOID], [0, 181], 182)[[181, 182], [0, 181]].tolist() == [1, 1]
    for label, predicted, said in (([182], [0], 'label: found class 182'), ([0], [-1], 'predicted: found class -1'),
                                   ([0], [255], 'predicted: found class 255'), ([0, 1], [0], 'shape')):
        with pytest.raises(ValueError, match=said):
            confusion(label, predicted, 182)


def test_only_void_pixels():
    scores = segmentation_scores(confusion([VOID], [1], 2))
    assert all(np.isnan(scores[name])
               for name in ('pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou'))
    assert segmentation_scores(confusion([VOID], [1], 2), void_counted=True)['pixel_accuracy'] == 0


def moments(rows):
    found = Moments(rows.shape[1])
    found.add(rows)
    return found


def distance(one, other):
    return frechet_distance(one.mean, one.covariance, other.mean, other.covariance)


@pytest.mark.parametrize('broken', range(4))
def test_a_distance_needs_finite_numbers(broken):
    """max(0, NaN) is 0: the best distance there is."""
    parts = [np.zeros(2), np.eye(2), np.zeros(2), np.eye(2)]
    parts[broken] = parts[broken] * np.nan
    with pytest.raises(ValueError, match='finite'):
        frechet_distance(*parts)


def test_streaming_equals_one_shot():
    rows = np.random.RandomState(0).rand(1000, 30) * np.arange(1, 31) + 50
    streamed = Moments(30)
    for start in range(0, 1000, 7):
        streamed.add(rows[start:start + 7])
    streamed.add(rows[:0])
    assert streamed.count == 1000
    assert np.abs(streamed.mean - rows.mean(0)).max() < 1e-9
    assert np.abs(streamed.covariance - np.cov(rows, rowvar=False)).max() < 1e-9
    with pytest.raises(ValueError, match='at least two rows, found 1'):
        _ = moments(rows[:1]).covariance


@pytest.mark.parametrize('count', [500, 20])   # with fewer rows than columns the covariance is singular
def test_frechet_distance_in_closed_form(count):
    rows = np.random.RandomState(1).randn(count, 64) @ np.random.RandomState(2).randn(64, 64)
    step = np.linspace(-1, 1, 64)
    one = moments(rows)
    assert abs(distance(one, one)) < 1e-6
    assert distance(one, moments(rows + step)) == pytest.approx((step ** 2).sum(), rel=1e-6)       # equal covariances
    # 9 C: tr (C^1/2 - 3 C^1/2)^2
    assert distance(one, moments(3 * (rows - rows.mean(0)) + rows.mean(0))) == pytest.approx(
        4 * np.trace(one.covariance), rel=1e-6)
    diagonal, other = np.array([1.0, 4, 0]), np.array([9.0, 1, 2])
    assert frechet_distance(np.zeros(3), np.diag(diagonal), np.ones(3), np.diag(other)) == pytest.approx(
        3 + ((diagonal ** 0.5 - other ** 0.5) ** 2).sum())
