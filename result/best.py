"""Scores while training: every score_epoch_freq epochs the validation set is painted and scored, and the best is kept."""
import argparse
import json
import os
import shutil

from output.draw import draw
from result import own
from result.evaluate import BATCH, Evaluation, add_settings, append
from result.protocols import OWN, dataset_of
from runtime.errors import InputError
from runtime.writing import writing

DISTANCES = 'fid', 'segmenter_frechet'   # scores that are better when lower
SCORES = 'scores.jsonl'  # in the folder of the run


def settings_for(opt, arguments):
    """Settings of an Evaluation of what `opt` paints: the flags in `arguments`, and what the options say.

    Unless opt.dataset names another, a network that was trained for this very set (result.train_segmenter) goes first.
    """
    height, width = opt.picture_size
    common = {**vars(arguments), 'dataroot': opt.dataroot, 'size': (width, height), 'batch': BATCH, 'weights': opt.scoring}
    if opt.dataset != OWN and (opt.dataset or not own.folder_of(opt.dataroot, opt.scoring)):
        return argparse.Namespace(**{**common, 'dataset': dataset_of(opt)})
    label_nc = own.description(opt.dataroot, opt.scoring)[1]['label_nc']
    if label_nc != opt.label_nc:
        raise InputError(f'label_nc {opt.label_nc}: the scoring network of {opt.dataroot} was trained for {label_nc} classes: '
                         f'train it again with result.train_segmenter --label_nc {opt.label_nc} --restart, or leave scoring out')
    return argparse.Namespace(**{**common, 'dataset': OWN})


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
        settings = settings_for(opt, flags.parse_args(['--cache', os.path.join(opt.output, 'scoring')]))
        # The other kind of score needs another network's weights, and as much time again.
        settings.no_fid, settings.no_segmentation = opt.score_by not in DISTANCES, opt.score_by in DISTANCES
        if opt.score_by in DISTANCES and (opt.score_by == 'fid') != (settings.dataset != OWN):
            raise InputError(f'score_by {opt.score_by}: the network of one\'s own set gives segmenter_frechet, the published '
                             'ones fid; name the other, or mean_iou')
        self.opt, self.evaluation, self.scores = opt, Evaluation(settings, opt.max_dataset_size), {}   # scores: the last ones

    def score(self, train_step, checkpoint, epoch):
        """Paint, score and, if it is the best so far, keep the newest checkpoint, which must be that of `epoch`; what to say.

        The weights are kept before the score counts: after a kill in between it is made again, and finds itself kept.
        """
        opt = self.opt
        folder = os.path.join(opt.output, 'scoring')
        pictures = os.path.join(folder, 'pics')
        style = 'random' if opt.use_vae else None
        shutil.rmtree(folder, ignore_errors=True)   # of a kill, perhaps of other samples
        draw(opt, train_step.painter, pictures, ['.png'], style, opt.batchSize)
        line = {**self.evaluation.score(pictures, f'epoch {epoch} of {opt.output}', style or 'none'),
                'weights': train_step.painter.weights}
        self.scores = line['scores']
        found, (before, other) = line['scores'][opt.score_by], self._before(line['protocol'])
        better = found is not None and (before is None or (found < before if opt.score_by in DISTANCES else found > before))
        if better:
            checkpoint.keep('best', {'score.json': {'score_by': opt.score_by, **line}})
        self._count(line)
        shutil.rmtree(folder)   # the next epoch's pictures are others
        shown = ', '.join(f'{name} {value:.4f}' for name, value in line['scores'].items() if value is not None)
        best = os.path.join(opt.output, 'best')
        if line.get('part_of_ceiling', {}).get('mean_iou') is not None:
            shown += f' ({line["part_of_ceiling"]["mean_iou"]:.1%} of what real photos get)'
        if other:
            shown += f'; not compared with what was kept before, which was scored otherwise ({other})'
        return f'scores after epoch {epoch}: {shown}; ' + (f'kept in {best}' if better else f'{best} stays')

    def _count(self, line):
        """Add the line to the run's scores, in one act: half a line would say that nothing can be read."""
        path = os.path.join(self.opt.output, SCORES)
        with writing(path, left='the scores before it stay') as unfinished:
            if os.path.exists(path):
                shutil.copyfile(path, unfinished)
            append(unfinished, line)

    def _before(self, protocol):
        """(score of what is kept, None if it is none that compares; in words how its protocol, or its network, differs)."""
        path = os.path.join(self.opt.output, 'best', 'score.json')
        try:
            with open(path) as file:
                kept = json.load(file)
            differs = [f'{name} {kept["protocol"].get(name)}, now {protocol.get(name)}' for name in {**kept['protocol'], **protocol}
                       if kept['protocol'].get(name) != protocol.get(name)]
            return (None, ', '.join(differs)) if differs else (kept['scores'][self.opt.score_by], '')
        except FileNotFoundError:
            return None, ''
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{path}: cannot be read: {error}: remove its folder') from None
