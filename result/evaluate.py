"""Score a folder of pictures, by whatever they were painted, against a validation set.

    python -m result.evaluate --pictures output_val/pics --dataset coco_stuff
    python -m result.evaluate --pictures ours/pics --reference theirs/pics --protocol full_size --dataset cityscapes
    python -m result.evaluate --pictures output_val/pics --dataset own --dataroot mine     (result.train_segmenter before it)

Pictures are matched to the label maps by name. The scores, with all that they depend on, are printed and appended to
result/scores.jsonl. Interrupted, the same command goes on where it stopped.
"""
import argparse
import datetime
import json
import os

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import numpy

from dataset.files import find_samples
from model.init import OPT
from result import matching, own, reference
from result.measure import Features, Segmentation
from result.protocols import DATASETS, OWN, PROTOCOLS
from result.scores import frechet_distance, segmentation_scores
from runtime.errors import InputError, shown_in_one_line

SHOWN = {'pixel_accuracy': 'pixel accuracy', 'mean_accuracy': 'mean accuracy', 'mean_iou': 'mean IoU',
         'frequency_weighted_iou': 'frequency-weighted IoU', 'fid': 'FID',
         'segmenter_frechet': "Frechet distance (own network's features)"}
OF_THE_CEILING = 'pixel_accuracy', 'mean_iou'   # scores that are also told as parts of those of real photos
BATCH = 4  # pictures that go through a network together


