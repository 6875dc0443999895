"""painted.json in a folder of pictures: who painted them with what. Only what it covers is ever replaced.

Each picture carries the painter in its own mark (runtime/writing.py) too, so that one of another painter is told from
those.
"""
import contextlib
import hashlib
import json
import os

from model.init import OPT
from runtime import distributed, json_file
from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import painter_of, writing

RECORD = 'painted.json'
SETTINGS = (*OPT.network_fields(), 'seed', 'modulation', 'cpu_kernels', 'cpu_precision')    # that change a picture
SCHEMA = json_file.record({'weights': json_file.text(64, 64)}, {'painter': json_file.text(16, 16)}, json_file.anything)


def made_by(opt, folder):
    """dict of what pictures depend on beside their own files: the weights in `folder`, as a SHA-256, and options."""
    digest = hashlib.sha256()
    for name in sorted(name for name in os.listdir(folder) if name.endswith('.pdparams')):
        with open(os.path.join(folder, name), 'rb') as file:
            for part in iter(lambda: file.read(1 << 20), b''):
                digest.update(part)
    return {'weights': digest.hexdigest(), **{name: getattr(opt, name) for name in SETTINGS}}


def identity(made_by, generator):
    """16 digits that tell one painter from another, for the marks of its pictures; generator: averaged or last."""
    return hashlib.sha256(json.dumps([made_by, generator], sort_keys=True).encode()).hexdigest()[:16]


def read(folder):
    """The record in `folder`, a dict, or None; InputError if the file there is none."""
    path = os.path.join(folder, RECORD)
    try:
        return json_file.read(path, SCHEMA, 'name another folder for the pictures, or move this one away')
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def claimed(folder, record, names, flag, goes_on=False):
    """Keep other programs from painting into `folder`, where files of these `names` will be painted as `record` has it.

    Earlier pictures of another record go first; with goes_on they are refused instead. So are, before anything is
    changed, files that the record there does not cover. flag: the option that names the folder. Every rank calls this;
    rank 0 decides.
    """
    record = json.loads(json.dumps(record))
    with contextlib.ExitStack() as held:
        if distributed.is_main():
            if os.path.isdir(folder):
                _covered(folder, record, names, flag, goes_on)  # before a lock is left in somebody else's folder
            held.enter_context(locked(folder, 'program', flag))
            _prepare(folder, record, _covered(folder, record, names, flag, goes_on))
        distributed.barrier()
        yield
        distributed.barrier()


def _covered(folder, record, names, flag, goes_on):
    """Names of the pictures in `folder` that its record covers;
    InputError if one of `names` is there and is none of them.
    """
    before = read(folder)
    if goes_on and before not in (None, record):
        raise InputError(f'{folder}: its pictures were made with other weights, options or styles '
                         f'({_differing(before, record)}): name another {flag}, or move the folder away')
    covered = {name for name in (os.listdir(folder) if before else ()) if name.endswith(('.jpg', '.png'))
               and (goes_on or painter_of(os.path.join(folder, name)) == before.get('painter'))}
    for name in names:
        if name not in covered and os.path.lexists(os.path.join(folder, name)):
            raise InputError(f'{os.path.join(folder, name)}: is there already, and no {RECORD} says that it may be '
                             f'replaced: name another {flag}, or move the folder away')
    return covered


def _prepare(folder, record, covered):
    """Leave the record in `folder`, and no picture of another."""
    if read(folder) == record:
        return
    for name in covered:
        os.remove(os.path.join(folder, name))
    with writing(os.path.join(folder, RECORD)) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        json.dump(record, file, indent=2)


def _differing(before, record):
    """The settings in which two records differ, with their values where those are short."""
    names = [name for name in record if before.get(name) != record[name]]
    return ', '.join(name if name == 'weights' else f'{name} {before.get(name)}, now {record[name]}' for name in names)
