"""A checkpoint of an earlier version of this project resumes with the results of that version."""
import tarfile

import numpy as np

from tests.forked import GOLDEN
from tests.runner import says

# A run of 9 of 12 steps on the tiny set (commit b7a781d, Paddle 2.6.2), stopped in the middle of its second epoch. Its
# weights and moments are rounded to three bits, so that the file is small; log_after.npy is the log as that version
# then went on.
STORED = GOLDEN / 'checkpoint_2026_11_23.tar.xz'


def test_a_checkpoint_of_an_earlier_version_resumes(scripts, tmp_path):
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter='data')
    expected, before = np.load(tmp_path / 'log_after.npy'), np.load(tmp_path / 'log' / 'log.npy')
    said = scripts.trained(tmp_path, ngf=1, ndf=1)
    assert says(said, 'resumed from', 'epoch 2, 6 of its samples seen, step 9')
    rows = np.load(tmp_path / 'log' / 'log.npy')
    assert rows.shape == expected.shape == (12, 7) and len(before) == 9
    assert np.array_equal(rows[:9], before)                       # what was logged stays, bit for bit
    assert np.allclose(rows, expected, rtol=1e-4, atol=1e-5)      # other processors and Paddle versions round otherwise
    assert not np.allclose(rows[9:], rows[6:9], rtol=1e-4)        # the tolerance tells one step from another
