"""Reads the objects of COCO's annotation files as a stream: instances_train2017.json has 448 million bytes."""
import codecs
import json
import os
import re

from dataset.prepare.archive import reading
from runtime.errors import InputError

LARGEST = 1 << 32           # bytes of a file
LARGEST_VALUE = 1 << 24     # characters of one annotation or image in it
AT_ONCE = 1 << 20           # bytes read together
DELIMITERS = tuple(' \t\n\r,:]}')
SPACE = re.compile(r'[ \t\n\r]*')


def annotations_by_stem(member):
    """dict: stem of the photo -> list of its annotations in the order of the file, as JSON (bytes) for `parsed`.

    Python's lists of numbers would take six times the memory.
    """
    stems, found, by_stem = {}, {}, {}
    with reading(member, LARGEST) as stream:
        try:
            for key, value, text in _Stream(stream).values():
                if key == 'images':
                    stems[value['id']] = os.path.splitext(os.path.basename(value['file_name']))[0]
                else:
                    _entry(value)
                    found.setdefault(value['image_id'], []).append(text.encode())
            for image, texts in found.items():
                by_stem.setdefault(stems[image], []).extend(texts)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise InputError(f'{member.archive}: {member.name}: not the annotations of COCO ({type(error).__name__}: '
                             f'{error}): download the archive again') from None
    return by_stem


def parsed(text):
    """(segmentation, area in pixels, whether it is a crowd) of an annotation."""
    return _entry(json.loads(text))


def _entry(annotation):
    return annotation['segmentation'], float(annotation['area']), bool(annotation.get('iscrowd', 0))


class _Stream:
    """A JSON object, read in parts from a binary stream."""

    def __init__(self, stream):
        self.stream, self.decode = stream, codecs.getincrementaldecoder('utf-8-sig')().decode
        self.text, self.place, self.ended = '', 0, False
        self.decoder = json.JSONDecoder()

    def values(self):
        """Yield (key, value, its text) of every element of the arrays `images` and `annotations`; skips the rest."""
        keys = set()
        self._expect('{')
        while True:
            key, _ = self._value()
            self._expect(':')
            if key in ('images', 'annotations'):
                keys.add(key)
                self._expect('[')
                if self._next() == ']':
                    self.place += 1
                else:
                    yield key, *self._value()
                    while self._expect(',]') == ',':
                        yield key, *self._value()
            else:
                self._value()
            if self._expect(',}') == '}':
                break
        if self._next():
            raise ValueError('text after the end')
        if len(keys) < 2:
            raise KeyError(*{'images', 'annotations'} - keys)

    def _expect(self, characters):
        character = self._next()
        if not character or character not in characters:
            raise ValueError(f'found {character or "the end"}, expected one of {characters}')
        self.place += 1
        return character

    def _next(self):
        """The next unread character other than a space, or '' at the end."""
        while True:
            self.place = SPACE.match(self.text, self.place).end()
            if self.place < len(self.text) or not self._more():
                return self.text[self.place:self.place + 1]

    def _value(self):
        """(value, its text); reads until a delimiter follows the value, since a number could continue."""
        self._next()
        while True:
            error = None
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
                if self.text[end:end + 1] in DELIMITERS or self.ended:
                    text, self.place = self.text[self.place:end], end
                    return value, text
            except json.JSONDecodeError as found:
                error = found
            if len(self.text) - self.place > LARGEST_VALUE:
                raise error or ValueError(f'a single value of more than {LARGEST_VALUE} characters')
            if not self._more() and error:
                raise error

    def _more(self):
        """Read at least as much text as is left; False at the end."""
        if self.ended:
            return False
        content = self.stream.read(max(AT_ONCE, len(self.text) - self.place))
        self.ended = not content
        self.text, self.place = self.text[self.place:] + self.decode(content, final=self.ended), 0
        return True
