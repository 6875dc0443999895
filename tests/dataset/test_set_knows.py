"""Settings recorded in a prepared set: training reads them there, and written names are read back everywhere.
"""
import argparse
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset import classes
from model.init import OPT
from runtime.errors import InputError
from tests.archives import Coco, noise, picture, stuff_and
from tests.dataset.test_prepare_follows import write_source
from tests.runner import says


def flags(**given):
    return argparse.Namespace(**{name: str(value) for name, value in given.items()})


@pytest.fixture
def made(scripts, tmp_path):
    """Folder of a set of 3 classes, unlabelled pixels, no instances."""
    words = write_source(tmp_path, 3)
    for path in (tmp_path / 'maps').iterdir():
        ids = np.array(Image.open(path))
        ids[0] = 255
        Image.fromarray(ids).save(path)
    scripts.prepared(*words)
    return tmp_path / 'set'


def test_training_reads_its_settings_from_the_set(made):
    """At 204147d: 183 channels and no names, silently."""
    opt, said = classes.settled(flags(dataroot=made))
    assert (opt.label_nc, opt.contain_dontcare_label, opt.no_instance) == (3, True, True)
    assert says(said, made / 'classes.json', 'label_nc 3', 'no_instance True') and \
        classes.of_set(opt)['names'] == ['0', '1', '2']
    content = classes.read(made)
    assert (content['highest'], content['width'], content['height']) == (2, [48, 48], [40, 40])


@pytest.mark.parametrize('given, said', [
    (dict(label_nc=2), ['--label_nc 2', 'ids up to 2', 'set it to 3']),
    (dict(contain_dontcare_label='false'), ['--contain_dontcare_label false', 'unlabelled pixels']),
    (dict(no_instance='false'), ['--no_instance false', 'no instance maps', '--instances'])])
def test_a_flag_that_the_files_do_not_fit_is_refused(made, given, said):
    with pytest.raises(InputError) as caught:
        classes.settled(flags(dataroot=made, **given))
    assert says(str(caught.value), made / 'classes.json', *said)


def test_a_flag_that_fits_wins(made):
    opt, said = classes.settled(flags(dataroot=made, label_nc=9))
    assert opt.label_nc == 9 and 'names and colours ignored, because label_nc is 9' in said
    assert classes.settled(flags(dataroot=made, label_nc=3, no_instance='true'))[1] == ''
    # dataset.check tells it of each file
    assert classes.settled(flags(dataroot=made, label_nc=2), refuse=False)[0].label_nc == 2


def test_a_run_that_began_with_other_settings_resumes_with_them(scripts, made, tmp_path):
    """Started as by 204147d: 182 classes for a set of 3. The same command resumes with them."""
    before = OPT(dataroot=str(made), no_instance=True)
    opt, _ = classes.settled(flags(dataroot=made), before=before)
    assert (opt.label_nc, opt.contain_dontcare_label) == (182, True)
    tiny = {name: value for name, value in scripts.TINY.items() if name not in ('label_nc', 'no_instance')}
    command = ['train.py', '--dataroot', made, '--output', tmp_path / 'run', '--log', tmp_path / 'run/log',
               *(f'--{name}={value}' for name, value in {**tiny, 'niter': 1, 'batchSize': 1, 'accumulate': 1}.items())]
    assert scripts.run(*command, '--label_nc', 182, '--no_instance', 'true').returncode == 0
    process = scripts.run(*command[:-1], '--niter', 2)
    assert process.returncode == 0 and 'resumed from' in process.stdout, process.stderr
    assert json.loads((tmp_path / 'run/model/opt.json').read_text())['label_nc'] == 182


def test_the_dataroot_alone_trains(scripts, made, tmp_path):
    tiny = {name: value for name, value in scripts.TINY.items() if name not in ('label_nc', 'no_instance')}
    process = scripts.run('train.py', '--dataroot', made, '--output', tmp_path / 'run', '--log', tmp_path / 'run/log',
                          *(f'--{name}={value}' for name, value in {**tiny, 'niter': 1}.items()))
    assert process.returncode == 0, process.stderr
    options = json.loads((tmp_path / 'run/model/opt.json').read_text())
    assert (options['label_nc'], options['no_instance']) == (3, True)
    assert json.loads((tmp_path / 'run/model/classes.json').read_text())['names'] == ['0', '1', '2']


def test_a_check_reads_them_too(scripts, made):
    process = scripts.run('-m', 'dataset.check', '--dataroot', made)
    assert process.returncode == 0 and says(process.stdout, 'classes used: 3 of 3', 'problems: none')


def test_released_sets_agree_with_their_presets(scripts, coco):
    found = classes.settings_of(str(coco[0]))
    assert found == {'label_nc': 182, 'contain_dontcare_label': True, 'no_instance': False}
    assert classes.settled(flags(dataroot=coco[0]), 'coco_stuff_paper')[1] == ''


