"""How far apart two sets of real photos are: result.own.real_photos."""
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.init import OPT
from result.own.real_photos import distance_of_halves, real_distance
from tests.runner import says

pytestmark = pytest.mark.without_paddle


def test_halves_of_few_photos_in_closed_form():
    """One number a photo: (m1 - m2)^2 + (s1 - s2)^2, by hand; twenty splits show the median of all six."""
    values = np.array([0., 1, 4, 10])

    def distance(half):
        one, other = values[list(half)], np.delete(values, half)
        return (one.mean() - other.mean()) ** 2 + (one.std(ddof=1) - other.std(ddof=1)) ** 2
    possible = sorted({round(distance(half), 9) for half in itertools.combinations(range(4), 2)})
    found = distance_of_halves(values[:, None])
    assert any(found == pytest.approx((one + other) / 2) for one in possible for other in possible)
    assert possible[0] <= found <= possible[-1]
    assert distance_of_halves(np.ones((6, 3))) == 0


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(2, 12), st.floats(-9, 9), st.floats(0.1, 9))
def test_a_distance_has_the_square_of_its_features_unit(seed, count, shift, scale):
    rows = np.random.default_rng(seed).standard_normal((2 * count, 3))
    assert distance_of_halves(rows * scale + shift) == pytest.approx(scale ** 2 * distance_of_halves(rows), rel=1e-6)


def test_more_photos_are_nearer():
    """Of one distribution: the distance is bias alone, which falls as 1 / n."""
    rows = np.random.default_rng(0).standard_normal((1600, 4))
    few, many = distance_of_halves(rows[:100]), distance_of_halves(rows)
    assert few / many == pytest.approx(16, rel=0.5)


def test_only_as_many_photos_are_compared(tiny_set, capsys):
    """The 3 validation photos and 3 of the 13 training ones; else a line says why not."""
    opt, asked = OPT(dataroot=str(tiny_set), label_nc=9, no_instance=True), []
    photos = [SimpleNamespace(photo=f'val/{name}', label='') for name in range(3)]

    def features(entries, title):
        asked.extend(photo for photo, _ in entries)
        return np.random.default_rng(0).standard_normal((len(entries), 2))
    assert real_distance(SimpleNamespace(of=features), opt, photos) > 0
    assert asked[:3] == ['val/0', 'val/1', 'val/2'] and len(set(asked[3:])) == 3 == sum('train_img' in path
                                                                                    for path in asked)
    assert real_distance(None, opt, 5 * photos) is None
    assert says(capsys.readouterr().out, '13 training photos for 15 pictures')
    opt.dataroot = str(tiny_set / 'nowhere')
    assert real_distance(None, opt, photos) is None
    assert says(capsys.readouterr().out, 'nowhere', 'is unknown')
