"""Train SPADE. The same command resumes a stopped run, even within an epoch.

    python train.py                                       on generated scenes, if dataset/coco_stuff has no data set
    python train.py --preset coco_stuff_paper --batchSize 4
    python -m paddle.distributed.launch train.py ...      on all GPUs; on CPUs with --nproc_per_node 2 --backend gloo
"""
import os
import signal
import sys
import time
from datetime import timedelta
from functools import partial
from itertools import islice

from runtime import stopping  # first: a signal from here on ends this with one line

# isort: split
from runtime import device  # before Paddle is imported: sets the threads

# isort: split

from dataset import classes, demo
from dataset.labelled_images import LabelledImages, batches, global_batch
from dataset.loader import Loader
from log import plan, trouble
from log.dashboard import Dashboard
from log.progress import Progress
from model.init import OPT
from model.presets import PRESET_HELP
from model.semantics import prepared
from model.train_step import LOG_COLUMNS, TrainStep
from output import init_from, resume
from output.training_pictures import TrainingPictures
from result.best import Best, score_is_due
from runtime import distributed, memory
from runtime.commands import command
from runtime.errors import InputError, shown_in_one_line

EARLY = 1, 10   # steps with a picture, besides those of display_freq: an early look at the training


def main():
    stopping.listen()
    distributed.only_rank_0_prints()
    opt, arguments = options()
    device.use_best_device()
    with distributed.joined(opt.watch_port), memory.enough(plan.smaller(opt)):
        train(opt, arguments)


def train(opt, arguments):
    begun = time.monotonic()
    if distributed.is_main():
        demo.write_if_missing(opt.dataroot)
    distributed.barrier()
    resume.check_same_options(opt)
    data = LabelledImages(opt, ranks=distributed.ranks())
    print(f'data: {len(data)} samples in {opt.dataroot}; pictures {opt.picture_size[1]} wide and {opt.picture_size[0]} '
          'high')
    run = resume.Run(opt, data, arguments.restart)
    has_validation = os.path.isdir(os.path.join(opt.dataroot, 'val_label'))
    paint = command('val.py', '--lastoutput', opt.output) if has_validation else 'none in this set'
    if run.is_complete() and not distributed.gathered(score_is_due(opt, opt.epochs))[0]:
        print(f'training is already complete: {opt.epochs} epochs in {opt.output}. To continue, raise --niter '
              f'or --niter_decay; to restart, --restart; validation set: {paint}')
        return
    best = Best(opt) if opt.score_epoch_freq and distributed.is_main() else None
    train_step = TrainStep(opt)
    if arguments.init_from and run.progress:
        print('--init_from ignored: this run has already started')
    elif arguments.init_from:
        init_from.load(train_step, opt, arguments.init_from, arguments.init_classes)
    train_step.set_epoch(run.epoch)
    plan.print_plan(opt, len(data), train_step)
    plan.print_scales(opt, data.samples)
    with Dashboard(opt, run.progress, arguments.restart) as dashboard, run.claimed():
        run.begin(train_step)
        with Loader(data, opt.nThreads, partial(prepared, opt=opt)) as loader, stopping.after_the_step():
            Training(opt, train_step, loader, run, best, dashboard).run()
    seconds = timedelta(seconds=round(time.monotonic() - begun))
    print(f'done: {opt.epochs} epochs; {seconds} since this start. Pictures: {os.path.join(opt.output, "pics")}; '
          f'losses: {command("-m", "log.plot", "--log", opt.log)}; validation set: {paint}')


def options():
    """(OPT, other arguments) of the command line; the preset is demo if there is no data set."""
    parser = OPT.parser(__doc__)
    parser.add_argument('--preset', metavar='NAME', default=None, help=PRESET_HELP)
    parser.add_argument('--restart', action='store_true', default=False,
                        help='start a new run in place of the one in --output and --log')
    parser.add_argument('--init_from', metavar='DIR', default=None,
                        help='start a new run with these weights, of the same or other classes (D\'s only if present)')
    parser.add_argument('--init_classes', metavar='FILE', default=None,
                        help='table for --init_from, lines "new name, old name": the class there that a class here '
                        'starts from [the one of the same name; without one, the mean of all]')
    arguments = parser.parse_args()
    if arguments.init_classes and not arguments.init_from:
        raise InputError(f'--init_classes {arguments.init_classes}: it belongs to --init_from DIR, which is missing')
    preset = demo.preset_without_data(arguments) if arguments.preset is None else arguments.preset
    saved = os.path.join(OPT().update(arguments).output, 'model', 'opt.json')
    before = OPT.load(saved) if os.path.exists(saved) and not arguments.restart else None
    opt, of_the_set = classes.settled(arguments, preset, before)
    opt.check_generator()
    opt.painted_size(opt.picture_size)  # InputError now, not when the first scores are due
    if os.path.normpath(opt.lastoutput) != os.path.normpath(opt.output):
        raise InputError(f'--lastoutput {opt.lastoutput}: val.py and predict.py read it, train.py does not: resume a '
                         'run with its --output and --log, or start one from its weights with --init_from')
    plan.print_settings(opt, preset, arguments)
    if of_the_set:
        print(of_the_set)
    return opt, arguments


