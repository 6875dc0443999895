"""Which files and folders of a run are ours. No others are ever removed or replaced, not even with --restart."""
import os
import shutil

from log import score_log
from model.weights import epoch_of
from runtime.errors import InputError
from runtime.writing import remove, staged

RECORD = {'n_g.pdparams', 'opt.json'}    # these files identify the folder of a checkpoint
RESUMED = RECORD | {'n_d.pdparams', 'n_g.pdopt', 'n_d.pdopt', 'progress.json'}   # needed to resume
# All files that this version, earlier ones and converters write there. A folder with any other file is not removed.
FILES = RESUMED | {'n_e.pdparams', 'n_g_ema.pdparams', 'current_epoch.npy', 'classes.json', 'modulation.json',
                   'score.json', 'licence.txt'}
FOREIGN = 'not written by training, which replaces only its own files: move it away, or name another --output'


def files_in(folder):
    """set of names of the files in `folder`, with None if it has anything else; {None} for a link or no folder."""
    if os.path.islink(folder) or not os.path.isdir(folder):
        return {None}
    with os.scandir(folder) as entries:
        return {entry.name if entry.is_file(follow_symlinks=False) else None for entry in entries}


def is_checkpoint(folder):
    """Whether `folder` has a checkpoint and nothing else."""
    return RECORD <= files_in(folder) <= FILES


def are_scores(path):
    """Whether the file has scores of epochs and nothing else."""
    try:
        score_log.read(path)
        return True
    except InputError:
        return False


def is_epoch(path):
    """Whether `path` (current_epoch.npy) is a link into the checkpoint or, in a copied run, a file of one number."""
    if os.path.islink(path):
        return os.readlink(path) == os.path.join('model', 'current_epoch.npy')
    try:
        return epoch_of(os.path.dirname(path)) is not None
    except InputError:
        return False


def refuse(path, is_ours):
    """InputError if `path` exists, unless is_ours(path)."""
    if os.path.lexists(path) and not is_ours(path):
        raise InputError(f'{path}: {FOREIGN}')


def refuse_folder(folder):
    """InputError if `folder` exists, unless it has a checkpoint and nothing else."""
    if not os.path.lexists(folder) or is_checkpoint(folder):
        return
    reason = 'no checkpoint (n_g.pdparams, opt.json)'
    if os.path.islink(folder):
        reason = f'is a link to {os.readlink(folder)}'
    elif os.path.isdir(folder) and (others := sorted(set(os.listdir(folder)) - FILES)):
        reason = f'has {others[0]}'
    raise InputError(f'{folder}: {reason}: {FOREIGN}')


def discard(folder):
    """Remove a checkpoint, but not files that the user has added to its folder."""
    files = files_in(folder)
    if RECORD <= files <= FILES:
        unfinished = staged(folder)
        remove(unfinished)     # left by a kill
        os.rename(folder, unfinished)
        shutil.rmtree(unfinished)
    elif RECORD <= files:
        for name in sorted(files & FILES - RECORD) + sorted(RECORD):
            os.remove(os.path.join(folder, name))
