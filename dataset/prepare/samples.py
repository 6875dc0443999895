"""Samples of a data set, made in parallel and recorded as they are made:
a killed command goes on, a repeated one follows its sources.

prepared.jsonl in the target says what made it (first line), and of every sample what it was made from, what was
written, and what was noted on the way, in a fixed order. It is also the mark by which a folder is known as this
program's own: only files that it lists, and that are as they were written, are ever replaced or removed.
"""
import functools
import hashlib
import json
import os
import zlib
from collections import namedtuple

import numpy as np
from PIL import Image

from dataset.contents import digest_of
from dataset.files import DataError, check_same_size
from dataset.photo import flaws, is_grey, read_photo
from dataset.picture_file import ENDINGS, noted
from dataset.prepare.archive import NamedBytes, path_of, read, stamp
from dataset.workers import WorkerKilled, Workers
from runtime import json_file, locking
from runtime.bar import counted
from runtime.cores import cores
from runtime.errors import InputError
from runtime.json_file import Unfit, anything, one_of, text
from runtime.locking import locked
from runtime.writing import UNFINISHED, sweep, writing

RECORD = 'prepared.jsonl'
VERSION = 2          # of the record, and of what makers make of a source
GOES_ON = 'the same command goes on once that is mended'
ANEW = 'move it away to begin anew'
PARTS = 'photo', 'label', 'instance'                    # of a Job
FOLDERS = {'img': 'photo', 'label': 'label', 'inst': 'instance'}
LONGEST = 240        # bytes of a sample's name: file systems allow 255 with the ending
OF_THE_SPLIT = 'sources', 'val', 'seed', 'group'        # settings that change no file, only which there are
OF_ANOTHER_SET = 'made by', 'official ids'              # settings that are refused, since they make another set

# photo, label, instance: dataset.prepare.archive.Member, or None; details: what else the maker needs, of any kind
Job = namedtuple('Job', 'split stem photo label instance details', defaults=(None, None))
# records: dicts, one for each job; new, anew: those made for the first time, and made otherwise; gone: those removed;
# changed: names of the settings that are others than before; before: whether the set was there
class Outcome(namedtuple('Outcome', 'records new anew gone changed before')):
    def after(self, other):
        """Outcome of both, where this one only moved some samples to the other side."""
        return other._replace(records=self.records)




def prepare(root, settings, jobs, make):
    """Outcome of all jobs; a record is a dict with split and stem, then the maker's facts or, without files,
    left_out: the reason.

    make(job) -> (files, facts); files: dict 'img', 'label', 'inst' -> (ending, bytes, or Member to link to); facts:
    dict for the record. Its DataErrors become `left_out`; the same command tries those samples again. A sample is made
    again if a source has another size or date (in archives: checksum), if `settings` differ, or if a file of it is
    missing; what is no longer among the jobs is removed. InputError if root holds anything of another origin, or is
    another set.
    """
    refuse_foreign(root)
    settings = json.loads(json.dumps(settings))   # as the record gives them back
    try:
        with locked(root, 'dataset.prepare', '--output'):
            head, before = read_record(root)
            tasks = _tasks(settings, jobs)
            changed = _check_same_set(root, head, settings, before, tasks)
            _write_record(root, settings, before.values())
            for folder in sorted({f'{job.split}_{part}' for job in jobs for part in parts(settings)}):
                os.makedirs(os.path.join(root, folder), exist_ok=True)
            there = _files_there(root)
            left = [(*task, before.get(task[0][:2]))
                    for task in tasks if not _is_current(task, before.get(task[0][:2]), there)]
            records = _make_all(root, before, left, len(jobs), functools.partial(_made, root=root, make=make))
            gone = [record for key, record in before.items() if key not in {job[:2] for job in jobs}]
            for record in gone:
                _remove(root, record, {})
            records = [records.get(job[:2]) or before[job[:2]] for job in jobs]
            _write_record(root, settings, records)
            _sweep(root)
    except WorkerKilled:
        raise InputError(f'{root}: a process that prepares samples was killed, perhaps for want of memory: the same '
                         'command goes on') from None
    except OSError as error:
        raise InputError(f'{root}: cannot write there ({error.strerror or error}): {GOES_ON}') from None
    old = {key: record.get('files') for key, record in before.items()}
    made = [record for record in records if 'left_out' not in record]
    return Outcome(records, [record for record in made if _key(record) not in old],
                   [record for record in made if _key(record) in old and record['files'] != old[_key(record)]],
                   [record for record in gone if 'left_out' not in record], changed, bool(before))


def _key(record):
    return record['split'], record['stem']


def _tasks(settings, jobs):
    """list of (job, what its files are made from: for each part [name, size, date or checksum], settings, and details).
    """
    by = hashlib.sha256(json.dumps({name: value for name, value in settings.items() if name not in OF_THE_SPLIT},
                                   sort_keys=True).encode()).hexdigest()[:16]
    return [(job, {**{part: stamp(getattr(job, part)) for part in PARTS if getattr(job, part)}, 'by': by,
                   **({'details': zlib.crc32(repr(job.details).encode())} if job.details else {})}) for job in jobs]


