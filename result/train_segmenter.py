"""Train the network that scores pictures of one's own data set, on its own photos and label maps.

    python -m result.train_segmenter --dataroot mine --size 128x96
    python -m result.evaluate --dataset own --dataroot mine --pictures output_val/pics

It learns from train_img and train_label, and is kept as it was best on val_img: mine/segmenter/segmenter.pdparams, with
segmenter.json, which says what it was trained on and how well it knows real photos: the ceiling of all scores it gives.
Killed, the same command goes on after the last whole epoch, to the same bits.
"""
import argparse
import contextlib
import datetime
import json
import math
import os
import time

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import numpy
import paddle
from tqdm import tqdm

from dataset import classes
from dataset.contents import identity
from dataset.files import find_samples
from dataset.labelled_images import epoch_order
from dataset.loader import Loader
from log.score_log import warning
from model.init import OPT
from model.optimizer_state import set_state, state_of
from model.weights import as_arrays, read_weights, save_weights, set_weights
from result import own
from result.evaluate import size_of
from result.measure import file_digest
from result.networks.kinds import IMAGENET_RGB, normalized
from result.networks.segmenter import Segmenter, weighted_cross_entropy
from result.own import DESCRIPTION, FOLDER, WEIGHTS, checked_label_nc
from result.scores import VOID, confusion, segmentation_scores
from result.segmenter_images import SegmenterImages, class_weights
from runtime import json_file
from runtime.errors import InputError, shown_in_one_line
from runtime.locking import locked
from runtime.writing import writing

STATE = 'training.pdstate'     # what an interrupted training goes on from
FOREIGN = ('not written by result.train_segmenter, which replaces only its own files: move it away, or name another '
           '--output')
WARM_UP, WEIGHT_DECAY = 0.1, 1e-3   # part of all steps in which the learning rate rises; AdamW's
EPOCH = 4000                   # samples of an epoch at most: of large sets, others in each
SHOWN = 'mean_iou', 'pixel_accuracy'
LITTLE = 0.2                   # mean IoU on real photos below which a network's scores of pictures say nothing


