"""Scores while training: every score_epoch_freq epochs the validation set is painted and scored, and the best is kept."""
import argparse
import json
import os
import shutil

from model.errors import InputError
from model.writing import writing
from result.draw import draw
from result.evaluate import BATCH, Evaluation, add_settings, append
from result.protocols import dataset_of

LOWER_IS_BETTER = ('fid',)
SCORES = 'scores.jsonl'  # in the folder of the run


def settings_for(opt, arguments):
    """Settings of an Evaluation of what `opt` paints: the flags in `arguments`, and what the options say."""
    height, width = opt.picture_size
    return argparse.Namespace(**{**vars(arguments), 'dataset': dataset_of(opt), 'dataroot': opt.dataroot, 'size': (width, height),
                                 'batch': BATCH, 'weights': arguments.weights or opt.scoring})


def score_is_due(opt, epoch):
    """Whether this epoch is one to score, and opt.output/scores.jsonl does not have it yet."""
    if not opt.score_epoch_freq or epoch % opt.score_epoch_freq:
        return False
    try:
        with open(os.path.join(opt.output, SCORES)) as file:
            return not any(json.loads(line)['checkpoint'].startswith(f'epoch {epoch} of ') for line in file)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f'{os.path.join(opt.output, SCORES)}: cannot be read: {error}: move it away') from None


class Best:
    """Scores a training's generator, and keeps the best by opt.score_by in output/best, with its score."""

    def __init__(self, opt):
        flags = argparse.ArgumentParser()
        add_settings(flags)
        settings = settings_for(opt, flags.parse_args(['--weights', opt.scoring, '--cache', os.path.join(opt.output, 'scoring')]))
        # The other kind of score needs another network's weights, and as much time again.
        settings.no_fid, settings.no_segmentation = opt.score_by != 'fid', opt.score_by == 'fid'
        self.opt, self.evaluation = opt, Evaluation(settings, opt.max_dataset_size)

    def score(self, train_step, checkpoint, epoch):
        """Paint, score and, if it is the best so far, keep the newest checkpoint, which must be that of `epoch`; what to say.

        The weights are kept before the score counts: after a kill in between it is made again, and finds itself kept.
        """
        opt = self.opt
        folder = os.path.join(opt.output, 'scoring')
        pictures = os.path.join(folder, 'pics')
        style = 'random' if opt.use_vae else None
        draw(opt, train_step.painter, pictures, ['.png'], style, opt.batchSize)
        line = self.evaluation.score(pictures, f'epoch {epoch} of {opt.output}', style or 'none')
        found, before = line['scores'][opt.score_by], self._before(line['protocol'])
        better = found is not None and (before is None or (found < before if opt.score_by in LOWER_IS_BETTER else found > before))
        if better:
            checkpoint.keep('best', {'score.json': {'score_by': opt.score_by, **line}})
        self._count(line)
        shutil.rmtree(folder)   # the next epoch's pictures are others
        shown = ', '.join(f'{name} {value:.4f}' for name, value in line['scores'].items() if value is not None)
        best = os.path.join(opt.output, 'best')
        return f'scores after epoch {epoch}: {shown}; ' + (f'kept in {best}' if better else f'{best} stays')

    def _count(self, line):
        """Add the line to the run's scores, in one act: half a line would say that nothing can be read."""
        path = os.path.join(self.opt.output, SCORES)
        with writing(path, left='the scores before it stay') as unfinished:
            if os.path.exists(path):
                shutil.copyfile(path, unfinished)
            append(unfinished, line)

    def _before(self, protocol):
        """The score of what is kept; None if there is nothing, or scored by another protocol."""
        path = os.path.join(self.opt.output, 'best', 'score.json')
        try:
            with open(path) as file:
                kept = json.load(file)
            return kept['scores'][self.opt.score_by] if kept['protocol'] == protocol else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{path}: cannot be read: {error}: remove its folder') from None
