"""Names in messages: one line, and no character that controls a terminal."""
import os
import signal
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InputError, OptionError, printable
from runtime.writing import writing
from tests.forked import REPOSITORY


@given(st.text(st.characters()))
def test_a_message_is_one_line_of_characters_with_a_picture(text):
    shown = str(InputError(text))
    assert len(shown.splitlines()) <= 1 and shown.encode() is not None
    assert not {unicodedata.category(character) for character in shown} & {'Cc', 'Cf', 'Cs', 'Cn'}
    assert printable(shown) == shown


def test_printable_names():
    assert printable('Straße 照片 é.png') == 'Straße 照片 é.png'
    assert printable(os.fsdecode('照'.encode('gbk')) + '.png') == '\\xd5\\xd5.png'
    assert printable('a\x1b[31m\nb\u202egnp') == 'a\\x1b[31m\\nb\\u202egnp'
    assert str(OptionError('a\nb')) == 'a\\nb'


def test_an_output_without_a_letter_ends_no_program():
    code = 'from runtime.errors import shown_in_one_line\nwith shown_in_one_line(): print("照\\udcd5")'
    process = subprocess.run([sys.executable, '-c', code],
                             env={**os.environ, 'PYTHONIOENCODING': 'ascii', 'PYTHONPATH': '.'},
                             cwd=REPOSITORY, capture_output=True, text=True)
    assert process.returncode == 0 and process.stdout == '\\u7167\\udcd5\n', process.stderr


def test_a_name_as_long_as_a_file_system_has_it(tmp_path):
    """Its unfinished file needs a name too; at 204147d: File name too long."""
    for name in ('a' * 251 + '.png', '照' * 83 + '.png'):
        with writing(str(tmp_path / name), alone=False) as unfinished, open(unfinished, 'w') as file:
            file.write('whole')
        assert (tmp_path / name).read_text() == 'whole'


CTRL_C = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt as error:      # as Paddle does
    raise ImportError('initialization failed') from error
"""


@pytest.mark.parametrize('content, status, said', [
    (CTRL_C, 130, ''),
    ('raise PermissionError(13, "Permission denied", "/home/me/.cache")', 1, 'error: /home/me/.cache: Permission '
     'denied: Paddle cannot be imported without this folder: set HOME to a writable one\n')])
def test_an_import_of_paddle_that_ends_early_leaves_no_traceback(tmp_path, content, status, said):
    (tmp_path / 'paddle').mkdir()
    (tmp_path / 'paddle/__init__.py').write_text(content)
    done = subprocess.run([sys.executable, 'predict.py', '--help'], cwd=REPOSITORY, capture_output=True, text=True,
                          env={**os.environ, 'PYTHONPATH': str(tmp_path)},
                          # which a shell's & ignores
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert (done.returncode, done.stderr) == (status, said)
