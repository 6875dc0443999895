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
from collections import namedtuple

from model.processes import device  # first: sets the threads, then imports Paddle

import numpy
from tqdm import tqdm

from dataset.files import ENDINGS, DataError, find_samples, load_photo
from model.errors import InputError, shown_in_one_line
from model.init import OPT
from result import own
from result.measure import Features, Segmentation, digest
from result.protocols import DATASETS, OWN, PROTOCOLS
from result.scores import Moments, frechet_distance, segmentation_scores

SHOWN = {'pixel_accuracy': 'pixel accuracy', 'mean_accuracy': 'mean accuracy', 'mean_iou': 'mean IoU',
         'frequency_weighted_iou': 'frequency-weighted IoU', 'fid': 'FID',
         'segmenter_frechet': "Frechet distance (own network's features)"}
OF_THE_CEILING = 'pixel_accuracy', 'mean_iou'   # scores that are also told as parts of those of real photos
BATCH = 4           # pictures that go through a network together
LISTED = 5          # names that an error lists
TOGETHER = 64       # features that are taken into the moments together

Picture = namedtuple('Picture', 'stem path label')


class Evaluation:
    """Scores folders of pictures by one protocol; settings as on the command line. first: only so many samples, by name."""

    def __init__(self, settings, first=None):
        self.settings = settings
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
                             '--size {}x{} --output DIR, and name it with --weights'.format(
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
        self.scored = {}   # folder -> [Picture] of its last score

    def refuse_extra(self, folder):
        """InputError if `folder` already holds pictures of other names, which would be refused after hours of painting."""
        files = _images(folder) if os.path.isdir(folder) else {}
        extra = sorted(set(files) - {sample.stem for sample in self.samples})
        if extra and not self.settings.allow_missing:
            raise InputError(f'{folder}: holds {len(extra)} pictures without a label map of their name, the first '
                             f'{os.path.basename(files[extra[0]])}: name another --results, or remove them')

    def score(self, folder, checkpoint=None, style=None):
        """One line of scores.jsonl, a dict, for the pictures in `folder`; InputError for anything wrong with them."""
        pictures, missing = self.pictures(folder)
        self.scored[folder] = pictures
        if self.features and len(pictures) < 2:
            raise InputError(f'{folder}: FID compares distributions and needs two pictures at least, found {len(pictures)}: '
                             'score more pictures, or leave FID out with --no_fid')
        scores, class_iou, more = {}, None, {}
        if self.segmentation:
            scores, class_iou = self._segmentation_scores([(picture.path, picture.label) for picture in pictures], 'segmentation')
            if self.trained:
                real, real_iou = self.ceiling(pictures)
                more = {'real': {name: _finite(value) for name, value in real.items()}, 'real_class_iou': real_iou,
                        'part_of_ceiling': {name: _finite(scores[name] / real[name]) if real[name] else None
                                            for name in OF_THE_CEILING}}
        if self.features:
            reference = self.reference_statistics()
            moments = self._moments([picture.path for picture in pictures], 'features')
            scores[self.distance] = frechet_distance(moments.mean, moments.covariance, reference['mu'], reference['sigma'])
        other = 'fid' if self.trained else 'segmenter_frechet'
        scores = {name: _finite(scores.get(name)) for name in SHOWN if name != other}
        return {'date': datetime.datetime.now().astimezone().isoformat(timespec='seconds'), 'pictures': folder,
                'checkpoint': checkpoint, 'scores': scores, 'protocol': self.description(pictures, missing, style),
                'class_iou': class_iou, **more}

    def ceiling(self, pictures):
        """(scores, IoU of each class) of the real photos of these pictures, by the same network and protocol."""
        stems = tuple(picture.stem for picture in pictures)
        if stems not in self.real:
            photos = {sample.stem: sample.photo for sample in find_samples(self.opt, 'val')}
            pairs = [(photos[picture.stem], picture.label) for picture in pictures]
            self.real[stems] = self._segmentation_scores(pairs, 'real photos')
        return self.real[stems]

    def _segmentation_scores(self, pairs, title):
        """(dict of segmentation scores, list of the IoU of each class, None where it is not there) of (picture, label) paths."""
        self.segmentation.measure(pairs, title)
        counts = sum(self.segmentation.counts(*pair) for pair in pairs)
        scores = segmentation_scores(counts, self.protocol.void_counted)
        return scores, [None if numpy.isnan(iou) else float(iou) for iou in scores.pop('class_iou')]

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

    def pictures(self, folder):
        """([Picture] that can be scored, number of label maps without one); InputError unless all are there and readable."""
        files = _images(folder)
        stems = [sample.stem for sample in self.samples]
        problems = [(f'{stem}: missing', 'missing') for stem in stems if stem not in files]
        extra = sorted(set(files) - set(stems))
        problems += [(f'{os.path.basename(files[stem])}: no label map of this name', 'extra') for stem in extra]
        found = []
        for sample in tqdm(self.samples, desc='reading', unit='picture', leave=False, dynamic_ncols=True):
            if sample.stem not in files:
                continue
            path = files[sample.stem]
            try:
                size = load_photo(path).size
            except DataError:
                problems.append((f'{os.path.basename(path)}: unreadable', 'unreadable'))
                continue
            if size != self.size:
                raise InputError(f'{path}: {size[0]}x{size[1]} pixels, but pictures of {self.settings.dataset} have {self.size[0]}x'
                                 f'{self.size[1]}: paint at that size, or say --size {size[0]}x{size[1]}, which the result names')
            found.append(Picture(sample.stem, path, sample.label))
        if problems and (not self.settings.allow_missing or not found):
            kinds = [kind for _, kind in problems]
            counted = ', '.join(f'{kinds.count(kind)} {kind}' for kind in dict.fromkeys(kinds))
            listed = '; '.join(text for text, _ in problems[:LISTED]) + ('; ...' if len(problems) > LISTED else '')
            remedy = 'complete the folder, or score what is there with --allow-missing' if found else 'name the right folder'
            labels = os.path.join(self.dataroot, 'val_label')
            raise InputError(f'{folder} and {labels} do not match: {counted} ({listed}): {remedy}')
        for text, _ in problems:
            tqdm.write(f'left out: {text}')
        return found, len(self.samples) - len(found)

    def reference_statistics(self):
        """dict: 'mu' (2048), 'sigma' (2048, 2048), 'what' in words: those stored, or computed now and stored."""
        if self.statistics is None:
            split = self.settings.statistics
            self.statistics = (self._of_photos(split) if split in ('val', 'train') else
                               _read_statistics(split, self.features.kind.features))
        return self.statistics

    def _of_photos(self, split):
        photos = [sample.photo for sample in find_samples(self.opt, split)]
        if len(photos) < 2:
            raise InputError(f'{os.path.join(self.dataroot, split)}_img: FID needs two photos at least, found {len(photos)}: '
                             'leave FID out with --no_fid')
        # A photo's size stands for its bytes: reading 118287 photos to see that they are the same would take longer than it saves.
        key = digest(json.dumps([[os.path.basename(path), os.path.getsize(path)] for path in photos]).encode())
        name = f'{self.settings.dataset}_{split}_{self.size[0]}x{self.size[1]}_{self.features.checksum[:8]}_{key[:8]}.npz'
        path = os.path.join(self.weights, 'statistics', name)
        if not os.path.exists(path):
            moments = self._moments(photos, f'photos ({split})')
            what = f'{len(photos)} photos of {split}_img at {self.size[0]}x{self.size[1]} (bicubic), photos {key[:16]}'
            unfinished = f'{path}.{os.getpid()}.npz'
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                numpy.savez(unfinished, mu=moments.mean, sigma=moments.covariance, what=what)
                os.replace(unfinished, path)
            except OSError as error:
                raise InputError(f'{path}: cannot be written: {error.strerror or error}') from None
        return _read_statistics(path, self.features.kind.features)

    def _moments(self, paths, title):
        self.features.measure(paths, title)
        moments = Moments(self.features.kind.features)
        for start in range(0, len(paths), TOGETHER):
            moments.add([self.features.features(path) for path in paths[start:start + TOGETHER]])
        return moments


def _images(folder):
    """dict: stem -> path of the images in `folder`; of one picture in two encodings the lossless PNG."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
    except OSError as error:
        raise InputError(f'{folder}: cannot list the pictures: {error.strerror}; name their folder with --pictures') from None
    files = {}
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() in ENDINGS and (stem not in files or ending.lower() == '.png'):
            files[stem] = os.path.join(folder, name)
    return files


def _read_statistics(path, features):
    """mu and sigma of so many features in an .npz file, ours or pytorch-fid's."""
    try:
        with numpy.load(path, allow_pickle=False) as file:
            mu, sigma = file['mu'].astype(numpy.float64), file['sigma'].astype(numpy.float64)
            what = str(file['what']) if 'what' in file else f'{os.path.basename(path)}, SHA-256 of mu {digest(mu.tobytes())[:16]}'
    except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
        raise InputError(f'{path}: no reference statistics: {error}; --statistics takes val, train or an .npz file of mu and '
                         'sigma') from None
    if mu.shape != (features,) or sigma.shape != (features, features):
        raise InputError(f'{path}: mu has shape {mu.shape} and sigma {sigma.shape}, expected ({features},) and '
                         f'({features}, {features})')
    return {'mu': mu, 'sigma': sigma, 'what': what}


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
    protocol = ', '.join(f'{name} {value}' for name, value in lines[0]['protocol'].items() if value is not None)
    return '\n'.join([*rows, f'protocol: {protocol}'])


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
    parser.add_argument('--weights', default='result/', metavar='DIR', help='folder of the scoring networks\' weights [result/; '
                        f'with --dataset {OWN} also {own.FOLDER}/ in the set]')
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
