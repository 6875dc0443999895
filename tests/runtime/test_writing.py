"""Files and folders are whole or absent, and a folder has one writer."""
import errno
import os
import subprocess
import sys

import pytest

from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import staged, sweep, writing
from tests.forked import REPOSITORY
from tests.runner import says

pytestmark = pytest.mark.without_paddle


def put(path, content, **how):
    with writing(str(path), **how) as unfinished, open(unfinished, 'w') as file:
        file.write(content)


@pytest.mark.parametrize('alone', [True, False])
def test_a_file_is_whole_or_unchanged(tmp_path, alone):
    put(tmp_path / 'new/a.txt', 'one', alone=alone)
    with pytest.raises(KeyboardInterrupt):
        with writing(str(tmp_path / 'new/a.txt'), alone=alone) as unfinished:
            open(unfinished, 'w').write('half')
            assert sorted(os.listdir(tmp_path / 'new')) == sorted([os.path.basename(unfinished), 'a.txt'])
            raise KeyboardInterrupt
    assert (tmp_path / 'new/a.txt').read_text() == 'one' and os.listdir(tmp_path / 'new') == ['a.txt']
    put(tmp_path / 'new/a.txt', 'two', alone=alone)
    assert (tmp_path / 'new/a.txt').read_text() == 'two' and os.listdir(tmp_path / 'new') == ['a.txt']


def test_folders_and_links(tmp_path):
    (tmp_path / 'folder').mkdir()   # an empty one is replaced

    def folder():
        with writing(str(tmp_path / 'folder')) as unfinished:
            os.mkdir(unfinished)
            open(os.path.join(unfinished, 'a'), 'w').close()
    folder()
    (tmp_path / 'folder/a').write_text('mine')
    with pytest.raises(InputError, match='folder: cannot be written: Directory not empty'):
        folder()
    assert os.listdir(tmp_path / 'folder') == ['a'] and (tmp_path / 'folder/a').read_text() == 'mine'
    with writing(str(tmp_path / 'link'), alone=False) as unfinished:
        os.symlink('folder', unfinished)
    assert os.readlink(tmp_path / 'link') == 'folder' and sorted(os.listdir(tmp_path)) == ['folder', 'link']


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / 'x.jpg').mkdir()
    (tmp_path / 'x.jpg/precious').write_text('mine')
    with pytest.raises(InputError, match='x.jpg: cannot be written: Is a directory; try elsewhere'):
        put(tmp_path / 'x.jpg', 'picture', left='try elsewhere')
    assert (tmp_path / 'x.jpg/precious').read_text() == 'mine' and os.listdir(tmp_path) == ['x.jpg']


def test_processes_that_write_the_same_file_do_not_collide(tmp_path):
    """Of two that are in the middle of one file, each ends with its own, whole."""
    with writing(str(tmp_path / 'a'), alone=False) as unfinished:
        open(unfinished, 'w').write('first')
        code = (f'from runtime.writing import writing\nwith writing({str(tmp_path / "a")!r}, alone=False) as '
                'unfinished:\n'
                '    open(unfinished, "w").write("second")')
        subprocess.run([sys.executable, '-c', code], check=True, cwd=REPOSITORY)
        assert (tmp_path / 'a').read_text() == 'second'
    assert (tmp_path / 'a').read_text() == 'first' and os.listdir(tmp_path) == ['a']


def test_only_names_with_their_checksum_are_removed(tmp_path):
    """Files left by a kill have a name that no user's file has by chance; files that only look alike remain."""
    ours = [os.path.basename(staged(tmp_path / name, process))
            for name, process in (('a.txt', ''), ('b', 17), ('c' * 255, 17))]
    theirs = ['.unfinished_a.txt', '.unfinished_00000000_a.txt', 'a.txt.unfinished', f'{ours[0]}.txt', 'x' + ours[0]]
    for name in ours + theirs:
        (tmp_path / name).write_text(name)
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(theirs)


def test_the_lock_of_another_program_is_refused_and_unchanged(tmp_path):
    for content in ('their lock', 'process 7 on a host\nand more'):
        (tmp_path / '.lock').write_text(content)
        with pytest.raises(InputError, match='.lock: is no lock of this program') as caught:
            with locked(str(tmp_path), 'writer', '--output'):
                pass
        assert says(str(caught.value), 'name another --output') and (tmp_path / '.lock').read_text() == content
    (tmp_path / '.lock').unlink()
    (tmp_path / 'file').write_text('process 7 on a host')
    (tmp_path / '.lock').symlink_to('file')
    with pytest.raises(InputError, match='.lock: is no lock of this program'):
        with locked(str(tmp_path), 'writer', '--output'):
            pass
    assert (tmp_path / 'file').read_text() == 'process 7 on a host'


def test_one_writer(tmp_path):
    code = (f'from runtime.locking import locked\nwith locked({str(tmp_path / "set")!r}, "writer", "--output"):\n'
            '    print("in")')
    with locked(str(tmp_path / 'set'), 'writer', '--output'):
        child = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=REPOSITORY)
        assert child.returncode and 'in' not in child.stdout.split()
        assert says(child.stderr, f'{tmp_path}/set: another writer writes there (process {os.getpid()} on ',
                    'or name another --output')
    again = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert again.stdout == 'in\n'
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='file: cannot be written'):
        with locked(str(tmp_path / 'file'), 'writer', '--output'):
            pass


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_named(tmp_path, monkeypatch, number):
    def lockf(*_):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr('fcntl.lockf', lockf)
    with pytest.raises(InputError) as caught:
        with locked(str(tmp_path), 'writer', '--output'):
            pass
    assert says(str(caught.value), tmp_path, 'no file can be locked there', os.strerror(number),
                'name another --output')


def test_a_full_disk_under_the_lock_is_named(tmp_path):
    code = ('import resource, signal\nfrom runtime.errors import InputError\nfrom runtime.locking import locked\n'
            'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n'
            f'try:\n    with locked({str(tmp_path)!r}, "writer", "--output"): print("in")\n'
            'except InputError as error:\n    raise SystemExit(str(error))')
    child = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=REPOSITORY)
    assert child.returncode == 1 and child.stderr == f'{tmp_path}: cannot be written: File too large\n' and \
        not child.stdout
