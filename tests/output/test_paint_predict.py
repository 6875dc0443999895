"""predict.py on folders, killed and resumed, and with styles."""
import contextlib
import io
import os
import runpy
import shutil
import signal
import sys

import numpy as np
from PIL import Image

from tests.forked import kill, until
from tests.runner import contents, says


def predicted(scripts, *flags, program='predict.py'):
    """What the program prints, run in this process, which saves the seconds of a start."""
    stdout, argv = io.StringIO(), sys.argv
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(io.StringIO()):
        sys.argv = [program, *map(str, flags)]
        try:
            runpy.run_path(str(scripts.REPOSITORY / program), run_name='__main__')
        finally:
            sys.argv = argv
    return stdout.getvalue()


def pixels(path):
    return np.asarray(Image.open(path))


def flags_of(scripts, model, split='val', **more):
    flags = {'lastoutput': model / 'output', 'label': scripts.data / f'{split}_label',
             'instance': scripts.data / f'{split}_inst', **more}
    return [f'--{name}={value}' for name, value in flags.items()]


def test_a_killed_folder_resumes(scripts, trained, tmp_path):
    """Painted pictures are not touched; all equal those of single calls and of val.py."""
    flags = [*flags_of(scripts, trained, 'train', out=tmp_path / 'painted'), '--png']
    process = scripts.start_command(['predict.py', *flags], tmp_path / 'said')
    until(lambda: (tmp_path / 'painted').is_dir() and len(list((tmp_path / 'painted').glob('[0-9]*.png'))) >= 2,
          process)
    kill(process)
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'painted').glob('[0-9]*.png')}
    assert 2 <= len(there) < scripts.TRAINING, 'it was faster than the kill'
    for name in there:
        assert pixels(tmp_path / 'painted' / name).shape == (32, 32, 3)
    said = predicted(scripts, *flags)
    assert says(said, f'{tmp_path / "painted"}: 13 pictures, {len(there)} of them already painted')
    for name, time in there.items():
        assert (tmp_path / 'painted' / name).stat().st_mtime_ns == time
    assert sorted(path.name for path in (tmp_path / 'painted').glob('[0-9]*')) == [f'{n:03d}.png' for n in range(13)]
    single = flags_of(scripts, trained, label=scripts.data / 'train_label/004.png',
                      instance=scripts.data / 'train_inst/004.png', out=tmp_path / 'one.png')
    predicted(scripts, *single)
    assert np.array_equal(pixels(tmp_path / 'one.png'), pixels(tmp_path / 'painted/004.png'))


def test_a_picture_is_current_if_its_inputs_are_the_same(scripts, styled, tmp_path):
    """Contents count, not dates: the files put in place here are older than the pictures, or a touched one newer."""
    def put(source, place):
        shutil.copy(source, place)
        os.utime(place, (1e9, 1e9))

    folders = {option: tmp_path / option for option in ('label', 'instance', 'style_photo')}
    parts = dict(zip(folders, ('label', 'inst', 'img')))
    for option, folder in folders.items():
        folder.mkdir()
        for name in ('a.png', 'b.png'):
            put(scripts.data / f'val_{parts[option]}/000.png', folder / name)
    flags = flags_of(scripts, styled, out=tmp_path / 'painted', **folders)
    assert '2 pictures' in predicted(scripts, *flags)
    for option, folder in folders.items():
        before = pixels(tmp_path / 'painted/b.jpg')
        put(scripts.data / f'val_{parts[option]}/001.png', folder / 'b.png')
        assert '2 pictures, 1 of them already painted' in predicted(scripts, *flags), option
        assert not np.array_equal(before, pixels(tmp_path / 'painted/b.jpg')), option
    (folders['label'] / 'a.png').touch()
    assert '2 pictures, 2 of them already painted' in predicted(scripts, *flags)
    folders['label'].rename(tmp_path / 'moved')
    shutil.copytree(scripts.data / 'train_label', tmp_path / 'other')
    for name, source in (('a.png', '003.png'), ('b.png', '004.png')):
        (tmp_path / 'other' / source).rename(tmp_path / 'other' / name)
    for label, said in (('moved', ', 2 of them already painted'), ('other', '')):
        for path in (tmp_path / label).glob('[0-9]*'):
            path.unlink()
        flags = flags_of(scripts, styled, out=tmp_path / 'painted', **{**folders, 'label': tmp_path / label})
        assert predicted(scripts, *flags).splitlines()[-1] == f'{tmp_path}/painted: 2 pictures{said}' + (
            '' if said else '; 2 label maps were 48 wide and 40 high, resized to the size of this model, 32 wide and '
                            '32 high, which distorts shapes')


def test_ctrl_c_on_a_folder_tells_how_to_go_on(scripts, trained, tmp_path):
    flags = flags_of(scripts, trained, 'train', out=tmp_path / 'painted')
    process = scripts.start_command(['predict.py', *flags], tmp_path / 'said')
    until(lambda: list(tmp_path.glob('painted/[0-9]*.jpg')), process)
    assert kill(process, signal.SIGINT) == 130
    said = (tmp_path / 'said').read_text()
    assert said.splitlines()[-1] == 'stopped: whole pictures remain; the same command paints the rest'
    there = len(list(tmp_path.glob('painted/[0-9]*.jpg')))
    assert not list(tmp_path.glob('painted/.unfinished*'))
    assert f'13 pictures, {there} of them already painted' in predicted(scripts, *flags)


