"""The flags of a script: one for each setting that changes something there, and errors of one line."""
import argparse
import difflib


def parser_of(fields, description, names=None, defaults=None):
    """Parser with a flag for each of `fields` (dict: name -> Option) that is in `names`; None: all.

    defaults: what --help says of settings that are not given, if not their own default.
    """
    result = Parser(description=description, allow_abbrev=False, argument_default=argparse.SUPPRESS,
                    formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=120))
    groups = {}
    for name, option in fields.items():
        if names is not None and name not in names:
            result.left_out.add(name)
            continue
        group = groups.setdefault(option.group, None) or result.add_argument_group(option.group)
        groups[option.group] = group
        default = defaults or ('no limit' if name == 'max_dataset_size' else option.default)
        text = option.help if callable(option.default) else f'{option.help} [{default}]'
        switch = {'nargs': '?', 'const': 'true'} if option.kind is bool else {}
        group.add_argument(f'--{name}', help=text, metavar=option.kind.__name__.upper(), **switch)
    return result


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: the usage of sixty flags would bury it."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.left_out = set()   # settings that train.py has a flag for, and this script has not

    def parse_args(self, args=None, namespace=None):
        arguments, unknown_flags = self.parse_known_args(args, namespace)
        if unknown_flags:
            name = unknown_flags[0].split('=')[0].lstrip('-')
            flags = [flag.lstrip('-') for flag in self._option_string_actions]
            if name in self.left_out:
                meant = ''.join(f' (or was --{flag} meant?)' for flag in flags if name in flag)
                self.error(f'--{name} is an option of train.py and changes nothing here: leave it out{meant}')
            self.error(unknown(name, flags))
        return arguments

    def error(self, message):
        self.exit(2, f'error: {message}; {self.prog} --help lists all\n')


def unknown(name, known):
    """What to say of an option that does not exist."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5) or \
        [word for word in known if word.lower().startswith(name.lower())][:1]
    return f'unknown option {name!r}' + (f'; did you mean {near[0]!r}?' if near else '')