# ---- One validator

NAMES = st.lists(st.text(st.characters(exclude_categories=('Cs',)), max_size=120), min_size=1, max_size=4)


@settings(deadline=None)
@given(names=NAMES)
def test_accepted_names_are_read_back(tmp_path_factory, names):
    """classes.json with any names: refused before it is written, or read back as written."""
    root = tmp_path_factory.mktemp('names')
    try:
        classes.write(str(root), classes.content(names))
    except InputError:
        assert not (root / 'classes.json').exists()
        return
    assert len(classes.read(str(root))['names']) == len(names)


def test_long_names_are_refused_before_anything_is_made(scripts, tmp_path):
    """At 204147d the set was prepared, then train.py refused its classes.json."""
    words = write_source(tmp_path, 3)
    (tmp_path / 'names').write_text('sky\n' + 'an attribute of a GIS, ' * 9 + '\ntree\n')
    said = scripts.prepare_failure(*words, '--names', tmp_path / 'names')
    assert says(said, '--names', tmp_path / 'names', 'names[1]', 'characters', '1 to 100') and \
        not (tmp_path / 'set').exists()


def test_an_empty_name_of_a_table_is_its_number(scripts, tmp_path):
    words = write_source(tmp_path, 3)
    colours = np.array([[0, 0, 0], [0, 255, 0], [0, 0, 255]])
    for path in (tmp_path / 'maps').iterdir():
        path.write_bytes(picture(colours[np.array(Image.open(path))], 'PNG'))
    (tmp_path / 'table.json').write_text(json.dumps({'': [0, 0, 0], 'gras\nwet': [0, 255, 0], 'sea': [0, 0, 255]}))
    scripts.prepared(*words, '--colours', tmp_path / 'table.json')
    assert classes.read(tmp_path / 'set')['names'] == ['0', 'gras\\nwet', 'sea']
    assert scripts.run('-m', 'dataset.check', '--dataroot', tmp_path / 'set').returncode == 0


# ---- Names of files

def test_names_that_are_not_utf8(scripts, tmp_path):
    """A zip of Chinese Windows, unpacked on Linux.
    At 204147d: tracebacks in train.py, dataset.check --report and val.py.
    """
    words = write_source(tmp_path)
    for part in ('photos', 'maps'):
        for path in (tmp_path / part).iterdir():
            os.rename(path, os.path.join(path.parent, os.fsdecode(f'照片{path.stem}'.encode('gbk')) + '.png'))
            if part == 'photos':
                Image.fromarray(noise(1, (40, 48))[..., 0].astype(np.uint8)).save(
                    os.path.join(path.parent, os.fsdecode(f'照片{path.stem}'.encode('gbk')) + '.png'))
    said = scripts.prepared(*words[:-1], 0.3)
    assert says(said, 'grey photo, kept', '\\xd5\\xd5', 'problems: none')
    assert '\\xd5\\xd5' in (tmp_path / 'set/report.txt').read_text()
    tiny = {name: value for name, value in scripts.TINY.items() if name not in ('label_nc', 'no_instance')}
    process = scripts.run('train.py', '--dataroot', tmp_path / 'set', '--output', tmp_path / 'run', '--log',
                          tmp_path / 'run/log',
                          *(f'--{name}={value}'
                            for name, value in {**tiny, 'niter': 1, 'use_vae': 'true', 'batchSize': 1}.items()))
    assert process.returncode == 0, process.stderr
    process = scripts.run('val.py', '--lastoutput', tmp_path / 'run', '--results', tmp_path / 'val', '--style',
                          'random')
    assert process.returncode == 0 and len(list((tmp_path / 'val/pics').iterdir())) >= 2, process.stderr
    process = scripts.run('-m', 'dataset.check', '--dataroot', tmp_path / 'set', '--label_nc', 1, '--report',
                          tmp_path / 'report.txt')
    assert process.returncode == 1 and '\\xd5\\xd5' in (tmp_path / 'report.txt').read_text(), process.stderr


def test_members_with_names_beyond_a_file_system_or_with_escapes(scripts, tmp_path):
    """At 204147d one name of 255 characters ended the preparation, and the others steered the terminal."""
    coco = Coco()
    for stem in ('good', 'a' * 251, 'a' * 2000, 'evil\x1b[2J', 'two\nlines'):
        coco.add('train', stem, stuff_and())
    coco.add('val', 'b', stuff_and())
    said = scripts.prepared('coco_stuff', '--archives', coco.write(tmp_path / 'archives'), '--output', tmp_path / 'set')
    assert says(said, '4 samples; 2 left out', 'a name of 2000 bytes', 'a name of 251 bytes') and '\x1b' not in said
    again = scripts.prepared('coco_stuff', '--archives', tmp_path / 'archives', '--output', tmp_path / 'set')
    assert 'no sample changed' in again and '\x1b' not in (tmp_path / 'set/report.txt').read_text()
