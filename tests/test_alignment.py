"""The stored values of the official implementation, on both ways to compute gamma and beta."""
import os

import pytest

from tests.alignment import CASES, GOLDEN, measure

PLAIN = dict(modulation='dense', cpu_kernels=False)
WAYS = [(case, dtype, {}) for case in CASES for dtype in ('float32', 'float64')]
# The plain way costs minutes at 256x256; the two ways are compared with each other in tests/test_windows.py.
WAYS += [('base_64.npz', 'float32', PLAIN), ('base_64.npz', 'float64', PLAIN), ('most_128.npz', 'float64', PLAIN)]


@pytest.mark.usefixtures('two_threads')
@pytest.mark.parametrize('case, dtype, options', WAYS, ids=lambda value: '-'.join(value) or 'default' if isinstance(value, dict)
                         else value)
def test_equals_the_official_implementation(case, dtype, options):
    rows = measure(os.path.join(GOLDEN, case), dtype, **options)
    assert not [row for row in rows if not row[1] <= row[2]]
