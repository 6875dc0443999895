"""Score a folder of pictures, from any model, against a validation set.

    python -m result.evaluate --pictures output_val/pics --dataset coco_stuff
    python -m result.evaluate --pictures ours/pics --reference theirs/pics --protocol full_size --dataset cityscapes
    python -m result.evaluate --pictures output_val/pics --dataset own --dataroot mine    (after result.train_segmenter)

Pictures are matched to label maps by name. Scores are printed, and appended to result/scores.jsonl with all that they
depend on. After an interruption the same command resumes.
"""
import argparse
import dataclasses
import datetime
import functools
import os

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import numpy as np

from dataset.files import find_samples
from dataset.label_map import read_map
from log import score_log
from log.score_log import OF_THE_CEILING, Score
from model.command_line import Help, Parser
from model.init import OPT
from output import painted
from result import matching, reference
from result.cache import prune
from result.measure import Features, Segmentation
from result.own import real_photos, scoring_network
from result.protocols import DATASETS, OWN, PROTOCOLS, dataset_of
from result.scores import OTHER, frechet_distance, or_none, segmentation_scores
from runtime.errors import InputError, shown_in_one_line

MIDDLE = 'middle'   # the middle window at native resolution: pictures of a model with preprocess_mode crop


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a score depends on besides the pictures; a flag sets the field of its name."""
    dataset: str                   # a key of DATASETS, or OWN
    dataroot: str = None           # holds val_label and val_img; None: the data set's usual folder
    size: tuple = None             # (width, height) of the pictures; None: as in the paper
    scoring: str = OPT().scoring   # folder of the scoring networks' weights
    first: int = None              # number of label maps, the first by name; None: all
    protocol: str = 'spade'        # a key of PROTOCOLS
    statistics: str = 'val'        # the Frechet distance's reference: photos of val or train, or an .npz file
    cache: str = 'result/cache/'   # folder of measured pictures
    batch: int = 4                 # pictures in one forward pass
    allow_missing: bool = False
    segmentation: bool = True      # compute segmentation scores
    distance: bool = True          # compute FID, or the Frechet distance of an own network
    region: str = 'whole'          # what a picture shows of its label map and photo: the whole, or MIDDLE

    def __post_init__(self):
        if self.batch < 1:
            raise InputError(f'--batch {self.batch}: must be at least 1')
        if self.dataset == OWN and not self.dataroot:
            raise InputError(f'--dataset {OWN}: name the set with --dataroot')
        if not (self.segmentation or self.distance):
            raise InputError('--no_segmentation and --no_fid leave nothing to score: omit one of them')

    @classmethod
    def of(cls, opt, **choices):
        """Settings for pictures of a model with the options `opt`; `choices` are other fields."""
        return cls(**{**choices, 'dataset': OWN if scoring_network.scores(opt) else dataset_of(opt),
                      'dataroot': opt.dataroot, 'size': _picture_size(opt), 'scoring': opt.scoring,
                      'first': opt.max_dataset_size, 'region': MIDDLE if opt.shows_middle else cls.region})


def _picture_size(opt):
    """(width, height) of the pictures of the validation set; InputError if they are of several."""
    if opt.size != 'map':
        return opt.painted_size(opt.picture_size)[::-1]
    sizes = sorted({read_map(sample.label).ids.shape[::-1] for sample in find_samples(opt, 'val', photos=False)})
    if len(sizes) > 1:
        raise InputError('--size map: scores are of pictures of one size, but the label maps have {} sizes, from '
                         '{}x{} to {}x{}: name one, such as --size 256x256'.format(len(sizes), *sizes[0], *sizes[-1]))
    return sizes[0]


class Evaluation:
    """Scores folders of pictures by the same Settings."""

    def __init__(self, settings):
        self.settings, self.protocol = settings, PROTOCOLS[settings.protocol]
        if settings.dataset == OWN:
            self.dataset, folder, self.trained = scoring_network.dataset(settings.dataroot, settings.scoring)
        else:
            self.dataset, folder, self.trained = DATASETS[settings.dataset], settings.scoring, None
        self.size = settings.size or self.dataset.size
        self.opt = OPT(label_nc=self.dataset.label_nc, no_instance=True,
                       dataroot=settings.dataroot or self.dataset.dataroot)
        if settings.first is not None:
            self.opt.max_dataset_size = settings.first
        photos = self.trained and settings.segmentation or settings.distance and settings.statistics == 'val'
        self.samples = find_samples(self.opt, 'val', photos)
        native = bool(self.trained and self.trained.get('native'))
        # Maps of the picture's size have no other window: their scores compare with those of any model.
        other_sizes = (native or settings.region == MIDDLE) and any(
            read_map(sample.label).ids.shape[::-1] != self.size for sample in self.samples)
        self.middle = other_sizes and settings.region == MIDDLE
        if self.trained and self.size != self.dataset.size and (not native or other_sizes and not self.middle):
            raise InputError('pictures {0}x{1}, but the network in {2} was trained for {3}x{4}: train one with '
                             'python -m result.train_segmenter --dataroot {5} --size {0}x{1} --output DIR, and name it '
                             'with --scoring'.format(*self.size, folder, *self.dataset.size, settings.dataroot))
        if self.trained and self.middle and not native:
            print(f'{folder}: its network was trained on whole photos, resized, and scores windows of them, at another '
                  'scale: result.train_segmenter --native trains one for windows')
        if self.middle and self.protocol.full_size:
            raise InputError(f'--protocol {settings.protocol}: enlarges pictures to the whole label map, but those of '
                             'a model with preprocess_mode crop show its middle window: use --protocol spade')
        self.segmentation = self.features = None
        if settings.segmentation:
            self.segmentation = Segmentation(self.dataset, self.protocol, folder, settings.cache, settings.batch,
                                             self.size if self.trained or self.middle else None, self.middle)
        if settings.distance:
            network, classes = ('segmenter', self.dataset.label_nc) if self.trained else ('inception', None)
            self.features = Features(folder, settings.cache, settings.batch, self.size, network, classes, self.middle)
            if settings.statistics not in ('val', 'train'):
                self.reference = reference.read(settings.statistics, self.features.kind.features)
        self.frechet = 'segmenter_frechet' if self.trained else 'fid'
        self.real = {}     # pairs of photos and label maps -> (scores, IoU of each class or None)
        self.scored = {}   # folder -> [(matching.Picture, pixel accuracy or NaN)] of its last score

    def score(self, folder, style=None, **painter):
        """The Score of the pictures in `folder`; InputError if they cannot be scored.

        style: as in the protocol; None: unknown. painter: the fields checkpoint, epoch and weights of the Score.
        """
        pictures = matching.matched(folder, self.samples, self.size, self.settings.allow_missing)
        distance = self.features and len(pictures) > 1
        if self.features and not distance:
            few = f'{folder}: a Frechet distance (FID) compares distributions and needs at least two pictures, found ' \
                  f'{len(pictures)}'
            if not self.segmentation:
                raise InputError(f'{few}: score more pictures, or leave --no_segmentation out')
            print(f'{few}: it is left out')
        scores, fields, accuracies = {}, {}, [np.nan] * len(pictures)
        if self.segmentation:
            scores, fields['class_iou'], accuracies = self._segmentation_scores(
                [(picture.path, picture.label) for picture in pictures], 'segmentation')
        if distance:
            known = self.reference
            moments = reference.moments(self.features, [(picture.path,) for picture in pictures], 'features')
            scores[self.frechet] = frechet_distance(moments.mean, moments.covariance, known['mu'], known['sigma'])
        if self.trained:
            real, fields['real_class_iou'] = self._ceiling(pictures, distance)
            part = {name: scores[name] / real[name] if real[name] else None for name in OF_THE_CEILING if name in real}
            fields.update(real=_finite(real), part_of_ceiling=_finite(part),
                          network_mean_iou=self.trained['ceiling']['mean_iou'])
        prune(self.settings.cache)
        self.scored[folder] = list(zip(pictures, accuracies))
        absent = 'fid' if self.trained else 'segmenter_frechet'
        scores = _finite({name: scores.get(name) for name in score_log.SHOWN if name != absent})
        return Score(scores, self._description(pictures, style), folder, **painter, **fields,
                     date=datetime.datetime.now().astimezone().isoformat(timespec='seconds'))

    def _ceiling(self, pictures, distance):
        """(scores, IoU of each class or None) of the real photos of these pictures, by the same network and protocol.

        distance: add that between two sets of as many real photos, if there are as many training photos.
        """
        pairs = tuple((picture.photo, picture.label) for picture in pictures)
        if pairs not in self.real:
            scores, class_iou = {}, None
            if self.segmentation:
                scores, class_iou, _ = self._segmentation_scores(pairs, 'real photos')
            if distance and self.settings.statistics == 'val':
                apart = real_photos.real_distance(self.features, self.opt, pictures)
                scores.update({} if apart is None else {self.frechet: apart})
            self.real[pairs] = scores, class_iou
        return self.real[pairs]

    def _segmentation_scores(self, pairs, title):
        """(scores, IoU of each class or None, pixel accuracy of each pair) of pairs (picture path, label path)."""
        total, accuracies = 0, []
        for counts in self.segmentation.counts(pairs, title):
            total = total + counts
            accuracies.append(segmentation_scores(counts)['pixel_accuracy'])
        scores = segmentation_scores(total, self.protocol.void_counted, self.dataset.mean_iou_over)
        return scores, list(map(or_none, scores.pop('class_iou'))), accuracies

    def _description(self, pictures, style):
        """dict: all that the scores of these pictures depend on."""
        size = '{}x{}'.format(*self.size)
        described = {'name': self.settings.protocol, 'dataset': self.settings.dataset,
                     'number_of_pictures': len(pictures), 'missing_pictures': len(self.samples) - len(pictures),
                     'picture_size': size, 'style': style,
                     'encoding': ', '.join(sorted({os.path.splitext(each.path)[1][1:].lower() for each in pictures}))}
        if self.segmentation:
            full, rule = self.protocol.full_size, self.dataset.mean_iou_over
            cut = 'middle window' if self.middle else 'nearest'
            described.update(
                network=self.segmentation.kind.title, network_sha256=self.segmentation.checksum,
                network_sees='picture enlarged to the label (bilinear)' if full else 'picture as it is',
                scales=self.segmentation.kind.scales, label_size="the label's own" if full else f'{size} ({cut})',
                void='counted as wrong' if self.protocol.void_counted else 'ignored',
                mean_iou_over=rule, mean_iou_other_over=OTHER[rule])
        if self.trained:
            described.update(name='own' if self.settings.protocol == 'spade' else f'own, {self.settings.protocol}',
                             network_trained_on=f'{self.trained["train"]} (validation {self.trained["val"]})')
            if self.trained['maps'] != self.trained['val']:
                described['label_maps'] = self.trained['maps']   # of another set
        if self.features and len(pictures) > 1:
            described.update({f'{self.frechet}_network': self.features.kind.title,
                              f'{self.frechet}_network_sha256': self.features.checksum,
                              f'{self.frechet}_reference': self.reference['what']})
        return described

    @functools.cached_property
    def reference(self):
        """The Frechet distance's reference, a dict as from reference.read."""
        split = self.settings.statistics
        samples = self.samples if split == 'val' else find_samples(self.opt, split)
        return reference.of_photos(self.features, samples, split, self.settings.dataset)