class Evaluation:
    """Scores folders of pictures by one protocol; settings as on the command line. first: only so many samples, by name."""

    def __init__(self, settings, first=None):
        self.settings = settings
        if settings.batch < 1:
            raise InputError(f'--batch {settings.batch}: must be at least 1')
        self.protocol, self.weights = PROTOCOLS[settings.protocol], settings.weights
        if settings.dataset == OWN:
            if not settings.dataroot:
                raise InputError(f'--dataset {OWN}: name the set with --dataroot')
            self.dataset, self.weights, self.trained = own.dataset(settings.dataroot, settings.weights)
        else:
            self.dataset, self.trained = DATASETS[settings.dataset], None
        self.dataroot = settings.dataroot or self.dataset.dataroot
        self.size = settings.size or self.dataset.size
        if self.trained and self.size != self.dataset.size:
            raise InputError('pictures {}x{}, but the network in {} was trained for {}x{}: train one with result.train_segmenter '
                             '--size {}x{} --output DIR, and name it with --scoring'.format(
                                 *self.size, self.weights, *self.dataset.size, *self.size))
        self.opt = OPT(label_nc=self.dataset.label_nc, no_instance=True, dataroot=self.dataroot)
        if first is not None:
            self.opt.max_dataset_size = first
        self.samples = find_samples(self.opt, 'val', photos=False)
        self.segmentation = None if settings.no_segmentation else Segmentation(
            self.dataset, self.protocol, self.weights, settings.cache, settings.batch, self.size if self.trained else None)
        network, classes = ('segmenter', self.dataset.label_nc) if self.trained else ('inception', None)
        self.features = None if settings.no_fid else Features(
            self.weights, settings.cache, settings.batch, self.size, network, classes)
        self.distance = 'segmenter_frechet' if self.trained else 'fid'
        for part in (self.segmentation, self.features):
            if part is not None and not part.checksum:
                part.kind.load(self.weights)   # which says how to make the file
        if not (self.segmentation or self.features):
            raise InputError('--no_segmentation and --no_fid leave nothing to score: leave one of them out')
        self.statistics, self.real = None, {}
        self.scored = {}   # folder -> [(matching.Picture, pixel accuracy or NaN)] of its last score

    def refuse_extra(self, folder):
        """InputError if `folder` already holds pictures that would be refused after hours of painting."""
        if not self.settings.allow_missing:
            matching.refuse_extra(folder, self.samples)

    def score(self, folder, checkpoint=None, style=None):
        """One line of scores.jsonl, a dict, for the pictures in `folder`; InputError for anything wrong with them."""
        pictures, problems = matching.matched(folder, self.samples, self.size, self.settings.allow_missing)
        for text in problems:
            print(f'left out: {text}')
        if self.features and len(pictures) < 2:
            raise InputError(f'{folder}: FID compares distributions and needs two pictures at least, found {len(pictures)}: '
                             'score more pictures, or leave FID out with --no_fid')
        scores, class_iou, more, accuracies = {}, None, {}, [numpy.nan] * len(pictures)
        if self.segmentation:
            pairs = [(picture.path, picture.label) for picture in pictures]
            scores, class_iou, accuracies = self._segmentation_scores(pairs, 'segmentation')
            if self.trained:
                real, real_iou, _ = self.ceiling(pictures)
                more = {'real': {name: _finite(value) for name, value in real.items()}, 'real_class_iou': real_iou,
                        'part_of_ceiling': {name: _finite(scores[name] / real[name]) if real[name] else None
                                            for name in OF_THE_CEILING}}
        if self.features:
            known = self.reference_statistics()
            found = reference.moments(self.features, [picture.path for picture in pictures], 'features')
            scores[self.distance] = frechet_distance(found.mean, found.covariance, known['mu'], known['sigma'])
        self.scored[folder] = list(zip(pictures, accuracies))
        other = 'fid' if self.trained else 'segmenter_frechet'
        scores = {name: _finite(scores.get(name)) for name in SHOWN if name != other}
        return {'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'), 'pictures': folder,
                'checkpoint': checkpoint, 'scores': scores,
                'protocol': self.description(pictures, len(self.samples) - len(pictures), style), 'class_iou': class_iou, **more}

    def ceiling(self, pictures):
        """_segmentation_scores of the real photos of these pictures, by the same network and protocol."""
        stems = tuple(picture.stem for picture in pictures)
        if stems not in self.real:
            photos = {sample.stem: sample.photo for sample in find_samples(self.opt, 'val')}
            pairs = [(photos[picture.stem], picture.label) for picture in pictures]
            self.real[stems] = self._segmentation_scores(pairs, 'real photos')
        return self.real[stems]

    def _segmentation_scores(self, pairs, title):
        """(scores, IoU of each class, None where it is not there, pixel accuracies of each) of pairs (picture path, label path)."""
        total, accuracies = 0, []
        for counts in self.segmentation.counts(pairs, title):
            total = total + counts
            accuracies.append(segmentation_scores(counts)['pixel_accuracy'])
        scores = segmentation_scores(total, self.protocol.void_counted)
        return scores, [None if numpy.isnan(iou) else float(iou) for iou in scores.pop('class_iou')], accuracies

    def description(self, pictures, missing, style):
        """dict: all that the scores of these pictures depend on."""
        width, height = self.size
        found = {'name': self.settings.protocol, 'dataset': self.settings.dataset, 'number_of_pictures': len(pictures),
                 'missing_pictures': missing, 'picture_size': f'{width}x{height}', 'style': style,
                 'encoding': ', '.join(sorted({os.path.splitext(picture.path)[1][1:].lower() for picture in pictures}))}
        if self.segmentation:
            full = self.protocol.full_size
            found.update(network=self.segmentation.kind.title, network_sha256=self.segmentation.checksum,
                         network_sees='picture enlarged to the label (bilinear)' if full else 'picture as it is',
                         scales=self.segmentation.kind.scales,
                         label_size="the label's own" if full else f'{width}x{height} (nearest)',
                         void='counted as wrong' if self.protocol.void_counted else 'ignored')
        if self.trained:
            found.update(name='own' if self.settings.protocol == 'spade' else f'own, {self.settings.protocol}',
                         network_trained_on=f'{self.trained["train"]} (validation {self.trained["val"]})')
        if self.features:
            found.update({f'{self.distance}_network': self.features.kind.title,
                          f'{self.distance}_network_sha256': self.features.checksum,
                          f'{self.distance}_reference': self.reference_statistics()['what']})
        return found

    def reference_statistics(self):
        """dict as reference.read gives it: statistics that are stored, or computed now and stored."""
        if self.statistics is None:
            split = self.settings.statistics
            if split in ('val', 'train'):
                photos = [sample.photo for sample in find_samples(self.opt, split)]
                self.statistics = reference.of_photos(self.features, photos, split, self.settings.dataset, self.weights)
            else:
                self.statistics = reference.read(split, self.features.kind.features)
        return self.statistics


def append(path, line):
    """Add a result to the .jsonl file `path`."""
    try:
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with open(path, 'a') as file:
            file.write(json.dumps(line) + '\n')
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror or error}') from None