class Training:
    """The loop over epochs and steps, in every rank; rank 0 also logs, draws, saves and scores."""

    def __init__(self, opt, train_step, loader, run, best, dashboard):
        self.opt, self.train_step, self.loader, self.best, self.dashboard = opt, train_step, loader, best, dashboard
        self.log, self.progress, self.checkpoint = run.log, run.progress, run.checkpoint
        self.whole = global_batch(opt, distributed.ranks())   # samples of a step
        epochs, samples = opt.epochs - self.progress['epoch'], len(loader.data)
        steps = (samples - self.progress['seen']) // self.whole + epochs * (samples // self.whole)
        self.report = Progress(train_step.steps, train_step.steps + steps, self.whole, opt.print_freq)
        if distributed.is_main():
            self.trouble = trouble.Trouble(opt, self.progress.setdefault('said', []), self.report.say)
            self.pictures = TrainingPictures(opt, train_step, self.report.say, self.trouble, dashboard)
            if opt.visualdl:
                dashboard.begin(train_step.steps, dict(zip(LOG_COLUMNS, self.log.last(self.log.rows).T)))
        self.parent = os.getppid()

    def run(self):
        for epoch in range(self.progress['epoch'], self.opt.epochs + 1):
            if epoch > self.progress['epoch']:
                self.progress.update(epoch=epoch, seen=0)
            self.train_step.set_epoch(epoch)
            for batch in self.report.timed(self._batches(epoch)):
                distributed.barrier()   # rank 0 may have saved, and any rank waited for data
                losses = self.train_step.update([(part['semantics'], None, part['image']) for part in batch],
                                                stop=self._asked)
                self.progress['seen'] += self.whole
                self.report.done(epoch, losses)
                left = self.report.seconds_left()
                if left is not None and (line := plan.shorter(self.opt, len(self.loader.data), left)):
                    self.report.say(line)
                if distributed.is_main():
                    self._record(epoch, batch[0], losses)
                self._stop_if_asked()
            if distributed.is_main():
                self.pictures.of_validation(epoch)
                self._save(keep_epoch=epoch if epoch % self.opt.save_epoch_freq == 0 else None)
                self._score(epoch)
            distributed.barrier()
        self.report.close()

    def _batches(self, epoch):
        """The rest of an epoch: for each step this rank's micro-batches, a list of opt.accumulate dicts of arrays."""
        micro_batches = self.loader(batches(self.opt, len(self.loader.data), epoch, self.progress['seen'],
                                            distributed.rank(), distributed.ranks()))
        while step := list(islice(micro_batches, self.opt.accumulate)):
            yield step

    def _record(self, epoch, batch, losses):
        """Log a step; save a picture and a checkpoint where they are due."""
        self.log.append([losses[name] for name in LOG_COLUMNS])
        self.dashboard.step(self.train_step, losses, self.report.speed)
        if self.train_step.steps % trouble.EVERY == 0:
            self.trouble.after_step(dict(zip(LOG_COLUMNS, self.log.last(2 * trouble.WINDOW).T)),
                                    self.train_step.loss_scales)
        if self.train_step.steps % self.opt.display_freq == 0 or self.train_step.steps in EARLY:
            self.pictures.of_batch(epoch, batch)
        if self.train_step.steps % self.opt.save_latest_freq == 0:
            self._save()

    def _save(self, keep_epoch=None):
        self.log.sync()
        self.progress.update(self.dashboard.flush(), log_rows=self.log.rows, log_checksum=self.log.checksum)
        self.checkpoint.save(self.train_step, self.opt, self.progress, keep_epoch)

    def _score(self, epoch):
        if score_is_due(self.opt, epoch):
            with stopping.at_once('stopped: all is saved except these scores; the same command computes them'):
                self.report.say(self.best.score(self.train_step, self.checkpoint, epoch))
                self.dashboard.scores(self.train_step.steps, self.best.scores)
            self.log.sync()     # writes it anew if it was deleted meanwhile

    def _asked(self):
        """Whether to stop: after a signal, or when launch was killed, which may leave its processes running."""
        return bool(stopping.asked()) or distributed.ranks() > 1 and os.getppid() != self.parent

    def _stop_if_asked(self):
        """End after a signal to any rank, all ranks in the same step."""
        if self.train_step.stopped:
            if distributed.is_main():
                self._save()
            self.report.close()
            print(f'stopped and saved after step {self.train_step.steps}; the same command resumes there')
            sys.exit(128 + (stopping.asked() or signal.SIGTERM))


if __name__ == '__main__':
    with shown_in_one_line():
        main()
