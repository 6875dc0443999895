"""Samples: files paired by name, one crop and flip for all three, draws that depend on seed, epoch and sample alone."""
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.contents import fingerprint
from dataset.files import find_samples, load_instance, load_label
from dataset.labelled_images import (
    LabelledImages,
    ValidationImages,
    as_arrays,
    batches,
    draw_geometry,
    epoch_order,
    global_batch,
    prediction_inputs,
    resized_size,
    transformed,
)
from dataset.loader import Loader
from dataset.photo import load_photo
from model.init import OPT
from runtime.errors import InputError
from tests.forked import REPOSITORY

MODES = ('resize_and_crop', 'scale_shortside_and_crop', 'scale_width_and_crop', 'crop', 'fixed', 'none')


def maps(width, height):
    """dict of Pillow images that encode the position of each pixel: instance y * width + x, label and photo functions
    of it.
    """
    y, x = np.mgrid[:height, :width]
    return {'label': Image.fromarray(((7 * x + 13 * y) % 180).astype(np.uint8)),
            'instance': Image.fromarray((y * width + x).astype(np.int32)),
            'image': Image.fromarray(np.stack([x, y, x // 2 + y // 2], -1).astype(np.uint8))}


def write_sample(root, stem, split='train', width=48, height=40, photo_ending='.png'):
    """Write one triple made of `maps`, its instance map as 16-bit PNG; returns the paths by folder."""
    paths = {}
    for part, image in zip(('label', 'inst', 'img'), maps(width, height).values()):
        folder = root / f'{split}_{part}'
        folder.mkdir(parents=True, exist_ok=True)
        paths[part] = folder / (stem + (photo_ending if part == 'img' else '.png'))
        (Image.fromarray(np.array(image, np.uint16)) if part == 'inst' else image).save(paths[part])
    return paths


def write_set(root, count, split='train', **size):
    for index in range(count):
        write_sample(root, f'{index:04d}', split, **size)
    return root


def small(root, **settings):
    """OPT for the pictures of `write_set`."""
    return OPT(**{**dict(dataroot=str(root), crop_size=32, load_size=40), **settings})


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def packed(ids, depth):
    """bytes of a grey PNG of 1, 2, 4 bits: Pillow writes 8 and 16 only."""
    height, width = np.shape(ids)
    rows = b''.join(b'\0' + np.packbits(np.unpackbits(np.uint8(row)[:, None], axis=1)[:, 8 - depth:]).tobytes()
                    for row in ids)
    return chunked(rows, width, height, depth, 0)


def chunked(rows, width, height, depth, kind):
    """bytes of a PNG of that depth and colour type."""
    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


# ---- Crop and flip

@settings(max_examples=60, deadline=None)
@given(mode=st.sampled_from(MODES), width=st.integers(20, 160), height=st.integers(20, 160),
       aspect=st.sampled_from([1.0, 2.0]), no_flip=st.booleans(), seed=st.integers(0, 2 ** 40))
def test_one_crop_and_flip_for_all_three(mode, width, height, aspect, no_flip, seed):
    if mode == 'none':  # sizes that become that of the picture
        width, height, aspect = 32 + width % 16, 32 + height % 16, 1.0
    opt = OPT(crop_size=32, load_size=40, preprocess_mode=mode, aspect_ratio=aspect, no_flip=no_flip)
    try:
        geometry = draw_geometry(opt, width, height, np.random.default_rng(seed), 'photo.png')
    except InputError:
        new_width, new_height = resized_size(opt, width, height)
        assert new_width < 32 or new_height < opt.picture_size[0]
        return
    arrays = as_arrays(transformed(maps(width, height), opt, geometry))
    assert arrays['label'].shape == arrays['instance'].shape == arrays['image'].shape[1:] == opt.picture_size
    y, x = np.divmod(arrays['instance'], width)  # where each pixel comes from
    assert np.array_equal(arrays['label'], (7 * x + 13 * y) % 180)
    red, green = (arrays['image'][:2] + 1) * 127.5
    assert np.abs(red - x).max() <= 1.5 + 1.5 * width / geometry.width
    assert np.abs(green - y).max() <= 1.5 + 1.5 * height / geometry.height
    assert ((np.diff(x) <= 0) if geometry.flip else (np.diff(x) >= 0)).all() and (np.diff(y, axis=0) >= 0).all()
    assert not (geometry.flip and no_flip)


def test_without_resizing_every_pixel_is_exact(tmp_path):
    data = LabelledImages(small(write_set(tmp_path, 2, width=40, height=40)))
    corners, flips = set(), set()
    for epoch in range(40):
        sample = data[epoch, 1]
        y, x = np.divmod(sample['instance'], 40)
        assert np.array_equal(sample['image'][0], np.float32(x) / np.float32(255) * 2 - 1)
        assert np.array_equal(sample['image'][1], np.float32(y) / np.float32(255) * 2 - 1)
        flip = x[0, 0] > x[0, 1]
        assert np.array_equal(x[0], x.min() + (np.arange(32)[::-1] if flip else np.arange(32)))
        corners.add((x.min(), y.min()))
        flips.add(flip)
    assert len(corners) > 20 and flips == {True, False}


def test_native_crops_are_windows_of_the_files(tmp_path):
    """Pillow's crop of each file, and its mirror image, whatever load_size says."""
    paths = write_sample(tmp_path, 'a', width=96, height=70)
    settings, seen = dict(preprocess_mode='crop', crop_size=64, aspect_ratio=2.0), set()
    data, resumed = [LabelledImages(small(tmp_path, load_size=load_size, **settings)) for load_size in (286, 1)]
    for epoch in range(60):
        sample = data[epoch, 0]
        y, x = np.divmod(sample['instance'], 96)
        box, flip = (x.min(), y.min(), x.min() + 64, y.min() + 32), bool(x[0, 0] > x[0, 1])
        for name, part in (('label', 'label'), ('instance', 'inst'), ('image', 'img')):
            window = Image.open(paths[part]).crop(box)
            window = np.asarray(window.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else window)
            found = sample[name] if name != 'image' else np.round((sample[name].transpose(1, 2, 0) + 1) * 127.5)
            assert np.array_equal(found, window)
        assert same(sample, resumed[epoch, 0])
        seen.add((*box[:2], flip))
    assert len(seen) > 50 and {flip for _, _, flip in seen} == {True, False}


@pytest.mark.parametrize('mode, size', [('scale_width', (100, 51)), ('scale_shortside', (50, 100)),
                                        ('scale_shortside', (101, 50)), ('scale_shortside', (100, 50))])
def test_scaled_photos_are_pillows(tmp_path, mode, size):
    wide, high = (64, 32) if size[0] > size[1] else (32, 64)
    paths = write_sample(tmp_path, 'a', width=size[0], height=size[1])
    opt = small(tmp_path, preprocess_mode=mode, crop_size=wide, aspect_ratio=wide / high, no_flip=True,
                load_size=wide if mode == 'scale_width' else 32)
    sample = LabelledImages(opt)[0, 0]
    assert np.array_equal(sample['label'], Image.open(paths['label']).resize((wide, high), Image.Resampling.NEAREST))
    assert np.array_equal(np.round((sample['image'].transpose(1, 2, 0) + 1) * 127.5),
                          Image.open(paths['img']).resize((wide, high), Image.Resampling.BICUBIC))


def test_every_corner_and_both_flips_are_drawn_alike():
    opt, counts = OPT(crop_size=32, load_size=34), {}
    for seed in range(1800):
        geometry = draw_geometry(opt, 50, 60, np.random.default_rng(seed), '')
        counts[geometry[2:]] = counts.get(geometry[2:], 0) + 1
    assert set(counts) == {(left, top, flip) for left in range(3) for top in range(3) for flip in (False, True)}
    assert min(counts.values()) > 60 and max(counts.values()) < 150  # 100 expected, standard deviation 10


@pytest.mark.parametrize('mode, size, expected', [
    ('resize_and_crop', (640, 427), (286, 286)), ('scale_width_and_crop', (640, 427), (286, 190)),
    ('scale_width_and_crop', (286, 500), (286, 500)), ('scale_shortside_and_crop', (640, 427), (428, 286)),
    ('scale_shortside_and_crop', (427, 640), (286, 428)), ('scale_shortside_and_crop', (286, 300), (286, 300)),
    ('scale_shortside_and_crop', (300, 300), (286, 286)), ('crop', (640, 427), (640, 427)),
    ('scale_width', (512, 299), (286, 167)), ('scale_width', (286, 91), (286, 91)),
    ('scale_shortside', (512, 299), (489, 286)), ('scale_shortside', (299, 512), (286, 489)),
    ('fixed', (640, 427), (256, 256)), ('none', (640, 427), (640, 416)), ('none', (640, 433), (640, 448))])
def test_sizes_follow_the_official_formulas(mode, size, expected):
    assert resized_size(OPT(preprocess_mode=mode), *size) == expected


# ---- Randomness and order

def test_the_number_of_workers_changes_nothing(tmp_path):
    opt = small(write_set(tmp_path, 7), batchSize=3)
    data = LabelledImages(opt)
    keys = batches(opt, len(data), epoch=4)
    loaded = []
    for workers in (0, 2):
        with Loader(data, workers) as load:
            loaded.append([batch for _ in range(2) for batch in load(keys)])
        loaded.append([{name: array.numpy() for name, array in batch.items()} for batch in
                       2 * list(paddle.io.DataLoader(data, batch_sampler=keys, num_workers=workers,
                                                     use_shared_memory=False))])
    assert all(len(run) == 4 and all(map(same, run, loaded[0])) for run in loaded)
    assert same(loaded[0][0], {name: np.stack([data[key][name] for key in keys[0]]) for name in loaded[0][0]})
    assert loaded[0][0]['image'].dtype == np.float32 and loaded[0][0]['label'].dtype == np.int32


def test_draws_depend_on_seed_and_epoch_and_sample(tmp_path):
    write_set(tmp_path, 2, width=96, height=96)
    data, other = [LabelledImages(small(tmp_path, load_size=96, seed=seed)) for seed in (0, 1)]
    assert same(data[3, 0], data[3, 0])
    drawn = [data[3, 0], data[3, 1], data[4, 0], other[3, 0]]
    assert not any(same(drawn[i], drawn[j]) for i in range(4) for j in range(i))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 50), batch=st.integers(1, 7), epoch=st.integers(0, 10 ** 6), seed=st.integers(0, 2 ** 40))
def test_an_epoch_covers_every_sample_once_and_resumes(count, batch, epoch, seed):
    opt = OPT(batchSize=batch, seed=seed)
    assert sorted(epoch_order(opt, count, epoch)) == list(range(count))
    whole = batches(opt, count, epoch)
    assert len(whole) == count // batch and all(len(keys) == batch for keys in whole)
    flat = [key for keys in whole for key in keys]
    assert flat == [(epoch, index) for index in epoch_order(opt, count, epoch)][:len(flat)]
    for done in range(len(whole) + 1):
        assert batches(opt, count, epoch, seen=done * batch) == whole[done:]


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 60), batch=st.integers(1, 3), ranks=st.sampled_from([1, 2, 3, 4]),
       accumulate=st.integers(1, 3), epoch=st.integers(0, 99), data=st.data())
