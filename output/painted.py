"""painted.json, the record of a folder of pictures: the weights and settings that painted them.

Only pictures of the record are replaced. The mark of each picture (runtime/writing.py) identifies its painter too.
"""
import contextlib
import hashlib
import json
import os

from model.init import OPT
from runtime import distributed, json_file
from runtime.digest import sha256_of
from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import painter_of, writing

RECORD = 'painted.json'
# that change a picture
SETTINGS = (*OPT.network_fields(), 'seed', 'modulation', 'cpu_kernels', 'cpu_precision', 'size')
LATER = 'generator_input', 'size'   # not in records of earlier versions, which hold for the defaults
SCHEMA = json_file.record({'weights': json_file.text(64, 64)}, {'painter': json_file.text(16, 16)}, json_file.anything)


def made_by(opt, folder):
    """dict of all that pictures depend on besides their inputs: SHA-256 of the weights in `folder`, and settings."""
    weights = sorted(name for name in os.listdir(folder) if name.endswith('.pdparams'))
    return {'weights': sha256_of(*(os.path.join(folder, name) for name in weights)),
            **{name: getattr(opt, name) for name in SETTINGS
               if name not in LATER or getattr(opt, name) != getattr(OPT(), name)}}


def identity(made_by, generator):
    """16 hex digits that identify a painter in the marks of its pictures; generator: 'averaged' or 'last' weights."""
    return hashlib.sha256(json.dumps([made_by, generator], sort_keys=True).encode()).hexdigest()[:16]


def read(folder):
    """The record in `folder`, a dict; None without one. InputError if the file is damaged or foreign."""
    try:
        return json_file.read(os.path.join(folder, RECORD), SCHEMA,
                              'name another folder for the pictures, or move this one away')
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def claimed(folder, record, names, flag, resume=False):
    """Lock `folder` for painting `names` there by `record`; `flag` is the option that names the folder.

    Removes pictures of another record first; with `resume` they are an InputError, and so is, before any change, a
    file of these names that is not ours. Every rank calls this; rank 0 decides.
    """
    record = json.loads(json.dumps(record))     # as `read` returns it
    with contextlib.ExitStack() as held:
        if distributed.is_main():
            if os.path.isdir(folder):
                _own_pictures(folder, record, names, flag, resume)  # before the lock, which is a file too
            held.enter_context(locked(folder, 'program', flag))
            own = _own_pictures(folder, record, names, flag, resume)
            if read(folder) != record:
                for name in own:
                    os.remove(os.path.join(folder, name))
                with writing(os.path.join(folder, RECORD)) as unfinished, open(unfinished, 'w') as file:
                    json.dump(record, file, indent=2)
        distributed.barrier()
        yield
        distributed.barrier()


def _own_pictures(folder, record, names, flag, resume):
    """set of the names of pictures by the record in `folder`; InputError if a file of `names` is not among them."""
    before, remedy = read(folder), f'name another {flag}, or move the folder away'
    if resume and before not in (None, record):
        differ = ', '.join(name if name == 'weights' else f'{name} {before.get(name)}, now {record.get(name)}'
                           for name in {**record, **before} if before.get(name) != record.get(name))
        raise InputError(f'{folder}: its pictures were made with other weights, options or styles ({differ}): {remedy}')
    own = {name for name in (os.listdir(folder) if before else ()) if name.endswith(('.jpg', '.png'))
           and (resume or painter_of(os.path.join(folder, name)) == before.get('painter'))}
    for name in names:
        if name not in own and os.path.lexists(path := os.path.join(folder, name)):
            raise InputError(f'{path} exists, and no {RECORD} lists it as ours: {remedy}')
    return own