def _finite(scores):
    """`scores` with None for undefined ones, as of pictures without labelled pixels."""
    return {name: or_none(value) for name, value in scores.items()}


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
    """Add the flags that choose how to score."""
    parser.add_argument('--protocol', choices=PROTOCOLS, default=Settings.protocol,
                        help='picture size and void pixels, see docs/scores.md [spade]')
    parser.add_argument('--statistics', default=Settings.statistics, metavar='val|train|FILE', help='reference of FID: '
                        'the photos of val_img or train_img, or an .npz file of mu and sigma [val]')
    parser.add_argument('--cache', default=Settings.cache, metavar='DIR', help='measured pictures [result/cache/]')
    parser.add_argument('--scores', default='result/scores.jsonl', metavar='FILE',
                        help='append the scores to this file [result/scores.jsonl]')
    parser.add_argument('--allow-missing', action='store_true', default=False,
                        help='score the pictures that match, and list the rest')
    parser.add_argument('--no_fid', dest='distance', action='store_false', help='skip FID and the Frechet distance')
    parser.add_argument('--no_segmentation', dest='segmentation', action='store_false',
                        help='skip the segmentation scores')


def chosen(arguments):
    """dict: fields of Settings that the command line has."""
    names = [field.name for field in dataclasses.fields(Settings) if field.name in arguments]
    return {name: getattr(arguments, name) for name in names}


