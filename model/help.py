"""Prints all options and presets as the Markdown tables of docs/training.md, or the paper's tables as commands.

    python -m model.help
    python -m model.help --tables       the table of docs/scores.md
"""
import sys

from model.init import OPT
from model.presets import NAMED, PRESETS
from model.tables import DATASETS, ROWS
from runtime.errors import OptionError, shown_in_one_line


def options():
    """The tables of options: a heading and a table for each group."""
    lines, group, defaults = [], None, OPT()
    for name, option in OPT.fields().items():
        if option.group != group:
            group = option.group
            lines += ['', f'**{group}**', '', row('option', 'default', 'meaning', 'source and differences'),
                      row(*['---'] * 4)]
        lines.append(row(f'`{name}`', f'`{_default(name, getattr(defaults, name))}`', option.help, option.differs))
    return '\n'.join(lines[1:])


def presets():
    """The table of presets, with the settings of each."""
    lines = [row('preset', 'sets'), row('---', '---')]
    for name in NAMED:
        lines.append(row(f'`{name}`', _settings(PRESETS[name])))
    return '\n'.join(lines)


def tables():
    """The rows of the paper's tables: command, settings, parameters and scores in print, what was chosen."""
    titles = [name.replace('_', ' ') for name in DATASETS]
    lines = [row('table', 'row', '`--preset`', 'sets', 'parameters', *titles, 'left open: chosen'),
             row(*['---'] * (6 + len(titles)))]
    for entry in ROWS:
        first = next((one.table for one in ROWS if one.preset == entry.preset and one.settings), None)
        sets = _settings(entry.settings) if entry.settings else f'as in Table {first}' * bool(first)
        figures = ['/'.join(map(str, value if isinstance(value, tuple) else [value])) if value else '\u2013'
                   for value in map(entry.published.get, DATASETS)]
        lines.append(row(str(entry.table), entry.name, f'`{entry.preset}`' if entry.preset else 'not offered', sets,
                         f'{entry.parameters} M' if entry.parameters else '', *figures, entry.choice))
    return '\n'.join(lines)


def _settings(settings):
    return ', '.join(f'`{option} {_text(value)}`' for option, value in settings.items())


def row(*cells):
    """A row of a Markdown table; bars, <tags> and [links] in cells are escaped."""
    for mark in '|<[':
        cells = [cell.replace(mark, '\\' + mark) for cell in cells]
    return '| ' + ' | '.join(cells) + ' |'


def _default(name, value):
    return {'max_dataset_size': 'all', 'lastoutput': '= output'}.get(name, _text(value))


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == '__main__':
    with shown_in_one_line():
        if sys.argv[1:] not in ([], ['--tables']):
            raise OptionError(f'model.help: found {" ".join(sys.argv[1:])}, allowed: nothing, or --tables')
        print(tables() if sys.argv[1:] else f'{options()}\n\n{presets()}')
