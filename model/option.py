"""One setting of OPT: type, range, default, and the effect of a changed value on a resumed run."""
import math
import numbers
import os

from runtime.errors import InputError, OptionError


class Option:
    """One setting: a typed, documented attribute of OPT. A callable default is computed from the other settings."""

    def __init__(self, default, help, kind=None, choices=None, minimum=None, maximum=None, pattern=None, group=None,
                 effect=None, differs=''):
        self.default, self.help, self.choices, self.pattern = default, help, choices, pattern
        self.minimum, self.maximum, self.kind = minimum, maximum, kind or type(default)
        # differs: from paper, official code or ctkindle
        self.group, self.effect, self.differs = group, effect, differs

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, opt, owner=None):
        if opt is None:
            return self
        default = self.default(opt) if callable(self.default) else self.default
        return opt.__dict__.get(self.name, default)

    def __set__(self, opt, value):
        opt.__dict__[self.name] = self.checked(value)

    def checked(self, value):
        """`value` as this option's type; OptionError if it is of another type or out of range."""
        accepted = {int: numbers.Integral, float: numbers.Real, bool: bool, str: (str, os.PathLike)}[self.kind]
        if not isinstance(value, accepted) or (isinstance(value, bool) and self.kind is not bool):
            raise OptionError(f'option {self.name}: found {value!r} ({type(value).__name__}), '
                              f'expected {self.kind.__name__}: {self.help}')
        value = os.fspath(value) if self.kind is str else self.kind(value)
        if self.kind is str and '\0' in value:
            raise OptionError(f'option {self.name}: found {value!r:.100}, which has a NUL, invalid in a file name')
        if self.choices and value not in self.choices:
            raise OptionError(f'option {self.name}: found {value!r}, allowed: {", ".join(map(str, self.choices))}')
        if self.minimum is not None and not value >= self.minimum:
            raise OptionError(f'option {self.name}: found {value}, must be at least {self.minimum}')
        if self.maximum is not None and not value <= self.maximum:
            raise OptionError(f'option {self.name}: found {value}, must be at most {self.maximum}')
        if self.kind is float and not math.isfinite(value):
            raise OptionError(f'option {self.name}: found {value}, must be a finite number')
        if self.pattern and not self.pattern.fullmatch(value):
            raise OptionError(f'option {self.name}: unknown norm {value!r}, allowed: {self.help}')
        return value

    def parsed(self, text):
        """The value of `text` from the command line; OptionError if it is none."""
        words = {'true': True, 'yes': True, '1': True, 'false': False, 'no': False, '0': False}
        try:
            return self.checked(words[text.lower()] if self.kind is bool else self.kind(text))
        except (KeyError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            kind = {bool: 'true or false', int: 'a whole number', float: 'a number'}[self.kind]
            raise OptionError(f'option --{self.name}: found {text!r}, expected {kind}: {self.help}') from None


def group(title, effect):
    """`Option` with a heading for --help and a default effect (a key of model.init.EFFECTS)."""
    def option(default, help, **rules):
        return Option(default, help, **{'group': title, 'effect': effect, **rules})
    return option
