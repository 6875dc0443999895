"""The end of dataset.prepare: checks the set, writes report.txt and sheet.jpg, prints the next commands."""
import math
import os
from collections import Counter, defaultdict

from dataset import classes, contents
from dataset.check import check
from dataset.colour_coded import merged
from dataset.files import find_samples
from dataset.picture_file import Notes
from dataset.prepare.contact_sheet import contact_sheet
from dataset.prepare.record import REPORT, SHEET
from runtime.errors import printable
from runtime.writing import MARK, mark, writing

SHOWN = 5    # lines of a kind on the screen; report.txt has all
NAMED = 3    # samples, or colours, that a line names


class Report:
    """Lines under headings. altered: the lines on changes, guesses and omissions, counted in the first line."""

    def __init__(self, outcome, guessed=(), unsafe=(), borders=(), suspicious=()):
        """outcome: dataset.prepare.samples.Outcome; guessed: lines; unsafe: names of skipped members of archives;
        borders: lines on parts of photographs; suspicious: lines on classes.
        """
        self.outcome, self.unsafe = outcome, list(unsafe)
        self.altered = {
            'left out': [f'{record["split"]} {record["stem"]}: {record["left_out"]}' for record in outcome.left_out]
            + [f'not read from the archive, because its name or kind is unsafe: {name!r}' for name in self.unsafe]
            + list(borders),
            'changed': [*_noted(outcome.made, 'notes'), *_lacking(outcome.made)],
            'suspicious': [*_noted(outcome.made, 'flaws'), *suspicious],
            'guessed': list(guessed)}
        self.grey = [f'{record["split"]} {record["stem"]}' for record in outcome.made if record['grey']]

    @property
    def first_line(self):
        counts = [f'{len(lines)} {kind}' for kind, lines in self.altered.items() if lines]
        return f'report: {", ".join(counts)}' if counts else 'report: nothing was changed, guessed or left out'

    def shown(self):
        """Lines for the screen: up to SHOWN of each kind, and the differences from the last command."""
        return self._lines({**self.altered, 'since the last time': _since(self.outcome),
                            'grey photo, kept': self.grey}, SHOWN)

    def write(self, root):
        """Write report.txt; its content does not depend on earlier commands."""
        with writing(os.path.join(root, REPORT)) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
            first, *lines = self._lines({**self.altered, 'grey photo, kept': self.grey})
            file.writelines(f'{line}\n' for line in (first, MARK, *lines))

    def _lines(self, kinds, most=None):
        yield self.first_line
        for kind, lines in kinds.items():
            for line in lines[:most]:
                yield printable(f'  {kind}: {line}')
            if most and len(lines) > most:
                yield f'  {kind}: ... and {len(lines) - most} more'


def _noted(records, kind):
    """Lines: each note, its number of files, and the first samples."""
    notes, stems = Notes(), defaultdict(list)
    for record in records:
        notes.add(record.get(kind, ()))
        for what, note, _ in record.get(kind, ()):
            stems[what, note].append(record['stem'])
    return [f'{line}: {_named(of)}' for line, of in zip(notes.lines(), stems.values())]


def _lacking(records):
    """A line on the colours, with their share, that a table lacks and whose pixels got the class of a neighbour."""
    counts, total = Counter(), sum(math.prod(record['size']) for record in records)
    for record in records:
        for colour, pixels in record.get('lacking', ()):
            counts[tuple(colour)] += pixels
    found = [f'{" ".join(map(str, colour))} ({pixels / total:.2%})' for colour, pixels in merged(counts)[:NAMED]]
    return ['pixels near no colour of the table got the class of a neighbour, most around '
            f'{", ".join(found)}: blends on borders, or a class of thin objects'] if found else []


def _since(outcome):
    """Lines on the differences from the last command, with the reason."""
    if not outcome.before:
        return []
    kinds = (('remade, because a source or a setting changed', outcome.remade), ('new', outcome.new),
             ('removed, because the source is gone or the sample changed sides', outcome.removed))
    lines = [f'settings changed: {", ".join(outcome.changed)}'] if outcome.changed else []
    lines += [f'{len(records)} {kind}: {_named([record["stem"] for record in records])}'
              for kind, records in kinds if records]
    return lines or ['no sample changed']


def _named(stems):
    return ', '.join(stems[:NAMED]) + (', ...' if len(stems) > NAMED else '')


def finish(opt, shown, report, commands):
    """Check the set, draw its sheet in colours for `shown` ids, print report and commands -> whether it has
    problems.
    """
    root, outcome = opt.dataroot, report.outcome
    report.write(root)
    print(f'{root}: {len(outcome.made)} samples; {len(outcome.left_out)} left out, {len(report.grey)} grey photos, '
          f'{len(report.unsafe)} unsafe members of archives: {os.path.join(root, REPORT)}')
    print('\n'.join(report.shown()))
    wrong = check(opt)
    contents.keep(root)
    notes = defaultdict(list)
    for record in outcome.made:
        notes[record['split'], record['stem']] = [
            note for kind in ('notes', 'flaws') for _, note, _ in record.get(kind, ())]
    samples = [(sample, notes[split, sample.stem]) for split in ('train', 'val')
               if os.path.isdir(os.path.join(root, f'{split}_label')) for sample in find_samples(opt, split)]
    sheet = contact_sheet(samples, classes.colours(classes.read(root), shown), report.first_line)
    path = os.path.join(root, SHEET)
    with writing(path) as unfinished:
        sheet.save(unfinished, quality=95, comment=mark())
    print('\n'.join([f'look at: {path}', *commands]))
    return wrong
