"""Scores a training run every score_epoch_freq epochs, and copies its best checkpoint to output/best."""
import os
import re

from log import score_log
from output.draw import draw
from result.evaluate import Evaluation, Settings
from result.protocols import OWN
from runtime import json_file
from runtime.errors import InputError
from runtime.writing import remove, staged

DISTANCES = 'fid', 'segmenter_frechet'   # scores that are better when lower
SCORE = 'score.json'                     # in output/best: its score


def score_is_due(opt, epoch):
    """Whether to score this epoch: score_epoch_freq names it, and opt.output/scores.jsonl lacks it."""
    return bool(opt.score_epoch_freq) and epoch % opt.score_epoch_freq == 0 and not any(
        score.epoch == epoch for score in score_log.read(os.path.join(opt.output, score_log.FILE)))


class Best:
    """Scores a run's generator and keeps the best checkpoint by opt.score_by."""

    def __init__(self, opt):
        # The other kind of score needs another network's weights and doubles the time.
        by_distance = opt.score_by in DISTANCES
        self.folder = staged(os.path.join(opt.output, 'scoring'))   # removed after each score
        settings = Settings.of(opt, cache=self.folder, distance=by_distance, segmentation=not by_distance)
        if by_distance and (opt.score_by == 'fid') != (settings.dataset != OWN):
            raise InputError(f'score_by {opt.score_by}: an own network gives segmenter_frechet, the published ones '
                             'give fid: choose the other, or mean_iou')
        self.opt, self.evaluation, self.scores = opt, Evaluation(settings), {}   # scores: the newest

    def score(self, train_step, checkpoint, epoch):
        """Paint and score; copy the newest checkpoint, that of `epoch`, to output/best if it is better. Returns a line.

        The copy precedes the line in scores.jsonl. If killed in between, the epoch is scored again.
        """
        opt = self.opt
        pictures, best = os.path.join(self.folder, 'pics'), os.path.join(opt.output, 'best')
        style = 'random' if opt.reads_z else None
        remove(self.folder)   # left by a kill, perhaps with pictures of other samples
        draw(opt, train_step.painter, pictures, ['.png'], style, opt.batchSize)
        score = self.evaluation.score(pictures, style or 'none', checkpoint=opt.output, epoch=epoch,
                                      weights=train_step.painter.weights)
        self.scores = score.scores
        value, (before, difference) = score.scores[opt.score_by], self._before(score.protocol)
        sign = -1 if opt.score_by in DISTANCES else 1
        better = value is not None and (before is None or sign * value > sign * before)
        if better:
            if before is None:
                checkpoint.set_aside_best()
            checkpoint.keep('best', {SCORE: {'score_by': opt.score_by, **score.as_dict()}})
        score_log.append_score(os.path.join(opt.output, score_log.FILE), score)
        remove(self.folder)
        line = ', '.join(f'{name} {value:.4f}' for name, value in score.scores.items() if value is not None)
        if not score.is_low() and (score.part_of_ceiling or {}).get('mean_iou') is not None:
            line += f' ({score.part_of_ceiling["mean_iou"]:.1%} of the real photos\' mean IoU)'
        line += ''.join(f'; {warning}' for warning in score_log.warnings(score))
        if difference:
            line += f'; the earlier best has another protocol and cannot be compared ({difference})' + (
                ', and is kept under its epoch' if better else '')
        return f'scores after epoch {epoch}: {line}; ' + (f'new best: {best}' if better else f'{best} is unchanged')

    def _before(self, protocol):
        """(score of the best so far, None if it cannot be compared; the differences of its protocol, or '')."""
        path = os.path.join(self.opt.output, 'best', SCORE)
        try:
            best = score_log.from_dict(json_file.read(path, score_log.SCHEMA, 'remove its folder'))
        except FileNotFoundError:
            return None, ''
        difference = ', '.join(f'{name} {best.protocol.get(name)}, now {protocol.get(name)}'
                               for name in {**best.protocol, **protocol}
                               if best.protocol.get(name) != protocol.get(name))
        difference = re.sub(r'\b([0-9a-f]{8})[0-9a-f]{56}\b', r'\1', difference)   # of each digest the beginning
        return None if difference else best.scores.get(self.opt.score_by), difference