def test_ranks_share_an_epoch(count, batch, ranks, accumulate, epoch, data):
    """No sample occurs twice, only an incomplete last global batch is left out, and a step's samples do not depend on
    the ranks. A run that resumes with another number of ranks uses the remaining samples.
    """
    opt = OPT(batchSize=batch, accumulate=accumulate)
    order = [(epoch, index) for index in epoch_order(opt, count, epoch)]
    whole = global_batch(opt, ranks)
    steps = count // whole

    def seen_by_all(ranks, seen):
        shares = [batches(opt, count, epoch, seen, rank, ranks) for rank in range(ranks)]
        assert len({len(share) for share in shares}) == 1
        return [key for pieces in zip(*shares) for piece in pieces for key in piece]

    assert seen_by_all(ranks, 0) == order[:steps * whole] and count - steps * whole < whole
    seen, others = data.draw(st.integers(0, steps)) * whole, data.draw(st.integers(1, 4))
    left = seen_by_all(others, seen)
    assert left == order[seen:seen + len(left)] and count - seen - len(left) < global_batch(opt, others)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(epoch_order(OPT(seed=seed), 30, epoch)) for seed in range(5) for epoch in range(20)}
    assert len(orders) == 100


# ---- Files

def test_samples_are_paired_by_stem_and_sorted(tmp_path):
    for stem in ('b', 'a.x', 'c'):
        write_sample(tmp_path, stem, photo_ending='.JPG')
    for name in ('.hidden.png', 'notes.txt', 'Thumbs.db'):
        (tmp_path / 'train_label' / name).write_text('no image')
    (tmp_path / 'train_img' / 'folder.png').mkdir()
    samples = find_samples(small(tmp_path), 'train')
    assert [sample.stem for sample in samples] == ['a.x', 'b', 'c']
    assert all(os.path.exists(path) for sample in samples for path in sample[1:])
    assert [sample.stem for sample in find_samples(small(tmp_path, max_dataset_size=2), 'train')] == ['a.x', 'b']
    bare = find_samples(small(tmp_path, no_instance=True), 'train', photos=False)
    assert [sample[2:] for sample in bare] == [(None, None)] * 3


