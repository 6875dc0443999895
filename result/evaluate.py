"""Score a folder of pictures, by whatever they were painted, against a validation set.

    python -m result.evaluate --pictures output_val/pics --dataset coco_stuff
    python -m result.evaluate --pictures ours/pics --reference theirs/pics --protocol full_size --dataset cityscapes

Pictures are matched to the label maps by name. The scores, with all that they depend on, are printed and appended to
result/scores.jsonl. Interrupted, the same command goes on where it stopped.
"""
import argparse
import datetime
import json
import os

from model.processes import device  # first: sets the threads, then imports Paddle

import numpy

from dataset.files import find_samples
from model.errors import InputError, shown_in_one_line
from model.init import OPT
from result import matching, reference
from result.measure import Features, Segmentation
from result.protocols import DATASETS, PROTOCOLS
from result.scores import frechet_distance, segmentation_scores

SHOWN = {'pixel_accuracy': 'pixel accuracy', 'mean_accuracy': 'mean accuracy', 'mean_iou': 'mean IoU',
         'frequency_weighted_iou': 'frequency-weighted IoU', 'fid': 'FID'}
BATCH = 4  # pictures that go through a network together

class Evaluation:
    """Scores folders of pictures by one protocol; settings as on the command line. first: only so many samples, by name."""

    def __init__(self, settings, first=None):
        self.settings = settings
        self.dataset, self.protocol = DATASETS[settings.dataset], PROTOCOLS[settings.protocol]
        self.dataroot = settings.dataroot or self.dataset.dataroot
        self.size = settings.size or self.dataset.size
        self.opt = OPT(label_nc=self.dataset.label_nc, no_instance=True, dataroot=self.dataroot)
        if first is not None:
            self.opt.max_dataset_size = first
        self.samples = find_samples(self.opt, 'val', photos=False)
        self.segmentation = None if settings.no_segmentation else Segmentation(
            self.dataset, self.protocol, settings.weights, settings.cache, settings.batch)
        self.features = None if settings.no_fid else Features(settings.weights, settings.cache, settings.batch, self.size)
        for part in (self.segmentation, self.features):
            if part is not None and not part.checksum:
                part.kind.load(settings.weights)   # which says how to make the file
        if not (self.segmentation or self.features):
            raise InputError('--no_segmentation and --no_fid leave nothing to score: leave one of them out')
        self.statistics = None
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
        scores, class_iou, accuracies = {}, None, [numpy.nan] * len(pictures)
        if self.segmentation:
            pairs = [(picture.path, picture.label) for picture in pictures]
            total = 0
            for index, counts in enumerate(self.segmentation.counts(pairs, 'segmentation')):
                total, accuracies[index] = total + counts, segmentation_scores(counts)['pixel_accuracy']
            scores = segmentation_scores(total, self.protocol.void_counted)
            class_iou = [None if numpy.isnan(iou) else float(iou) for iou in scores.pop('class_iou')]
        if self.features:
            known = self.reference_statistics()
            found = reference.moments(self.features, [picture.path for picture in pictures], 'features')
            scores['fid'] = frechet_distance(found.mean, found.covariance, known['mu'], known['sigma'])
        self.scored[folder] = list(zip(pictures, accuracies))
        scores = {name: scores[name] if name in scores and numpy.isfinite(scores[name]) else None for name in SHOWN}
        return {'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'), 'pictures': folder,
                'checkpoint': checkpoint, 'scores': scores,
                'protocol': self.description(pictures, len(self.samples) - len(pictures), style), 'class_iou': class_iou}

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
        if self.features:
            found.update(fid_network=self.features.kind.title, fid_network_sha256=self.features.checksum,
                         fid_reference=self.reference_statistics()['what'])
        return found

    def reference_statistics(self):
        """dict: 'mu' (2048), 'sigma' (2048, 2048), 'what' in words: those stored, or computed now and stored."""
        if self.statistics is None:
            split = self.settings.statistics
            if split in ('val', 'train'):
                photos = [sample.photo for sample in find_samples(self.opt, split)]
                self.statistics = reference.of_photos(self.features, photos, split, self.settings.dataset, self.settings.weights)
            else:
                self.statistics = reference.read(split)
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
    rows = [f'{"":24}' + ''.join(f'  {line["pictures"]:>{width}}' for line in lines)]
    for name, title in SHOWN.items():
        values = [line['scores'][name] for line in lines]
        texts = ['-' if value is None else f'{value:.4f}' for value in values]
        rows.append(f'{title:24}' + ''.join(f'  {text:>{width}}' for text in texts))
    protocol = ', '.join(f'{name} {value}' for name, value in lines[0]['protocol'].items() if value is not None)
    return '\n'.join([*rows, f'protocol: {protocol}'])


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
    parser.add_argument('--weights', default='result/', metavar='DIR', help='folder of the scoring networks\' weights [result/]')
    parser.add_argument('--cache', default='result/cache/', metavar='DIR', help='what was measured already [result/cache/]')
    parser.add_argument('--scores', default='result/scores.jsonl', metavar='FILE', help='results are appended here '
                        '[result/scores.jsonl]')
    parser.add_argument('--allow-missing', action='store_true', default=False, help='score what is there, and list what is not')
    parser.add_argument('--no_fid', action='store_true', default=False, help='segmentation scores only')
    parser.add_argument('--no_segmentation', action='store_true', default=False, help='FID only')


def command_line(description):
    """Parser of the flags that name pictures and data set, and of those that say how to score."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(2, f'error: {message}; --help lists all\n')
    parser.add_argument('--pictures', required=True, metavar='DIR', help='the pictures, named like the label maps')
    parser.add_argument('--reference', metavar='DIR', help="another system's pictures, scored beside them")
    parser.add_argument('--dataset', required=True, choices=DATASETS, help='classes, segmentation network and picture size')
    parser.add_argument('--dataroot', metavar='DIR', help='folder that holds val_label and val_img [dataset/<dataset>/]')
    parser.add_argument('--size', type=size_of, metavar='WxH', help="size of the pictures [the data set's in the paper]")
    parser.add_argument('--batch', type=int, default=BATCH, help=f'pictures that go through a network together [{BATCH}]')
    parser.add_argument('--checkpoint', metavar='TEXT', help='what painted the pictures, for the result (result.sheet shows the '
                        'options of a folder)')
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


if __name__ == '__main__':
    with shown_in_one_line():
        main()