class Training:
    """One network, its optimizer and what they have seen; settings as on the command line."""

    def __init__(self, settings):
        self.settings, self.output = settings, settings.output or os.path.join(settings.dataroot, FOLDER)
        label_nc = checked_label_nc(settings.dataroot, settings.label_nc)
        self.opt = OPT(dataroot=settings.dataroot, label_nc=label_nc, no_instance=True, seed=settings.seed)
        self.samples, self.val_samples = find_samples(self.opt, 'train'), find_samples(self.opt, 'val')
        self.data = SegmenterImages(self.samples, label_nc, settings.size, settings.seed)
        self.val = SegmenterImages(self.val_samples, label_nc, settings.size)
        if all((self.val[None, index]['label'] == VOID).all() for index in range(len(self.val))):
            raise InputError(f'{settings.dataroot}: no pixel of val_label has a class (0 .. {label_nc - 1}) at the '
                             f'size {"{}x{}".format(*settings.size)}: no epoch is the best; label some of them')
        self.batch = min(settings.batch, len(self.samples))
        self.steps = min(len(self.samples), EPOCH) // self.batch   # of an epoch
        self.about = {**self.data_of(), 'label_nc': label_nc,
                      'size': '{}x{}'.format(*settings.size), 'epochs': settings.epochs, 'patience': settings.patience,
                      'batch': self.batch, 'lr': settings.lr, 'seed': settings.seed}
        paddle.seed(settings.seed)
        self.network = Segmenter(label_nc)
        weights = class_weights(self.samples, self.opt)
        self.weights = numpy.append(weights, numpy.zeros(VOID + 1 - label_nc, numpy.float32))
        self.optimizer = paddle.optimizer.AdamW(settings.lr, parameters=self.network.parameters(),
                                                weight_decay=WEIGHT_DECAY)
        self.history, self.best = [], {}   # [loss, mean IoU, pixel accuracy] of each epoch; weights of the best

    def run(self):
        """Train until the epochs are over or the validation stands still, and keep the best."""
        refuse_foreign(self.output)
        if self.is_kept():
            return
        self.go_on()
        began = time.monotonic()
        workers = self.settings.nThreads
        with Loader(self.data, workers) as loader, Loader(self.val, workers) as val_loader:
            while not self.is_complete():
                loss = self.train_epoch(loader)
                scores = self.validate(val_loader)
                if not self.history or scores['mean_iou'] > self.history[self.best_epoch() - 1][1]:
                    self.best = as_arrays(self.network.state_dict())
                self.history.append([loss, *(scores[name] for name in SHOWN)])
                self.save()
                self.say(time.monotonic() - began)
                began = time.monotonic()
            set_weights(self.network, self.best, 'the best epoch')
            self.keep(self.validate(val_loader))

    def best_epoch(self):
        """Its number, from 1; 0 before the first."""
        return 1 + int(numpy.argmax([row[1] for row in self.history])) if self.history else 0

    def is_complete(self):
        done = len(self.history)
        return done >= self.settings.epochs or done - self.best_epoch() >= self.settings.patience

    # ---- An epoch

    def train_epoch(self, loader):
        """The mean loss of the next epoch."""
        self.network.train()
        epoch, losses = len(self.history) + 1, []
        order = epoch_order(self.opt, len(self.samples), epoch)[:self.steps * self.batch]
        keys = [[(epoch, index) for index in row] for row in order.reshape(self.steps, self.batch).tolist()]
        with tqdm(total=self.steps, desc=f'epoch {epoch}/{self.settings.epochs}', unit='step', disable=None,
                  leave=False, dynamic_ncols=True) as bar:
            for batch in loader(keys):
                step = (epoch - 1) * self.steps + len(losses)
                self.optimizer.set_lr(learning_rate(self.settings.lr, step, self.settings.epochs * self.steps))
                losses.append(self.step(batch))
                bar.set_postfix(loss=f'{losses[-1]:.3f}', refresh=False)
                bar.update()
        return float(numpy.mean(losses))

    def step(self, batch):
        """One update; the loss."""
        logits = self.network(normalized(*IMAGENET_RGB, batch['rgb']))
        loss = weighted_cross_entropy(logits, batch['label'], self.weights)
        loss.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        if not math.isfinite(float(loss)):
            raise InputError(f'the loss is {float(loss)} after {len(self.history)} epochs: begin anew with a lower '
                             f'--lr (now {self.settings.lr}) and --restart')
        return float(loss)

    def validate(self, loader):
        """segmentation_scores of the real validation photos."""
        self.network.eval()
        counts = 0
        keys = [[(None, index) for index in range(start, min(start + self.batch, len(self.val)))]
                for start in range(0, len(self.val), self.batch)]
        with paddle.no_grad():
            for batch in tqdm(loader(keys), 'validation', len(keys), disable=None, leave=False, dynamic_ncols=True):
                predicted = self.network(normalized(*IMAGENET_RGB, batch['rgb'])).argmax(1).numpy()
                counts = counts + confusion(batch['label'], predicted, self.opt.label_nc)
        return segmentation_scores(counts)

    def say(self, seconds):
        loss, *scores = self.history[-1]
        best = self.best_epoch()
        tqdm.write(f'epoch {len(self.history)}/{self.settings.epochs}: loss {loss:.4f}; real validation photos: '
                   f'mean IoU {scores[0]:.4f}, pixel accuracy {scores[1]:.4f}; best: epoch {best}, '
                   f'{self.history[best - 1][1]:.4f}; {seconds:.0f} s')

    # ---- Files

    def is_kept(self):
        """Whether this very training is over, and says so; InputError if the network of another one is kept there."""
        path = os.path.join(self.output, DESCRIPTION)
        if self.settings.restart or os.path.exists(os.path.join(self.output, STATE)) or not os.path.exists(path):
            return False
        kept = own.read(self.output)
        others = self.differences({**kept, 'size': '{}x{}'.format(*kept['size'])})
        if others:
            raise InputError(f'{path}: the network of another training is kept there: {others}: --restart trains this '
                             'one in its place, or name another --output')
        print(f'already complete: {path} describes it, mean IoU {kept["ceiling"]["mean_iou"]:.4f} on real validation '
              'photos; --restart trains it anew')
        return True

    def data_of(self, about=None):
        """'train' and 'val': identities of the files; of validation the label maps alone, on which scores depend."""
        return {split: identity(samples, self.settings.dataroot, (about or {}).get(split, '')) for split, samples in (
            ('train', self.samples), ('val', [sample._replace(photo=None) for sample in self.val_samples]))}

    def differences(self, about):
        """What another training's `about` has different, in words; '' if nothing."""
        mine = {**self.about, **self.data_of(about)}
        return ', '.join(f'{name} {about.get(name)} (now {value})' for name, value in mine.items()
                         if about.get(name) != value)

    def go_on(self):
        """Take up what an interrupted training has left; InputError if it was another one."""
        path = os.path.join(self.output, STATE)
        if self.settings.restart or not os.path.exists(path):
            print(f'trains on {len(self.samples)} photos of {self.settings.dataroot} at {self.about["size"]}, '
                  f'{self.steps} steps an epoch; {len(self.val_samples)} for validation')
            return
        state, about = read_state(path)
        self.history = state.pop('history').tolist()
        others = self.differences(about)
        if others:
            raise InputError(f'{self.output}: a training with other settings or data has begun there: {others}: give '
                             'its settings to go on, or begin anew with --restart')
        parts = {part: {name[len(part) + 1:]: value for name, value in state.items() if name.startswith(f'{part}/')}
                 for part in ('network', 'best', 'optimizer')}
        set_weights(self.network, parts['network'], path)
        self.best = parts['best']
        set_state(self.optimizer, parts['optimizer'], dict(self.network.named_parameters()), path)
        print(f'goes on after epoch {len(self.history)} of {self.settings.epochs} in {self.output}')

    def save(self):
        """One file holds all that the next epoch depends on: it is whole, or the one before it stays."""
        state = {'about': numpy.array(json.dumps(self.about)), 'history': numpy.array(self.history)}
        state.update({f'network/{name}': value for name, value in self.network.state_dict().items()})
        state.update({f'best/{name}': value for name, value in self.best.items()})
        state.update({f'optimizer/{name}': value for name, value in
                      state_of(self.optimizer, dict(self.network.named_parameters())).items()})
        with writing(os.path.join(self.output, STATE), left='the epoch before it stays') as unfinished:
            save_weights(state, unfinished)

    def keep(self, scores):
        """Write the network and what is to be known of it; then the training's state goes."""
        path = os.path.join(self.output, WEIGHTS)
        with writing(path) as unfinished:
            save_weights(self.best, unfinished)
        class_iou = [None if numpy.isnan(iou) else float(iou) for iou in scores.pop('class_iou')]
        found = classes.of_set(self.opt)
        known = {**self.about, 'classes': found and found['names'][:self.opt.label_nc],
                 'weights_sha256': file_digest(path), 'training_photos': len(self.samples),
                 'validation_photos': len(self.val_samples), 'epochs_run': len(self.history),
                 'best_epoch': self.best_epoch(), 'ceiling': scores, 'ceiling_class_iou': class_iou,
                 'history': self.history, 'paddle': paddle.__version__,
                 'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds')}
        with writing(os.path.join(self.output, DESCRIPTION)) as unfinished, \
                open(unfinished, 'w', encoding='utf-8') as file:
            json.dump(known, file, indent=1, ensure_ascii=False)
        os.remove(os.path.join(self.output, STATE))
        print(f'kept: {path}, epoch {self.best_epoch()}; the ceiling, on {len(self.val_samples)} real validation photos'
              f': mean IoU {scores["mean_iou"]:.4f}, pixel accuracy {scores["pixel_accuracy"]:.4f}')
        if warning(class_iou):
            print(warning(class_iou))
        if not scores['mean_iou'] >= LITTLE:
            print(f'low (below {LITTLE}): a network that does not know photos cannot score pictures; train it longer '
                  '(--epochs, --restart), at a larger --size, or with more photos')


