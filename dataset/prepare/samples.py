"""Prepares a data set's samples in parallel. A killed command resumes; a repeated one follows changed sources."""
import functools
import hashlib
import json
import os
import zlib
from collections import namedtuple

from dataset.contents import digest_of
from dataset.picture_file import ENDINGS, DataError
from dataset.prepare.archive import path_of, stamp
from dataset.prepare.record import (
    FOLDERS,
    PARTS,
    RECORD,
    RESUMES,
    changed_settings,
    key,
    read_record,
    refuse_foreign,
    write_record,
)
from dataset.workers import WorkerKilled, Workers
from runtime.bar import counted
from runtime.cores import cores
from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import sweep, writing

LONGEST = 240   # bytes of a sample's name: file systems allow 255 with the ending
OF_THE_SPLIT = 'sources', 'val', 'seed', 'group', 'drawn'   # settings that select samples but change no file


class Outcome(namedtuple('Outcome', 'records new remade removed changed before')):
    """records: a dict for each job; new, remade, removed: records of such samples; changed: names of settings that
    differ from the last command's; before: whether the set had samples.
    """

    @property
    def made(self):
        return [record for record in self.records if 'left_out' not in record]

    @property
    def left_out(self):
        return [record for record in self.records if 'left_out' in record]

    def after(self, earlier):
        """Outcome of this command and an `earlier` one; this one only moved samples between the splits."""
        return earlier._replace(records=self.records)


def prepare(root, settings, jobs, make):
    """Outcome of all jobs. A record is a dict of split and stem, and of the maker's facts or left_out, the reason.

    make(job) -> (files, facts); files: dict 'img', 'label', 'inst' -> (ending, bytes, or Member to link to); facts:
    dict for the record. Its DataErrors become `left_out`; the next command tries those samples again. A sample is
    remade if `settings`, or the size or date (in archives: checksum) of a source have changed, or if a file is missing;
    samples without a job are removed. InputError if `root` has foreign files or another set, or without any sample.
    """
    refuse_foreign(root)
    settings = json.loads(json.dumps(settings))   # as the record stores them
    try:
        with locked(root, 'dataset.prepare', '--output'):
            head, before = read_record(root)
            tasks = _tasks(settings, jobs)
            changed = changed_settings(root, head, settings, before, tasks)
            write_record(root, settings, before.values())
            for folder in {f'{job.split}_{part}' for job in jobs for part in FOLDERS[:2 + settings['instances']]}:
                os.makedirs(os.path.join(root, folder), exist_ok=True)
            existing = _existing(root)
            left = [(*task, before.get(task[0][:2]))
                    for task in tasks if not _is_current(task, before.get(task[0][:2]), existing)]
            records = _make_all(root, left, len(jobs), functools.partial(_made, root=root, make=make))
            wanted = {job[:2] for job in jobs}
            removed = [record for name, record in before.items() if name not in wanted]
            for record in removed:
                _remove(root, record, {})
            records = [records.get(job[:2]) or before[job[:2]] for job in jobs]
            write_record(root, settings, records)
            _sweep(root)
    except WorkerKilled:
        raise InputError(f'{root}: a process that prepares samples was killed, perhaps for lack of memory: repeat the '
                         'command, which resumes') from None
    except OSError as error:
        raise InputError(f'{root}: cannot be written ({error.strerror or error}): {RESUMES}') from None
    old = {name: record.get('files') for name, record in before.items() if 'left_out' not in record}
    removed = [record for record in removed if 'left_out' not in record]
    outcome = Outcome(records, [], [], removed, changed, bool(old))
    for record in outcome.made:
        if key(record) not in old:
            outcome.new.append(record)
        elif record['files'] != old[key(record)]:
            outcome.remade.append(record)
    if not outcome.made:
        raise InputError(f'{root}: no sample could be made; the first: '
                         f'{records[0]["stem"] + ": " + records[0]["left_out"] if records else "no files"}')
    return outcome


def _tasks(settings, jobs):
    """list of (job, its sources: dict of each part's stamp, and checksums of settings and details)."""
    by = hashlib.sha256(json.dumps({name: value for name, value in settings.items() if name not in OF_THE_SPLIT},
                                   sort_keys=True).encode()).hexdigest()[:16]
    return [(job, {**{part: stamp(getattr(job, part)) for part in PARTS if getattr(job, part)}, 'by': by,
                   **({'details': zlib.crc32(repr(job.details).encode())} if job.details else {})}) for job in jobs]


def _is_current(task, record, existing):
    """Whether the sample needs no work; a sample that was left out is tried again."""
    job, source = task
    return record is not None and 'left_out' not in record and record.get('from') == source and all(
        job.stem + ending in existing.get(f'{job.split}_{part}', ()) for part, (ending, _) in record['files'].items())


def _existing(root):
    """dict: folder of the set -> names in it."""
    return {name: set(os.listdir(os.path.join(root, name))) for split in ('train', 'val') for part in FOLDERS
            if os.path.isdir(os.path.join(root, name := f'{split}_{part}'))}


def _make_all(root, left, count, work):
    """dict: (split, stem) -> record of the tasks `left`, each appended to the file as soon as it is made."""
    records = {}
    with Workers(min(cores(), len(left)), work) as workers, open(os.path.join(root, RECORD), 'a') as file:
        for record in counted(workers(left), count, 'prepare', 'sample', count - len(left)):
            file.write(json.dumps(record) + '\n')
            file.flush()
            records[key(record)] = record
    return records


# ---- Files of a sample

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
    """Digest of the file after writing `content`, bytes or a Member to link to; InputError for a foreign file."""
    path = os.path.join(root, f'{job.split}_{part}', job.stem + ending)
    target = '' if isinstance(content, bytes) else os.path.abspath(path_of(content))
    digest = f'link to {target}' if target else hashlib.blake2b(content, digest_size=16).hexdigest()
    found = _state(path)
    if found == digest:
        return digest
    if found is not None and not _is_ours(found, before, part):
        raise InputError(f'{path}: changed since dataset.prepare wrote it: make the change in the sources, move this '
                         'file away, and repeat the command, which resumes')
    with writing(path, RESUMES, alone=False) as unfinished:
        if target:
            os.symlink(target, unfinished)
        else:
            with open(unfinished, 'wb') as file:
                file.write(content)
    return digest


def _remove(root, record, written):
    """Remove a record's unchanged files, except those of the dict `written`: part -> (ending, digest)."""
    for part in FOLDERS:
        # Records of version 1 name no files; their files have this stem.
        endings = ENDINGS if 'files' not in record else record['files'].get(part, ())[:1]
        for ending in endings:
            path = os.path.join(root, f'{record["split"]}_{part}', record['stem'] + ending)
            rewritten = ending in written.get(part, ())[:1]
            if not rewritten and os.path.lexists(path) and _is_ours(_state(path), record, part):
                os.remove(path)


def _is_ours(found, record, part):
    """Whether a file's state `found` is the recorded one; records of version 1 have none."""
    if record is None or 'left_out' in record:
        return False
    return 'files' not in record or found == record['files'].get(part, (None, None))[1]


def _state(path):
    """Digest of a file, target of a link, or None without either."""
    if os.path.islink(path):
        return f'link to {os.readlink(path)}'
    return digest_of(path) if os.path.exists(path) else None


def _sweep(root):
    """Remove unfinished files of killed commands, and empty folders of the set."""
    sweep(root)
    for folder in (os.path.join(root, name) for name in _existing(root)):
        sweep(folder)
        if not os.listdir(folder):
            os.rmdir(folder)
