"""prepared.jsonl: the settings of a prepared set (first line), then the sources, files and notes of each sample.

It also marks a folder as made by dataset.prepare, which replaces or removes only listed, unchanged files.
"""
import json
import os

from dataset.picture_file import ENDINGS
from runtime import json_file, locking
from runtime.errors import InputError
from runtime.json_file import Unfit, anything, one_of, text
from runtime.writing import UNFINISHED, is_marked, refuse_existing, writing

RECORD, REPORT, SHEET = 'prepared.jsonl', 'report.txt', 'sheet.jpg'
VERSION = 2          # of the record, and of what makers make from a source
RESUMES = 'correct this and repeat the command, which resumes'
PARTS = 'photo', 'label', 'instance'                    # of a Job
FOLDERS = 'img', 'label', 'inst'                        # of a split; inst only with instance maps
OF_ANOTHER_SET = 'made by', 'official ids'              # a set with other values of these is another set


def refuse_foreign(root):
    """InputError if `root` exists, is not empty and was not made by dataset.prepare, or has another report or sheet."""
    try:
        names = os.listdir(root) if os.path.lexists(root) else []
    except OSError as error:
        raise InputError(f'{root}: cannot be written: {error.strerror or error}') from None
    foreign = sorted(name for name in names if not name.startswith(UNFINISHED) and name != locking.FILE)
    if foreign and RECORD not in foreign:
        raise InputError(f'{root}: found {foreign[0]}{" and more" if len(foreign) > 1 else ""}, which dataset.prepare '
                         'did not make and will not overwrite: name another --output, or move it away')
    report, ours = os.path.join(root, REPORT), is_marked
    if os.path.isfile(report) and not is_marked(report):
        with open(report, 'rb') as file:
            if file.read(8) == b'report: ':     # of an earlier version, whose files have no mark
                ours = os.path.isfile
    for path in (report, os.path.join(root, SHEET)):
        refuse_existing(path, ours)


def changed_settings(root, head, settings, before, tasks):
    """Sorted texts on settings that differ from the record's `head`; InputError if that is another set's.

    before: the records, by key; tasks: [(Job, its sources)]. Folders with the same files are the same sources.
    """
    if head is None or all('left_out' in record for record in before.values()):
        return []   # an attempt that made no sample does not fix the flags
    known = {*head, *settings} if 'version' in head else {*head}
    changed = sorted(name for name in known - {'sources', 'version'} if head.get(name) != settings.get(name))
    _refuse_other(root, 'with other settings', [name for name in changed if name in OF_ANOTHER_SET], head, settings)
    old, new = head.get('sources'), settings['sources']
    if old is not None and old != new:
        pairs = [(record.get('from') or {}, source) for job, source in tasks if (record := before.get(job[:2]))]
        if len(pairs) < len(before) or any(_of_files(one) != _of_files(other) for one, other in pairs):
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            _refuse_other(root, 'from other sources', names, old, new)
    old, new = (len(found) if isinstance(found := known.get('names'), list) else 0 for known in (head, settings))
    return [f'names (of {old} classes, now {new})' if name == 'names' and old != new else name for name in changed]


def _of_files(source):
    return {part: found for part, found in source.items() if part in PARTS}


def _refuse_other(root, how, names, old, new):
    if names:
        raise InputError(f'{root}: made {how}: {", ".join(f"{name} {old.get(name)}" for name in names)}, now '
                         f'{", ".join(str(new.get(name)) for name in names)} ({os.path.join(root, RECORD)}): name '
                         'another --output, or move it away to start over')


def key(record):
    return record['split'], record['stem']


def read_record(root):
    """(settings, dict: (split, stem) -> last record of it) of earlier commands; (None, {}) without any; InputError."""
    path = os.path.join(root, RECORD)
    if not os.path.exists(path):
        return None, {}
    with open(path, 'rb') as file:
        lines = file.read().split(b'\n')[:-1]  # a kill may have cut off the last line
    if not lines:
        return None, {}
    remedy = f'to start over, remove {path} and the folders of the set beside it'
    head = json_file.parsed(lines[0], HEAD, f'{path}, line 1', remedy)
    records = [json_file.parsed(line, RECORDED, f'{path}, line {number}', remedy)
               for number, line in enumerate(lines[1:], 2)]
    return head, {key(record): record for record in records}


def write_record(root, settings, records):
    lines = [json.dumps(settings, sort_keys=True), *map(json.dumps, records)]
    with writing(os.path.join(root, RECORD), RESUMES, alone=False) as unfinished, open(unfinished, 'w') as file:
        file.writelines(f'{line}\n' for line in lines)


def maker_of(root):
    """The command that made the set in `root`, such as 'dataset.prepare coco_stuff'; None without a record."""
    try:
        with open(os.path.join(root, RECORD), 'rb') as file:
            return json_file.parsed(file.readline(json_file.LARGEST), HEAD, RECORD, '')['made by']
    except (OSError, InputError):
        return None


# ---- Schema

def _stem(value, field):
    text(1 << 16, 1)(value, field)
    if os.path.basename(value) != value or value in ('.', '..'):
        raise Unfit(f'{field}: found {value[:60]!r}, expected a name without folder')


def _files(value, field):
    json_file.mapping(json_file.listing(text(), 2, 2))(value, field)
    if not set(value) <= set(FOLDERS) or not all(ending.lower() in ENDINGS for ending, _ in value.values()):
        raise Unfit(f'{field}: expected img, label, inst with the ending of a picture and a digest')


HEAD = json_file.record({'made by': text()}, others=anything)
RECORDED = json_file.record(dict(split=one_of('train', 'val'), stem=_stem), dict(files=_files), others=anything)
