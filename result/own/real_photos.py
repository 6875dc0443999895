"""How far apart real photos are, by the set's own network: the measure for a segmenter_frechet."""
import numpy as np

from dataset.files import evenly_spaced, find_samples
from result.scores import Moments, frechet_distance
from runtime.errors import InputError

SPLITS = 20


def real_distance(features, opt, samples):
    """Median Frechet distance between two disjoint sets of len(samples) real photos, over SPLITS splits.

    Divided are the photos of `samples` and as many training photos. None, with a line that says why, if there are
    fewer: a distance of smaller sets is biased upwards.
    """
    try:
        training = find_samples(opt, 'train')
    except InputError as error:
        print(f'{error}; without training photos the Frechet distance of real photos is unknown')
        return None
    if len(training) < len(samples):
        print(f'{opt.dataroot}: {len(training)} training photos for {len(samples)} pictures: too few for the Frechet '
              'distance between two sets of as many real photos')
        return None
    photos = [*samples, *evenly_spaced(training, len(samples))]
    rows = list(features.of([(sample.photo, sample.label) for sample in photos], 'photos (val, train)'))
    return distance_of_halves(np.array(rows, np.float64))


def distance_of_halves(rows):
    """Median Frechet distance between two random halves of `rows` (2 n, columns), over SPLITS seeded splits."""
    rng, distances = np.random.default_rng(0), []
    for _ in range(SPLITS):
        halves = np.split(rows[rng.permutation(len(rows))], 2)
        distances.append(frechet_distance(*(part for half in map(_moments, halves)
                                            for part in (half.mean, half.covariance))))
    return float(np.median(distances))


def _moments(rows):
    moments = Moments(rows.shape[1])
    moments.add(rows)
    return moments
