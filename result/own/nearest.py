"""Has a generator only memorized? The training photo nearest to each picture, by features of the set's own network."""
import numpy as np

from dataset.files import find_samples
from result.scores import wilson_interval

NEAR = 0.05   # share of the real validation photos that counts as near to a training photo


def nearest(evaluation, folder):
    """(dict: stem of each scored picture of `folder` -> path of its nearest training photo, text on the distances).

    Distances are Euclidean, between features as of result.measure.Features. Validation photos, which no generator has
    seen, show how near two photographs of the set are. InputError without training photos.
    """
    pictures = [picture for picture, _ in evaluation.scored[folder]]
    training = find_samples(evaluation.opt, 'train')
    photos, painted, real = (np.array(list(evaluation.features.of(entries, title)), np.float64) for entries, title in (
        ([(each.photo, each.label) for each in training], 'photos (train)'),
        ([(each.path,) for each in pictures], 'pictures'),
        ([(each.photo, each.label) for each in pictures], 'photos (val)')))
    index, distances = closest(painted, photos)
    return {each.stem: training[row].photo for each, row in zip(pictures, index)}, \
        compared(distances, closest(real, photos)[1])


def closest(features, others):
    """(index, distance) of the nearest row of `others` (M, F), for each row of `features` (N, F)."""
    distances = np.stack([np.linalg.norm(others - row, axis=1) for row in features])
    return distances.argmin(1), distances.min(1)


def compared(painted, real):
    """A line that compares how far painted pictures and real validation photos are from the nearest training photo."""
    bound = np.quantile(real, NEAR, method='lower')   # the distance of a photo, so that few photos have few below it
    near = int((painted < bound).sum())
    more = wilson_interval(near, len(painted))[0] > NEAR
    verdict = 'more than expected, so it may have memorized: look at them' if more else 'no sign of memorizing'
    return (f'distance to the nearest training photo: median {np.median(painted):.3f} of painted pictures, '
            f'{np.median(real):.3f} of real validation photos; {near} of {len(painted)} painted ones are below '
            f'{bound:.3f}, as at most {NEAR:.0%} of the real ones are: {verdict}')
