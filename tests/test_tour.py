"""docs/tour.ipynb: it runs as it is, and what is stored in it is what it gives."""
import base64
import io
import os

import numpy as np
import pytest
from PIL import Image

from tests.forked import REPOSITORY
from tests.runner import copy_tracked

nbformat = pytest.importorskip('nbformat', reason='pip install -r tests/requirements.txt')
tour = pytest.importorskip('tests.tour', reason='pip install -r tests/requirements.txt')

KILOBYTES = 600     # so that GitHub shows it and a clone stays small


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def outputs(notebook, kind):
    """Outputs of a kind: 'text/plain', 'image/jpeg', ... or text that was printed, 'stdout'."""
    found = [output for cell in code(notebook) for output in cell.outputs]
    return [output.text for output in found if output.get('name') == kind] if kind == 'stdout' else \
        [output.data[kind] for output in found if kind in output.get('data', {})]


def checked(notebook):
    """What both have, the stored and a new one: pictures that show something, and what the commands say."""
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert {output.output_type for cell in code(notebook) for output in cell.outputs} == {
        'stream', 'display_data', 'execute_result'}
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert('RGB'))
             for kind in ('image/jpeg', 'image/png') for content in outputs(notebook, kind)]
    assert len(shown) == 3 and all(picture.std() > 10 for picture in shown)
    _, first, second = np.split(shown[1], [452, 904], axis=1)     # the island's map, and two pictures of it
    assert first[:, :448].shape == second.shape and np.abs(first[:, :448] - second.astype(int)).mean() > 2
    said = ''.join(outputs(notebook, 'stdout'))
    assert '(20, 7)' in said and 'mean IoU' in said and 'same pictures' in said and 'inference.Config(' in said
    return said


def test_the_stored_outputs_are_whole_and_small():
    notebook = nbformat.read(REPOSITORY / tour.NOTEBOOK, as_version=4)
    said = checked(notebook)
    assert os.path.getsize(REPOSITORY / tour.NOTEBOOK) < KILOBYTES * 1000
    assert not [word for word in ('/tmp', '/home', '/root', 'Traceback', 'Warning') if word in said]


def test_it_runs_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv('TQDM_DISABLE', '1')
    copy_tracked(tmp_path / 'spade')
    checked(tour.executed(tmp_path / 'spade'))
