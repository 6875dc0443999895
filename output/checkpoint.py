"""Checkpoints: networks, optimizers, options and counters, written as one set that no kill can tear.

    output/checkpoints/000007/   one generation: n_g.pdparams n_d.pdparams n_e.pdparams n_g_ema.pdparams
                                 n_g.pdopt n_d.pdopt opt.json progress.json current_epoch.npy classes.json
    output/model                 link to the newest generation, swapped by one rename
    output/current_epoch.npy     link through it
    output/epoch_10/             a copy of weights and options that is kept
    output/best/                 another, of the best score so far, with score.json
"""
import functools
import json
import os
import re
import shutil
from contextlib import contextmanager

import numpy as np

from dataset import classes, contents
from dataset.contents import SUMMARY
from log import score_log
from model.init import OPT
from model.optimizer_state import parameters_of, set_state, state_of
from model.train_step import SCALING
from model.weights import NETWORKS, as_arrays, epoch_of, load_training, read_weights, save_weights
from output.pictures import is_training_picture
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, listing, mapping, number, record, text, whole
from runtime.writing import remove, staged, sweep

COPY = r'epoch_\d+|best'  # names of the copies that are kept
RECORD = {'n_g.pdparams', 'opt.json'}    # what makes a folder a checkpoint
RESUMED = RECORD | {'n_d.pdparams', 'n_g.pdopt', 'n_d.pdopt', 'progress.json'}   # what a run goes on from
# All that this and earlier versions write into one, and converters: a folder that holds anything else is not removed.
FILES = RESUMED | {'n_e.pdparams', 'n_g_ema.pdparams', 'current_epoch.npy', 'classes.json', 'modulation.json',
                   'score.json', 'licence.txt'}
WAYS_OUT = 'begin anew with --restart, which replaces that run, or keep it and name another --output and --log'
FOREIGN = 'training has not written it, and replaces nothing else: move it away, or name another --output'
# progress.json. Checkpoints of earlier versions have what is optional here not, and other entries beside.
PROGRESS = record(dict(epoch=whole(1), seen=whole(), log_rows=whole(), log_checksum=whole(), dataset=text(),
                       samples=whole(), step=whole(), g_losses=mapping(number(finite=False))),
                  dict(loss_scales=listing(record(dict.fromkeys(SCALING, number())), longest=2), files=SUMMARY,
                       said=listing(text()),
                       visualdl=record(dict(bytes=whole(), checksum=whole(), steps=mapping(whole())))), anything)