def _is_current(task, record, there):
    """Whether nothing is to be done: what was left out is tried again, for a file may have been mended."""
    job, source = task
    return record is not None and 'left_out' not in record and record.get('from') == source and all(
        job.stem + ending in there.get(f'{job.split}_{part}', ()) for part, (ending, _) in record['files'].items())


def _files_there(root):
    """dict: folder of the set -> names in it."""
    return {name: set(os.listdir(os.path.join(root, name))) for split in ('train', 'val') for part in FOLDERS
            if os.path.isdir(os.path.join(root, name := f'{split}_{part}'))}


def _make_all(root, before, left, count, work):
    """dict: (split, stem) -> record, of the tasks `left`, each recorded as soon as it is made."""
    records = {}
    with Workers(min(cores(), len(left)), work) as workers, open(os.path.join(root, RECORD), 'a') as file:
        for record in counted(workers(left), count, 'prepare', 'sample', count - len(left)):
            file.write(json.dumps(record) + '\n')
            file.flush()
            records[_key(record)] = record
    return records


def parts(settings):
    return ('img', 'label', 'inst') if settings['instances'] else ('img', 'label')


# ---- Whose folder it is

def refuse_foreign(root):
    """InputError if root is no folder that this program has made, nor empty, nor to be made."""
    try:
        names = os.listdir(root) if os.path.lexists(root) else []
    except OSError as error:
        raise InputError(f'{root}: cannot write there: {error.strerror or error}') from None
    foreign = sorted(name for name in names if not name.startswith(UNFINISHED) and name != locking.FILE)
    if foreign and RECORD not in foreign:
        raise InputError(f'{root}: found {foreign[0]}{" and more" if len(foreign) > 1 else ""}, not made by '
                         'dataset.prepare, which overwrites nothing: name another --output, or move it away')


def _check_same_set(root, head, settings, before, tasks):
    """Names of the settings that differ from the record's; InputError where they make another set, or other sources do.
    """
    if head is None or not any('left_out' not in record for record in before.values()):
        return []   # a first attempt that made nothing holds nobody to its flags
    known = {*head, *settings} if 'version' in head else {*head}
    changed = sorted(name for name in known - {'sources', 'version'} if head.get(name) != settings.get(name))
    if other := [name for name in changed if name in OF_ANOTHER_SET]:
        raise InputError(f'{root}: made with other settings: '
                         f'{", ".join(f"{name} {head.get(name)}" for name in other)}, now '
                         f'{", ".join(str(settings.get(name)) for name in other)} ({os.path.join(root, RECORD)}): name '
                         f'another --output, or {ANEW}')
    old, new = head.get('sources'), settings['sources']
    if old is not None and old != new:   # folders that were moved are the same ones
        known = [(record.get('from'), source) for job, source in tasks if (record := before.get(job[:2]))]
        if len(known) < len(before) or any(_of_files(one or {}) != _of_files(source) for one, source in known):
            differ = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            raise InputError(f'{root}: made from other sources: '
                             f'{", ".join(f"{name} {old.get(name)}" for name in differ)}, now '
                             f'{", ".join(str(new.get(name)) for name in differ)} ({os.path.join(root, RECORD)}): name '
                             f'another --output, or {ANEW}')
    return changed


def _of_files(source):
    return {part: found for part, found in source.items() if part in PARTS}


# ---- The record

def read_record(root):
    """(settings, dict: (split, stem) -> record) that earlier runs left in root, the last word on each;
    (None, {}) without one.
    """
    path = os.path.join(root, RECORD)
    if not os.path.exists(path):
        return None, {}
    with open(path, 'rb') as file:
        lines = file.read().split(b'\n')[:-1]  # a kill may have cut the last one off
    remedy = f'remove {path} and the folders beside it that it made, to begin anew'
    if not lines:
        return None, {}
    head = json_file.parsed(lines[0], HEAD, f'{path}, line 1', remedy)
    records = [json_file.parsed(line, RECORDED, f'{path}, line {number}', remedy)
               for number, line in enumerate(lines[1:], 2)]
    return head, {_key(record): record for record in records}


def _stem(value, field):
    text(1 << 16, 1)(value, field)
    if os.path.basename(value) != value or value in ('.', '..'):
        raise Unfit(f'{field}: found {value[:60]!r}, expected a name without folder')


def _files(value, field):
    json_file.mapping(json_file.listing(text(), 2, 2))(value, field)
    if not set(value) <= set(FOLDERS) or not all(ending.lower() in ENDINGS for ending, _ in value.values()):
        raise Unfit(f'{field}: expected img, label, inst with the ending of a picture and a digest')


HEAD = json_file.record({'made by': text()}, others=anything)
RECORDED = json_file.record(dict(split=one_of('train', 'val'), stem=_stem), optional=dict(files=_files),
                            others=anything)


def maker_of(root):
    """What made the set in `root`, such as 'dataset.prepare coco_stuff'; None where no record of that lies."""
    try:
        with open(os.path.join(root, RECORD), 'rb') as file:
            return json_file.parsed(file.readline(json_file.LARGEST), HEAD, RECORD, ANEW)['made by']
    except (OSError, InputError):
        return None


