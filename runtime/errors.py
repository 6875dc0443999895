"""Errors that are the user's to mend, shown as one line instead of a traceback."""
import contextlib
import sys


class InputError(ValueError):
    """Bad input: the message names the file or option, what was found, what is allowed and what to do."""


class OptionError(InputError, AttributeError, TypeError):
    """An unknown option, or a value of the wrong type: also what Python itself would raise for those."""


@contextlib.contextmanager
def shown_in_one_line():
    """Around a script's main(): an InputError ends it with one line on stderr and exit status 1."""
    try:
        yield
    except InputError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit(130)
