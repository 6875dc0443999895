"""What dataset.prepare says at its end, on the screen and in report.txt:
first of all whether it left everything as it was.
"""
import os
from collections import defaultdict

from dataset.picture_file import Notes
from runtime.errors import printable
from runtime.writing import writing

FILE = 'report.txt'
SHOWN = 5    # lines of a kind on the screen; report.txt has all
NAMED = 3    # samples that a line names


class Report:
    """Lines under headings. `altered`: those for what was changed, guessed or left out, which the first line counts."""

    def __init__(self, outcome, guessed=(), unsafe=()):
        """outcome: dataset.prepare.samples.Outcome; unsafe: names of members of archives that were left aside."""
        self.outcome, records = outcome, outcome.records
        self.unsafe = list(unsafe)
        good = [record for record in records if 'left_out' not in record]
        self.altered = {
            'left out': [f'{record["split"]} {record["stem"]}: {record["left_out"]}'
                         for record in records if 'left_out' in record]
            + [f'not taken from the archive, its name or kind is not safe: {name!r}' for name in self.unsafe],
            'changed': _noted(good, 'notes'), 'suspicious': _noted(good, 'flaws'), 'guessed': list(guessed)}
        self.grey = [f'{record["split"]} {record["stem"]}' for record in good if record['grey']]
        self.since = _since(outcome)

    @property
    def first_line(self):
        counts = [f'{len(lines)} {kind}' for kind, lines in self.altered.items() if lines]
        return f'report: {", ".join(counts)}' if counts else 'report: nothing was changed, guessed or left out'

    def shown(self):
        """Lines for the screen: SHOWN of each kind, and what differs from the last time."""
        return self._lines({**self.altered, 'since the last time': self.since, 'grey photo, kept': self.grey}, SHOWN)

    def _lines(self, kinds, most=None):
        yield self.first_line
        for kind, lines in kinds.items():
            for line in lines[:most]:
                yield printable(f'  {kind}: {line}')
            if most and len(lines) > most:
                yield f'  {kind}: ... and {len(lines) - most} more'

    def write(self, root):
        """Write report.txt, which does not depend on what was there before."""
        with writing(os.path.join(root, FILE)) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
            file.writelines(f'{line}\n' for line in self._lines({**self.altered, 'grey photo, kept': self.grey}))


def _noted(good, kind):
    """Lines: what was noted of how many files, and the first samples of each."""
    notes, stems = Notes(), defaultdict(list)
    for record in good:
        notes.add(record.get(kind, ()))
        for what, note, _ in record.get(kind, ()):
            stems[what, note].append(record['stem'])
    return [f'{line}: {_named(of)}' for line, of in zip(notes.lines(), stems.values())]


def _since(outcome):
    """Lines: what was made anew, and why that may be."""
    if not outcome.before:
        return []
    kinds = (('made anew, since a source or a setting is another', outcome.anew), ('new', outcome.new),
             ('removed, since its source is gone or it changed sides', outcome.gone))
    lines = [f'settings changed: {", ".join(outcome.changed)}'] * bool(outcome.changed)
    lines += [f'{len(records)} {kind}: {_named([record["stem"] for record in records])}'
              for kind, records in kinds if records]
    return lines or ['all samples are as they were']


def _named(stems):
    return ', '.join(stems[:NAMED]) + (', ...' if len(stems) > NAMED else '')
