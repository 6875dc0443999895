"""The stored values of the official implementation, on both ways to compute gamma and beta."""
import os

import pytest

from tests.alignment import CASES, GOLDEN, measure

WAYS = [(case, 'float32', {}) for case in CASES]
# In float64 the defaults are Paddle's operators and dense convolutions. test_windows.py, test_recompute.py and
# test_kernels.py compare the other ways with these; windows are faster at large sizes.
WAYS += [(case, 'float64', {}) for case in ('vgg_64.npz', 'spade1x1_64.npz', 'pix2pixhd_64.npz')]
THOROUGH = [('base_64.npz', 'float64', {}), ('base_64.npz', 'float32', dict(modulation='dense', cpu_kernels=False))]
THOROUGH += [(case, 'float64', dict(modulation='windows'))
             for case in ('most_128.npz', 'vae_256.npz', 'pix2pixhd_64.npz')]
WAYS += [pytest.param(*way, marks=pytest.mark.thorough) for way in THOROUGH]


@pytest.mark.usefixtures('two_threads')
@pytest.mark.parametrize('case, dtype, options', WAYS, ids=lambda value: '-'.join(value) or 'default'
                         if isinstance(value, dict)
                         else value)
def test_equals_the_official_implementation(case, dtype, options):
    rows = measure(os.path.join(GOLDEN, case), dtype, **options)
    assert not [row for row in rows if not row[1] <= row[2]]
