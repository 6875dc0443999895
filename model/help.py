"""Prints all options and presets as the Markdown tables of docs/training.md: python -m model.help"""
from model.init import OPT
from model.presets import PRESETS


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
    for name, settings in PRESETS.items():
        lines.append(row(f'`{name}`', ', '.join(f'`{option} {_text(value)}`' for option, value in settings.items())))
    return '\n'.join(lines)


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
    print(f'{options()}\n\n{presets()}')
