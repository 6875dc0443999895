"""Checkpoints: networks, optimizers, options and counters, written as one set that no kill can tear.

    output/checkpoints/000007/   one generation: n_g.pdparams n_d.pdparams n_e.pdparams n_g_ema.pdparams n_g.pdopt n_d.pdopt
                                 opt.json progress.json current_epoch.npy classes.json
    output/model                 link to the newest generation, swapped by one rename
    output/current_epoch.npy     link through it
    output/epoch_10/             a copy of weights and options that is kept
    output/best/                 another, of the best score so far, with score.json
"""
import json
import os
import re
import shutil
from contextlib import contextmanager

import numpy as np
import paddle

from dataset import classes
from model.weights import NETWORKS, as_arrays, load_training, read_weights, save_weights
from runtime.errors import InputError

COPY = r'epoch_\d+|best'  # names of the copies that are kept
ADAM_STATE = re.compile(r'(.+)_(moment1|moment2|beta1_pow_acc|beta2_pow_acc)_0')


class Checkpoint:
    """The checkpoint of a run in the folder `output`."""

    def __init__(self, output):
        self.output, self.classes = output, None
        self.link = os.path.join(output, 'model')
        self.generations = os.path.join(output, 'checkpoints')

    def progress(self):
        """Counters of the newest generation, a dict; None if there is none. InputError for weights without counters."""
        if not os.path.lexists(self.link):
            self._recover()
        if not os.path.lexists(self.link):
            return None
        path = os.path.join(self.link, 'progress.json')
        try:
            with open(path) as file:
                return json.load(file)
        except FileNotFoundError:
            raise InputError(f'{self.link} holds weights without a training state: start from them with --init_from '
                             f'{self.output} and another --output and --log, or replace them with --restart') from None
        except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f'{path}: cannot be read: {error}; begin anew with --restart, or name another --output and '
                             '--log') from None

    def load(self, train_step):
        """Set networks, optimizers and counters of `train_step`."""
        load_training(train_step, os.path.realpath(self.link))
        for file, optimizer, names in _optimizers(train_step):
            arrays = read_weights(os.path.join(self.link, file))
            internal = {structured: name for name, structured in names.items()}
            state = {}
            for key, value in arrays.items():
                structured, kind = key.rsplit('/', 1)
                if structured not in internal:
                    raise InputError(f'{os.path.join(self.link, file)}: state of an unknown weight {structured}')
                state[f'{internal[structured]}_{kind}_0'] = paddle.to_tensor(value)
            optimizer.set_state_dict(state)
            optimizer.loaded_state = arrays     # Paddle's own state_dict() leaves it out until the next step
        progress = self.progress()
        train_step.steps, train_step.g_losses = progress['step'], progress['g_losses']
        train_step.loss_scales = progress.get('loss_scales', [])

    def save(self, train_step, opt, progress, keep_epoch=None):
        """Write a generation and swap the link to it; with `keep_epoch` copy its weights to epoch_<n> before that.

        progress: dict of counters with 'epoch'; the state of `train_step` is added. InputError, with the previous
        checkpoint intact, if it cannot be written.
        """
        progress = {**progress, 'step': train_step.steps, 'g_losses': train_step.g_losses, 'loss_scales': train_step.loss_scales}
        with _writing(self.output):
            os.makedirs(self.generations, exist_ok=True)
            self._adopt_plain_folder()
            number = max(self._numbers(), default=0) + 1
            folder = os.path.join(self.generations, f'{number:06d}')
            unfinished = folder + '.unfinished'
            _remove_folders(self.generations, lambda name: name.endswith('.unfinished'))
            try:
                self._write(unfinished, train_step, opt, progress)
                os.rename(unfinished, folder)
                if keep_epoch is not None:
                    self._keep(folder, f'epoch_{keep_epoch}')
                self._point_to(number)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            # One generation before stays, for a reader who has just opened it.
            _remove_folders(self.generations, lambda name: name.isdigit() and int(name) < number - 1)

    def keep(self, name, notes):
        """Copy weights and options of the newest generation to output/<name>, with `notes` (dict: file name -> JSON content)."""
        with _writing(self.output):
            self._keep(os.path.realpath(self.link), name, notes)

    def mend_copies(self):
        """Finish what a kill has interrupted in `keep` and `save`; only the process that holds the run's lock may call this."""
        with _writing(self.output):
            for replaced in _matching(self.output, rf'({COPY})\.replaced'):
                kept = replaced.removesuffix('.replaced')
                shutil.rmtree(replaced) if os.path.isdir(kept) else os.rename(replaced, kept)

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
        """Remove the run's copies of epochs, pictures and scores (--restart); the checkpoint stays until the next `save`."""
        with _writing(self.output):
            for folder in _matching(self.output, rf'({COPY})(\.replaced|\.unfinished)?|scoring'):
                shutil.rmtree(folder)
            for file in self._pictures() + _matching(self.output, r'scores\.jsonl'):
                os.remove(file)

    def _kept(self):
        return _matching(self.output, COPY)

    def _pictures(self):
        return _matching(os.path.join(self.output, 'pics'), r'(\d+_\d+|val_\d+)\.jpg')

    def _write(self, folder, train_step, opt, progress):
        os.makedirs(folder)
        for file, name in NETWORKS.items():
            network = getattr(train_step, name, None)
            if network is not None:
                arrays = as_arrays(network.state_dict())
                _check_finite(arrays, name, train_step.steps)
                save_weights(arrays, os.path.join(folder, file))
        for file, optimizer, names in _optimizers(train_step):
            state = {}
            for key, value in optimizer.state_dict().items():
                match = ADAM_STATE.fullmatch(key)
                if match:
                    state[f'{names[match[1]]}/{match[2]}'] = value
            save_weights(state or getattr(optimizer, 'loaded_state', {}), os.path.join(folder, file))
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

        An earlier copy of that name steps aside until the new one is there: `mend_copies` takes it back after a kill in between.
        """
        kept = os.path.join(self.output, name)
        unfinished, replaced = kept + '.unfinished', kept + '.replaced'
        self.mend_copies()
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(folder, unfinished, copy_function=_link_or_copy, ignore=shutil.ignore_patterns('*.pdopt', 'progress.json'))
        for file, content in dict(notes).items():
            with open(os.path.join(unfinished, file), 'w') as note:
                json.dump(content, note, indent=2)
            _sync(os.path.join(unfinished, file))
        _sync(unfinished)
        if os.path.isdir(kept):
            os.rename(kept, replaced)
        os.rename(unfinished, kept)
        _sync(self.output)
        shutil.rmtree(replaced, ignore_errors=True)

    def _numbers(self):
        return [int(name) for name in os.listdir(self.generations) if name.isdigit()]

    def _adopt_plain_folder(self):
        """A copied run may have lost its link and hold a folder instead: make it a generation like any other."""
        if os.path.isdir(self.link) and not os.path.islink(self.link):
            os.rename(self.link, os.path.join(self.generations, f'{max(self._numbers(), default=0) + 1:06d}'))

    def _recover(self):
        """Set the link that a kill inside _adopt_plain_folder, or a copy without links, has lost."""
        numbers = self._numbers() if os.path.isdir(self.generations) else []
        if numbers:
            with _writing(self.output):
                self._point_to(max(numbers))

    def _point_to(self, number):
        """Swap the links; current_epoch.npy first, for in a copied run it is a file that tells another epoch."""
        _link(os.path.join('model', 'current_epoch.npy'), os.path.join(self.output, 'current_epoch.npy'))
        _link(os.path.join('checkpoints', f'{number:06d}'), self.link)


def _check_finite(arrays, network, step):
    """The losses of a step are older than its weights: what it has spoilt must not replace a good checkpoint."""
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise InputError(f'{network}: {name} is not finite after step {step}: training has diverged and stops here; the '
                             'last checkpoint stays. Go on from it with a lower --lr, or begin anew with --restart')


def _optimizers(train_step):
    """(file, optimizer, dict of Paddle's counted parameter name -> structured name) for G with E, and for D."""
    def names(**networks):
        return {parameter.name: f'{network}.{name}' for network, layer in networks.items() if layer is not None
                for name, parameter in layer.named_parameters()}
    return (('n_g.pdopt', train_step.optimizer_g, names(generator=train_step.generator, encoder=train_step.encoder)),
            ('n_d.pdopt', train_step.optimizer_d, names(discriminator=train_step.discriminator)))


@contextmanager
def _writing(path):
    try:
        yield
    except OSError as error:
        raise InputError(f'{error.filename or path}: cannot be written: {error.strerror or error}; '
                         'the previous checkpoint, if any, is intact') from None


def _link(target, path):
    """Make `path` a link to `target` by one rename."""
    unfinished = path + '.unfinished'
    if os.path.lexists(unfinished):
        os.remove(unfinished)
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


def _remove_folders(parent, chosen):
    for name in os.listdir(parent):
        if chosen(name):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