def refuse_foreign(folder):
    """InputError for a file in `folder` that a training would replace or remove, and that none has written."""
    path, digest, best = os.path.join(folder, STATE), None, None
    if os.path.lexists(path):
        state, _ = read_state(path)
        best = {name[len('best/'):]: value for name, value in state.items() if name.startswith('best/')}
    with contextlib.suppress(FileNotFoundError):
        digest = json_file.read(os.path.join(folder, DESCRIPTION), own.SCHEMA, FOREIGN)['weights_sha256']
    path = os.path.join(folder, WEIGHTS)
    if not os.path.lexists(path) or digest is not None and file_digest(path) == digest:
        return
    # A kill may have left the weights without a new description; then they are the best of the state.
    with contextlib.suppress(InputError):
        if best and same(read_weights(path), best):
            return
    raise InputError(f'{path}: {FOREIGN}')


def same(one, other):
    return one.keys() == other.keys() and all(numpy.array_equal(one[name], other[name]) for name in one)


def read_state(path):
    """(dict of name -> array, settings) that an interrupted training left; InputError for anything else."""
    try:
        state = read_weights(path, texts=('about',))
    except InputError as error:
        raise InputError(f'{error}: {FOREIGN}') from None
    if 'about' not in state or getattr(state.get('history'), 'ndim', None) != 2:
        raise InputError(f'{path}: not the state of a training: {FOREIGN}')
    return state, json_file.parsed(str(state.pop('about')), json_file.mapping(json_file.anything), path, FOREIGN)