class Checkpoint:
    """The checkpoint of a run in the folder `output`."""

    def __init__(self, output):
        self.output, self.classes = output, None
        self.link = os.path.join(output, 'model')
        self.generations = os.path.join(output, 'checkpoints')

    def progress(self):
        """Counters of the newest generation, a dict; None if there is none. InputError for weights without counters."""
        if not os.path.exists(self.link):
            self._recover()
        if not os.path.lexists(self.link):
            return None
        path = os.path.join(self.link, 'progress.json')
        try:
            return json_file.read(path, PROGRESS, WAYS_OUT)
        except FileNotFoundError:
            raise InputError(f'{self.link} holds weights without a training state: start from them with --init_from '
                             f'{self.output} and another --output and --log, or replace them with --restart') from None

    def refuse_foreign(self, opt, restart=False):
        """InputError if anything lies where a run with `opt` writes that no training has written, --restart or not."""
        kept = [f'epoch_{epoch}' for epoch in range(opt.save_epoch_freq, opt.epochs + 1, opt.save_epoch_freq)]
        kept += ['best'] if opt.score_epoch_freq else []
        for path in [self.link] + [os.path.join(self.output, name + ending) for name in kept
                                   for ending in ('', '.replaced')]:
            if os.path.lexists(path) and not (path == self.link and self._is_own_link()):
                _refuse_foreign(path)
        for name, is_ours, written in (('current_epoch.npy', _is_own_epoch, True),
                                       ('scores.jsonl', are_scores, opt.score_epoch_freq)):
            path = os.path.join(self.output, name)
            if written and os.path.lexists(path) and not is_ours(path):
                raise InputError(f'{path}: {FOREIGN}')
        contents.read(self.generations)
        if restart:
            pictures = self._pictures()
            for path in self._pictures(lambda _: True):
                if path not in pictures:
                    raise InputError(f'{path}: {FOREIGN}')

    def load(self, train_step):
        """Set networks, optimizers and counters of `train_step`."""
        load_training(train_step, os.path.realpath(self.link))
        for file, optimizer, parameters in _optimizers(train_step):
            path = os.path.join(self.link, file)
            set_state(optimizer, read_weights(path), parameters, path)
        progress = self.progress()
        train_step.steps, train_step.g_losses = progress['step'], progress['g_losses']
        train_step.loss_scales = progress.get('loss_scales', [])

    def save(self, train_step, opt, progress, keep_epoch=None):
        """Write a generation and swap the link to it; with `keep_epoch` copy its weights to epoch_<n> before that.

        progress: dict of counters with 'epoch'; the state of `train_step` is added. InputError, with the previous
        checkpoint intact, if it cannot be written.
        """
        progress = {**progress, 'step': train_step.steps, 'g_losses': train_step.g_losses,
                    'loss_scales': train_step.loss_scales}
        with _writing(self.output):
            os.makedirs(self.generations, exist_ok=True)
            sweep(self.generations)
            self._adopt_plain_folder()
            number = self._next_number()
            folder = os.path.join(self.generations, f'{number:06d}')
            unfinished = staged(folder)
            try:
                self._write(unfinished, train_step, opt, progress)
                os.rename(unfinished, folder)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            _sync(self.generations)
            if keep_epoch is not None:
                self._keep(folder, f'epoch_{keep_epoch}')
            self._point_to(number)
            # One generation before stays, for a reader who has just opened it.
            for older in self._numbers(RECORD)[:-2]:
                _discard(os.path.join(self.generations, f'{older:06d}'))

    def keep(self, name, notes):
        """Copy weights and options of the newest generation to output/<name>,
        with `notes` (dict: file name -> JSON content).
        """
        with _writing(self.output):
            self._keep(os.path.realpath(self.link), name, notes)

    def mend_copies(self):
        """Finish what a kill has interrupted in `keep` and `save`;
        only the process that holds the run's lock may call this.
        """
        with _writing(self.output):
            sweep(self.output)
            self._take_back()

    def contents(self):
        """What `clear` and the next `save` replace, in words."""
        try:
            progress = self.progress()
            run = 'no checkpoint'
            if progress:
                run = f'the run in {self.output} (epoch {progress["epoch"]}, step {progress["step"]})'
        except InputError:
            run = f'weights in {self.link} that no run can go on from'
        return f'{run}, {len(self._kept())} copies of epochs, {len(self._pictures())} training pictures'

    def clear(self):
        """Remove the run's copies of epochs, pictures and scores (--restart);
        the checkpoint stays until the next `save`.
        """
        with _writing(self.output):
            for folder in self._kept():
                _discard(folder)
            for file in self._pictures() + list(filter(are_scores, _matching(self.output, r'scores\.jsonl'))):
                os.remove(file)

    def _kept(self):
        return [folder for folder in _matching(self.output, COPY) if RECORD <= _contents(folder)]

    def _pictures(self, is_ours=None):
        is_ours = is_ours or functools.partial(is_training_picture, size=self._picture_size())
        return list(filter(is_ours, _matching(os.path.join(self.output, 'pics'), r'(\d+_\d+|val_\d+)\.jpg')))

    def _picture_size(self):
        """Height and width of the run's pictures, None where its options cannot tell."""
        try:
            return OPT.load(os.path.join(self.link, 'opt.json')).picture_size
        except InputError:
            return None

    def _write(self, folder, train_step, opt, progress):
        os.makedirs(folder)
        for file, name in NETWORKS.items():
            network = getattr(train_step, name, None)
            if network is not None:
                arrays = as_arrays(network.state_dict())
                _check_finite(arrays, name, train_step.steps)
                save_weights(arrays, os.path.join(folder, file))
        for file, optimizer, parameters in _optimizers(train_step):
            save_weights(state_of(optimizer, parameters), os.path.join(folder, file))
        opt.save(os.path.join(folder, 'opt.json'))
        if self.classes is None:    # once: who edits the set's file in the middle of a run must not end it
            self.classes = classes.of_set(opt) or {}
        if self.classes:
            classes.write(folder, self.classes, left='the previous checkpoint, if any, is intact')
        np.save(os.path.join(folder, 'current_epoch.npy'), progress['epoch'])
        with open(os.path.join(folder, 'progress.json'), 'w') as file:
            json.dump(progress, file, indent=2)
        for name in _matching(folder, r'.*\.(json|npy)') + [folder]:
            _sync(name)

    def _keep(self, folder, name, notes=()):
        """Copy weights and options, by hard links where the file system has them.

        An earlier copy of that name steps aside until the new one is there: `mend_copies` takes it back after a kill in
        between.
        """
        kept = os.path.join(self.output, name)
        unfinished, replaced = staged(kept), kept + '.replaced'
        self._take_back()
        for path in (kept, replaced):
            _refuse_foreign(path)
            remove(staged(path))    # left by a kill
        os.makedirs(unfinished)
        for file in FILES.intersection(os.listdir(folder)):
            if not file.endswith('.pdopt') and file != 'progress.json':
                _link_or_copy(os.path.join(folder, file), os.path.join(unfinished, file))
        for file, content in dict(notes).items():
            with open(os.path.join(unfinished, file), 'w') as note:
                json.dump(content, note, indent=2)
            _sync(os.path.join(unfinished, file))
        _sync(unfinished)
        if os.path.isdir(kept):
            os.rename(kept, replaced)
        os.rename(unfinished, kept)
        _sync(self.output)
        _discard(replaced)

    def _take_back(self):
        """What stepped aside for a copy that a kill has prevented; what has been replaced goes."""
        for replaced in filter(_is_checkpoint, _matching(self.output, rf'({COPY})\.replaced')):
            kept = replaced.removesuffix('.replaced')
            _discard(replaced) if os.path.lexists(kept) else os.rename(replaced, kept)

    def _numbers(self, files=RESUMED):
        """Of the generations that have `files`, sorted; a folder of another content is somebody else's."""
        names = os.listdir(self.generations) if os.path.isdir(self.generations) else []
        return sorted(int(name) for name in names if re.fullmatch(r'[0-9]{6}|[1-9][0-9]{6,}', name)
                      and files <= _contents(os.path.join(self.generations, name)))

    def _next_number(self):
        """One that nothing in the folder of generations has, neither ours nor somebody else's."""
        return max((int(name) for name in os.listdir(self.generations) if re.fullmatch(r'[0-9]+', name)), default=0) + 1

    def _is_own_link(self):
        """Whether `model` is a link to a generation, be it there or not."""
        if not os.path.islink(self.link):
            return False
        folder, name = os.path.split(os.path.join(self.output, os.readlink(self.link)))
        return os.path.realpath(folder) == os.path.realpath(self.generations) and name.isdigit()

    def _adopt_plain_folder(self):
        """A copied run may have lost its link and hold a folder instead: make it a generation like any other."""
        if not self._is_own_link() and os.path.lexists(self.link):
            _refuse_foreign(self.link)
            os.rename(self.link, os.path.join(self.generations, f'{self._next_number():06d}'))

    def _recover(self):
        """Set the link that a kill inside _adopt_plain_folder, or a copy without links, has lost,
        or whose checkpoint is gone.
        """
        numbers = self._numbers()
        lost = os.path.lexists(self.link)
        if lost and not (numbers and self._is_own_link()):
            raise InputError(f'{self.link} leads to {os.readlink(self.link)}, which is not there: put that back, or '
                             'remove the link')
        if numbers:
            if lost:
                print(f'{self.link} leads to {os.readlink(self.link)}, which is not there: takes the newest checkpoint '
                      f'that is, {numbers[-1]:06d}')
            with _writing(self.output):
                self._point_to(numbers[-1])

    def _point_to(self, number):
        """Swap the links; current_epoch.npy first, for in a copied run it is a file that tells another epoch."""
        path = os.path.join(self.output, 'current_epoch.npy')
        if not os.path.lexists(path) or _is_own_epoch(path):
            _link(os.path.join('model', 'current_epoch.npy'), path)
        _link(os.path.join('checkpoints', f'{number:06d}'), self.link)


