"""Scores of pictures from counts and features: accuracies, IoU, Frechet distance. Needs numpy only.

Segmentation (Long et al., arXiv 1411.4038, section 5): pixels are counted by true and predicted class, then scored.
FID (Heusel et al., arXiv 1706.08500): the Frechet distance between two normal distributions fitted to features.
"""
from statistics import NormalDist

import numpy as np

VOID = 255   # true label of an unlabelled pixel

# The classes that a mean IoU averages over, as in the evaluation code published with each segmentation network.
LABELLED = 'classes in the labels'                        # kazuto1011/deeplab-pytorch, libs/utils/metric.py (b88e760)
# fyu/drn, segment.py: a class that is only predicted has IoU 0
EITHER = 'classes in the labels or the segmentation'
ALL = 'all classes, an absent one as 0'                   # CSAILVision/semantic-segmentation-pytorch, eval.py
OTHER = {LABELLED: EITHER, EITHER: LABELLED, ALL: LABELLED}   # the rule of mean_iou_other


# ---- Segmentation

def confusion(label, predicted, classes):
    """int64 (classes + 1, classes): pixels by true class (last row: void) and predicted class.

    label: integers 0 .. classes - 1 or VOID; predicted: 0 .. classes - 1, of the same shape. ValueError otherwise.
    """
    label, predicted = np.asarray(label, np.int64), np.asarray(predicted, np.int64)
    if label.shape != predicted.shape:
        raise ValueError(f'label has shape {label.shape}, predicted {predicted.shape}')
    void = label == VOID
    for what, values in (('label', label[~void]), ('predicted', predicted)):
        wrong = values[(values < 0) | (values >= classes)]
        if wrong.size:
            raise ValueError(f'{what}: found class {wrong.flat[0]}, expected 0 .. {classes - 1}')
    cell = np.where(void, classes, label) * classes + predicted
    return np.bincount(cell.ravel(), minlength=(classes + 1) * classes).reshape(classes + 1, classes)


def segmentation_scores(counts, void_counted=False, over=LABELLED):
    """dict of scores in 0 .. 1 from `confusion` counts, summed over pictures; NaN where nothing was counted.

    pixel_accuracy; mean_accuracy, over the classes in the labels; mean_iou, by the rule `over`; mean_iou_other, by
    OTHER[over]; frequency_weighted_iou; class_iou, a float64 (classes), NaN for an absent class.
    void_counted: a void pixel counts as wrong, in the total and for its predicted class; else it is ignored.
    """
    counts = np.asarray(counts)
    if not void_counted:
        counts = np.concatenate([counts[:-1], np.zeros_like(counts[-1:])])
    right, true, predicted = np.diagonal(counts), counts[:-1].sum(1), counts.sum(0)
    with np.errstate(invalid='ignore', divide='ignore'):
        class_iou = right / (true + predicted - right)
        return {'pixel_accuracy': float(np.float64(right.sum()) / counts.sum()),
                'mean_accuracy': _mean(right / true),
                'mean_iou': _mean_iou(class_iou, true, over),
                'mean_iou_other': _mean_iou(class_iou, true, OTHER[over]),
                'frequency_weighted_iou': float(np.nansum(true * class_iou) / np.float64(counts.sum())),
                'class_iou': class_iou}


def _mean_iou(class_iou, true, over):
    if over == ALL and true.any():
        return float(np.nan_to_num(class_iou).mean())
    return _mean(class_iou[true > 0] if over == LABELLED else class_iou)


def _mean(values):
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float('nan')


def or_none(score):
    """The score as a float; None if it is undefined (None, NaN or infinite)."""
    return float(score) if score is not None and np.isfinite(score) else None


# ---- FID

class Moments:
    """Mean and covariance, float64, updated with batches of rows (Chan, Golub and LeVeque, 1983)."""

    def __init__(self, columns):
        self.count, self.mean, self.scatter = 0, np.zeros(columns), np.zeros((columns, columns))

    def add(self, rows):
        """Update with rows (n, columns)."""
        rows = np.asarray(rows, np.float64)
        if not len(rows):
            return
        mean, count = rows.mean(0), self.count + len(rows)
        centred, step = rows - mean, mean - self.mean
        self.scatter += centred.T @ centred + np.outer(step, step) * (self.count * len(rows) / count)
        self.mean = self.mean + step * (len(rows) / count)
        self.count = count

    @property
    def covariance(self):
        """(columns, columns), divided by count - 1 as in np.cov; ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(f'a covariance needs at least two rows, found {self.count}')
        return self.scatter / (self.count - 1)


def frechet_distance(mean, covariance, other_mean, other_covariance):
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of two normal distributions; ValueError for NaN and infinity.

    With C = F F', tr (C1 C2)^1/2 is the sum of the singular values of F1' F2. This is exact for singular covariances
    (fewer pictures than features), where a general matrix root is complex.
    """
    if not all(np.isfinite(array).all() for array in (mean, covariance, other_mean, other_covariance)):
        raise ValueError('means and covariances must be finite numbers')
    distance = ((np.asarray(mean, np.float64) - other_mean) ** 2).sum()
    cross = np.linalg.svd(_factor(covariance).T @ _factor(other_covariance), compute_uv=False).sum()
    return max(0.0, float(distance + np.trace(covariance) + np.trace(other_covariance) - 2 * cross))


def _factor(covariance):
    """F (n, rank) with covariance = F F'; eigenvalues at the level of rounding are dropped."""
    values, vectors = np.linalg.eigh(covariance)
    positive = values > values.max() * len(values) * np.finfo(np.float64).eps
    return vectors[:, positive] * np.sqrt(values[positive])


# ---- Shares

def wilson_interval(successes, trials, confidence=0.95):
    """(low, high): the shares p with (successes / trials - p)^2 <= z^2 p (1 - p) / trials (Wilson, 1927)."""
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre, half = successes + z2 / 2, (z2 * (successes * (trials - successes) / trials + z2 / 4)) ** 0.5
    return max(0, (centre - half) / (trials + z2)), min(1, (centre + half) / (trials + z2))
