"""Samples of a data set, made in parallel and recorded as they are made, so that a killed command goes on where it was.

prepared.jsonl in the target says what made it (first line) and what became of every sample, in a fixed order. It is also the
mark by which a folder is known as this program's own.
"""
import functools
import json
import os
from collections import namedtuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from dataset.files import DataError, check_same_size
from dataset.photo import is_grey, read_photo
from dataset.picture_file import noted
from dataset.prepare.archive import NamedBytes, path_of, read
from dataset.workers import WorkerKilled, Workers
from runtime import locking
from runtime.cores import cores
from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import UNFINISHED, writing

RECORD = 'prepared.jsonl'
GOES_ON = 'the same command goes on once that is mended'

# photo, label, instance: dataset.prepare.archive.Member, or None; details: what else the maker needs, of any kind
Job = namedtuple('Job', 'split stem photo label instance details', defaults=(None, None))


def prepare(root, settings, jobs, make):
    """list of the records of all jobs: dicts with split and stem, then the maker's facts or, without files, left_out: the reason.

    make(job) -> (files, facts); files: dict 'img', 'label', 'inst' -> (ending, bytes, or Member to link to); facts: dict for the
    record. Its DataErrors become `left_out`; the same command tries those samples again.
    `settings`, a dict, must be the same when a killed command goes on. InputError if root holds anything of another origin.
    """
    refuse_foreign(root)
    try:
        with locked(root, 'dataset.prepare', '--output'):
            records = begun(root, settings)
            _check_same_samples(root, records, jobs)
            for folder in sorted({f'{job.split}_{part}' for job in jobs for part in parts(settings)}):
                os.makedirs(os.path.join(root, folder), exist_ok=True)
            _make_all(root, settings, records, jobs, functools.partial(_made, root=root, make=make))
            _sweep(root)
    except WorkerKilled:
        raise InputError(f'{root}: a process that prepares samples was killed, perhaps for want of memory: the same command goes '
                         'on') from None
    except OSError as error:
        raise InputError(f'{root}: cannot write there ({error.strerror or error}): {GOES_ON}') from None
    return records


def _check_same_samples(root, records, jobs):
    if len(records) > len(jobs) or any((record['split'], record['stem']) != job[:2] for record, job in zip(records, jobs)):
        raise InputError(f'{os.path.join(root, RECORD)}: lists other samples than the sources hold now: name another --output, or '
                         f'remove {root} to begin anew')


def _make_all(root, settings, records, jobs, work):
    """Complete `records`, one for each job, in memory and on disk, as work(job) gives them; those left out are tried again."""
    left = jobs[len(records):]
    retried = [number for number, record in enumerate(records) if 'left_out' in record]  # the file may have been mended
    with Workers(cores(), work) as workers:
        for number, record in zip(retried, workers([jobs[number] for number in retried])):
            records[number] = record
        _write_record(root, settings, records)
        with open(os.path.join(root, RECORD), 'a') as file:
            for record in tqdm(workers(left), 'prepare', len(jobs), initial=len(records), unit=' samples', disable=None):
                file.write(json.dumps(record) + '\n')
                file.flush()
                records.append(record)


def parts(settings):
    return ('img', 'label', 'inst') if settings['instances'] else ('img', 'label')


def refuse_foreign(root):
    """InputError if root is no folder that this program has made, nor empty, nor to be made."""
    try:
        names = os.listdir(root) if os.path.lexists(root) else []
    except OSError as error:
        raise InputError(f'{root}: cannot write there: {error.strerror or error}') from None
    foreign = sorted(name for name in names if not name.startswith(UNFINISHED) and name != locking.FILE)
    if foreign and RECORD not in foreign:
        raise InputError(f'{root}: found {foreign[0]}{" and more" if len(foreign) > 1 else ""}, not made by dataset.prepare, '
                         'which overwrites nothing: name another --output, or move it away')


