"""Scores while training: every score_epoch_freq epochs the validation set is painted and scored; the best is kept."""
import os

from log import score_log
from output.draw import draw
from result.evaluate import Evaluation, Settings
from result.protocols import OWN
from runtime import json_file
from runtime.errors import InputError
from runtime.writing import remove, staged

DISTANCES = 'fid', 'segmenter_frechet'   # scores that are better when lower
SCORE = 'score.json'    # in the folder of the best weights: their score


def score_is_due(opt, epoch):
    """Whether this epoch is one to score, and opt.output/scores.jsonl does not have it yet."""
    return bool(opt.score_epoch_freq) and epoch % opt.score_epoch_freq == 0 and not any(
        score.epoch == epoch for score in score_log.read(os.path.join(opt.output, score_log.FILE)))


class Best:
    """Scores a training's generator, and keeps the best by opt.score_by in output/best, with its score."""

    def __init__(self, opt):
        # The other kind of score needs another network's weights, and as much time again.
        by_distance = opt.score_by in DISTANCES
        self.folder = staged(os.path.join(opt.output, 'scoring'))   # ours alone: it is removed whole
        settings = Settings.of(opt, cache=self.folder, distance=by_distance, segmentation=not by_distance)
        if by_distance and (opt.score_by == 'fid') != (settings.dataset != OWN):
            raise InputError(f'score_by {opt.score_by}: an own network gives segmenter_frechet, the published ones '
                             'fid; name the other, or mean_iou')
        self.opt, self.evaluation, self.scores = opt, Evaluation(settings), {}   # scores: the last ones

    def score(self, train_step, checkpoint, epoch):
        """Paint, score and, if it is the best so far, keep the newest checkpoint, that of `epoch`; returns a line.

        The weights are kept before the score is appended: if killed in between, the epoch is scored again.
        """
        opt = self.opt
        pictures, best = os.path.join(self.folder, 'pics'), os.path.join(opt.output, 'best')
        style = 'random' if opt.use_vae else None
        remove(self.folder)   # of a kill, perhaps of other samples
        draw(opt, train_step.painter, pictures, ['.png'], style, opt.batchSize)
        score = self.evaluation.score(pictures, style or 'none', checkpoint=opt.output, epoch=epoch,
                                      weights=train_step.painter.weights)
        self.scores = score.scores
        found, (before, other) = score.scores[opt.score_by], self._before(score.protocol)
        sign = -1 if opt.score_by in DISTANCES else 1
        better = found is not None and (before is None or sign * found > sign * before)
        if better:
            checkpoint.keep('best', {SCORE: {'score_by': opt.score_by, **score.as_dict()}})
        score_log.append_score(os.path.join(opt.output, score_log.FILE), score)
        remove(self.folder)   # the next epoch's pictures are others
        shown = ', '.join(f'{name} {value:.4f}' for name, value in score.scores.items() if value is not None)
        if score.part_of_ceiling and score.part_of_ceiling['mean_iou'] is not None:
            shown += f' ({score.part_of_ceiling["mean_iou"]:.1%} of what real photos get)'
        if score_log.warning(score.class_iou):
            shown += f'; {score_log.warning(score.class_iou)}'
        if other:
            shown += f'; not compared with what was kept before, which was scored otherwise ({other})'
        return f'scores after epoch {epoch}: {shown}; ' + (f'kept in {best}' if better else f'{best} stays')

    def _before(self, protocol):
        """(score of the best before, None if none compares; in words how its protocol differs)."""
        path = os.path.join(self.opt.output, 'best', SCORE)
        try:
            kept = score_log.from_dict(json_file.read(path, score_log.SCHEMA, 'remove its folder'))
        except FileNotFoundError:
            return None, ''
        differs = [f'{name} {kept.protocol.get(name)}, now {protocol.get(name)}'
                   for name in {**kept.protocol, **protocol} if kept.protocol.get(name) != protocol.get(name)]
        return (None, ', '.join(differs)) if differs else (kept.scores.get(self.opt.score_by), '')