def test_refused_folders(scripts, trained, styled, tmp_path):
    shutil.copytree(scripts.data, tmp_path / 'set')
    (tmp_path / 'set/val_inst/001.png').unlink()
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/000.jpg').write_text('mine')
    before = contents(tmp_path)
    for more, said in (
            (dict(instance=tmp_path / 'set/val_inst'), ('--instance', '1 files are missing: 001')),
            (dict(label=tmp_path / 'none'), (f'--label {tmp_path / "none"}', 'no such file or folder')),
            (dict(label=tmp_path / 'empty'), ('--label', 'no images in it')),
            (dict(instance=scripts.data / 'val_inst/000.png'), ('--instance', 'not a folder')),
            (dict(out=scripts.data / 'val_label'), ('--out', 'is the folder of --label')),
            (dict(out=tmp_path / 'mine'), (tmp_path / 'mine/000.jpg', 'no painted.json')),
            (dict(styles=8), ('--styles', 'no style encoder'))):
        flags = flags_of(scripts, trained, **{'out': tmp_path / 'out', **more})
        assert says(scripts.refusal('predict.py', *flags), *said)
    assert contents(tmp_path) == before
    both = flags_of(scripts, styled, out=tmp_path / 'out', styles=2, style_photo=scripts.data / 'val_img')
    assert says(scripts.refusal('predict.py', *both), '--style_photo and --styles', 'give only one')


def test_other_settings_in_the_same_folder_are_refused(scripts, styled, tmp_path):
    flags = flags_of(scripts, styled, out=tmp_path / 'painted', style_photo=scripts.data / 'val_img')
    predicted(scripts, *flags)
    assert sorted(os.listdir(tmp_path / 'painted')) == ['.lock', '000.jpg', '001.jpg', '002.jpg', 'painted.json']
    before = contents(tmp_path)
    said = scripts.refusal('predict.py', *flags, '--seed=1')
    assert says(said, 'other weights, options or styles (seed 0, now 1)', 'another --out') and \
        'cannot be read' not in said
    assert contents(tmp_path) == before
    label = tmp_path / 'label.png'
    shutil.copy(scripts.data / 'val_label/001.png', label)
    predicted(scripts, *flags_of(scripts, styled, label=label, instance=scripts.data / 'val_inst/001.png',
                                 out=tmp_path / 'one.jpg', style_photo=scripts.data / 'val_img/001.png'))
    assert (tmp_path / 'one.jpg').read_bytes() == (tmp_path / 'painted/001.jpg').read_bytes()


def test_each_map_in_a_style_of_its_own(scripts, trained, styled, tmp_path):
    """The pictures of val.py --style random; a map under another name is another picture."""
    predicted(scripts, f'--lastoutput={styled}/output', f'--dataroot={scripts.data}', '--style=random', '--png',
              f'--results={tmp_path}/val', program='val.py')
    flags = flags_of(scripts, styled, out=tmp_path / 'painted')
    predicted(scripts, *flags, '--style=random', '--png')
    for name in ('000.png', '001.png', '002.png'):
        assert np.array_equal(pixels(tmp_path / 'painted' / name), pixels(tmp_path / 'val/pics' / name))
    same = tmp_path / 'same'
    same.mkdir()
    for name in 'ab':
        shutil.copy(scripts.data / 'val_label/001.png', same / f'{name}.png')
        single = flags_of(scripts, styled, label=same / f'{name}.png', out=tmp_path / f'{name}.png',
                          instance=scripts.data / 'val_inst/001.png')
        predicted(scripts, *single, '--style=random')
    assert not np.array_equal(pixels(tmp_path / 'a.png'), pixels(tmp_path / 'b.png'))
    assert says(scripts.refusal('predict.py', *flags, '--png'), 'other weights, options or styles', 'another --out')
    assert says(scripts.refusal('predict.py', *flags, '--style=random', '--styles=2'), '--style and --styles')
    said = predicted(scripts, *flags_of(scripts, trained, label=same / 'a.png', out=tmp_path / 'plain.png',
                                        instance=scripts.data / 'val_inst/001.png'), '--style=random')
    assert '--style ignored: this model paints one picture of a map' in said


def test_a_sheet_and_an_interpolation_between_two_styles(scripts, styled, tmp_path):
    """The cells are the pictures that single calls paint."""
    one = dict(label=scripts.data / 'val_label/001.png', instance=scripts.data / 'val_inst/001.png')
    predicted(scripts, *flags_of(scripts, styled, **one, out=tmp_path / 'sheet.png', styles=6, seed=3))
    sheet = pixels(tmp_path / 'sheet.png')
    assert sheet.shape == (2 * 32 + 4, 4 * 32 + 3 * 4, 3)
    assert (sheet[36:, 72:] == 255).all()      # two places are left over
    predicted(scripts, *flags_of(scripts, styled, **one, out=tmp_path / 'seed.png', seed=8))
    assert np.array_equal(sheet[36:, 36:68], pixels(tmp_path / 'seed.png'))
    photos = [scripts.data / f'val_img/00{n}.png' for n in (0, 2)]
    predicted(scripts, *flags_of(scripts, styled, **one, out=tmp_path / 'way.png', steps=5), '--between', *photos)
    way = pixels(tmp_path / 'way.png')
    assert way.shape == (32, 5 * 32 + 4 * 4, 3)
    for photo, cell in zip(photos, (way[:, :32], way[:, -32:])):
        predicted(scripts, *flags_of(scripts, styled, **one, out=tmp_path / 'photo.png', style_photo=photo))
        assert np.array_equal(cell, pixels(tmp_path / 'photo.png'))
    assert not np.array_equal(way[:, :32], way[:, 36:68])