def test_fingerprints_of_data_sets_differ(tmp_path):
    write_set(tmp_path, 20)
    opt, seen = small(tmp_path), []
    first = fingerprint(find_samples(opt, 'train'))
    Image.new('RGB', (48, 40)).save(tmp_path / 'train_img' / '0000.png')
    assert fingerprint(find_samples(opt, 'train')) == first
    seen.append(fingerprint(find_samples(small(tmp_path, max_dataset_size=19), 'train')))
    for folder in ('label', 'inst', 'img'):
        (tmp_path / f'train_{folder}' / '0007.png').rename(tmp_path / f'train_{folder}' / '0007b.png')
    seen.append(fingerprint(find_samples(opt, 'train')))
    Image.new('L', (48, 40)).save(tmp_path / 'train_label' / '0019.png')
    seen.append(fingerprint(find_samples(opt, 'train')))
    assert len({first, *seen}) == 4


@pytest.mark.parametrize('settings, stored, expected', [
    (dict(), [0, 5, 181, 182, 255], [0, 5, 181, 182, 182]),
    (dict(label_nc=150), [0, 149, 150, 255], [0, 149, 150, 150]),
    (dict(label_nc=35, contain_dontcare_label=False), [0, 34], [0, 34]), (dict(label_nc=255), [254, 255], [254, 255]),
    (dict(label_nc=256, contain_dontcare_label=False), [0, 255], [0, 255])])