def command_line(description):
    """Parser of the flags for pictures, data set and Settings."""
    parser = Parser(description=description, formatter_class=Help)
    parser.add_argument('--pictures', required=True, metavar='DIR', help='pictures, named like the label maps')
    parser.add_argument('--reference', metavar='DIR', help="another system's pictures, for comparison")
    parser.add_argument('--dataset', required=True, choices=[*DATASETS, OWN],
                        help=f'classes, segmentation network and picture size; {OWN}: those of result.train_segmenter')
    parser.add_argument('--dataroot', metavar='DIR', help='folder of val_label and val_img [dataset/<dataset>/]')
    parser.add_argument('--size', type=size_of, metavar='WxH', help='size of the pictures [as in the paper]')
    parser.add_argument('--batch', type=int, default=Settings.batch, metavar='INT',
                        help=f'pictures in one forward pass [{Settings.batch}]')
    parser.add_argument('--checkpoint', metavar='TEXT', help='checkpoint of the pictures, for the record (result.sheet '
                        'shows the options of a folder)')
    parser.add_argument('--scoring', '--weights', default=Settings.scoring, metavar='DIR',
                        help="folder of the scoring networks' weights [result/; with --dataset "
                             f'{OWN} first {scoring_network.FOLDER}/ in the set]')
    add_settings(parser)
    return parser


def scored(arguments):
    """(Evaluation, [Score]) of --pictures and --reference; the scores are appended to --scores."""
    score_log.read(arguments.scores)   # raises InputError for another kind of file before hours of measuring
    region = (painted.read(arguments.pictures) or {}).get('region', Settings.region)
    evaluation = Evaluation(Settings(**chosen(arguments), region=region))
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
    print(score_log.table(scores, evaluation.dataset.names))


if __name__ == '__main__':
    with shown_in_one_line('stopped: the same command goes on after the last measured picture'):
        main()
