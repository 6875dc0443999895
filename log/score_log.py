"""The Score record, the file scores.jsonl, and the table of scores. Needs no Paddle."""
import dataclasses
import html
import json
import os
import re

from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, listing, mapping, nullable, number, record, text, whole

FILE = 'scores.jsonl'   # in a run's folder: the scores of its epochs
SHOWN = {'pixel_accuracy': 'pixel accuracy', 'mean_accuracy': 'mean accuracy', 'mean_iou': 'mean IoU',
         'mean_iou_other': 'mean IoU, other rule', 'frequency_weighted_iou': 'frequency-weighted IoU', 'fid': 'FID',
         'segmenter_frechet': "Frechet distance (own network's features)"}
# Also given as parts of the real photos' scores; their distance is that between two sets of them.
OF_THE_CEILING = 'pixel_accuracy', 'mean_iou', 'segmenter_frechet'
FEATURES = {'fid': 2048, 'segmenter_frechet': 192}   # numbers a picture that the distance compares
LOW = 0.2   # mean IoU on real photos below which an own network cannot score pictures


@dataclasses.dataclass(frozen=True)
class Score:
    """Scores of one folder of pictures, with all that they depend on: a line of scores.jsonl, without None."""
    scores: dict                   # name (of SHOWN) -> float, None if undefined
    protocol: dict                 # name -> text or number: sizes, networks and their SHA-256, void pixels, ...
    pictures: str = ''             # their folder
    checkpoint: str = None         # of the generator: folder or text
    epoch: int = None              # of a run scored while training
    weights: str = None            # 'averaged' or 'last'
    date: str = ''                 # ISO 8601
    class_iou: list = None         # for each class, None if absent
    real: dict = None              # scores of real photos, the ceiling; with an own network only
    real_class_iou: list = None
    part_of_ceiling: dict = None   # scores / real, for OF_THE_CEILING
    network_mean_iou: float = None   # of an own network, on the real validation photos of its set

    def lowest(self):
        """The lower mean IoU on real photos, of the network's own set or of these pictures' maps; None if unknown."""
        known = (self.network_mean_iou, (self.real or {}).get('mean_iou'))
        return min((value for value in known if value is not None), default=None)

    def is_low(self):
        return self.lowest() is not None and self.lowest() < LOW

    def as_dict(self):
        return {name: value for name, value in vars(self).items() if value is not None}


_NUMBER, _TEXT = nullable(number()), nullable(text())
_EACH, _NAMED = nullable(listing(_NUMBER)), nullable(mapping(_NUMBER))
SCHEMA = record(dict(scores=mapping(_NUMBER), protocol=mapping(anything)), others=anything, optional=dict(
    pictures=_TEXT, checkpoint=_TEXT, weights=_TEXT, date=_TEXT, epoch=nullable(whole()), class_iou=_EACH,
    real_class_iou=_EACH, real=_NAMED, part_of_ceiling=_NAMED, network_mean_iou=_NUMBER))


def append_score(path, score):
    """Append a Score to the file `path` in one write, so that other processes may append too and no line is torn.

    It does not check the file; `read` checks it before the work of a score.
    """
    line = json.dumps(score.as_dict(), allow_nan=False).encode() + b'\n'
    try:
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with open(path, 'ab+', buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b'\n' else b'\n' + line   # an editor may leave the last line open
            written = file.write(line)
            if written < len(line):
                file.truncate(file.tell() - written)
                raise OSError('the disk is full')
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror or error}') from None


def read(path):
    """Scores read from the file `path`, in the format of any version; [] if it is missing."""
    try:
        lines = json_file.read_lines(path, SCHEMA, 'remove that line, move the file away, or name another')
        return list(map(from_dict, lines))
    except FileNotFoundError:
        return []


def warning(class_iou):
    """A line if only one class has an IoU (list of float or None); else ''."""
    if sum(iou is not None for iou in class_iou or ()) != 1:
        return ''
    return 'only one class is in labels and segmentation: these accuracies and IoU mean nothing, since any picture ' \
        'gets them; label the rest as a class too, not as 255'


def warnings(score):
    """Lines on what makes a Score mean little."""
    lines = [line] if (line := warning(score.class_iou)) else []
    if score.is_low():
        lines.append(f'low: the scoring network has a mean IoU of {score.lowest():.4f} on real photos, below {LOW}: it '
                     'cannot score pictures, and grey ones may score like photos; train it longer: '
                     'result.train_segmenter --epochs N --restart')
    count = score.protocol.get('number_of_pictures')
    return lines + [f'{SHOWN[name]}: {count} pictures are fewer than its {features} features, so it is biased upwards: '
                    'compare equal numbers of pictures only' for name, features in FEATURES.items()
                    if isinstance(count, int) and count < features and score.scores.get(name) is not None]


def from_dict(line):
    """Score of a dict that fits SCHEMA, of this version or an earlier one."""
    prose = re.match(r'epoch (\d+) of ', line.get('checkpoint') or '')   # earlier versions wrote the epoch in this way
    epoch = {'epoch': int(prose[1])} if prose else {}
    return Score(**{**epoch, **{name: value for name, value in line.items() if name in Score.__dataclass_fields__}})


# ---- The table: lines of text, the header first

def rows(scores):
    """[(title, text for each of `scores`)] of every score that one of them has, then of the real photos'."""
    parts = [(title, name, [score.scores for score in scores]) for name, title in SHOWN.items()]
    for name in OF_THE_CEILING:
        parts.append((f'real photos: {SHOWN[name]}', name, [score.real or {} for score in scores]))
        ratio = '  times that' if name == 'segmenter_frechet' else '  part of that'
        parts.append((ratio, name, [not score.is_low() and score.part_of_ceiling or {} for score in scores]))
    return [(title, *(shown(each.get(name)) for each in values)) for title, name, values in parts
            if any(name in each for each in values)]


def protocol(scores):
    """dict: name -> text of the protocols, with all values where they differ."""
    names = dict.fromkeys(name for score in scores for name, value in score.protocol.items() if value is not None)
    values = {name: [str(score.protocol.get(name)) for score in scores] for name in names}
    return {name: ' | '.join(each if len(set(each)) > 1 else each[:1]) for name, each in values.items()}


def table(scores, names=()):
    """Scores side by side, the first one's IoU of the classes `names`, their protocol and warnings, as text."""
    protocols = [f'  {name} {value}' for name, value in protocol(scores).items()]
    by_class = [class_table(names, scores[0])] if names and scores[0].real_class_iou else []
    return '\n'.join([text_table([('', *(score.pictures for score in scores)), *rows(scores)]), *by_class, 'protocol:',
                      *protocols, *dict.fromkeys(line for score in scores for line in warnings(score))])


def class_table(names, score):
    """IoU of the pictures and of the real photos, for each class that has one, as text."""
    return text_table([('IoU', 'generated', 'real photo'), *(
        (name, shown(iou), shown(real)) for name, iou, real in zip(names, score.class_iou, score.real_class_iou)
        if iou is not None or real is not None)])


def text_table(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join(f'{first:{widths[0]}}' + ''.join(f'  {value:>{width}}' for value, width in zip(rest, widths[1:]))
                     for first, *rest in lines)


def html_table(lines):
    head, *body = [[html.escape(value) for value in line] for line in lines]
    return '<table>' + ''.join('<tr>' + ''.join(f'<{tag}>{value}</{tag}>' for value in line) + '</tr>'
                               for tag, line in [('th', head), *(('td', line) for line in body)]) + '</table>'


def shown(value):
    """A score as text."""
    return '-' if value is None else f'{value:.4f}'
