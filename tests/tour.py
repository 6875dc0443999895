"""Run docs/tour.ipynb in a copy of the tracked files, and store what it gives in the notebook: python -m tests.tour"""
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.forked import REPOSITORY
from tests.runner import copy_tracked

NOTEBOOK = 'docs/tour.ipynb'
LIMIT = 300     # seconds for one cell, or the kernel's start


def executed(folder):
    """The notebook with its outputs, run in `folder`, a copy of the repository; an error in a cell raises."""
    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=LIMIT, startup_timeout=LIMIT, kernel_name='python3', record_timing=False,
                   coalesce_streams=True,
                   resources={'metadata': {'path': str((folder / NOTEBOOK).parent)}}).execute()
    return notebook


def main():
    os.environ['TQDM_DISABLE'] = '1'    # which the kernel inherits: bars are for terminals
    with tempfile.TemporaryDirectory() as place:
        copy_tracked(folder := Path(place, 'spade'))
        notebook = executed(folder)
    notebook.metadata.language_info = {'name': 'python'}    # not the version of this machine
    stored = nbformat.writes(notebook).replace(f'{os.path.realpath(place)}/', '')   # commands print whole paths
    (REPOSITORY / NOTEBOOK).write_text(stored + '\n', encoding='utf-8')
    print(f'{NOTEBOOK}: {os.path.getsize(REPOSITORY / NOTEBOOK) / 1000:.0f} kB')


if __name__ == '__main__':
    main()