def learning_rate(peak, step, steps):
    """Rises in a line over the first WARM_UP of all steps, then falls to zero as a cosine."""
    risen = max(1, round(WARM_UP * steps))
    if step < risen:
        return peak * (step + 1) / risen
    return peak * 0.5 * (1 + math.cos(math.pi * (step - risen) / max(1, steps - risen)))


def command_line():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(2, f'error: {message}; --help lists all\n')
    parser.add_argument('--dataroot', required=True, metavar='DIR',
                        help='the set: train_img, train_label, val_img, val_label')
    parser.add_argument('--size', type=size_of, default=(256, 256), metavar='WxH',
                        help='size of the pictures that will be scored: crop_size wide, crop_size / aspect_ratio high '
                        '[256x256]')
    parser.add_argument('--label_nc', type=int, metavar='INT',
                        help='number of classes [as many as classes.json in the set names]')
    parser.add_argument('--output', metavar='DIR', help=f'where the network is kept [{FOLDER}/ in the set]')
    parser.add_argument('--epochs', type=int, default=60, metavar='INT',
                        help='epochs at most; the learning rate falls to zero over them [60]')
    parser.add_argument('--patience', type=int, default=20, metavar='INT',
                        help='stop after so many epochs without a better mean IoU on the validation photos [20]')
    parser.add_argument('--batch', type=int, default=8, metavar='INT', help='samples in an update [8]')
    parser.add_argument('--lr', type=float, default=2e-3, metavar='FLOAT', help='highest learning rate (AdamW) [0.002]')
    parser.add_argument('--seed', type=int, default=0, metavar='INT', help='all randomness is a function of it [0]')
    parser.add_argument('--nThreads', type=int, default=1, metavar='INT', help='worker processes that load data [1]')
    parser.add_argument('--restart', action='store_true', help='begin anew; replaces what is in --output')
    settings = parser.parse_args()
    for name, least in (('epochs', 1), ('patience', 1), ('batch', 1), ('seed', 0), ('nThreads', 0)):
        if getattr(settings, name) < least:
            raise InputError(f'--{name} {getattr(settings, name)}: must be at least {least}')
    if not 0 < settings.lr < math.inf:
        raise InputError(f'--lr {settings.lr}: must be above 0')
    return settings


def main():
    from runtime import stopping  # here: it sets handlers, which who only imports this must not get
    stopping.listen()
    settings = command_line()
    device.use_best_device()
    training = Training(settings)
    with locked(training.output, 'training of a scoring network', '--output'), \
            stopping.at_once('stopped: whole epochs are kept, and the same command goes on after the last one'):
        training.run()


if __name__ == '__main__':
    with shown_in_one_line():
        main()
