"""Score a folder of pictures, from any model, against a validation set.

    python -m result.evaluate --pictures output_val/pics --dataset coco_stuff
    python -m result.evaluate --pictures ours/pics --reference theirs/pics --protocol full_size --dataset cityscapes
    python -m result.evaluate --pictures output_val/pics --dataset own --dataroot mine    (after result.train_segmenter)

Pictures are matched to the label maps by name. The scores, with all that they depend on, are printed and appended to
result/scores.jsonl. Interrupted, the same command goes on where it stopped.
"""
import argparse
import dataclasses
import datetime
import functools
import os

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import numpy

from dataset.files import find_samples
from log import score_log
from log.score_log import OF_THE_CEILING, Score
from model.init import OPT
from result import matching, own, reference
from result.measure import Features, Segmentation, prune
from result.protocols import DATASETS, OWN, PROTOCOLS, dataset_of
from result.scores import OTHER, frechet_distance, segmentation_scores
from runtime.errors import InputError, shown_in_one_line


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a score depends on beside the pictures; defaults are those of the command line."""
    dataset: str                   # a key of DATASETS, or OWN
    dataroot: str = None           # holds val_label and val_img; None: where the data set usually lies
    size: tuple = None             # (width, height) of the pictures; None: the data set's in the paper
    scoring: str = OPT().scoring   # folder of the scoring networks' weights
    first: int = None              # only so many label maps, by name
    protocol: str = 'spade'        # a key of PROTOCOLS
    statistics: str = 'val'        # what a Frechet distance compares with: photos of val or train, or an .npz file
    cache: str = 'result/cache/'   # folder of what was measured already
    batch: int = 4                 # pictures that go through a network together
    allow_missing: bool = False
    segmentation: bool = True      # whether to count pixels by class
    distance: bool = True          # whether to compute FID, or with an own network its Frechet distance

    def __post_init__(self):
        if self.batch < 1:
            raise InputError(f'--batch {self.batch}: must be at least 1')
        if self.dataset == OWN and not self.dataroot:
            raise InputError(f'--dataset {OWN}: name the set with --dataroot')
        if not (self.segmentation or self.distance):
            raise InputError('--no_segmentation and --no_fid leave nothing to score: leave one of them out')

    @classmethod
    def of(cls, opt, **choices):
        """Settings for what a model with the options `opt` paints, and `choices` among the others."""
        height, width = opt.picture_size
        dataset = OWN if own.scores(opt) else dataset_of(opt)
        return cls(dataset, opt.dataroot, (width, height), opt.scoring, opt.max_dataset_size, **choices)


class Evaluation:
    """Scores folders of pictures by the same Settings."""

    def __init__(self, settings):
        self.settings, self.protocol = settings, PROTOCOLS[settings.protocol]
        if settings.dataset == OWN:
            self.dataset, folder, self.trained = own.dataset(settings.dataroot, settings.scoring)
        else:
            self.dataset, folder, self.trained = DATASETS[settings.dataset], settings.scoring, None
        self.size = settings.size or self.dataset.size
        if self.trained and self.size != self.dataset.size:
            raise InputError('pictures {0}x{1}, but the network in {2} was trained for {3}x{4}: train one with '
                             'result.train_segmenter --size {0}x{1} --output DIR, and name it with --scoring'.format(
                                 *self.size, folder, *self.dataset.size))
        self.opt = OPT(label_nc=self.dataset.label_nc, no_instance=True,
                       dataroot=settings.dataroot or self.dataset.dataroot)
        if settings.first is not None:
            self.opt.max_dataset_size = settings.first
        self.segmentation = self.features = None
        if settings.segmentation:
            self.segmentation = Segmentation(self.dataset, self.protocol, folder, settings.cache, settings.batch,
                                             self.size if self.trained else None)
        if settings.distance:
            network, classes = ('segmenter', self.dataset.label_nc) if self.trained else ('inception', None)
            self.features = Features(folder, settings.cache, settings.batch, self.size, network, classes)
        self.frechet = 'segmenter_frechet' if self.trained else 'fid'
        photos = self.trained and settings.segmentation or settings.distance and settings.statistics == 'val'
        self.samples = find_samples(self.opt, 'val', photos)
        for part in (self.segmentation, self.features):
            if part is not None and not part.checksum:
                part.kind.load(folder)   # which says how to make the file
        if self.features and settings.statistics not in ('val', 'train'):
            self.reference = reference.read(settings.statistics, self.features.kind.features)
        self.real = {}     # pairs of photos and label maps -> their _segmentation_scores
        self.scored = {}   # folder -> [(matching.Picture, pixel accuracy or NaN)] of its last score

    def refuse_extra(self, folder):
        """InputError if `folder` already holds pictures that would be refused after hours of painting."""
        if not self.settings.allow_missing:
            matching.refuse_extra(folder, self.samples)

    def score(self, folder, style=None, **painter):
        """The Score of the pictures in `folder`; InputError for anything wrong with them.

        style: as in the protocol, None: not known; painter: what Score says of it: checkpoint, epoch, weights.
        """
        pictures = matching.matched(folder, self.samples, self.size, self.settings.allow_missing)
        if self.features and len(pictures) < 2:
            raise InputError(f'{folder}: FID compares distributions and needs two pictures at least, found '
                             f'{len(pictures)}: score more pictures, or leave FID out with --no_fid')
        scores, more, accuracies = {}, {}, [numpy.nan] * len(pictures)
        if self.segmentation:
            scores, class_iou, accuracies = self._segmentation_scores(
                [(picture.path, picture.label) for picture in pictures], 'segmentation')
            more = {'class_iou': class_iou}
            if self.trained:
                real, real_iou, _ = self.ceiling(pictures)
                more.update(real=_finite(real), real_class_iou=real_iou, part_of_ceiling=_finite(
                    {name: scores[name] / real[name] if real[name] else None for name in OF_THE_CEILING}))
        if self.features:
            known = self.reference
            found = reference.moments(self.features, [(picture.path,) for picture in pictures], 'features')
            scores[self.frechet] = frechet_distance(found.mean, found.covariance, known['mu'], known['sigma'])
        prune(self.settings.cache)
        self.scored[folder] = list(zip(pictures, accuracies))
        other = 'fid' if self.trained else 'segmenter_frechet'
        scores = _finite({name: scores.get(name) for name in score_log.SHOWN if name != other})
        return Score(scores, self.description(pictures, style), folder, **painter, **more,
                     date=datetime.datetime.now().astimezone().isoformat(timespec='seconds'))

    def ceiling(self, pictures):
        """_segmentation_scores of the real photos of these pictures, by the same network and protocol."""
        pairs = tuple((picture.photo, picture.label) for picture in pictures)
        if pairs not in self.real:
            self.real[pairs] = self._segmentation_scores(pairs, 'real photos')
        return self.real[pairs]

    def _segmentation_scores(self, pairs, title):
        """(scores, IoU of each class or None, pixel accuracy of each pair) of pairs (picture path, label path)."""
        total, accuracies = 0, []
        for counts in self.segmentation.counts(pairs, title):
            total = total + counts
            accuracies.append(segmentation_scores(counts)['pixel_accuracy'])
        scores = segmentation_scores(total, self.protocol.void_counted, self.dataset.mean_iou_over)
        return scores, [None if numpy.isnan(iou) else float(iou) for iou in scores.pop('class_iou')], accuracies

    def description(self, pictures, style):
        """dict: all that the scores of these pictures depend on."""
        width, height = self.size
        found = {'name': self.settings.protocol, 'dataset': self.settings.dataset, 'number_of_pictures': len(pictures),
                 'missing_pictures': len(self.samples) - len(pictures), 'picture_size': f'{width}x{height}',
                 'style': style,
                 'encoding': ', '.join(sorted({os.path.splitext(picture.path)[1][1:].lower() for picture in pictures}))}
        if self.segmentation:
            full, rule = self.protocol.full_size, self.dataset.mean_iou_over
            found.update(network=self.segmentation.kind.title, network_sha256=self.segmentation.checksum,
                         network_sees='picture enlarged to the label (bilinear)' if full else 'picture as it is',
                         scales=self.segmentation.kind.scales,
                         label_size="the label's own" if full else f'{width}x{height} (nearest)',
                         void='counted as wrong' if self.protocol.void_counted else 'ignored',
                         mean_iou_over=rule, mean_iou_other_over=OTHER[rule])
        if self.trained:
            found.update(name='own' if self.settings.protocol == 'spade' else f'own, {self.settings.protocol}',
                         network_trained_on=f'{self.trained["train"]} (validation {self.trained["val"]})')
        if self.features:
            found.update({f'{self.frechet}_network': self.features.kind.title,
                          f'{self.frechet}_network_sha256': self.features.checksum,
                          f'{self.frechet}_reference': self.reference['what']})
        return found

    @functools.cached_property
    def reference(self):
        """dict as reference.read gives it: what a Frechet distance compares with."""
        split = self.settings.statistics
        samples = self.samples if split == 'val' else find_samples(self.opt, split)
        return reference.of_photos(self.features, samples, split, self.settings.dataset)


def _finite(scores):
    """The scores, None for what was not counted: pictures of unlabelled pixels alone have none."""
    return {name: value if value is not None and numpy.isfinite(value) else None for name, value in scores.items()}


# ---- The command line

def size_of(text):
    """(width, height) of '256x256'."""
    try:
        width, height = map(int, text.lower().split('x'))
        if min(width, height) > 0:
            return width, height
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f'found {text!r}, expected WIDTHxHEIGHT, such as 256x256')


def add_settings(parser):
    """The flags that say how to score."""
    parser.add_argument('--protocol', choices=PROTOCOLS, default=Settings.protocol, help='sizes and void pixels, see '
                        'docs/scores.md [spade]')
    parser.add_argument('--statistics', default=Settings.statistics, metavar='val|train|FILE', help='what FID compares '
                        'with: the photos of val_img or train_img, or an .npz file of mu and sigma [val]')
    parser.add_argument('--cache', default=Settings.cache, metavar='DIR',
                        help='what was measured already [result/cache/]')
    parser.add_argument('--scores', default='result/scores.jsonl', metavar='FILE', help='results are appended here '
                        '[result/scores.jsonl]')
    parser.add_argument('--allow-missing', action='store_true', help='score what is there, and say what is not')
    parser.add_argument('--no_fid', dest='distance', action='store_false',
                        help='segmentation scores only, no Frechet distance')
    parser.add_argument('--no_segmentation', dest='segmentation', action='store_false',
                        help='FID (or Frechet distance) only')


def chosen(arguments):
    """dict: the settings that flags of `add_settings` have named."""
    names = 'protocol', 'statistics', 'cache', 'allow_missing', 'segmentation', 'distance'
    return {name: getattr(arguments, name) for name in names if name in arguments}


def command_line(description):
    """Parser of the flags that name pictures and data set, and of those that say how to score."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(2, f'error: {message}; --help lists all\n')
    parser.add_argument('--pictures', required=True, metavar='DIR', help='the pictures, named like the label maps')
    parser.add_argument('--reference', metavar='DIR', help="another system's pictures, scored beside them")
    parser.add_argument('--dataset', required=True, choices=[*DATASETS, OWN],
                        help=f'classes, segmentation network and picture size; {OWN}: those of result.train_segmenter')
    parser.add_argument('--dataroot', metavar='DIR',
                        help='folder that holds val_label and val_img [dataset/<dataset>/]')
    parser.add_argument('--size', type=size_of, metavar='WxH',
                        help="size of the pictures [the data set's in the paper]")
    parser.add_argument('--batch', type=int, default=Settings.batch, help='pictures that go through a network together '
                        f'[{Settings.batch}]')
    parser.add_argument('--checkpoint', metavar='TEXT', help='what painted the pictures, for the result (result.sheet '
                        'shows the options of a folder)')
    parser.add_argument('--scoring', '--weights', default=Settings.scoring, metavar='DIR', help='folder of the scoring '
                        f'networks\' weights [result/; with --dataset {OWN} first {own.FOLDER}/ in the set]')
    add_settings(parser)
    return parser


def scored(arguments):
    """(Evaluation, the Scores of --pictures and --reference, which are appended to --scores).

    InputError if that holds anything but scores.
    """
    score_log.read(arguments.scores)
    evaluation = Evaluation(Settings(arguments.dataset, arguments.dataroot, arguments.size, arguments.scoring,
                                     batch=arguments.batch, **chosen(arguments)))
    scores = [evaluation.score(arguments.pictures, checkpoint=arguments.checkpoint)]
    if arguments.reference:
        scores.append(evaluation.score(arguments.reference))
    for score in scores:
        score_log.append_score(arguments.scores, score)
    return evaluation, scores


def main():
    arguments = command_line(__doc__).parse_args()
    device.use_best_device()
    evaluation, scores = scored(arguments)
    print(score_log.table(scores))
    if scores[0].real:
        print(score_log.class_table(evaluation.dataset.names, scores[0]))


if __name__ == '__main__':
    with shown_in_one_line():
        main()
