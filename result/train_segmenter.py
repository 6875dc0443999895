"""Train the network that scores pictures of one's own data set, on its photos and label maps.

    python -m result.train_segmenter --dataroot mine --size 128x96
    python -m result.evaluate --dataset own --dataroot mine --pictures output_val/pics
    python -m result.train_segmenter --dataroot mine --size 128x96 --add painted/ --add_labels maps/     # do they help?

It learns from train_img and train_label. The best epoch on val_img is saved as mine/segmenter/segmenter.pdparams.
segmenter.json beside it has data, settings, and the network's scores on real photos, the ceiling for painted ones.
After a kill the same command resumes at the last whole epoch, bit for bit. With --add it trains two networks per seed,
one on real photos alone and one on real and painted ones, and prints whether the painted ones help.
"""
import datetime
import json
import math
import os
import time

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import paddle

from dataset import classes
from dataset.contents import identity
from dataset.files import find_samples
from dataset.labelled_images import epoch_order
from dataset.loader import Loader
from log.score_log import LOW, warning
from model.command_line import Help, Parser
from model.init import OPT
from model.optimizer_state import set_state, state_of
from model.weights import as_arrays, save_weights, set_weights
from result.cache import file_digest
from result.evaluate import size_of
from result.networks.segmenter import Segmenter, weighted_cross_entropy
from result.own import scoring_network, with_painted
from result.own.images import SegmenterImages, class_weights
from result.own.scoring_network import DESCRIPTION, FOLDER, STATE, WEIGHTS, checked_label_nc
from result.scores import VOID, confusion, or_none, segmentation_scores
from runtime import json_file
from runtime.bar import counted
from runtime.errors import InputError, shown_in_one_line
from runtime.locking import locked
from runtime.writing import writing

WARM_UP, WEIGHT_DECAY = 0.1, 1e-3   # part of all steps in which the learning rate rises; weight decay of AdamW
EPOCH = 4000                        # most samples of an epoch, different ones in each
CHANGED = {'train': 'the training photos or maps changed', 'val': 'the validation maps changed',
           'added': 'the painted pictures changed'}   # what a digest says
HISTORY = 'mean_iou', 'pixel_accuracy'   # beside the loss


