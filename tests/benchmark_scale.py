"""What a large data set costs, on files that this generates:
python -m tests.benchmark_scale coco|annotations|handover|pieces

coco: seconds and core seconds a picture of dataset.prepare coco_stuff, on generated pictures of COCO's size, objects
and corners.
annotations: seconds and peak memory to read an annotation file of --megabytes (COCO-Stuff's instances_train2017.json:
448).
handover: what the training process spends on taking a batch from a worker. pieces: peak memory of an update with
--accumulate.
"""
import argparse
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
import paddle
from PIL import Image

from dataset.labelled_images import LabelledImages, batches
from dataset.loader import Loader
from dataset.prepare.archive import Member
from dataset.prepare.coco import maker
from dataset.prepare.coco_annotations import annotations_by_stem
from dataset.prepare.job import Job
from model.init import OPT
from model.semantics import prepared
from model.train_step import TrainStep

WIDTH, HEIGHT = 640, 480
# of a picture, of a polygon, polygons of an object: means of instances_train2017.json
OBJECTS, CORNERS, PARTS = 7, 24, 1.4


def polygon(rng):
    """Flat list of corners, two decimals, of a wobbly outline somewhere in the picture."""
    corners = max(3, rng.poisson(CORNERS))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.lognormal(3.5, 0.9) * rng.uniform(0.7, 1.3, corners)
    x = np.clip(rng.uniform(0, WIDTH) + radius * np.cos(angle), 0, WIDTH)
    y = np.clip(rng.uniform(0, HEIGHT) + radius * np.sin(angle), 0, HEIGHT)
    return np.stack([x, y], 1).round(2).ravel().tolist()


def annotation(rng, number, image):
    parts = [polygon(rng) for _ in range(1 + rng.poisson(PARTS - 1))]
    return {'segmentation': parts, 'area': float(rng.uniform(30, 90000)), 'iscrowd': 0, 'image_id': image,
            'bbox': [1.0, 2.0, 3.5, 4.25], 'category_id': int(rng.integers(1, 91)), 'id': number}