def are_scores(path):
    """Whether the file holds scores of epochs, a line each, and nothing else."""
    try:
        score_log.read(path)
        return True
    except InputError:
        return False


def _contents(folder):
    """Names of the files in a folder; a link, or a folder in it, has None among them."""
    if os.path.islink(folder) or not os.path.isdir(folder):
        return {None}
    with os.scandir(folder) as entries:
        return {entry.name if entry.is_file(follow_symlinks=False) else None for entry in entries}


def _is_checkpoint(folder):
    """Whether the folder holds a checkpoint and nothing else."""
    return RECORD <= _contents(folder) <= FILES


def _refuse_foreign(folder):
    """InputError if there is anything at `folder` but a checkpoint alone."""
    if os.path.lexists(folder) and not _is_checkpoint(folder):
        others = sorted(name for name in os.listdir(folder) if name not in FILES) if os.path.isdir(folder) else []
        reason = f'holds {others[0]}' if others \
            else 'is not a folder of weights (n_g.pdparams) with their options (opt.json)'
        if os.path.islink(folder):
            reason = f'is a link to {os.readlink(folder)}'
        raise InputError(f'{folder}: {reason}: {FOREIGN}')


def _discard(folder):
    """Remove a checkpoint; what somebody has put into its folder stays there."""
    contents = _contents(folder)
    if RECORD <= contents <= FILES:
        unfinished = staged(folder)
        os.rename(folder, unfinished)
        shutil.rmtree(unfinished)
    elif RECORD <= contents:
        for name in sorted(contents & FILES - RECORD) + sorted(RECORD):
            os.remove(os.path.join(folder, name))


