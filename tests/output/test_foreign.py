"""Nothing that is not ours is removed or replaced: random files and folders under our own names, in every folder that a run writes."""
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from log.loss_log import LossLog
from model.init import OPT
from output import checkpoint as checkpoints
from output import painted, pictures
from output.checkpoint import RECORD, Checkpoint
from output.resume import stored_progress
from runtime.errors import InputError
from runtime.locking import locked
from runtime.writing import is_marked, staged
from tests.runner import message, says
from tests.output.test_checkpoint_whole import Stub

FILES = ('thesis.txt', 'n_g.pdparams', 'opt.json', 'n_d.pdparams', 'progress.json', 'score.json', 'own.pdparams', 'pics/000.png')
FOLDERS = ('model', 'best', 'best.replaced', 'scoring', 'epoch_1', 'epoch_2', 'epoch_3', 'epoch_2.replaced', 'epoch_2.unfinished',
           'model.unfinished', 'checkpoints/000001', 'checkpoints/000002', 'checkpoints/000009', 'checkpoints/000003.unfinished',
           'checkpoints/mine', 'current_epoch.npy', 'pics', 'scoring/pics', 'checkpoints')
NAMES = ('.lock', 'log.npy', 'log.npy.new', 'current_epoch.npy', 'scores.jsonl', 'pics/1_1.jpg', 'pics/val_0001.jpg', 'pics/mine.jpg',
         'model', 'best', 'epoch_2', '.unfinished_scores.jsonl', 'checkpoints/contents.json', 'page.html')
PATHS = st.one_of(st.sampled_from(NAMES), st.tuples(st.sampled_from(FOLDERS), st.sampled_from(FILES)).map('/'.join))


def tree(root):
    """dict: path -> bytes, or the text of a link, of everything below `root`."""
    found = {}
    for folder, folders, files in os.walk(root):
        for path in (os.path.join(folder, name) for name in folders + files):
            if os.path.islink(path):
                found[os.path.relpath(path, root)] = os.readlink(path)
            elif os.path.isfile(path):
                found[os.path.relpath(path, root)] = Path(path).read_bytes()
    return found


def lay(root, paths):
    """Write something of a user's to each path that can be made, never over what is there; dict as of `tree`.

    Not into a checkpoint under one of its names: weights with options are the record that makes a folder ours.
    """
    laid = {}
    for number, path in enumerate(paths):
        target = Path(root, path)
        beside = {entry.name for entry in target.parent.iterdir()} if target.parent.is_dir() else set()
        checkpoint = target.name in checkpoints.FILES and RECORD <= beside | {target.name}
        if not checkpoint and not target.exists() and not any(parent.is_file() for parent in target.parents):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b'mine, number %d' % number)
            laid[os.path.relpath(target.resolve(), Path(root).resolve())] = target.read_bytes()   # `model` is a link
    return laid


def still_there(root, laid):
    now = tree(root)
    return [path for path, content in laid.items() if now.get(path) != content]


def run(output, restart, steps, first=1):
    """What train.py does to its folders: begins, or goes on, saves, keeps epochs and the best, draws, and begins anew."""
    opt = OPT(output=output, log=output, save_epoch_freq=1, score_epoch_freq=1, niter=3)
    stored_progress(opt, os.path.join(output, 'log.npy'), 'set', SimpleNamespace(changes=lambda *_: ''), restart)
    log, checkpoint = LossLog(os.path.join(output, 'log.npy')), Checkpoint(output)
    with locked(output, 'training', '--output and --log'):
        checkpoint.mend_copies()
        if restart:
            checkpoint.clear()
        for step in range(first, first + steps):
            checkpoint.save(Stub(step), opt, {'epoch': step, 'dataset': 'set', 'seen': 0, 'samples': 2}, keep_epoch=step)
            checkpoint.keep('best', {'score.json': {}})
        log.open(0, 0)
        log.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.lists(PATHS, max_size=5), later=st.lists(PATHS, max_size=4), restart=st.booleans(), begun=st.booleans())
def test_a_run_keeps_every_foreign_byte_or_refuses_before_it_touches_anything(before, later, restart, begun):
    with tempfile.TemporaryDirectory() as output:
        if begun:
            run(output, False, 2)
        laid = lay(output, before)
        was = tree(output)
        try:
            run(output, restart, 2, first=2)
        except InputError as error:
            assert '\n' not in str(error) and tree(output) == was, error
        assert not still_there(output, laid)
        laid.update(lay(output, later))
        try:
            run(output, True, 3)
        except InputError as error:
            assert '\n' not in str(error)
        assert not still_there(output, laid)
