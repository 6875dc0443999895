"""Errors that the user can fix, shown as one line instead of a traceback."""
import contextlib
import re
import sys
import unicodedata

from runtime import streams
from runtime.commands import runnable

ESCAPED = 'Cc', 'Cf', 'Cs', 'Cn', 'Zl', 'Zp'   # Unicode categories: control, format, surrogate, unassigned, separators


class InputError(ValueError):
    """Bad input: the message names the file or option, what was found, what is allowed and what to do."""

    def __init__(self, message=''):
        super().__init__(printable(message))


class OptionError(InputError, AttributeError, TypeError):
    """An unknown option, or a value of the wrong type; also the classes that Python itself would raise."""


def printable(text):
    """Text from a file, or a file's name, safe for any terminal: characters of ESCAPED become \\x1b, \\u202e, ...

    Bytes of a name that are not UTF-8 (in Python the surrogates U+DC80 to U+DCFF) become \\x80 to \\xff.
    """
    return re.sub('[^ -~]', lambda match: _escaped(match[0]), str(text))


def _escaped(character):
    if unicodedata.category(character) not in ESCAPED:
        return character
    code = ord(character)
    if 0xdc80 <= code <= 0xdcff:
        return f'\\x{code - 0xdc00:02x}'
    return character.encode('unicode_escape').decode()


@contextlib.contextmanager
def shown_in_one_line(stopped=''):
    """Around a script's main(): an InputError ends it with one line on stderr and exit status 1.

    Ctrl-C ends it with the line `stopped`, if any, and exit status 130.

    A character missing in an output's encoding is printed as \\u4e2d; an output that cannot be written is discarded.
    """
    streams.keep_going()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):   # a test's stream, or None
            stream.reconfigure(errors='backslashreplace')
    try:
        yield
    except InputError as error:
        sys.exit(f'error: {runnable(str(error))}')
    except KeyboardInterrupt:
        if stopped:     # on a new line, since a terminal may show a bar
            print('\n' * sys.stderr.isatty() + stopped, file=sys.stderr)
        sys.exit(130)