def _is_own_epoch(path):
    """Whether output/current_epoch.npy is the link to that of the checkpoint, or, in a copied run,
    a file with one number.
    """
    if os.path.islink(path):
        return os.readlink(path) == os.path.join('model', 'current_epoch.npy')
    try:
        return epoch_of(os.path.dirname(path)) is not None
    except InputError:
        return False


def _check_finite(arrays, network, step):
    """The losses of a step are older than its weights: what it has spoilt must not replace a good checkpoint."""
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise InputError(f'{network}: {name} is not finite after step {step}: training has diverged and stops '
                             'here; the last checkpoint stays. Go on from it with a lower --lr, or begin anew with '
                             '--restart')


def _optimizers(train_step):
    """(file, optimizer, dict of name -> parameter) for G with E, and for D."""
    return (('n_g.pdopt', train_step.optimizer_g,
             parameters_of(generator=train_step.generator, encoder=train_step.encoder)),
            ('n_d.pdopt', train_step.optimizer_d, parameters_of(discriminator=train_step.discriminator)))


@contextmanager
def _writing(path):
    try:
        yield
    except OSError as error:
        raise InputError(f'{error.filename or path}: cannot be written: {error.strerror or error}; '
                         'the previous checkpoint, if any, is intact') from None


def _link(target, path):
    """Make `path` a link to `target` by one rename."""
    unfinished = staged(path)
    remove(unfinished)
    os.symlink(target, unfinished)
    os.replace(unfinished, path)
    _sync(os.path.dirname(path) or '.')


def _link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _matching(folder, pattern):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if re.fullmatch(pattern, name)]
