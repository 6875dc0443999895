"""Scores of pictures from counts and features: accuracies, IoU, Frechet distance. Numpy only.

Segmentation (Long et al., arXiv 1411.4038, section 5): pixels are counted by true and predicted class, then scored.
FID (Heusel et al., arXiv 1706.08500): the Frechet distance between two normal distributions fitted to features.
"""
import numpy

VOID = 255   # true label of a pixel that has none

# Which classes a mean IoU is over: the evaluation codes of the segmentation networks differ.
LABELLED = 'classes in the labels'                        # kazuto1011/deeplab-pytorch, libs/utils/metric.py (b88e760)
EITHER = 'classes in the labels or the segmentation'      # fyu/drn, segment.py: one that is only predicted is 0
ALL = 'all classes, an absent one as 0'                   # CSAILVision/semantic-segmentation-pytorch, eval.py
OTHER = {LABELLED: EITHER, EITHER: LABELLED, ALL: LABELLED}   # the rule of the second figure


# ---- Segmentation

def confusion(label, predicted, classes):
    """int64 (classes + 1, classes): pixels by true class, in the last row void, and predicted class.

    label: integers 0 .. classes - 1 or VOID; predicted: 0 .. classes - 1, of the same shape; else ValueError.
    """
    label, predicted = numpy.asarray(label, numpy.int64), numpy.asarray(predicted, numpy.int64)
    if label.shape != predicted.shape:
        raise ValueError(f'label has shape {label.shape}, predicted {predicted.shape}')
    void = label == VOID
    for what, values in (('label', label[~void]), ('predicted', predicted)):
        wrong = values[(values < 0) | (values >= classes)]
        if wrong.size:
            raise ValueError(f'{what}: found class {wrong.flat[0]}, expected 0 .. {classes - 1}')
    cell = numpy.where(void, classes, label) * classes + predicted
    return numpy.bincount(cell.ravel(), minlength=(classes + 1) * classes).reshape(classes + 1, classes)


def segmentation_scores(counts, void_counted=False, over=LABELLED):
    """dict of scores in 0 .. 1 from `confusion` counts, summed over pictures; NaN where nothing was counted.

    pixel_accuracy; mean_accuracy, over the classes in the labels; mean_iou, over the classes of the rule `over`, and
    mean_iou_other, of OTHER[over]; frequency_weighted_iou; class_iou, a float64 (classes), NaN for an absent class.
    void_counted: void pixels are counted as wrong, among all pixels and for the class predicted there; else left out.
    """
    counts = numpy.asarray(counts)
    if not void_counted:
        counts = numpy.concatenate([counts[:-1], numpy.zeros_like(counts[-1:])])
    right, true, predicted = numpy.diagonal(counts), counts[:-1].sum(1), counts.sum(0)
    with numpy.errstate(invalid='ignore', divide='ignore'):
        class_iou = right / (true + predicted - right)
        class_accuracy = right / true
        return {'pixel_accuracy': float(numpy.float64(right.sum()) / counts.sum()),
                'mean_accuracy': _mean(class_accuracy),
                'mean_iou': _mean_iou(class_iou, true, over),
                'mean_iou_other': _mean_iou(class_iou, true, OTHER[over]),
                'frequency_weighted_iou': float(numpy.nansum(true * class_iou) / numpy.float64(counts.sum())),
                'class_iou': class_iou}


def _mean_iou(class_iou, true, over):
    if over == ALL and true.any():
        return float(numpy.nan_to_num(class_iou).mean())
    return _mean(class_iou[true > 0] if over == LABELLED else class_iou)


def _mean(values):
    defined = values[~numpy.isnan(values)]
    return float(defined.mean()) if len(defined) else float('nan')


# ---- FID

class Moments:
    """Mean and covariance, float64, of rows seen a few at a time (Chan, Golub and LeVeque, 1983)."""

    def __init__(self, columns):
        self.count, self.mean, self.scatter = 0, numpy.zeros(columns), numpy.zeros((columns, columns))

    def add(self, rows):
        """Take in rows (n, columns)."""
        rows = numpy.asarray(rows, numpy.float64)
        if not len(rows):
            return
        mean, count = rows.mean(0), self.count + len(rows)
        centred, step = rows - mean, mean - self.mean
        self.scatter += centred.T @ centred + numpy.outer(step, step) * (self.count * len(rows) / count)
        self.mean = self.mean + step * (len(rows) / count)
        self.count = count

    @property
    def covariance(self):
        """(columns, columns), divided by count - 1 like numpy.cov; ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(f'a covariance needs two rows at least, found {self.count}')
        return self.scatter / (self.count - 1)


def frechet_distance(mean, covariance, other_mean, other_covariance):
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of two normal distributions.

    With C = F F', tr (C1 C2)^1/2 is the sum of the singular values of F1' F2. That stays exact for singular
    covariances, as fewer pictures than features give, where a general matrix root is complex. ValueError for NaN and
    infinity.
    """
    if not all(numpy.isfinite(array).all() for array in (mean, covariance, other_mean, other_covariance)):
        raise ValueError('means and covariances must be finite numbers')
    distance = ((numpy.asarray(mean, numpy.float64) - other_mean) ** 2).sum()
    cross = numpy.linalg.svd(_factor(covariance).T @ _factor(other_covariance), compute_uv=False).sum()
    return max(0.0, float(distance + numpy.trace(covariance) + numpy.trace(other_covariance) - 2 * cross))


def _factor(covariance):
    """F (n, rank) with covariance = F F', without the eigenvalues that are rounding."""
    values, vectors = numpy.linalg.eigh(covariance)
    there = values > values.max() * len(values) * numpy.finfo(numpy.float64).eps
    return vectors[:, there] * numpy.sqrt(values[there])
