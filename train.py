"""Train SPADE. The same command again goes on where it stopped, in the middle of an epoch too.

    python train.py                                       demo scenes, if there is no data set in dataset/coco_stuff
    python train.py --preset coco_stuff_paper --batchSize 4
"""
import functools
import os
import signal
import sys

from model import device  # first: sets the threads, then imports Paddle

from dataset import demo
from dataset.files import fingerprint
from dataset.labelled_images import LabelledImages, ValidationImages, batches
from dataset.loader import Loader, stacked
from log.loss_log import LossLog
from log.progress import Progress
from model import pictures, resume
from model.checkpoint import Checkpoint
from model.errors import InputError, shown_in_one_line
from model.init import OPT
from model.presets import PRESETS
from model.semantics import prepared
from model.train_step import LOG_COLUMNS, TrainStep

WATCHED = 4  # validation maps drawn after every epoch, and samples in a training picture


def main():
    opt, arguments = options()
    device.use_best_device()
    data = LabelledImages(opt)
    print(f'data: {len(data)} samples in {opt.dataroot}; pictures {opt.picture_size[1]} wide and {opt.picture_size[0]} high')
    dataset = fingerprint(data.samples)
    log = LossLog(os.path.join(opt.log, 'log.npy'))
    progress = resume.stored_progress(opt, log.path, dataset, 'restart' in arguments)
    steps_per_epoch = len(data) // opt.batchSize
    if progress and progress['epoch'] >= opt.epochs and not batches(opt, len(data), opt.epochs, progress['seen']):
        print(f'training is already complete: {opt.epochs} epochs in {opt.output}. To go on, raise --niter or --niter_decay; '
              'to begin anew, --restart; to draw the validation set: python val.py')
        return
    print(f'plan: {opt.epochs} epochs of {steps_per_epoch} steps, batch {opt.batchSize}; '
          f'{len(data) - steps_per_epoch * opt.batchSize} samples left out of each epoch (the last incomplete batch)')
    train_step = TrainStep(opt)
    surroundings = resume.surroundings(opt)
    if progress:
        progress.update(surroundings)
        if 'init_from' in arguments:
            print('--init_from is left aside: this run has begun already')
        resume.go_on(opt, log, train_step, progress)
    else:
        progress = {**resume.new_progress(dataset, len(data)), **surroundings}
        resume.start(opt, log, train_step, progress, getattr(arguments, 'init_from', None), 'restart' in arguments)
    with Loader(data, opt.nThreads, functools.partial(prepared, opt=opt)) as loader:
        Training(opt, train_step, loader, log, progress).run()
    print(f'done: {opt.epochs} epochs. Pictures: {os.path.join(opt.output, "pics")}; losses: python -m log.plot --log {opt.log}; '
          f'validation set: python val.py --lastoutput {opt.output}')


def options():
    """(OPT, other arguments) of the command line; a run without any data becomes the demo."""
    parser = OPT.parser(__doc__)
    parser.add_argument('--preset', choices=PRESETS, help='start from these settings; other flags change them')
    parser.add_argument('--restart', action='store_true', help='begin anew; replaces the run in --output and --log')
    parser.add_argument('--init_from', metavar='DIR', help='begin a new run with these weights (D\'s only if they are there)')
    arguments = parser.parse_args()
    preset = getattr(arguments, 'preset', None)
    folders = [os.path.join(OPT().dataroot, f'train_{part}') for part in ('label', 'inst', 'img')]
    if preset is None and 'dataroot' not in arguments and not any(map(os.path.isdir, folders)):
        print(f'no data set in {OPT().dataroot} and none named with --dataroot: trains on generated scenes (--preset demo)')
        preset = 'demo'
    opt = (OPT.preset(preset) if preset else OPT()).update(arguments)
    if opt.dataroot == PRESETS['demo']['dataroot'] and not os.path.isdir(opt.dataroot):
        demo.write(opt.dataroot)
    print_settings(opt)
    return opt, arguments


def print_settings(opt):
    """One line that says how this run differs from the nearest preset."""
    differences = {name: opt.differences(OPT.preset(name)) for name in PRESETS}
    nearest = min(differences, key=lambda name: len(differences[name]))
    listed = ', '.join(f'{name} {own} (preset: {other})' for name, (own, other) in differences[nearest].items())
    settings = ', '.join(f'{name} {value}' for name, value in PRESETS[nearest].items())
    print(f'settings: preset {nearest} ({settings}); {"different here: " + listed if listed else "nothing changed"}')


class Training:
    """The loop over epochs and steps, with what is saved and drawn on the way."""

    def __init__(self, opt, train_step, loader, log, progress):
        self.opt, self.train_step, self.loader, self.log, self.progress = opt, train_step, loader, log, progress
        self.checkpoint = Checkpoint(opt.output)
        self.stop_signal = None

    def run(self):
        opt, progress = self.opt, self.progress
        count = len(self.loader.data)
        steps = opt.epochs * (count // opt.batchSize)
        self.report = Progress(self.train_step.steps, steps, opt.batchSize, opt.print_freq)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self.watched = self._watched_maps()
        for epoch in range(progress['epoch'], opt.epochs + 1):
            seen = progress['seen'] if epoch == progress['epoch'] else 0
            progress.update(epoch=epoch, seen=seen)
            self.train_step.set_epoch(epoch)
            for batch in self.report.timed(self.loader(batches(opt, count, epoch, seen))):
                self._step(epoch, batch)
            self._draw_watched(epoch)
            self._save(keep_epoch=epoch if epoch % opt.save_epoch_freq == 0 else None)
        self.report.close()

    def _step(self, epoch, batch):
        losses = self.train_step.step(batch['semantics'], None, batch['image'])
        self.log.append([losses[name] for name in LOG_COLUMNS])
        self.progress['seen'] += len(batch['label'])
        step = self.train_step.steps
        self.report.done(epoch, losses)
        if step % self.opt.display_freq == 0:
            batch = {name: batch[name][:WATCHED] for name in ('label', 'instance', 'image') if name in batch}
            pictures.save(self._drawn(batch), os.path.join(self.opt.output, 'pics', f'{epoch}_{step}.jpg'))
        if self.stop_signal:
            self._save()
            self.report.close()
            print(f'stopped and saved after step {step}; the same command goes on from there')
            sys.exit(128 + self.stop_signal)
        if step % self.opt.save_latest_freq == 0:
            self._save()

    def _save(self, keep_epoch=None):
        self.log.sync()
        self.progress.update(log_rows=self.log.rows, log_checksum=self.log.checksum)
        self.checkpoint.save(self.train_step, self.opt, self.progress, keep_epoch)

    def _watched_maps(self):
        """The first few validation samples, the same after every epoch; None without a validation set."""
        try:
            data = ValidationImages(self.opt)
            return stacked(data, range(min(WATCHED, len(data))))
        except InputError as error:
            self.report.say(f'no validation pictures while training: {error}')
            return None

    def _draw_watched(self, epoch):
        if self.watched is not None:
            pictures.save(self._drawn(self.watched), os.path.join(self.opt.output, 'pics', f'val_{epoch:04d}.jpg'))

    def _drawn(self, batch):
        fake = self.train_step.generate(batch['label'], batch.get('instance'), batch['image'])
        return pictures.rows(batch['label'], fake, batch['image'], self.opt)

    def _stop(self, number, frame):
        """Ctrl-C and SIGTERM: finish the step, save, end; a second one ends at once."""
        if self.stop_signal:
            raise KeyboardInterrupt
        self.stop_signal = number
        self.report.say('stopping: this step is finished and saved first (again: stop at once)')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
