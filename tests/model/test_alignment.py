"""The stored values of the official implementation, on both ways to compute gamma and beta."""
import os

import pytest

from tests.alignment import CASES, GOLDEN, measure

PLAIN = dict(modulation='dense', cpu_kernels=False)
WAYS = [(case, 'float32', {}) for case in CASES] + [('vgg_64.npz', 'float64', {})]
# The plain way costs minutes at 256x256; the two ways are compared with each other in tests/model/test_windows.py.
THOROUGH = [(case, 'float64', {}) for case in ('base_64.npz', 'most_128.npz', 'vae_256.npz')]
THOROUGH += [(case, 'float32', dict(modulation='windows', cpu_kernels=False))
             for case in ('base_64.npz', 'most_128.npz', 'spade1x1_64.npz')]
THOROUGH += [('base_64.npz', 'float32', {**PLAIN, 'recompute': True})]
THOROUGH += [(f'{case}.npz', 'float32', PLAIN) for case in ('base_64', 'vgg_64', 'most_128')]
THOROUGH += [(f'{case}.npz', 'float64', PLAIN) for case in ('base_64', 'most_128')]
THOROUGH += [('pix2pixhd_64.npz', 'float32', dict(modulation='windows', cpu_kernels=False)),
             ('pix2pixhd_64.npz', 'float64', dict(modulation='windows'))]
WAYS += [(case, 'float64', {}) for case in ('spade1x1_64.npz', 'pix2pixhd_64.npz')]
WAYS += [pytest.param(*way, marks=pytest.mark.thorough) for way in THOROUGH]


@pytest.mark.usefixtures('two_threads')
@pytest.mark.parametrize('case, dtype, options', WAYS, ids=lambda value: '-'.join(value) or 'default'
                         if isinstance(value, dict)
                         else value)
def test_equals_the_official_implementation(case, dtype, options):
    rows = measure(os.path.join(GOLDEN, case), dtype, **options)
    assert not [row for row in rows if not row[1] <= row[2]]
