"""The project around the code: pip is refused, versions agree."""
import re
import subprocess
import sys

import pytest

from model.version import __version__
from tests.runner import REPOSITORY, says

pytestmark = pytest.mark.without_paddle


@pytest.mark.parametrize('command', [('install',), ('install', '-e'), ('wheel',)], ids=' '.join)
def test_pip_is_refused_with_what_to_do(tmp_path, command):
    """An installed `model` or `log` would be nobody's; success with nothing installed, as it was, misleads."""
    if subprocess.run([sys.executable, '-m', 'pip', '--version'], capture_output=True).returncode:
        pytest.skip('no pip in this environment')
    place = ['--wheel-dir' if command == ('wheel',) else '--target', str(tmp_path)] if '-e' not in command else []
    process = subprocess.run([sys.executable, '-m', 'pip', command[0], '--no-deps', '--no-index', *place, *command[1:],
                              str(REPOSITORY)], capture_output=True, text=True, timeout=240)
    assert process.returncode and not list(tmp_path.iterdir())
    assert says(process.stdout + process.stderr, 'runs from its checkout and is not installed',
                'pip install -r requirements.txt')


def test_versions_agree():
    def read(name):
        return (REPOSITORY / name).read_text()
    assert re.search(r'^## (\S+)', read('CHANGELOG.md'), re.M)[1] == __version__
    pinned = re.search(r'^ruff==([\d.]+)', read('tests/requirements.txt'), re.M)[1]
    assert f'ruff=={pinned}]' in read('.pre-commit-config.yaml')