class Training:
    """The network, its optimizer and history; settings as on the command line; added: Samples of painted pictures."""

    def __init__(self, settings, added=()):
        self.settings, self.output = settings, settings.output or os.path.join(settings.dataroot, FOLDER)
        label_nc = checked_label_nc(settings.dataroot, settings.label_nc)
        self.opt = OPT(dataroot=settings.dataroot, label_nc=label_nc, no_instance=True, seed=settings.seed)
        self.samples, self.val_samples = find_samples(self.opt, 'train'), find_samples(self.opt, 'val')
        self.data = SegmenterImages(self.samples, label_nc, settings.size, settings.seed, added, settings.native)
        self.val = SegmenterImages(self.val_samples, label_nc, settings.size, native=settings.native)
        self.batch = min(settings.batch, len(self.samples))
        self.steps = min(len(self.samples), EPOCH) // self.batch   # of an epoch
        self.about = {**self.data_identities(), 'label_nc': label_nc,
                      'size': '{}x{}'.format(*settings.size), 'epochs': settings.epochs, 'patience': settings.patience,
                      'batch': self.batch, 'lr': settings.lr, 'seed': settings.seed,
                      'added': identity(added, settings.add) if added else None, 'native': settings.native or None}
        if all((self.val[None, index]['label'] == VOID).all() for index in range(len(self.val))):
            raise InputError(f'{settings.dataroot}: no pixel of val_label has a class (0 .. {label_nc - 1}) at size '
                             f'{self.about["size"]}, so no epoch is the best: label some of them')
        paddle.seed(settings.seed)
        self.network = Segmenter(label_nc)
        weights = class_weights(self.samples, self.opt)
        self.weights = np.append(weights, np.zeros(VOID + 1 - label_nc, np.float32))
        self.optimizer = paddle.optimizer.AdamW(settings.lr, parameters=self.network.parameters(),
                                                weight_decay=WEIGHT_DECAY)
        self.history, self.best = [], {}   # [loss, *HISTORY] of each epoch; weights of the best

    def run(self):
        """Train for all epochs, or until the validation stops improving, then save the best epoch."""
        scoring_network.refuse_foreign(self.output)
        if self.is_trained():
            return
        self.resume()
        began = time.monotonic()
        workers = self.settings.nThreads
        with Loader(self.data, workers) as loader, Loader(self.val, workers) as val_loader:
            while not self.is_complete():
                loss = self.train_epoch(loader)
                scores = self.validate(val_loader)
                if not self.history or scores['mean_iou'] > self.history[self.best_epoch() - 1][1]:
                    self.best = as_arrays(self.network.state_dict())
                self.history.append([loss, *(scores[name] for name in HISTORY)])
                self.save_state()
                self.report(time.monotonic() - began)
                began = time.monotonic()
            set_weights(self.network, self.best, 'the best epoch')
            self.save_best(self.validate(val_loader))

    def best_epoch(self):
        """Number of the best epoch, from 1; 0 before the first."""
        return 1 + int(np.argmax([row[1] for row in self.history])) if self.history else 0

    def is_complete(self):
        done = len(self.history)
        return done >= self.settings.epochs or done - self.best_epoch() >= self.settings.patience

    # ---- An epoch

    def train_epoch(self, loader):
        """Train for an epoch -> its mean loss."""
        self.network.train()
        epoch, losses = len(self.history) + 1, []
        order = epoch_order(self.opt, len(self.data), epoch)[:self.steps * self.batch]
        keys = [[(epoch, index) for index in row] for row in order.reshape(self.steps, self.batch).tolist()]
        shown = counted(loader(keys), self.steps, f'epoch {epoch}/{self.settings.epochs}', 'step', leave=False)
        for step, batch in enumerate(shown, (epoch - 1) * self.steps):
            self.optimizer.set_lr(learning_rate(self.settings.lr, step, self.settings.epochs * self.steps))
            losses.append(self.step(batch))
        return float(np.mean(losses))

    def step(self, batch):
        """One update -> its loss."""
        logits = self.network(self.network.prepare(batch['rgb']))
        loss = weighted_cross_entropy(logits, batch['label'], self.weights)
        loss.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        if not math.isfinite(float(loss)):
            raise InputError(f'the loss is {float(loss)} after {len(self.history)} epochs: restart (--restart) with a '
                             f'lower --lr (now {self.settings.lr})')
        return float(loss)

    def validate(self, loader):
        """segmentation_scores of the real validation photos."""
        self.network.eval()
        counts = 0
        keys = [[(None, index) for index in range(start, min(start + self.batch, len(self.val)))]
                for start in range(0, len(self.val), self.batch)]
        with paddle.no_grad():
            for batch in counted(loader(keys), len(keys), 'validation', 'batch', leave=False):
                predicted = self.network(self.network.prepare(batch['rgb'])).argmax(1).numpy()
                counts = counts + confusion(batch['label'], predicted, self.opt.label_nc)
        return segmentation_scores(counts)

    def report(self, seconds):
        loss, mean_iou, pixel_accuracy = self.history[-1]
        best = self.best_epoch()
        print(f'epoch {len(self.history)}/{self.settings.epochs}: loss {loss:.4f}; real validation photos: mean IoU '
              f'{mean_iou:.4f}, pixel accuracy {pixel_accuracy:.4f}; best: epoch {best}, '
              f'{self.history[best - 1][1]:.4f}; {seconds:.0f} s', flush=True)

    # ---- Files

    def is_trained(self):
        """Whether this training is complete; prints a line if so. InputError if another training's network is there."""
        path = os.path.join(self.output, DESCRIPTION)
        if self.settings.restart or os.path.exists(os.path.join(self.output, STATE)) or not os.path.exists(path):
            return False
        content = scoring_network.read(self.output)
        differences = self.differences({**content, 'size': '{}x{}'.format(*content['size'])})
        if differences:
            raise InputError(f'{path}: network of another training: {differences}; replace it with --restart, or name '
                             'another --output')
        print(f'already complete: {path}, mean IoU {content["ceiling"]["mean_iou"]:.4f} on real validation photos; '
              '--restart trains it again')
        return True

    def data_identities(self, about=None):
        """dict: 'train', 'val' -> identity of the files; of val only the label maps, which alone change scores."""
        return {split: identity(samples, self.settings.dataroot, (about or {}).get(split, '')) for split, samples in (
            ('train', self.samples), ('val', [sample._replace(photo=None) for sample in self.val_samples]))}

    def differences(self, about):
        """Text on the differences of another training's `about`; '' without any."""
        return json_file.differences(about, {**self.about, **self.data_identities(about)}, CHANGED)

    def resume(self):
        """Load the state of an interrupted training, if there is one; InputError if it is another training's."""
        path = os.path.join(self.output, STATE)
        if self.settings.restart or not os.path.exists(path):
            painted = f' and {len(self.data) - len(self.samples)} painted' if self.about['added'] else ''
            print(f'trains on {len(self.samples)} photos of {self.settings.dataroot}{painted} at {self.about["size"]}, '
                  f'{self.steps} steps an epoch; {len(self.val_samples)} for validation')
            return
        state, about = scoring_network.read_state(path)
        self.history = state.pop('history').tolist()
        differences = self.differences(about)
        if differences:
            raise InputError(f'{self.output}: another training has begun there: {differences}: resume it with its own '
                             'settings and data, or replace it with --restart')
        network, self.best, optimizer = ({name[len(part):]: value for name, value in state.items()
                                          if name.startswith(part)} for part in ('network/', 'best/', 'optimizer/'))
        set_weights(self.network, network, path)
        set_state(self.optimizer, optimizer, dict(self.network.named_parameters()), path)
        print(f'resumes after epoch {len(self.history)} of {self.settings.epochs} in {self.output}')

    def save_state(self):
        """Write everything that the next epoch depends on to one file, whole or not at all."""
        optimizer = state_of(self.optimizer, dict(self.network.named_parameters()))
        state = {'about': np.array(json.dumps(self.about)), 'history': np.array(self.history)}
        for part, tensors in (('network', self.network.state_dict()), ('best', self.best), ('optimizer', optimizer)):
            state.update({f'{part}/{name}': value for name, value in tensors.items()})
        with writing(os.path.join(self.output, STATE), left='the previous epoch is intact') as unfinished:
            save_weights(state, unfinished)

    def save_best(self, scores):
        """Write the network and its description, then remove the state."""
        path = os.path.join(self.output, WEIGHTS)
        with writing(path) as unfinished:
            save_weights(self.best, unfinished)
        class_iou = list(map(or_none, scores.pop('class_iou')))
        content = classes.of_set(self.opt)
        description = {**self.about, 'classes': content and content['names'][:self.opt.label_nc],
                       'weights_sha256': file_digest(path), 'training_photos': len(self.samples),
                       'validation_photos': len(self.val_samples), 'epochs_run': len(self.history),
                       'best_epoch': self.best_epoch(), 'ceiling': scores, 'ceiling_class_iou': class_iou,
                       'history': self.history, 'paddle': paddle.__version__,
                       'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds')}
        with writing(os.path.join(self.output, DESCRIPTION)) as unfinished, \
                open(unfinished, 'w', encoding='utf-8') as file:
            json.dump(description, file, indent=1, ensure_ascii=False)
        os.remove(os.path.join(self.output, STATE))
        print(f'saved: {path}, epoch {self.best_epoch()}; ceiling, from {len(self.val_samples)} real validation photos:'
              f' mean IoU {scores["mean_iou"]:.4f}, pixel accuracy {scores["pixel_accuracy"]:.4f}')
        if warning(class_iou):
            print(warning(class_iou))
        if not self.settings.add and not scores['mean_iou'] >= LOW:   # --add prints it once, at its end
            print(f'low (below {LOW}): this network cannot score pictures; train it longer (--epochs, --restart), at '
                  'a larger --size, or with more photos')


