"""Scores of pictures: a record for each score, the scores.jsonl that they are appended to, and their table. Needs no Paddle."""
import contextlib
import dataclasses
import html
import json
import os
import re

try:
    import fcntl
except ImportError:  # Windows: two processes that append at once are not kept apart there
    fcntl = None

from runtime import json_file
from runtime.errors import InputError

FILE = 'scores.jsonl'   # in the folder of a run: the scores of its epochs
REMEDY = 'move it away'
SHOWN = {'pixel_accuracy': 'pixel accuracy', 'mean_accuracy': 'mean accuracy', 'mean_iou': 'mean IoU',
         'mean_iou_other': 'mean IoU, other rule', 'frequency_weighted_iou': 'frequency-weighted IoU', 'fid': 'FID',
         'segmenter_frechet': "Frechet distance (own network's features)"}
OF_THE_CEILING = 'pixel_accuracy', 'mean_iou'   # scores that are also given as parts of those of real photos


@dataclasses.dataclass(frozen=True)
class Score:
    """How good the pictures of one folder are, with all that it depends on: a line of scores.jsonl, None left out."""
    scores: dict                   # name (of SHOWN) -> float, None where nothing was counted
    protocol: dict                 # name -> text or number: sizes, networks and their SHA-256, void pixels, ...
    pictures: str = ''             # their folder
    checkpoint: str = None         # what painted them: its folder, or text
    epoch: int = None              # scored while training
    weights: str = None            # of the generator: 'averaged' or 'last'
    date: str = ''                 # ISO 8601
    class_iou: list = None         # float or None (not there) for each class
    real: dict = None              # scores of the real photos of the same label maps, the ceiling; of an own set alone
    real_class_iou: list = None
    part_of_ceiling: dict = None   # scores / real, for OF_THE_CEILING

    @property
    def warning(self):
        """What must be said of these scores; '' if nothing."""
        if len(self.class_iou or ()) != 1:
            return ''
        return 'one class only: any picture gets these accuracies and IoU, they mean nothing; label the rest as a class too, not as 255'

    def as_dict(self):
        return {name: value for name, value in vars(self).items() if value is not None}


_NUMBERS, _EACH = json_file.mapping(json_file.nullable(json_file.number())), json_file.listing(json_file.nullable(json_file.number()))
_TEXT, _OTHERS = json_file.nullable(json_file.text()), json_file.anything
SCHEMA = json_file.record(
    dict(scores=_NUMBERS, protocol=json_file.mapping(_OTHERS)), others=_OTHERS, optional=dict(
        pictures=_TEXT, checkpoint=_TEXT, weights=_TEXT, date=_TEXT, epoch=json_file.nullable(json_file.whole()),
        class_iou=json_file.nullable(_EACH), real_class_iou=json_file.nullable(_EACH), real=json_file.nullable(_NUMBERS),
        part_of_ceiling=json_file.nullable(_NUMBERS)))


def append(path, score):
    """Add a Score to the file `path`, in one write."""
    line = json.dumps(score.as_dict(), allow_nan=False).encode() + b'\n'
    try:
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with open(path, 'ab+', buffering=0) as file:
            with contextlib.suppress(OSError):   # network drives without a lock service
                fcntl and fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = file.read()
            whole = _whole(content)
            file.truncate(min(len(whole), len(content)))
            line = whole[len(content):] + line
            if file.write(line) < len(line):
                raise OSError('the disk is full')
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror or error}') from None


def read(path):
    """The Scores of the file `path`, in its order, those of earlier versions too; [] without it."""
    try:
        with open(path, 'rb') as file:
            lines = _whole(file.read()).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror or error}: {REMEDY}') from None
    return [from_dict(json_file.parsed(line, SCHEMA, f'{path}, line {number}', REMEDY)) for number, line in enumerate(lines, 1)
            if line.strip()]


def _whole(content):
    """The bytes of a scores.jsonl, ended, without the half line that a power failure may leave at its end."""
    rest = content.rpartition(b'\n')[2]
    try:
        json.loads(rest)
        return content + b'\n'
    except (ValueError, RecursionError):
        return content[:len(content) - len(rest)]


def from_dict(line):
    """Score of a dict that fits SCHEMA, of this version or an earlier one."""
    prose = re.match(r'epoch (\d+) of ', line.get('checkpoint') or '')   # how earlier versions wrote the epoch
    epoch = {'epoch': int(prose[1])} if prose else {}
    return Score(**{**epoch, **{name: value for name, value in line.items() if name in Score.__dataclass_fields__}})


# ---- The table

def rows(scores):
    """[(title, [text for each of `scores`])] of what one of them has; behind their own those of the real photos."""
    parts = [(title, name, [score.scores for score in scores]) for name, title in SHOWN.items()]
    for name in OF_THE_CEILING:
        parts.append((f'real photos: {SHOWN[name]}', name, [score.real or {} for score in scores]))
        parts.append(('  part of that', name, [score.part_of_ceiling or {} for score in scores]))
    return [(title, [number(values.get(name)) for values in found]) for title, name, found in parts
            if any(name in values for values in found)]


def protocol_rows(scores):
    """[(name, [text for each of `scores`])] of their protocols, one text where all have the same."""
    names = dict.fromkeys(name for score in scores for name in score.protocol)
    values = {name: [score.protocol.get(name) for score in scores] for name in names}
    return [(name, [str(value) for value in (found[:1] if found.count(found[0]) == len(found) else found)])
            for name, found in values.items() if any(value is not None for value in found)]


def table(scores):
    """Scores beside each other, and their protocol, as text."""
    head = [score.pictures for score in scores]
    lines, width = [('', head), *rows(scores)], max(map(len, head))
    first = max(len(title) for title, _ in lines)
    text = [f'{title:{first}}' + ''.join(f'  {value:>{width}}' for value in values) for title, values in lines]
    protocol = [f'  {name} {" | ".join(values)}' for name, values in protocol_rows(scores)]
    return '\n'.join([*text, 'protocol:', *protocol, *filter(None, {score.warning for score in scores})])


def class_table(names, score):
    """IoU of each class that is there, of the pictures and of the real photos, as text."""
    width = max(map(len, names))
    lines = [f'{name:{width}}  {number(iou):>9}  {number(real):>9}' for name, iou, real in
             zip(names, score.class_iou, score.real_class_iou) if iou is not None or real is not None]
    return '\n'.join([f'{"IoU":{width}}  generated  real photo', *lines])


def html_table(lines):
    """A table as HTML, of lines of text, the first the head."""
    head, *body = [[html.escape(text) for text in line] for line in lines]
    return '<table>' + ''.join('<tr>' + ''.join(f'<{tag}>{text}</{tag}>' for text in line) + '</tr>'
                               for tag, line in [('th', head), *(('td', line) for line in body)]) + '</table>'


def number(value):
    """A score as text."""
    return '-' if value is None else f'{value:.4f}'
