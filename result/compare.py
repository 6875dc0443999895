"""Which of two models paints better? People choose without knowing whose picture is whose, as for the paper's Table 2.

    python -m result.compare --a ours/pics --b theirs/pics [--labels mine/val_label]
    python -m result.compare --count choices_*.csv

The first command writes choose_ID.html, a page that needs no network: send it to people. It downloads their choices.
The second prints the share of A. It needs key_ID.json, which alone tells whose picture is whose: keep that file.
"""
import hashlib
import json
import os
import random
import re

from PIL import Image

from dataset import classes
from dataset.palette import text_of
from dataset.photo import load_photo
from log.page import data_url, write
from model.command_line import Help, Parser
from result.matching import paired
from result.scores import wilson_interval
from runtime.bar import counted
from runtime.errors import InputError, shown_in_one_line
from runtime.json_file import listing, one_of, read, record, text

SIDES = 'first', 'second'
KEY = record(dict(a=text(), b=text(), questions=listing(record(dict(name=text(), a=one_of(*SIDES))))))
CHOICE = '([0-9a-f]{12}),([0-9a-f]{1,20}),([1-9][0-9]{0,5}),(first|second)'   # page, person, question, choice
REMEDY = '--count takes the files that one page downloads, one a person'


def question(a, b, label=None):
    """Data URLs: [label map in colours or '', A's picture, B's]; InputError if their sizes differ."""
    pair = [load_photo(path) for path in (a, b)]
    if pair[0].size != pair[1].size:
        raise InputError(f'{a}: {pair[0].size} px, {b}: {pair[1].size}; sizes would tell whose it is: make all equal')
    return [data_url(Image.fromarray(classes.drawn(label)), 'PNG') if label else '',
            *(data_url(picture, 'JPEG', quality=95, subsampling=0) for picture in pair)]


def make(given):
    """Write the page and its key. Order and sides are functions of seed and names."""
    folders = {f'--{name}': getattr(given, name) for name in ('a', 'b', 'labels') if getattr(given, name)}
    files, questions, key = paired(folders), [], []
    chance, number = random.Random(f'{given.seed} {list(files)}'), min(given.pairs, len(files))
    for name in counted(chance.sample(list(files), number), number, 'pairs'):
        label, *pair = question(*files[name])
        key.append(dict(name=name, a=chance.choice(SIDES)))
        questions.append([label, *(pair if key[-1]['a'] == 'first' else reversed(pair))])
    page = hashlib.sha256(json.dumps(questions).encode()).hexdigest()[:12]   # so a file of this name has this content
    paths = [os.path.join(given.output, name) for name in (f'choose_{page}.html', f'key_{page}.json')]
    html = text_of(os.path.splitext(__file__)[0] + '.html')
    write(paths[0], html.replace('DATA', json.dumps(dict(id=page, questions=questions))))
    write(paths[1], json.dumps(dict(a=given.a, b=given.b, questions=key)))
    print(f'{paths[0]}: {number} of {len(files)} pairs: send it to people\n{paths[1]}: whose is whose: keep it')


def count(paths, output):
    """Print A's share of the choices in CSV files of one page, whose key is in the folder `output`; InputError."""
    chosen, page = {}, None
    for path in paths:
        try:
            lines = text_of(path).splitlines()[1:] or ['']
        except (OSError, ValueError) as error:
            raise InputError(f'{path}: cannot be read: {error}; {REMEDY}') from None
        for line in lines:
            row = re.fullmatch(CHOICE, line)
            if not row or page not in (None, row[1]) or row.group(2, 3) in chosen:
                wrong = 'no choice' if not row else 'twice' if page == row[1] else f'of another page than {paths[0]}'
                raise InputError(f'{path}: {line[:60]!r}: {wrong}; {REMEDY}')
            page, chosen[row.group(2, 3)] = row[1], row[4]
    path = os.path.join(output, f'key_{page}.json')
    try:
        key = read(path, KEY, 'restore it: nothing else tells whose picture is whose', largest=1 << 26)
        of_a = sum(key['questions'][int(number) - 1]['a'] == side for (_, number), side in chosen.items())
    except (FileNotFoundError, IndexError):
        raise InputError(f'{paths[0]}: its key is not {path}: name the folder of page and key with --output') from None
    low, high = wilson_interval(of_a, len(chosen))
    print(f'{key["a"]} preferred to {key["b"]} in {of_a} of {len(chosen)} choices: {of_a / len(chosen):.1%}; '
          f'95 % interval (Wilson, independent choices): {low:.1%} .. {high:.1%}')


def main():
    parser = Parser(prog='python -m result.compare', description=__doc__, formatter_class=Help)
    parser.add_argument('--a', metavar='DIR', help="A's pictures")
    parser.add_argument('--b', metavar='DIR', help="B's pictures, of the same names and sizes")
    parser.add_argument('--labels', metavar='DIR', help='label maps of these names, shown too')
    parser.add_argument('--pairs', type=int, default=500, metavar='INT', help='most pairs, drawn by the seed [500]')
    parser.add_argument('--seed', type=int, default=0, metavar='INT', help='of pairs, order and sides [0]')
    parser.add_argument('--count', nargs='+', metavar='FILE.csv', help='downloaded choices, all of one page')
    parser.add_argument('--output', default='result/choices/', metavar='DIR', help='of page and key [result/choices/]')
    given = parser.parse_args()
    if bool(given.count) == bool(given.a and given.b) or given.pairs < 1:
        raise InputError('give both --a DIR and --b DIR (and --pairs above 0), or --count FILE.csv alone')
    count(given.count, given.output) if given.count else make(given)


if __name__ == '__main__':
    with shown_in_one_line():
        main()
