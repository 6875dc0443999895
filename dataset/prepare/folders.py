"""ADE20K, its outdoor scenes, and Cityscapes, from their released folders, packed or unpacked."""
import functools
import os

import numpy as np

from dataset.files import load_ids, load_instance
from dataset.picture_file import DataError
from dataset.prepare.archive import Member, files_by_stem, read, source
from dataset.prepare.job import jobs_of, label_bytes, photo_and_facts, png
from runtime.errors import InputError

ADE20K, ADE20K_TOP = 'ADEChallengeData2016', 150  # ids 0 (unknown) .. 150
CITYSCAPES_TOP, LICENCE_PLATE = 34, 255           # ids 0 .. 33; the licence plate, -1 in 8 bits, becomes id 34
OUTDOOR_SCENES = os.path.join(os.path.dirname(os.path.dirname(__file__)), 'outdoor_scenes.txt')


def jobs(arguments):
    """(jobs, names of unsafe members) of arguments.archives for arguments.command, one of the three."""
    return _cityscapes(arguments) if arguments.command == 'cityscapes' else _ade20k(arguments)


def _ade20k(arguments):
    archive = source(arguments.archives, ADE20K + '.zip', ADE20K, arguments.link)
    found, unsafe = [], set()
    for split, folder in (('train', 'training'), ('val', 'validation')):
        found += jobs_of(split, files_by_stem(archive, f'{ADE20K}/images/{folder}/', '.jpg', unsafe),
                         files_by_stem(archive, f'{ADE20K}/annotations/{folder}/', '.png', unsafe))
    if not found:
        raise InputError(f'{archive}: no files {ADE20K}/images/training/*.jpg in it: name the folder that holds '
                         f'{ADE20K} or {ADE20K}.zip with --archives')
    if arguments.command == 'ade20k_outdoor':
        scenes = Member(archive, f'{ADE20K}/sceneCategories.txt')
        wanted = _listed(arguments.list) if arguments.list else _outdoor_stems(scenes)
        found = [job for job in found if job.stem in wanted]
        if not found:
            raise InputError(f'{arguments.list or "sceneCategories.txt"}: none of its pictures is in {archive}: '
                             'list names such as ADE_train_00000001')
    return found, sorted(unsafe)


def _outdoor_stems(member):
    """set of stems whose scene, in lines 'stem scene', is in outdoor_scenes.txt or named outdoor or exterior."""
    with open(OUTDOOR_SCENES) as file:
        known = {line.strip() for line in file if line.strip() and not line.startswith('#')}
    rows = [line.split() for line in read(member).getvalue().decode(errors='replace').splitlines()]
    scenes = {row[0]: row[1].replace('/', '_') for row in rows if len(row) > 1}
    return {stem for stem, scene in scenes.items()
            if scene in known or not {'outdoor', 'exterior'}.isdisjoint(scene.split('_'))}


def _listed(path):
    try:
        with open(path, errors='replace') as file:
            return {os.path.splitext(os.path.basename(line.split()[0]))[0] for line in file if line.strip()}
    except OSError as error:
        raise InputError(f'--list {path}: cannot be read: {error.strerror}') from None


def _cityscapes(arguments):
    photos = source(arguments.archives, 'leftImg8bit_trainvaltest.zip', 'leftImg8bit', arguments.link)
    maps = source(arguments.archives, 'gtFine_trainvaltest.zip', 'gtFine', arguments.link)
    found, unsafe = [], set()
    for split in ('train', 'val'):
        found += jobs_of(split, files_by_stem(photos, f'leftImg8bit/{split}/', '_leftImg8bit.png', unsafe, deeper=1),
                         *(files_by_stem(maps, f'gtFine/{split}/', f'_gtFine_{kind}Ids.png', unsafe, deeper=1)
                           for kind in ('label', 'instance')))
    if not found:
        raise InputError(f'{photos}: no files leftImg8bit/train/CITY/*_leftImg8bit.png in it: name the folder that '
                         'holds leftImg8bit and gtFine, or their archives, with --archives')
    return found, sorted(unsafe)


def maker(arguments):
    """`make` of dataset.prepare.samples.prepare."""
    make = _make_cityscapes if arguments.command == 'cityscapes' else _make_ade20k
    return functools.partial(make, link=arguments.link)


def _make_ade20k(job, link):
    label_file = label_bytes(job)
    label = load_ids(label_file, 'label map')
    _check_ids(label_file, label, ADE20K_TOP, '0 (unknown) .. 150')
    photo, facts = photo_and_facts(job, label, link=link)
    return {'img': photo, 'label': ('.png', job.label if link else label_file.getvalue())}, facts


def _make_cityscapes(job, link):
    label_file = label_bytes(job)
    if job.instance is None:
        raise DataError(f'{label_file}: no _gtFine_instanceIds.png beside it: left out', 'unpaired files')
    label, instance_file = load_ids(label_file, 'label map'), read(job.instance)
    instance, rewritten = load_instance(instance_file), (label == LICENCE_PLATE).any()
    label[label == LICENCE_PLATE] = CITYSCAPES_TOP
    _check_ids(label_file, label, CITYSCAPES_TOP, '0 .. 33, and 255')
    photo, facts = photo_and_facts(job, label, (str(instance_file), instance), link=link)
    content = png(label) if rewritten else job.label if link else label_file.getvalue()
    return {'img': photo, 'label': ('.png', content),
            'inst': ('.png', job.instance if link else instance_file.getvalue())}, facts


def _check_ids(label_file, label, top, allowed):
    wrong = np.unique(label[(label < 0) | (label > top)])
    if len(wrong):
        raise DataError(f'{label_file}: label value {wrong[0]}, allowed: {allowed}: left out; check that this is the '
                        'right archive', 'label value')