def shown(lines):
    """The table of results beside each other, and the protocol, as text."""
    width = max(len(line['pictures']) for line in lines)
    rows = [('', [line['pictures'] for line in lines])]
    for name, title in SHOWN.items():
        if name in lines[0]['scores']:
            rows.append((title, [_number(line['scores'][name]) for line in lines]))
    for name in OF_THE_CEILING if 'real' in lines[0] else ():
        rows.append((f'  real photos: {SHOWN[name]}', [_number(line['real'][name]) for line in lines]))
        rows.append(('  part of that', [_number(line['part_of_ceiling'][name]) for line in lines]))
    first = max(len(title) for title, _ in rows)
    rows = [f'{title:{first}}' + ''.join(f'  {text:>{width}}' for text in texts) for title, texts in rows]
    protocol = [f'  {name} {value}' for name, value in lines[0]['protocol'].items() if value is not None]
    return '\n'.join([*rows, 'protocol:', *protocol])


def shown_classes(names, line):
    """The table of classes of a line with real photos, as text: IoU of the pictures and of the photos."""
    width = max(map(len, names))
    rows = [f'{name:{width}}  {_number(iou):>9}  {_number(real):>9}' for name, iou, real in
            zip(names, line['class_iou'], line['real_class_iou']) if iou is not None or real is not None]
    return '\n'.join([f'{"IoU":{width}}  generated  real photo', *rows])


def _finite(value):
    """The value, None for what was not counted: pictures of unlabelled pixels alone have no scores."""
    return value if value is not None and numpy.isfinite(value) else None


def _number(value):
    return '-' if value is None else f'{value:.4f}'


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
    parser.add_argument('--protocol', choices=PROTOCOLS, default='spade', help='sizes and void pixels, see docs/scores.md [spade]')
    parser.add_argument('--statistics', default='val', metavar='val|train|FILE',
                        help='what FID compares with: the photos of val_img or train_img, or an .npz file of mu and sigma [val]')
    parser.add_argument('--cache', default='result/cache/', metavar='DIR', help='what was measured already [result/cache/]')
    parser.add_argument('--scores', default='result/scores.jsonl', metavar='FILE', help='results are appended here '
                        '[result/scores.jsonl]')
    parser.add_argument('--allow-missing', action='store_true', default=False, help='score what is there, and list what is not')
    parser.add_argument('--no_fid', action='store_true', default=False, help='segmentation scores only, no Frechet distance')
    parser.add_argument('--no_segmentation', action='store_true', default=False, help='FID (or Frechet distance) only')


def command_line(description):
    """Parser of the flags that name pictures and data set, and of those that say how to score."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(2, f'error: {message}; --help lists all\n')
    parser.add_argument('--pictures', required=True, metavar='DIR', help='the pictures, named like the label maps')
    parser.add_argument('--reference', metavar='DIR', help="another system's pictures, scored beside them")
    parser.add_argument('--dataset', required=True, choices=[*DATASETS, OWN],
                        help=f'classes, segmentation network and picture size; {OWN}: those of result.train_segmenter')
    parser.add_argument('--dataroot', metavar='DIR', help='folder that holds val_label and val_img [dataset/<dataset>/]')
    parser.add_argument('--size', type=size_of, metavar='WxH', help="size of the pictures [the data set's in the paper]")
    parser.add_argument('--batch', type=int, default=BATCH, help=f'pictures that go through a network together [{BATCH}]')
    parser.add_argument('--checkpoint', metavar='TEXT', help='what painted the pictures, for the result (result.sheet shows the '
                        'options of a folder)')
    parser.add_argument('--scoring', '--weights', dest='weights', default='result/', metavar='DIR', help='folder of the scoring '
                        f'networks\' weights [result/; with --dataset {OWN} first {own.FOLDER}/ in the set]')
    add_settings(parser)
    return parser


def main():
    settings = command_line(__doc__).parse_args()
    device.use_best_device()
    evaluation = Evaluation(settings)
    lines = [evaluation.score(folder, settings.checkpoint if folder == settings.pictures else None)
             for folder in filter(None, (settings.pictures, settings.reference))]
    for line in lines:
        append(settings.scores, line)
    print(shown(lines))
    if 'real' in lines[0]:
        print(shown_classes(evaluation.dataset.names, lines[0]))


if __name__ == '__main__':
    with shown_in_one_line():
        main()
