"""Bad data: each kind ends in one line that names the file or option, what was found, what is allowed and what to do.
"""
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from dataset.check import check_split
from dataset.files import find_samples, load_instance, load_label, load_photo
from dataset.labelled_images import LabelledImages, ValidationImages, batches, prediction_inputs
from dataset.loader import Loader
from dataset.picture_file import DataError
from model.init import OPT
from tests.dataset.test_labelled_images import REPOSITORY, small, write_sample, write_set
from tests.forked import until


def message(call, *arguments, **settings):
    """The one line of the DataError that the call must raise."""
    with pytest.raises(DataError) as caught:
        call(*arguments, **settings)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def says(text, *parts):
    missing = [str(part) for part in parts if str(part) not in text]
    assert not missing, f'{missing} not in: {text}'
    return True


def save(path, values, kind=np.uint8):
    Image.fromarray(np.array(values, kind)).save(path)
    return path


# ---- Folders and names

@pytest.mark.parametrize('folder, what', [('train_label', 'label maps'), ('train_inst', '--no_instance true'),
                                          ('train_img', 'photos')])
def test_missing_folder(tmp_path, folder, what):
    write_set(tmp_path, 1)
    (tmp_path / folder).rename(tmp_path / 'elsewhere')
    assert says(message(LabelledImages, small(tmp_path)), tmp_path / folder, 'missing folder', what, '--dataroot')


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / 'train_label').write_text('')
    assert says(message(LabelledImages, small(tmp_path)), tmp_path / 'train_label', 'cannot list', 'Not a directory')


def test_empty_folder(tmp_path):
    write_set(tmp_path, 1)
    (tmp_path / 'train_label' / '0000.png').rename(tmp_path / 'train_label' / '0000.txt')
    assert says(message(LabelledImages, small(tmp_path)), tmp_path / 'train_label', 'no images', '1 other files',
                '.png', '--dataroot')


def test_photos_without_label(tmp_path):
    write_set(tmp_path, 6)
    for index in (4, 1, 3, 2):
        (tmp_path / 'train_label' / f'000{index}.png').unlink()
    assert says(message(find_samples, small(tmp_path), 'train'), '4 photos without label map', '0001, 0002, 0003, ...',
                tmp_path / 'train_img', 'paired by name')


def test_labels_without_photo(tmp_path):
    write_set(tmp_path, 3)
    (tmp_path / 'train_img' / '0001.png').unlink()
    assert says(message(find_samples, small(tmp_path), 'train'), '1 label maps without photo', ': 0001;',
                tmp_path / 'train_label')
    assert len(find_samples(small(tmp_path), 'train', photos=False)) == 3


def test_missing_instance_maps(tmp_path):
    write_set(tmp_path, 3)
    (tmp_path / 'train_inst' / '0002.png').unlink()
    assert says(message(find_samples, small(tmp_path), 'train'), '1 label maps without instance map', '0002',
                '--no_instance true')
    assert len(find_samples(small(tmp_path, no_instance=True), 'train')) == 3


def test_same_stem_twice(tmp_path):
    write_set(tmp_path, 2)
    Image.new('RGB', (48, 40)).save(tmp_path / 'train_img' / '0001.jpg')
    assert says(message(find_samples, small(tmp_path), 'train'), tmp_path / 'train_img', '0001.jpg', '0001.png',
                'same name', 'remove')


def test_fewer_samples_than_one_batch(tmp_path):
    write_set(tmp_path, 3)
    assert says(message(LabelledImages, small(tmp_path, batchSize=4)), 'fewer samples than one batch', '3 samples',
                'batchSize 4', 'at most 3')
    assert len(LabelledImages(small(tmp_path, batchSize=3))) == 3


# ---- Values

def test_label_out_of_range(tmp_path):
    path = save(tmp_path / 'a.png', [[0, 183, 183, 254]])
    assert says(message(load_label, path, OPT()), path, '183 (2 pixels), 254 (1 pixels)', '0 .. 181, and 182 or 255',
                '--label_nc')
    path = save(tmp_path / 'b.png', [[10, 11, 12, 13, 14]])
    assert says(message(load_label, path, OPT(label_nc=10)), '11 (1 pixels)', 'and 1 more', '0 .. 9')
    path = save(tmp_path / 'c.png', [[65535]], np.uint16)
    assert says(message(load_label, path, OPT()), path, '65535 (1 pixels)')


