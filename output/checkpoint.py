"""Checkpoints: networks, optimizers, options and counters, saved as one set; a kill leaves a whole one.

    output/checkpoints/000007/   one checkpoint: n_g.pdparams n_d.pdparams n_e.pdparams n_g_ema.pdparams
                                 n_g.pdopt n_d.pdopt opt.json progress.json current_epoch.npy classes.json
    output/model                 link to the newest checkpoint, replaced by one rename
    output/current_epoch.npy     link to that checkpoint's file
    output/epoch_10/             copy of the weights and options after epoch 10
    output/best/                 copy of the weights and options with the best score, and score.json
"""
import json
import os
import re
import shutil

import numpy as np

from dataset import classes, contents
from dataset.contents import SUMMARY
from model.init import OPT
from model.optimizer_state import parameters_of, set_state, state_of
from model.train_step import SCALING
from model.weights import NETWORKS, as_arrays, epoch_of, load_training, read_weights, save_weights
from output import own_files
from output.own_files import FILES, RECORD, RESUMED, discard
from output.pictures import is_training_picture
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, listing, mapping, number, record, text, whole
from runtime.writing import disk_errors, sweep, writing

COPY = r'epoch_\d+|best'
INTACT = 'the previous checkpoint, if any, is intact'
WAYS_OUT = 'replace that run with --restart, or name another --output and --log'
# progress.json. Checkpoints of earlier versions lack the optional entries and have other ones.
PROGRESS = record(dict(epoch=whole(1), seen=whole(), log_rows=whole(), log_checksum=whole(), dataset=text(),
                       samples=whole(), step=whole(), g_losses=mapping(number(finite=False))),
                  dict(loss_scales=listing(record(dict.fromkeys(SCALING, number())), longest=2), files=SUMMARY,
                       said=listing(text()),
                       visualdl=record(dict(bytes=whole(), checksum=whole(), steps=mapping(whole())))), anything)