@pytest.mark.parametrize('mode', ['L', 'P', 'I;16'])
def test_labels_are_ids_and_255_is_the_last_class(tmp_path, mode, settings, stored, expected):
    image = Image.fromarray(np.array([stored], np.uint16 if mode == 'I;16' else np.uint8))
    if mode == 'P':
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(tmp_path / 'label.png')
    assert load_label(tmp_path / 'label.png', OPT(**settings)).tolist() == [expected]


@pytest.mark.parametrize('depth, row', [(4, [1, 2, 3, 15]), (2, [0, 1, 2, 3]), (1, [0, 1, 1, 0])])
def test_labels_of_few_bits_keep_their_values(tmp_path, depth, row):
    (tmp_path / 'label.png').write_bytes(packed([row], depth))
    assert load_label(tmp_path / 'label.png', OPT()).tolist() == [row]


def test_more_than_256_classes(tmp_path):
    Image.fromarray(np.array([[0, 255, 299, 300]], np.uint16)).save(tmp_path / 'label.png')
    assert load_label(tmp_path / 'label.png', OPT(label_nc=300)).tolist() == [[0, 300, 299, 300]]


@pytest.mark.parametrize('ending, kind, ids', [('png', np.uint8, [0, 255]), ('png', np.uint16, [0, 26001, 65535]),
                                               ('tif', np.int32, [0, 70000, 2 ** 31 - 1])])
def test_instances_of_every_depth(tmp_path, ending, kind, ids):
    Image.fromarray(np.array([ids], kind)).save(tmp_path / f'instance.{ending}')
    instance = load_instance(tmp_path / f'instance.{ending}')
    assert instance.dtype == np.int32 and instance.tolist() == [ids]


