"""Reads our JSON files by a schema: a damaged one ends in one line that names file and field.

    COUNTERS = record(dict(epoch=whole(1), device=text(), losses=listing(number())), optional=dict(note=text()))
    counters = json_file.read(path, COUNTERS, 'restart with --restart')

A schema is a function of (value, field) that raises Unfit. Files are UTF-8, with or without a byte order mark.
"""
import json
import math

from runtime.errors import InputError

LARGEST = 1 << 20   # bytes of a file, or of a line
DIGITS = 30         # of an integer; parsing takes quadratic time
DEEPEST = 16        # nested lists and objects within `anything`


class Unfit(ValueError):
    """Where a value violates its schema."""


def read(path, schema, remedy, largest=LARGEST):
    """The content of the file `path`. InputError, ending in `remedy`, if it cannot be read or violates the schema.

    A missing file raises FileNotFoundError, which the caller handles.
    """
    return parsed(_bytes(path, largest, remedy), schema, path, remedy, largest)


def read_lines(path, schema, remedy, largest=1 << 28):
    """list of the values in a file with one JSON value a line; skips empty lines. Errors as in `read`."""
    lines = _bytes(path, largest, remedy).splitlines()
    return [parsed(line, schema, f'{path}, line {number}', remedy) for number, line in enumerate(lines, 1)
            if line.strip()]


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
        value = json.loads(text, parse_int=_integer, parse_float=float, parse_constant=float,
                           object_pairs_hook=unique)
        schema(value, '')
    except RecursionError:
        raise InputError(f'{source}: cannot be read: lists or objects nested too deep; {remedy}') from None
    except ValueError as error:   # JSON's, UTF-8's and Unfit
        raise InputError(f'{source}: cannot be read: {error}; {remedy}') from None
    return value


def check(value, schema, source, remedy):
    """InputError if `value` violates its schema; called before writing what `read` would refuse."""
    try:
        schema(value, '')
    except Unfit as error:
        raise InputError(f'{source}: {error}; {remedy}') from None


def differences(before, now, said):
    """Text on the entries of the dict `now` that `before` has not; said: dict: name -> what to say in place of both."""
    return ', '.join(said.get(name, f'{name} {before.get(name)} (now {value})')
                     for name, value in now.items() if before.get(name) != value)


def unique(pairs):
    """dict of the pairs (name, value); Unfit if a name occurs twice. The object_pairs_hook of json.loads."""
    found = {}
    for name, value in pairs:
        if name in found:
            raise Unfit(f'{name!r:.60} occurs twice in one object')
        found[name] = value
    return found


def _integer(text):
    if len(text) > DIGITS:
        raise Unfit(f'found a number of {len(text)} digits, at most {DIGITS} are allowed')
    return int(text)


# ---- Schemas

def _schema(fits, expected):
    def check(value, field):
        if not fits(value):
            shown = {dict: 'an object', list: 'a list'}.get(type(value)) or json.dumps(value, ensure_ascii=False)
            shown = shown if shown.isprintable() else json.dumps(value)
            raise Unfit(f'{field or "content"}: found {shown[:60]}, expected {expected}')
    return check


def whole(least=0, most=2 ** 63 - 1):
    return _schema(lambda value: type(value) is int and least <= value <= most,
                   f'a whole number from {least} to {most}')


def number(least=-math.inf, most=math.inf, finite=True):
    """finite=False: also NaN and infinities, in Python's notation."""
    return _schema(lambda value: type(value) in (int, float) and (
                       not finite or least <= value <= most and math.isfinite(value)),
                   'a number' if least == -most == -math.inf else f'a number from {least} to {most}')


def text(longest=4096, shortest=0):
    """Text that a file name may have: no NUL; lone surrogates only for bytes that are not UTF-8."""
    def fits(value):
        try:
            return type(value) is str and shortest <= len(value) <= longest and '\0' not in value and \
                value.encode('utf-8', 'surrogateescape') is not None
        except UnicodeEncodeError:
            return False
    return _schema(fits, f'text of {shortest} to {longest} characters')


def flag():
    return _schema(lambda value: type(value) is bool, 'true or false')


def one_of(*values):
    return _schema(lambda value: type(value) is str and value in values, ' or '.join(map(repr, values)))


def plain(value, field):
    """A number, a text, true or false."""
    if type(value) is str:
        text()(value, field)
    _schema(lambda value: type(value) in (str, int, float, bool), 'a number, a text, true or false')(value, field)


def nullable(schema):
    """`schema`, or null."""
    return lambda value, field: None if value is None else schema(value, field)


def listing(schema, shortest=0, longest=LARGEST):
    length = f'{shortest} to {longest}' if shortest != longest else shortest
    is_list = _schema(lambda value: type(value) is list and shortest <= len(value) <= longest,
                      f'a list of {length} entries')

    def check(value, field):
        is_list(value, field)
        for index, entry in enumerate(value):
            schema(entry, f'{field}[{index}]')
    return check


def mapping(schema):
    """An object with any names; its values by `schema`."""
    return record({}, others=schema)


def record(fields, optional=None, others=None):
    """An object with all of `fields` (dict: name -> schema), maybe those of `optional`, and other names by `others`.

    others None: other names are refused.
    """
    allowed = {**(optional or {}), **fields}
    is_object = _schema(lambda value: type(value) is dict, 'an object' + ' with ' * bool(fields) + ', '.join(fields))

    def check(value, field):
        is_object(value, field)
        for name in fields:
            if name not in value:
                raise Unfit(f'{_inner(field, name)}: missing')
        for name, entry in value.items():
            schema = allowed.get(name, others)
            if schema is None:
                raise Unfit(f'{_inner(field, name)}: unknown, allowed: {", ".join(allowed)}')
            schema(entry, _inner(field, name))
    return check


def anything(value, field, depth=0):
    """Any JSON value, nested up to DEEPEST."""
    if depth > DEEPEST:
        outermost = field.split('[')[0].split('.')[0] or 'content'
        raise Unfit(f'{outermost}: lists or objects nested more than {DEEPEST} deep')
    if type(value) is str:
        text(LARGEST)(value, field)
    if type(value) is float:
        number()(value, field)
    for inner in value.values() if type(value) is dict else value if type(value) is list else ():
        anything(inner, field, depth + 1)


def _inner(field, name):
    return f'{field}{"." * bool(field)}' + (f'{name:.40}' if name.isidentifier() else f'{name!r:.42}')