def test_unlabelled_pixels_without_their_option(tmp_path):
    path = save(tmp_path / 'a.png', [[0, 255, 255]])
    text = message(load_label, path, OPT(contain_dontcare_label=False))
    assert says(text, path, '255 (2 pixels)', '0 .. 181;', '--contain_dontcare_label true') and '--label_nc' not in text
    path = save(tmp_path / 'b.png', [[182]])
    assert says(message(load_label, path, OPT(contain_dontcare_label=False)), '182 (1 pixels)', '--label_nc')


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'CMYK'])
def test_colour_coded_maps(tmp_path, mode):
    path = tmp_path / 'a.tif'
    Image.new(mode, (4, 4), (1, 200, 3, 255)[:len(mode)]).save(path)
    assert says(message(load_label, path, OPT()), path, f'mode {mode}', 'map the colours to ids', '--colours')
    if mode != 'CMYK':
        assert (load_instance(path) == 1 << 16 | 200 << 8 | 3).all()


def test_maps_must_be_lossless(tmp_path):
    path = save(tmp_path / 'a.jpg', np.zeros((8, 8)))
    assert says(message(load_label, path, OPT()), path, 'JPEG', 'PNG')


# ---- Images

def test_truncated_images(tmp_path):
    noise = np.random.default_rng(0).integers(0, 182, (64, 64, 3)).astype(np.uint8)
    for path, load in [(save(tmp_path / 'a.jpg', noise), load_photo), (save(tmp_path / 'a.png', noise), load_photo),
                       (save(tmp_path / 'b.png', noise[..., 0]), lambda path: load_label(path, OPT())),
                       (save(tmp_path / 'c.png', noise[..., 0]), load_instance)]:
        content = path.read_bytes()
        for length in (0, 1, 30, 60, len(content) // 2, len(content) * 9 // 10):
            path.write_bytes(content[:length])
            assert says(message(load, path), path, 'unreadable or truncated image')


def test_files_other_than_images(tmp_path):
    path = tmp_path / 'a.png'
    path.write_text('hello')
    assert says(message(load_photo, path), path, 'not a file of a known format')
    assert says(message(load_photo, tmp_path / 'b.png'), tmp_path / 'b.png', 'No such file')


@pytest.mark.parametrize('part, size', [('img', (50, 40)), ('inst', (48, 41))])
def test_different_sizes_in_a_triple(tmp_path, part, size):
    paths = write_sample(tmp_path, 'a')
    Image.open(paths[part]).resize(size).save(paths[part])
    text = message(LabelledImages(small(tmp_path)).__getitem__, (0, 0))
    assert says(text, paths['label'], '48 wide and 40 high', paths[part], f'{size[0]} wide and {size[1]} high',
                'same size')
    write_sample(tmp_path, 'a', 'val')
    save(tmp_path / 'val_img' / 'a.png', np.zeros((9, 8)))
    assert says(message(ValidationImages(small(tmp_path)).__getitem__, 0), tmp_path / 'val_img' / 'a.png',
                '8 wide and 9 high')


def test_prediction_without_its_instance_map(tmp_path):
    path = save(tmp_path / 'a.png', [[0]])
    assert says(message(prediction_inputs, OPT(), path), path, 'instance map is missing', '--instance')


# ---- Crop larger than the image

@pytest.mark.parametrize('settings', [dict(crop_size=256), dict(preprocess_mode='scale_width_and_crop', crop_size=300),
                                      dict(preprocess_mode='scale_shortside_and_crop', crop_size=256),
                                      dict(crop_size=16, aspect_ratio=0.25)])
def test_crop_larger_than_load_needs_no_file(tmp_path, settings):
    text = message(LabelledImages, OPT(dataroot=str(tmp_path), load_size=60, **settings))
    assert says(text, 'load_size 60', f'crop_size {settings["crop_size"]}', '--load_size', '--crop_size')


def test_crop_larger_than_one_image(tmp_path):
    write_sample(tmp_path, 'a', width=100, height=50)
    data = LabelledImages(small(tmp_path, preprocess_mode='scale_width_and_crop'))
    assert says(message(data.__getitem__, (0, 0)), tmp_path / 'train_img' / 'a.png', '100 wide and 50 high', '40 x 20',
                'crop_size 32', 'load_size 40', '--load_size', 'resize_and_crop')


@pytest.mark.parametrize('width, height', [(31, 50), (50, 31)])
def test_native_crops_never_leave_the_photo(tmp_path, width, height):
    """The official code fills what lies beyond the border with class 0."""
    for split in ('train', 'val'):
        write_sample(tmp_path, 'a', split, width, height)
    opt = small(tmp_path, preprocess_mode='crop')
    for data, key, path in ((LabelledImages(opt), (0, 0), 'train_img'), (ValidationImages(opt), 0, 'val_label')):
        text = message(data.__getitem__, key)
        assert says(text, tmp_path / path / 'a.png', f'{width} wide and {height} high with preprocess_mode crop; '
                    'pictures are 32 x 32', '--crop_size', 'resize_and_crop')
        assert 'load_size' not in text
    found = [problem for split in ('train', 'val') for problem in check_split(opt, split, True)[0]]
    assert [kind for kind, _ in found] == 2 * ['too small for the crop']


@pytest.mark.parametrize('mode, remedy', [('scale_width', 64), ('scale_shortside', 32)])
def test_scaled_photos_of_another_shape(tmp_path, mode, remedy):
    write_sample(tmp_path, 'a', width=100, height=50)
    data = LabelledImages(small(tmp_path, preprocess_mode=mode, load_size=32))
    text = message(data.__getitem__, (0, 0))
    becomes = '32 x 16' if mode == 'scale_width' else '64 x 32'
    assert says(text, f'100 wide and 50 high becomes {becomes}', 'pictures are 32 x 32', '--preprocess_mode fixed')
    flags = text.rsplit(', or ', 1)[1].split()
    assert flags == ['--preprocess_mode', f'{mode}_and_crop', '--load_size', str(remedy)]
    assert LabelledImages(data.opt.update(OPT.parser('').parse_args(flags)))[0, 0]['label'].shape == (32, 32)
    assert says(message(LabelledImages, small(tmp_path, preprocess_mode=mode, load_size=36)), 'load_size 36 is not 32',
                '--load_size 32')


def test_the_picture_has_one_size(tmp_path):
    write_sample(tmp_path, 'a', width=100, height=50)
    data = LabelledImages(small(tmp_path, preprocess_mode='none'))
    assert says(message(data.__getitem__, (0, 0)), tmp_path / 'train_img' / 'a.png', '96 x 64', '32 x 32',
                '--preprocess_mode fixed')


# ---- In worker processes, and over a whole set

@pytest.mark.parametrize('workers', [0, 2])
def test_errors_of_workers_stay_one_line(tmp_path, workers):
    write_set(tmp_path, 4)
    save(tmp_path / 'train_label' / '0002.png', np.full((40, 48), 200))
    opt = small(tmp_path)
    with Loader(LabelledImages(opt), workers) as load:
        text = message(lambda: list(load(batches(opt, 4, 0))))
        assert says(text, 'allowed: 0 .. 181') and text.startswith(str(tmp_path / 'train_label' / '0002.png'))
        assert len(list(load([[(0, 0)], [(0, 1)]]))) == 2  # and the loader goes on


@pytest.mark.parametrize('size', [32, 512])  # the second: killed while it writes a picture that no pipe holds at once
def test_a_killed_worker_is_an_error(tmp_path, size):
    opt = small(write_set(tmp_path, 4), load_size=size, crop_size=size)
    with Loader(LabelledImages(opt), 2) as load:
        running = load(100 * batches(opt, 4, 0))
        next(running)
        time.sleep(0.5)
        load.workers.processes[1].kill()
        assert says(message(lambda: list(running)), '--nThreads', 'now 2')


def test_workers_end_with_a_killed_parent(tmp_path):
    write_set(tmp_path, 4)
    code = f'''
import time
from dataset.loader import Loader
from tests.dataset.test_labelled_images import LabelledImages, batches, small
opt = small({str(tmp_path)!r})
load = Loader(LabelledImages(opt), 2)
list(load(batches(opt, 4, 0)))
print(*(process.pid for process in load.workers.processes), flush=True)
time.sleep(60)'''
    with subprocess.Popen([sys.executable, '-c', code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(number) for number in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    until(lambda: not any(map(alive, workers)))


def alive(process):
    try:
        with open(f'/proc/{process}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(DataError('line', 'heading')))
    assert (str(error), error.kind) == ('line', 'heading')


def check(root, *flags):
    """(exit status, stdout, stderr) of dataset.check on the set in `root`."""
    run = subprocess.run([sys.executable, '-m', 'dataset.check', '--dataroot', str(root), '--crop_size', '32',
                          '--load_size', '40', *flags], cwd=REPOSITORY, capture_output=True, text=True)
    assert 'Traceback' not in run.stderr
    return run.returncode, run.stdout, run.stderr


def test_check_of_a_good_set(tmp_path):
    write_set(tmp_path, 5)
    write_set(tmp_path, 2, 'val', width=64, height=32)
    save(tmp_path / 'val_label' / '0001.png', [[255] * 64] * 31 + [[182] * 64])
    status, out, err = check(tmp_path)
    assert status == 0 and not err, err
    assert says(out, 'train: 5 samples', 'width 48 .. 48, height 40 .. 40', 'val: 2 samples',
                'classes used: 180 of 182; not used: 180, 181',
                'unlabelled pixels: 50.00%', '1 label map with id 182, which means unlabelled like 255 (64 pixels)',
                'grey photos: 0 of 2', 'problems: none')
    for name in os.listdir(tmp_path / 'val_img'):
        (tmp_path / 'val_img' / name).unlink()
    (tmp_path / 'val_img').rmdir()
    status, out, err = check(tmp_path)
    assert status == 0 and says(out, 'no folder', tmp_path / 'val_img')


@pytest.mark.parametrize('mine', ['mine', '{"title": "contents of my thesis"}'])
def test_check_replaces_no_contents_json_but_its_own(tmp_path, mine):
    write_set(tmp_path, 2)
    (tmp_path / 'contents.json').write_text(mine)
    status, _, err = check(tmp_path)
    assert status == 1 and says(err, tmp_path / 'contents.json', 'move it away')
    assert (tmp_path / 'contents.json').read_text() == mine


def test_check_finds_every_problem(tmp_path):
    write_set(tmp_path, 30)
    for index in range(22):
        save(tmp_path / 'train_label' / f'{index:04d}.png', np.full((40, 48), 200))
    (tmp_path / 'train_img' / '0000.png').write_text('no image')
    save(tmp_path / 'train_inst' / '0023.png', np.zeros((9, 9)))
    Image.new('RGB', (48, 40), (0, 99, 0)).save(tmp_path / 'train_label' / '0024.png')
    (tmp_path / 'train_inst' / '0025.png').unlink()
    Image.new('L', (48, 40)).save(tmp_path / 'train_img' / '0026.png')
    status, out, err = check(tmp_path, '--report', str(tmp_path / 'report.txt'))
    assert status == 1 and not err, err
    assert says(out, 'train: 29 samples', 'grey photos: 1 of 28', 'val: absent', 'label value (22)', 'and 2 more',
                '1 x unreadable image', '1 x different sizes', '1 x colour-coded map', '1 x unpaired files',
                '22 x label value')
    report = (tmp_path / 'report.txt').read_text().splitlines()
    assert 'written by spade-paddle' in report.pop(0) and len(report) == 26 and \
        sum(line.startswith('label value: ') for line in report) == 22


def test_check_without_any_data(tmp_path):
    status, out, err = check(tmp_path)
    assert status == 1 and not out and err.startswith('error: ') and err.count('\n') == 1
    assert says(err, tmp_path, 'no data set', '--dataroot')


@pytest.mark.skipif('SPADE_COCO_SAMPLE' not in os.environ,
                    reason='SPADE_COCO_SAMPLE does not name the real COCO-Stuff triples')
def test_check_of_real_coco_stuff():
    status, out, err = check(os.environ['SPADE_COCO_SAMPLE'])
    assert status == 0 and says(out, 'train: 13 samples', 'val: 8 samples', 'grey photos: 1 of 8', 'problems: none')