def test_instances_keep_their_range_through_the_crop(tmp_path):
    write_set(tmp_path, 1, width=200, height=200)
    assert LabelledImages(small(tmp_path))[0, 0]['instance'].max() > 20000


@pytest.mark.parametrize('mode', ['L', '1', 'P', 'RGB', 'RGBA', 'LA', 'CMYK', 'I;16'])
def test_photos_of_every_mode_become_rgb(tmp_path, mode):
    grey = np.repeat(np.array([[0, 255], [255, 0]], np.uint8), 4, axis=1)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == 'I;16' else Image.fromarray(grey).convert(mode)
    path = tmp_path / ('photo.tif' if mode == 'CMYK' else 'photo.png')
    image.save(path)
    photo = load_photo(path)
    assert photo.mode == 'RGB' and np.array_equal(photo, np.stack([grey] * 3, -1))


# ---- Validation and prediction

def test_validation_sees_the_whole_image(tmp_path):
    paths = write_sample(tmp_path, 'a', 'val', width=100, height=70)
    data = ValidationImages(small(tmp_path, aspect_ratio=2.0, preprocess_mode='none'))
    sample = data[0]
    assert data.samples[0].stem == 'a' and sample['label'].shape == (16, 32)
    for name, part, how in (('label', 'label', Image.Resampling.NEAREST), ('image', 'img', Image.Resampling.BICUBIC)):
        expected = np.array(Image.open(paths[part]).resize((32, 16), how))
        found = sample[name] if name == 'label' else np.round((sample[name].transpose(1, 2, 0) + 1) * 127.5)
        assert np.array_equal(found, expected)
    (tmp_path / 'val_img' / 'a.png').unlink()
    assert set(ValidationImages(small(tmp_path), photos=False)[0]) == {'label', 'instance'}
    assert set(ValidationImages(small(tmp_path, no_instance=True), photos=False)[0]) == {'label'}


@pytest.mark.parametrize('width, height, left, top', [(96, 70, 32, 27), (97, 71, 32, 27), (32, 16, 0, 0)])
def test_validation_on_native_crops_sees_the_middle(tmp_path, width, height, left, top):
    paths = write_sample(tmp_path, 'a', 'val', width, height)
    sample = ValidationImages(small(tmp_path, aspect_ratio=2.0, preprocess_mode='crop'))[0]
    box = left, top, left + 32, top + 16
    assert np.array_equal(sample['label'], Image.open(paths['label']).crop(box))
    assert np.array_equal(sample['instance'], Image.open(paths['inst']).crop(box))
    photo = np.round((sample['image'].transpose(1, 2, 0) + 1) * 127.5)
    assert np.array_equal(photo, Image.open(paths['img']).crop(box))


def test_prediction_takes_a_style_photo_of_any_size(tmp_path):
    paths = write_sample(tmp_path, 'a', 'val')
    expected = ValidationImages(small(tmp_path))[0]
    Image.open(paths['img']).resize((77, 31)).save(tmp_path / 'style.png')
    arrays, size = prediction_inputs(small(tmp_path), paths['label'], paths['inst'], tmp_path / 'style.png')
    assert size == Image.open(paths['label']).size[::-1]
    assert arrays['image'].shape == (3, 32, 32) and same({**arrays, 'image': expected['image']}, expected)
    assert set(prediction_inputs(small(tmp_path, no_instance=True), paths['label'])[0]) == {'label'}


def test_workers_need_no_paddle():
    code = 'import sys, dataset.labelled_images, dataset.loader; sys.exit("paddle" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY).returncode == 0


@pytest.mark.skipif('SPADE_COCO_SAMPLE' not in os.environ,
                    reason='SPADE_COCO_SAMPLE does not name the real COCO-Stuff triples')
def test_real_coco_stuff():
    opt = OPT(dataroot=os.environ['SPADE_COCO_SAMPLE'])
    for sample in (LabelledImages(opt)[1, 0], ValidationImages(opt)[0]):
        assert sample['label'].shape == sample['instance'].shape == (256, 256) and \
            sample['image'].shape == (3, 256, 256)
        assert 0 <= sample['label'].min() and sample['label'].max() <= 182
        assert -1 <= sample['image'].min() < -0.5 and 0.5 < sample['image'].max() <= 1