def learning_rate(peak, step, steps):
    """It rises linearly over the first WARM_UP of all steps, then falls to zero as a cosine."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def command_line():
    parser = Parser(description=__doc__, formatter_class=Help)
    parser.add_argument('--dataroot', required=True, metavar='DIR',
                        help='the set: train_img, train_label, val_img, val_label')
    parser.add_argument('--size', type=size_of, default=(256, 256), metavar='WxH', help='size of the scored pictures: '
                        'crop_size wide, crop_size / aspect_ratio high [256x256]')
    parser.add_argument('--native', action='store_true', help='photos keep their own scale, and --size is a window of '
                        'them: for models of --preprocess_mode crop')
    parser.add_argument('--label_nc', type=int, metavar='INT', help='number of classes [as in classes.json]')
    parser.add_argument('--output', metavar='DIR', help=f'folder for the network [{FOLDER}/ in the set]')
    parser.add_argument('--epochs', type=int, default=60, metavar='INT',
                        help='most epochs; the learning rate falls to zero over them [60]')
    parser.add_argument('--patience', type=int, default=20, metavar='INT',
                        help='stop after this many epochs without a better mean IoU on the validation photos [20]')
    parser.add_argument('--batch', type=int, default=8, metavar='INT', help='samples in an update [8]')
    parser.add_argument('--lr', type=float, default=2e-3, metavar='FLOAT', help='highest learning rate (AdamW) [0.002]')
    parser.add_argument('--seed', type=int, default=0, metavar='INT', help='seed of all randomness [0]')
    parser.add_argument('--nThreads', type=int, default=1, metavar='INT', help='worker processes that load data [1]')
    parser.add_argument('--restart', action='store_true', help='train from the start; replaces the network in --output')
    parser.add_argument('--add', metavar='DIR', help='painted pictures, to learn whether they help: trains with and '
                        f'without them [networks in {with_painted.FOLDER}/ in the set; all epochs, no --patience]')
    parser.add_argument('--add_labels', metavar='DIR', help='the label maps that they were painted from')
    parser.add_argument('--seeds', type=int, default=3, metavar='INT', help='networks on each side of --add: --seed, '
                        '--seed + 1, ... [3]')
    settings = parser.parse_args()
    for name, least in (('epochs', 1), ('patience', 1), ('batch', 1), ('seed', 0), ('nThreads', 0)):
        if getattr(settings, name) < least:
            raise InputError(f'--{name} {getattr(settings, name)}: must be at least {least}')
    if bool(settings.add) != bool(settings.add_labels):
        raise InputError('--add and --add_labels: pictures and the maps that they were painted from: give both')
    if not 0 < settings.lr < math.inf:
        raise InputError(f'--lr {settings.lr}: must be a finite number above 0')
    return settings


def main():
    from runtime import stopping  # imported here, since it sets signal handlers
    stopping.listen()
    settings = command_line()
    device.use_best_device()
    with stopping.at_once('stopped: whole epochs are saved; the same command resumes after the last one'):
        with_painted.compare(settings, trained) if settings.add else trained(settings)


def trained(settings, added=()):
    """The content of segmenter.json after the training."""
    training = Training(settings, added)
    with locked(training.output, 'training of a scoring network', '--output'):
        training.run()
    return scoring_network.read(training.output)


if __name__ == '__main__':
    with shown_in_one_line():
        main()