def begun(root, settings):
    """The records that an earlier, unfinished run with the same settings left in root; a new, empty record if there was none."""
    head, path = json.dumps(settings, sort_keys=True), os.path.join(root, RECORD)
    if not os.path.exists(path):
        _write_record(root, settings, [])
        return []
    with open(path, 'rb') as file:
        lines = file.read().split(b'\n')[:-1]  # a kill may have cut the last one off
    if not lines or lines[0].decode(errors='replace') != head:
        raise InputError(f'{root}: made with other settings or from other sources ({path} has them): name another --output,'
                         f' or remove {root} to begin anew')
    try:
        return [json.loads(line) for line in lines[1:]]
    except ValueError:
        raise InputError(f'{path}: damaged: remove {root} to begin anew') from None


def maker_of(root):
    """What made the set in `root`, such as 'dataset.prepare coco_stuff'; None where no record of that lies."""
    try:
        with open(os.path.join(root, RECORD)) as file:
            return json.loads(file.readline()).get('made by')
    except (OSError, ValueError, AttributeError):
        return None


def _write_record(root, settings, records):
    lines = [json.dumps(settings, sort_keys=True), *map(json.dumps, records)]
    _write(os.path.join(root, RECORD), ''.join(f'{line}\n' for line in lines).encode())


def _made(job, root, make):
    record = {'split': job.split, 'stem': job.stem}
    try:
        files, facts = make(job)
    except DataError as error:
        return {**record, 'left_out': str(error)}
    for part, (ending, content) in files.items():
        path = os.path.join(root, f'{job.split}_{part}', job.stem + ending)
        _write(path, content) if isinstance(content, bytes) else _link(path, os.path.abspath(path_of(content)))
    return {**record, **facts}


def _write(path, content):
    with writing(path, GOES_ON, alone=False) as unfinished, open(unfinished, 'wb') as file:
        file.write(content)


def _link(path, target):
    with writing(path, GOES_ON, alone=False) as unfinished:
        os.symlink(target, unfinished)


def _sweep(root):
    for folder, _, files in os.walk(root):
        for name in files:
            if name.startswith(UNFINISHED):
                os.remove(os.path.join(folder, name))


# ---- What makers share

def photo_and_facts(job, label, *others, span=None, link=False):
    """((ending, bytes or Member) of the photo, facts for the record); DataError if it is broken, or another size than the maps (H, W).

    A photo of more than 8 bits is made an 8-bit PNG by `span` (dataset.photo.Span).
    """
    if job.photo is None:
        raise DataError(f'{job.label.archive}: {job.label.name}: no photo of that name: left out', 'unpaired files')
    content = read(job.photo)
    photo = read_photo(content, label.shape[1::-1], span)
    maps = {f'{job.label.archive}: {job.label.name}': label.shape[1::-1]}
    maps.update((name, array.shape[1::-1]) for name, array in others)
    check_same_size({**maps, str(content): photo.image.size})
    pixels = np.asarray(photo.image)
    if photo.deep:
        return ('.png', png(pixels[..., 0])), {'grey': True, 'notes': noted('photo', photo)}
    return (os.path.splitext(job.photo.name)[1], job.photo if link else content.getvalue()), {'grey': is_grey(pixels)}


def label_bytes(job):
    """NamedBytes of the label map; DataError if there is none."""
    if job.label is None:
        raise DataError(f'{job.photo.archive}: {job.photo.name}: no label map of that name: left out', 'unpaired files')
    return read(job.label)


def png(ids):
    """bytes of a PNG of integer ids (H, W): 8-bit where they fit, else 16-bit; DataError beyond that."""
    highest = int(ids.max(initial=0))
    if highest > 65535:
        raise DataError(f'{highest} instances in one picture, allowed: 65535', 'too many instances')
    target = NamedBytes(b'', 'png')
    Image.fromarray(ids.astype(np.uint8 if highest <= 255 else np.uint16)).save(target, 'PNG')
    return target.getvalue()


def paired(photos, labels, instances=None):
    """Rows (stem, photo, label, instance) over all stems of three dicts stem -> Member, sorted; None for what is missing."""
    stems = sorted(set(photos) | set(labels))
    return [(stem, photos.get(stem), labels.get(stem), (instances or {}).get(stem)) for stem in stems]
