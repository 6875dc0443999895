"""The reader of our JSON files: valid content is read, all other content ends in one line."""
import json
import math

import pytest
from hypothesis import given, strategies

from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, flag, listing, mapping, nullable, number, one_of, record, text, whole

pytestmark = pytest.mark.without_paddle

SCHEMA = record({'epoch': whole(1, 1000), 'losses': listing(nullable(number()), longest=3)},
                {'name': text(10, 1), 'by': one_of('averaged', 'last'), 'done': flag(), 'sizes': mapping(whole()),
                 'more': anything})
GOOD = {'epoch': 3, 'losses': [0.5, None], 'name': 'Straße', 'by': 'last', 'done': True, 'sizes': {'a b': 4},
        'more': [{'x': []}]}


def said(path, content, schema=SCHEMA):
    """What the reader refuses a file with these bytes with: one line that names the file and ends in the remedy."""
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        json_file.read(path, schema, 'remove it')
    message = str(error.value)
    assert message.startswith(f'{path}: ') and message.endswith('; remove it') and '\n' not in message and \
        len(message) < 500
    return message


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'progress.json'


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
@pytest.mark.parametrize('escaped', [True, False])
def test_valid_values_are_read(path, encoding, escaped):
    path.write_text(json.dumps(GOOD, ensure_ascii=escaped), encoding=encoding)
    assert json_file.read(path, SCHEMA, 'remove it') == GOOD


@pytest.mark.parametrize('change, words', [
    ({'epoch': 0}, 'epoch: found 0, expected a whole number from 1 to 1000'),
    ({'epoch': 1e9}, 'epoch: found 1000000000.0'),
    ({'epoch': True}, 'epoch: found true'), ({'epoch': None}, 'epoch: found null'),
    ({'epoch': '3'}, 'epoch: found "3"'),
    ({'epoch': {}}, 'epoch: found an object'), ({'epoch': 10 ** 31}, 'a number of 32 digits'),
    ({'losses': [1, 'x']}, r'losses[1]: found "x", expected a number'), ({'losses': [1] * 4}, 'losses: found a list'),
    ({'losses': {}}, 'losses: found an object'), ({'losses': [math.nan]}, 'NaN'), ({'losses': [-math.inf]}, 'Infinity'),
    ({'name': ''}, 'name: found ""'), ({'name': 'a' * 11}, 'text of 1 to 10'),
    ({'name': 'a\0b'}, r'name: found "a\u0000b"'),
    ({'name': '\ud800'}, r'name: found "\ud800"'), ({'by': 'first'}, "'averaged' or 'last'"),
    ({'by': []}, 'by: found a list'),
    ({'done': 1}, 'done: found 1, expected true or false'), ({'sizes': {'a b': -1}}, "sizes.'a b': found -1"),
    ({'sizes': []}, 'sizes: found a list'), ({'more': {'x': ['\ud800']}}, 'more'),
    ({'\x1b[2J': 1}, r"'\x1b[2J': unknown, allowed")])
def test_invalid_values_are_named(path, change, words):
    assert words in said(path, json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize('content, words', [
    (b'', 'Expecting value'), (b'{}', 'epoch: missing'), (b'[]', 'content: found a list'), (b'null', 'found null'),
    (b'{"epoch": 1e999, "losses": []}', 'Infinity'), (b'{"epoch": 3', 'delimiter'), (b'\xff{}', "can't decode"),
    (b'{"epoch": %s, "losses": []}' % (b'9' * 5000), '5000 digits'), (b'[' * 200000, 'nested too deep'),
    (b'{"epoch": 1, "losses": [], "more": %s}' % (b'[' * 100 + b']' * 100), 'more: lists or objects nested'),
    (b' ' * (json_file.LARGEST + 1), 'more than'), (b'{"sizes": {"x": 1, "x": 2}}', "'x' occurs twice")])
def test_damaged_files(path, content, words):
    assert words in said(path, content)


def test_a_missing_file_raises_file_not_found(path):
    with pytest.raises(FileNotFoundError):
        json_file.read(path, SCHEMA, 'remove it')
    path.mkdir()
    with pytest.raises(InputError, match='Is a directory; remove it'):
        json_file.read(path, SCHEMA, 'remove it')


def test_lines(path):
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert json_file.read_lines(path, record({'a': whole()}), 'remove it') == [{'a': 1}, {'a': 2}]
    path.write_text('{"a": 1}\n{"a": -2}\n')
    with pytest.raises(InputError, match='line 2: cannot be read: a: found -2'):
        json_file.read_lines(path, record({'a': whole()}), 'remove it')


def test_invalid_values_are_not_written():
    json_file.check(GOOD, SCHEMA, 'progress', 'give others')
    with pytest.raises(InputError, match='progress: epoch: found 0, .*; give others'):
        json_file.check({**GOOD, 'epoch': 0}, SCHEMA, 'progress', 'give others')


JSON = strategies.recursive(strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() |
                            strategies.text(),
                            lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner))


@given(strategies.binary() | JSON.map(lambda value: json.dumps(value).encode()) |
       JSON.map(lambda value: json.dumps({**GOOD, 'more': value}).encode()))
def test_any_bytes_end_in_a_value_or_one_line(content):
    try:
        value = json_file.parsed(content, SCHEMA, 'progress.json', 'remove it')
    except InputError as error:
        assert '\n' not in str(error) and str(error).endswith('; remove it')
    else:
        assert json.loads(content.decode('utf-8-sig')) == value and value['epoch'] in range(1, 1001)