class Checkpoint:
    """The checkpoint of the run in the folder `output`."""

    def __init__(self, output):
        self.output, self.classes = output, None
        self.link = os.path.join(output, 'model')
        self.generations = os.path.join(output, 'checkpoints')

    def progress(self):
        """Counters of the newest checkpoint, a dict; None without one. InputError for weights without counters."""
        if not os.path.exists(self.link):
            self._recover()
        if not os.path.lexists(self.link):
            return None
        try:
            return json_file.read(os.path.join(self.link, 'progress.json'), PROGRESS, WAYS_OUT)
        except FileNotFoundError:
            raise InputError(f'{self.link} has weights without a training state: to start from them, use --init_from '
                             f'{self.output} with another --output and --log; to replace them, --restart') from None

    def refuse_foreign(self, opt, restart=False):
        """InputError for a file or folder that is not ours and that a run with `opt` would replace."""
        folders = [folder for folder in _matching(self.output, rf'({COPY})(\.replaced)?') if _is_written(folder, opt)]
        for folder in folders if self._is_own_link() else [self.link, *folders]:
            own_files.refuse_folder(folder)
        own_files.refuse(os.path.join(self.output, 'current_epoch.npy'), own_files.is_epoch)
        if opt.score_epoch_freq:
            own_files.refuse(os.path.join(self.output, 'scores.jsonl'), own_files.are_scores)
        contents.read(self.generations)
        if restart:
            own = set(self._own_pictures())
            for path in self._pictures():
                own_files.refuse(path, own.__contains__)

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
        """Save a checkpoint, copy its weights to epoch_<keep_epoch> if given, then move the link to it.

        progress: dict of counters with 'epoch'; the state of `train_step` is added. InputError if it cannot be written;
        the previous checkpoint is then intact.
        """
        progress = {**progress, 'step': train_step.steps, 'g_losses': train_step.g_losses,
                    'loss_scales': train_step.loss_scales}
        with disk_errors(self.output, INTACT):
            os.makedirs(self.generations, exist_ok=True)
            sweep(self.generations)
            self._adopt_plain_folder()
            number = self._next_number()
            with writing(self._folder(number), INTACT) as unfinished:
                self._write(unfinished, train_step, opt, progress)
            _sync(self.generations)
            if keep_epoch is not None:
                self._copy(self._folder(number), f'epoch_{keep_epoch}')
            self._point_to(number)
            for older in self._numbers(RECORD)[:-2]:    # the previous one remains: a program may be reading it
                discard(self._folder(older))

    def keep(self, name, notes):
        """Copy weights and options of the newest checkpoint to output/<name>, with `notes`: file name -> JSON content.
        """
        with disk_errors(self.output, INTACT):
            self._copy(os.path.realpath(self.link), name, notes)

    def set_aside_best(self):
        """Rename output/best to output/epoch_<n>, by its epoch, unless that exists."""
        best = os.path.join(self.output, 'best')
        epoch = epoch_of(best) if own_files.is_checkpoint(best) else None
        copy = os.path.join(self.output, f'epoch_{epoch}')
        if epoch is not None and not os.path.lexists(copy):
            with disk_errors(self.output, INTACT):
                os.rename(best, copy)

    def mend_copies(self):
        """Finish copies that a kill has interrupted. The caller must hold the run's lock."""
        with disk_errors(self.output, INTACT):
            sweep(self.output)
            self._restore_replaced()

    def summary(self):
        """Text on what `clear` and the next `save` replace."""
        run = 'no checkpoint'
        try:
            if progress := self.progress():
                run = f'the run in {self.output} (epoch {progress["epoch"]}, step {progress["step"]})'
        except InputError:
            run = f'weights in {self.link} that cannot be resumed'
        return f'{run}, {len(self._copies())} copies of epochs, {len(self._own_pictures())} training pictures'

    def clear(self):
        """Remove the run's copies, pictures and scores (--restart), but not the checkpoint, which `save` replaces."""
        with disk_errors(self.output, INTACT):
            for folder in self._copies():
                discard(folder)
            scores = _matching(self.output, r'scores\.jsonl')
            for path in self._own_pictures() + list(filter(own_files.are_scores, scores)):
                os.remove(path)

    def _copies(self):
        return [folder for folder in _matching(self.output, COPY) if RECORD <= own_files.files_in(folder)]

    def _pictures(self):
        return _matching(os.path.join(self.output, 'pics'), r'(\d+_\d+|val_\d+)\.jpg')

    def _own_pictures(self):
        try:
            size = OPT.load(os.path.join(self.link, 'opt.json')).picture_size
        except InputError:
            size = None
        return [path for path in self._pictures() if is_training_picture(path, size)]

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
        if self.classes is None:    # read only once: a later edit of the set's file must not end the run
            self.classes = classes.of_set(opt) or {}
        if self.classes:
            classes.write(folder, self.classes, left=INTACT)
        np.save(os.path.join(folder, 'current_epoch.npy'), progress['epoch'])
        with open(os.path.join(folder, 'progress.json'), 'w') as file:
            json.dump(progress, file, indent=2)
        for name in _matching(folder, r'.*\.(json|npy)') + [folder]:
            _sync(name)

    def _copy(self, folder, name, notes=()):
        """Copy weights and options, by hard links where possible.

        An earlier copy is named <name>.replaced until the new one is complete; after a kill in between, `mend_copies`
        restores it.
        """
        copy, replaced = (os.path.join(self.output, name + ending) for ending in ('', '.replaced'))
        self._restore_replaced()
        for path in (copy, replaced):
            own_files.refuse_folder(path)
        with writing(copy, INTACT) as unfinished:
            os.mkdir(unfinished)
            for file in FILES.intersection(os.listdir(folder)) - {'n_g.pdopt', 'n_d.pdopt', 'progress.json'}:
                _link_or_copy(os.path.join(folder, file), os.path.join(unfinished, file))
            for file, content in dict(notes).items():
                with open(os.path.join(unfinished, file), 'w') as note:
                    json.dump(content, note, indent=2)
                _sync(os.path.join(unfinished, file))
            _sync(unfinished)
            if os.path.isdir(copy):
                os.rename(copy, replaced)
        _sync(self.output)
        discard(replaced)

    def _restore_replaced(self):
        """Rename <copy>.replaced to <copy> if the new copy is missing, else remove it."""
        for replaced in filter(own_files.is_checkpoint, _matching(self.output, rf'({COPY})\.replaced')):
            copy = replaced.removesuffix('.replaced')
            discard(replaced) if os.path.lexists(copy) else os.rename(replaced, copy)

    def _folder(self, number):
        return os.path.join(self.generations, f'{number:06d}')

    def _numbers(self, files=RESUMED):
        """Sorted numbers of the checkpoints that have `files`."""
        names = os.listdir(self.generations) if os.path.isdir(self.generations) else []
        return sorted(int(name) for name in names if re.fullmatch(r'[0-9]{6}|[1-9][0-9]{6,}', name)
                      and files <= own_files.files_in(os.path.join(self.generations, name)))

    def _next_number(self):
        """Above every number in use, ours or not."""
        return max((int(name) for name in os.listdir(self.generations) if re.fullmatch(r'[0-9]+', name)), default=0) + 1

    def _is_own_link(self):
        """Whether `model` is a link into `checkpoints`, dangling or not."""
        if not os.path.islink(self.link):
            return False
        folder, name = os.path.split(os.path.join(self.output, os.readlink(self.link)))
        return os.path.realpath(folder) == os.path.realpath(self.generations) and name.isdigit()

    def _adopt_plain_folder(self):
        """Move `model` into `checkpoints` if it is a folder, as in a copy of a run without links."""
        if not self._is_own_link() and os.path.lexists(self.link):
            own_files.refuse_folder(self.link)
            os.rename(self.link, self._folder(self._next_number()))

    def _recover(self):
        """Point `model` to the newest checkpoint if it is missing (after a kill in _adopt_plain_folder) or dangles.
        """
        numbers, dangling = self._numbers(), os.path.lexists(self.link)
        lost = f'{self.link} is a link to {os.readlink(self.link)}, which does not exist' if dangling else ''
        if dangling and not (numbers and self._is_own_link()):
            raise InputError(f'{lost}: restore that folder, or remove the link')
        if dangling:
            print(f'{lost}: using the newest checkpoint instead, {numbers[-1]:06d}')
        if numbers:
            with disk_errors(self.output, INTACT):
                self._point_to(numbers[-1])

    def _point_to(self, number):
        """Replace both links; current_epoch.npy first: in a copied run it is a file with an older epoch."""
        path = os.path.join(self.output, 'current_epoch.npy')
        if not os.path.lexists(path) or own_files.is_epoch(path):
            _link(os.path.join('model', 'current_epoch.npy'), path)
        _link(os.path.join('checkpoints', f'{number:06d}'), self.link)


def _check_finite(arrays, network, step):
    """InputError for weights that are not finite. The step's losses do not show it: they precede its updates.
    """
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise InputError(f'{network}: {name} is not finite after step {step}: training has diverged; the last '
                             'checkpoint stays. Resume from it with a lower --lr, or restart with --restart')


def _optimizers(train_step):
    """(file, optimizer, dict of name -> parameter) for G with E, and for D."""
    return (('n_g.pdopt', train_step.optimizer_g,
             parameters_of(generator=train_step.generator, encoder=train_step.encoder)),
            ('n_d.pdopt', train_step.optimizer_d, parameters_of(discriminator=train_step.discriminator)))


def _link(target, path):
    with writing(path, INTACT) as unfinished:
        os.symlink(target, unfinished)
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


def _is_written(folder, opt):
    """Whether a run with `opt` writes this copy: output/epoch_<n>, output/best, or its earlier one (.replaced)."""
    name = os.path.basename(folder).removesuffix('.replaced')
    if name == 'best':
        return opt.score_epoch_freq > 0
    epoch = int(name.removeprefix('epoch_'))
    return 0 < epoch <= opt.epochs and epoch % opt.save_epoch_freq == 0


def _matching(folder, pattern):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if re.fullmatch(pattern, name)]
