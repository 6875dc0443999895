"""JSON of ours, read with a schema: a damaged file ends in one line that names file and field,
not in a traceback later.

    COUNTERS = record(dict(epoch=whole(1), step=whole(), device=text(), g_losses=listing(number())),
    optional=dict(note=text())) counters = json_file.read(path, COUNTERS, 'begin anew with --restart')

A schema is a function of (value, field) that raises Unfit. Files are UTF-8, with or without a byte order mark.
"""
import json
import math

from runtime.errors import InputError

LARGEST = 1 << 20   # bytes of a file, or of a line
DIGITS = 30         # of a whole number; Python reads thousands in a time that grows with their square
DEEPEST = 16        # nested lists and objects within `anything`


class Unfit(ValueError):
    """What of a JSON text does not fit its schema."""


def read(path, schema, remedy, largest=LARGEST):
    """The content of the file `path`. InputError, ending in `remedy`, if it cannot be read or does not fit.

    A file that is not there raises FileNotFoundError: what that means only the caller knows.
    """
    return parsed(_bytes(path, largest, remedy), schema, path, remedy, largest)


def read_lines(path, schema, remedy, largest=1 << 28):
    """list of the contents of a file with one JSON value a line; as `read`."""
    lines = _bytes(path, largest, remedy).splitlines()
    return [parsed(line, schema, f'{path}, line {number}', remedy) for number, line in enumerate(lines, 1)]


def _bytes(path, largest, remedy):
    try:
        with open(path, 'rb') as file:
            content = file.read(largest + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror or error}; {remedy}') from None
    if len(content) > largest:
        raise InputError(f'{path}: cannot be read: more than {largest} bytes; {remedy}')
    return content


def parsed(content, schema, source, remedy, largest=LARGEST):
    """The value of the JSON text `content`, bytes or str; `source` names it in the InputError."""
    try:
        if len(content) > largest:
            raise Unfit(f'more than {largest} bytes')
        text = content.decode('utf-8-sig') if isinstance(content, bytes) else content
        value = json.loads(text, parse_int=_whole, parse_float=float, parse_constant=float)
        schema(value, '')
    except RecursionError:
        raise InputError(f'{source}: cannot be read: lists or objects nested too deep; {remedy}') from None
    except ValueError as error:   # JSON's, UTF-8's and Unfit
        raise InputError(f'{source}: cannot be read: {error}; {remedy}') from None
    return value


def check(value, schema, source, remedy):
    """InputError if `value` does not fit: before it is written, so that nothing is written that `read` refuses."""
    try:
        schema(value, '')
    except Unfit as error:
        raise InputError(f'{source}: {error}; {remedy}') from None


def _whole(text):
    if len(text) > DIGITS:
        raise Unfit(f'found a number of {len(text)} digits, at most {DIGITS} are allowed')
    return int(text)


# ---- Schemas

def whole(least=0, most=2 ** 63 - 1):
    def check(value, field):
        _expect(type(value) is int and least <= value <= most, value, field, f'a whole number from {least} to {most}')
    return check


def number(least=-math.inf, most=math.inf, finite=True):
    """Not finite: NaN and infinities too, as Python writes them."""
    def check(value, field):
        _expect(type(value) in (int, float) and (not finite or least <= value <= most and math.isfinite(value)), value,
                field, 'a number' if least == -most == -math.inf else f'a number from {least} to {most}')
    return check


def text(longest=4096, shortest=0):
    """Text that a file name may have: no NUL, and of lone surrogates only those that stand for bytes of such a name."""
    def check(value, field):
        fits = type(value) is str and shortest <= len(value) <= longest and '\0' not in value
        try:
            value.encode('utf-8', 'surrogateescape') if fits else None
        except UnicodeEncodeError:
            fits = False
        _expect(fits, value, field, f'text of {shortest} to {longest} characters')
    return check


def flag():
    def check(value, field):
        _expect(type(value) is bool, value, field, 'true or false')
    return check


def one_of(*values):
    def check(value, field):
        _expect(type(value) is str and value in values, value, field, ' or '.join(map(repr, values)))
    return check


def plain(value, field):
    """A number, a text, true or false."""
    if type(value) is str:
        text()(value, field)
    else:
        _expect(type(value) in (int, float, bool), value, field, 'a number, a text, true or false')


def nullable(schema):
    """`schema`, or null."""
    def check(value, field):
        if value is not None:
            schema(value, field)
    return check


def listing(schema, shortest=0, longest=LARGEST):
    def check(value, field):
        length = f'{shortest} to {longest}' if shortest != longest else shortest
        _expect(type(value) is list and shortest <= len(value) <= longest, value, field, f'a list of {length} entries')
        for index, entry in enumerate(value):
            schema(entry, f'{field}[{index}]')
    return check


def mapping(schema):
    """An object with any names, its values by `schema`."""
    def check(value, field):
        _expect(type(value) is dict, value, field, 'an object')
        for name, entry in value.items():
            schema(entry, _inner(field, name))
    return check


def record(fields, optional=None, others=None):
    """An object with all of `fields` (dict: name -> schema) and perhaps those of `optional`;
    other names by `others`, None: refused.
    """
    allowed = {**(optional or {}), **fields}

    def check(value, field):
        _expect(type(value) is dict, value, field, f'an object with {", ".join(fields)}')
        for name in fields:
            if name not in value:
                raise Unfit(f'{_inner(field, name)}: missing')
        for name, entry in value.items():
            schema = allowed.get(name, others)
            if schema is None:
                raise Unfit(f'{_inner(field, name)}: unknown, allowed: {", ".join(allowed)}')
            schema(entry, _inner(field, name))
    return check


def anything(value, field):
    """Any JSON value, nested up to DEEPEST."""
    _anything(value, field, 0)


def _anything(value, field, depth):
    if depth > DEEPEST:
        raise Unfit(f'{field.split("[")[0].split(".")[0] or "content"}: lists or objects nested more than {DEEPEST} '
                    'deep')
    if type(value) is str:
        text(LARGEST)(value, field)
    if type(value) is float:
        number()(value, field)
    for inner in value.values() if type(value) is dict else value if type(value) is list else ():
        _anything(inner, field, depth + 1)


def _inner(field, name):
    return f'{field}{"." if field else ""}{name!r:.42}' if not name.isidentifier() \
        else f'{field}{"." if field else ""}{name:.40}'


def _expect(fits, value, field, expected):
    if not fits:
        found = {dict: 'an object', list: 'a list'}.get(type(value)) or json.dumps(value, ensure_ascii=False)
        found = found if found.isprintable() else json.dumps(value)
        raise Unfit(f'{field or "content"}: found {found[:60]}, expected {expected}')