def coco(arguments):
    """The maker of dataset.prepare on --pictures pictures, one core."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        photos, labels, jobs = os.path.join(folder, 'photos.zip'), os.path.join(folder, 'labels.zip'), []
        with zipfile.ZipFile(photos, 'w') as photo_archive, zipfile.ZipFile(labels, 'w') as label_archive:
            for index in range(arguments.pictures):
                cells = rng.integers(92, 182, (6, 8), dtype=np.uint8).repeat(80, 0).repeat(80, 1)
                soft = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT), 3)
                for archive, name, image, kind in ((photo_archive, f'{index}.jpg', soft, 'JPEG'),
                                                   (label_archive, f'{index}.png', Image.fromarray(cells), 'PNG')):
                    content = io.BytesIO()
                    image.save(content, kind)
                    archive.writestr(name, content.getvalue())
                objects = [json.dumps(annotation(rng, number, index)).encode() for number in range(OBJECTS)]
                jobs.append(Job('train', str(index), Member(photos, f'{index}.jpg'), Member(labels, f'{index}.png'),
                                None, objects))
        for official in (False, True):
            make = maker(argparse.Namespace(official_ids=official, link=False))
            began, core = time.perf_counter(), time.process_time()
            for job in jobs:
                make(job)
            print(f'{"--official-ids" if official else "instance maps"}: '
                  f'{1000 * (time.perf_counter() - began) / len(jobs):.1f} ms a picture, '
                  f'{1000 * (time.process_time() - core) / len(jobs):.1f} ms of one core')


def annotations(arguments):
    """A generated file of that size, packed as the download is, read by a process of its own."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path, size, number = os.path.join(folder, 'annotations.zip'), 0, 0
        pool = [json.dumps(annotation(rng, index, 'IMAGE')).replace('"IMAGE"', '%d') for index in range(3000)]
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive, \
                archive.open('annotations/instances_train2017.json', 'w', force_zip64=True) as file:
            images = [json.dumps({'license': 3, 'file_name': f'{index:012d}.jpg', 'height': HEIGHT, 'width': WIDTH,
                                  'id': index})
                      for index in range(118287)]
            size += file.write(('{"info": {}, "images": [' + ', '.join(images) + '], "annotations": [').encode())
            while size < arguments.megabytes * 1e6:
                size += file.write((', ' * (number > 0) +
                                    pool[number % len(pool)] % (number // OBJECTS % len(images))).encode())
                number += 1
            size += file.write(b']}')
        print(f'{size / 1e6:.0f} MB of JSON, {number} objects, {os.path.getsize(path) / 1e6:.0f} MB packed', flush=True)
        _child('read', path)


def read(path):
    began = time.perf_counter()
    found = annotations_by_stem(Member(path, 'annotations/instances_train2017.json'))
    print(f'{len(found)} pictures read in {time.perf_counter() - began:.1f} s, peak memory {_peak():.2f} GB')


def handover(arguments):
    """Batches of a generated set with COCO-Stuff's options, each taken when it has long been ready."""
    opt = OPT(dataroot='', batchSize=arguments.batchSize, use_vae=False, modulation=arguments.modulation)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        opt.dataroot = folder
        for part in ('label', 'inst', 'img'):
            os.mkdir(os.path.join(folder, f'train_{part}'))
            for index in range(64):
                cells = rng.integers(0, 182, (6, 8, 3) if part == 'img' else (6, 8),
                                     dtype=np.uint8).repeat(50, 0).repeat(50, 1)
                Image.fromarray(cells).save(os.path.join(folder, f'train_{part}', f'{index:02d}.png'))
        keys = [batch for epoch in range(99) for batch in batches(opt, 64, epoch)][:arguments.batches + 1]
        waited, spent = [], []
        with Loader(LabelledImages(opt), 1, functools.partial(prepared, opt=opt)) as load:
            source = load(keys)
            next(source)
            for _ in range(arguments.batches):
                time.sleep(arguments.pause)     # a training step
                began, core = time.perf_counter(), time.process_time()
                batch = next(source)
                waited.append(1000 * (time.perf_counter() - began))
                spent.append(1000 * (time.process_time() - core))
        megabytes = sum(array.nbytes for array in batch.values() if isinstance(array, np.ndarray)) / 1e6
    print(f'batch of {opt.batchSize} ({megabytes:.0f} MB of arrays beside its maps): taken in {np.median(waited):.1f} '
          f'ms, of one core {np.median(spent):.1f} ms; medians of {arguments.batches}')


def pieces(arguments):
    """Each number of pieces in a process of its own: two updates on random maps."""
    for count in arguments.counts:
        _child('update', str(count), '--batchSize', str(arguments.batchSize), '--crop_size', str(arguments.crop_size))


def update(count, batch_size, crop_size):
    opt = OPT(batchSize=batch_size, accumulate=count, crop_size=crop_size, load_size=crop_size, use_vae=False, ngf=8,
              ndf=8, cpu_kernels=False, modulation='dense')
    train_step, rng = TrainStep(opt), np.random.default_rng(0)
    for _ in range(2):
        label = rng.integers(0, 182, (count, batch_size, 8, 8)).repeat(crop_size // 8, 2).repeat(crop_size // 8, 3)
        image = np.zeros((batch_size, 3, crop_size, crop_size), np.float32)
        train_step.update([(maps, maps, image) for maps in label])
    print(f'{count} pieces of {batch_size} at {crop_size}x{crop_size}: peak memory {_peak():.2f} GB')


def _child(*arguments):
    subprocess.run([sys.executable, '-m', 'tests.benchmark_scale', *arguments], check=True)


def _peak():
    """GB that this process has held at most; of itself, where getrusage would count what started it."""
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) / 1e6 for line in status if line.startswith('VmHWM'))


def main():
    parser = argparse.ArgumentParser(prog='python -m tests.benchmark_scale', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('coco', 'annotations', 'handover', 'pieces', 'read', 'update'), metavar='WHAT')
    parser.add_argument('of', nargs='?', help=argparse.SUPPRESS)
    parser.add_argument('--pictures', type=int, default=200, help='of coco [200]')
    parser.add_argument('--megabytes', type=int, default=448, help='of annotations [448]')
    parser.add_argument('--batchSize', type=int, default=32, help='of handover, and of a piece [32]')
    parser.add_argument('--batches', type=int, default=8, help='that handover takes [8]')
    parser.add_argument('--modulation', default='dense', help='of handover; auto finds windows in the worker [dense]')
    parser.add_argument('--pause', type=float, default=6.0, help='seconds between two batches that handover takes [6]')
    parser.add_argument('--counts', type=int, nargs='+', default=[1, 4], help='of pieces [1 4]')
    parser.add_argument('--crop_size', type=int, default=256, help='of pieces [256]')
    arguments = parser.parse_args()
    if arguments.what == 'read':
        return read(arguments.of)
    paddle.set_device('cpu')
    if arguments.what == 'update':
        return update(int(arguments.of), arguments.batchSize, arguments.crop_size)
    {'coco': coco, 'annotations': annotations, 'handover': handover, 'pieces': pieces}[arguments.what](arguments)


if __name__ == '__main__':
    main()
