"""Train SPADE. The same command again goes on where it stopped, in the middle of an epoch too.

    python train.py                                       demo scenes, if there is no data set in dataset/coco_stuff
    python train.py --preset coco_stuff_paper --batchSize 4
    python -m paddle.distributed.launch train.py ...      on all GPUs; on CPUs with --nproc_per_node 2 --backend gloo
"""
import os
import signal
import sys
from itertools import islice

from model.processes import device  # first: sets the threads, then imports Paddle

import paddle

from dataset import demo
from dataset.labelled_images import LabelledImages, ValidationImages, batches, global_batch
from dataset.loader import Loader, stacked
from log.progress import Progress
from model.processes import distributed
from output import pictures, resume
from log import plan
from output.checkpoint import Checkpoint
from model.errors import InputError, shown_in_one_line
from model.init import OPT
from model.presets import PRESETS
from model.train_step import LOG_COLUMNS, TrainStep
from result.best import Best, score_is_due

WATCHED = 4  # validation maps drawn after every epoch, and samples in a training picture


def main():
    distributed.only_rank_0_prints()
    opt, arguments = options()
    device.use_best_device()
    with distributed.joined(opt.watch_port):
        train(opt, arguments)


def train(opt, arguments):
    if distributed.is_main() and opt.dataroot == PRESETS['demo']['dataroot'] and not os.path.isdir(opt.dataroot):
        demo.write(opt.dataroot)
    distributed.barrier()
    resume.check_same_options(opt)
    data = LabelledImages(opt, ranks=distributed.ranks())
    print(f'data: {len(data)} samples in {opt.dataroot}; pictures {opt.picture_size[1]} wide and {opt.picture_size[0]} high')
    run = resume.Run(opt, data, arguments.restart)
    if run.is_complete() and not distributed.gathered(score_is_due(opt, opt.epochs))[0]:
        print(f'training is already complete: {opt.epochs} epochs in {opt.output}. To go on, raise --niter or --niter_decay; '
              'to begin anew, --restart; to draw the validation set: python val.py')
        return
    best = Best(opt) if opt.score_epoch_freq else None
    train_step = TrainStep(opt)
    train_step.set_epoch(run.epoch)
    plan.print_plan(opt, len(data), train_step)
    with run.claimed():
        run.begin(train_step, arguments.init_from)
        with Loader(data, opt.nThreads, train_step.choice.prepared) as loader:
            Training(opt, train_step, loader, run.log, run.progress, best).run()
    print(f'done: {opt.epochs} epochs. Pictures: {os.path.join(opt.output, "pics")}; losses: python -m log.plot --log {opt.log}; '
          f'validation set: python val.py --lastoutput {opt.output}')


def options():
    """(OPT, other arguments) of the command line; a run without any data becomes the demo."""
    parser = OPT.parser(__doc__)
    parser.add_argument('--preset', choices=PRESETS, default=None, help='start from these settings; other flags change them')
    parser.add_argument('--restart', action='store_true', default=False, help='begin anew; replaces the run in --output and --log')
    parser.add_argument('--init_from', metavar='DIR', default=None, help='begin a new run with these weights (D\'s only if they are there)')
    arguments = parser.parse_args()
    preset = arguments.preset
    folders = [os.path.join(OPT().dataroot, f'train_{part}') for part in ('label', 'inst', 'img')]
    if preset is None and 'dataroot' not in arguments and not any(map(os.path.isdir, folders)):
        print(f'no data set in {OPT().dataroot} and none named with --dataroot: trains on generated scenes (--preset demo)')
        preset = 'demo'
    opt = (OPT.preset(preset) if preset else OPT()).update(arguments)
    plan.print_settings(opt)
    return opt, arguments


class Training:
    """The loop over epochs and steps, with what is saved and drawn on the way."""

    def __init__(self, opt, train_step, loader, log, progress, best):
        self.opt, self.train_step, self.loader, self.log, self.progress = opt, train_step, loader, log, progress
        self.best = best
        self.checkpoint = Checkpoint(opt.output)
        self.stop_signal, self.interruptible, self.parent = None, False, os.getppid()

    def run(self):
        opt, progress = self.opt, self.progress
        count, whole = len(self.loader.data), global_batch(opt, distributed.ranks())
        steps = (count - progress['seen']) // whole + (opt.epochs - progress['epoch']) * (count // whole)
        self.report = Progress(self.train_step.steps, self.train_step.steps + steps, whole, opt.print_freq)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self.watched = self._watched_maps() if distributed.is_main() else None
        for epoch in range(progress['epoch'], opt.epochs + 1):
            seen = progress['seen'] if epoch == progress['epoch'] else 0
            progress.update(epoch=epoch, seen=seen)
            self.train_step.set_epoch(epoch)
            pieces = self.loader(batches(opt, count, epoch, seen, distributed.rank(), distributed.ranks()))
            for batch in self.report.timed(iter(lambda: list(islice(pieces, opt.accumulate)), [])):
                self._step(epoch, batch, whole)
            if distributed.is_main():
                self._draw_watched(epoch)
                self._save(keep_epoch=epoch if epoch % opt.save_epoch_freq == 0 else None)
                self._score(epoch)
            distributed.barrier()
        self.report.close()

    def _step(self, epoch, batch, whole):
        losses = self.train_step.update([(piece['semantics'], None, piece['image']) for piece in batch])
        for line in self.train_step.choice.unseen():
            self.report.say(line)
        self.progress['seen'] += whole
        self.report.done(epoch, losses)
        if distributed.is_main():
            self._record(epoch, batch[0], losses)
        if distributed.ranks() > 1 and os.getppid() != self.parent:
            self.stop_signal = signal.SIGTERM  # launch was killed, and does not always take its processes with it
        # Signals reach the processes in different steps; they stop in the same one.
        if distributed.all_reduce(paddle.to_tensor(float(bool(self.stop_signal)))):
            if distributed.is_main():
                self._save()
            self.report.close()
            print(f'stopped and saved after step {self.train_step.steps}; the same command goes on from there')
            sys.exit(128 + (self.stop_signal or signal.SIGTERM))

    def _record(self, epoch, batch, losses):
        """The log's row, and where they are due a picture and a checkpoint."""
        self.log.append([losses[name] for name in LOG_COLUMNS])
        step = self.train_step.steps
        if step % self.opt.display_freq == 0:
            batch = {name: batch[name][:WATCHED] for name in ('label', 'instance', 'image') if name in batch}
            pictures.save(self._drawn(batch), os.path.join(self.opt.output, 'pics', f'{epoch}_{step}.jpg'))
        if step % self.opt.save_latest_freq == 0:
            self._save()

    def _save(self, keep_epoch=None):
        self.log.sync()
        self.progress.update(log_rows=self.log.rows, log_checksum=self.log.checksum)
        self.checkpoint.save(self.train_step, self.opt, self.progress, keep_epoch)

    def _score(self, epoch):
        if score_is_due(self.opt, epoch):
            self.interruptible = True   # all is saved, and scoring takes long
            self.report.say(self.best.score(self.train_step, self.checkpoint, epoch))
            self.interruptible = False

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
        if self.interruptible:
            self.report.say('stopped: all is saved but these scores; the same command makes them')
        if self.stop_signal or self.interruptible:
            raise KeyboardInterrupt
        self.stop_signal = number
        self.report.say('stopping: this step is finished and saved first (again: stop at once)')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