def _write_record(root, settings, records):
    lines = [json.dumps(settings, sort_keys=True), *map(json.dumps, records)]
    with writing(os.path.join(root, RECORD), GOES_ON, alone=False) as unfinished, open(unfinished, 'w') as file:
        file.writelines(f'{line}\n' for line in lines)


# ---- Files

def _made(task, root, make):
    job, source, before = task
    record = {'split': job.split, 'stem': job.stem, 'from': source}
    try:
        if len(os.fsencode(job.stem)) > LONGEST:
            raise DataError(f'a name of {len(os.fsencode(job.stem))} bytes, allowed: {LONGEST}: rename it', 'long name')
        files, facts = make(job)
    except DataError as error:
        if before:
            _remove(root, before, {})
        return {**record, 'left_out': str(error)}
    written = {part: [ending, _written(root, job, part, ending, content, before)]
               for part, (ending, content) in files.items()}
    if before:
        _remove(root, before, written)
    return {**record, 'files': written, **facts}


def _written(root, job, part, ending, content, before):
    """The digest of the file, bytes or a Member to link to, that lies in the set now;
    InputError where one lies that is not ours.
    """
    path = os.path.join(root, f'{job.split}_{part}', job.stem + ending)
    digest = _digest(content) if isinstance(content, bytes) else f'link to {os.path.abspath(path_of(content))}'
    found = _state(path)
    if found == digest:
        return digest
    if found is not None and not _is_ours(found, before, part):
        raise InputError(f'{path}: not as dataset.prepare wrote it, which replaces only what it made: take what was '
                         f'done there into the sources, and move it away: {GOES_ON}')
    with writing(path, GOES_ON, alone=False) as unfinished:
        if isinstance(content, bytes):
            with open(unfinished, 'wb') as file:
                file.write(content)
        else:
            os.symlink(os.path.abspath(path_of(content)), unfinished)
    return digest


def _remove(root, record, but):
    """Remove the files of a record that are as they were written, but for those in the dict `but`:
    part -> (ending, digest).
    """
    for part in FOLDERS:
        folder = os.path.join(root, f'{record["split"]}_{part}')
        kept = but[part][0] if part in but else None
        # Records of version 1 name no files; they are what has this name.
        endings = ENDINGS if 'files' not in record else [record['files'][part][0]] if part in record['files'] else ()
        for ending in endings:
            path = os.path.join(folder, record['stem'] + ending)
            if ending != kept and os.path.lexists(path) and _is_ours(_state(path), record, part):
                os.remove(path)


def _is_ours(found, record, part):
    """Whether a file's _state is the recorded one; a record of version 1 has none."""
    if record is None or 'left_out' in record:
        return False
    return 'files' not in record or found == record['files'].get(part, (None, None))[1]


def _state(path):
    """The digest of a file, where a link points, or None."""
    if os.path.islink(path):
        return f'link to {os.readlink(path)}'
    return digest_of(path) if os.path.exists(path) else None


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _sweep(root):
    """Remove what kills left unfinished, and folders of the set that became empty."""
    places = [os.path.join(root, name) for name in _files_there(root)]
    for folder in [root, *places]:
        sweep(folder)
    for folder in places:
        if not os.listdir(folder):
            os.rmdir(folder)

# ---- What makers share

def photo_and_facts(job, label, *others, span=None, link=False):
    """((ending, bytes or Member) of the photo, facts for the record);
    DataError if it is broken, or another size than the maps (H, W).

    A photo of more than 8 bits is made an 8-bit PNG by `span` (dataset.photo.Span).
    """
    if job.photo is None:
        raise DataError(f'{job.label.archive}: {job.label.name}: no photo of that name', 'unpaired files')
    content = read(job.photo)
    photo = read_photo(content, label.shape[1::-1], span)
    maps = {f'{job.label.archive}: {job.label.name}': label.shape[1::-1]}
    maps.update((name, array.shape[1::-1]) for name, array in others)
    check_same_size({**maps, str(content): photo.image.size})
    pixels = np.asarray(photo.image)
    facts = {'grey': is_grey(pixels), 'size': list(photo.image.size), 'notes': noted('photo', photo),
             'flaws': [('photo', flaw, 0) for flaw in flaws(pixels)]}
    if photo.deep:
        return ('.png', png(pixels[..., 0])), facts
    return (os.path.splitext(job.photo.name)[1], job.photo if link else content.getvalue()), facts


def label_bytes(job):
    """NamedBytes of the label map; DataError if there is none."""
    if job.label is None:
        raise DataError(f'{job.photo.archive}: {job.photo.name}: no label map of that name', 'unpaired files')
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
    """Rows (stem, photo, label, instance) over all stems of three dicts stem -> Member, sorted;
    None for what is missing.
    """
    stems = sorted(set(photos) | set(labels))
    return [(stem, photos.get(stem), labels.get(stem), (instances or {}).get(stem)) for stem in stems]
