"""The flags of a script: one for each setting that it uses; errors in one line."""
import argparse
import difflib
import re

from model.version import __version__

VERSION = f'SPADE-Paddle {__version__}'


def parser_of(fields, description, names=None, defaults=None):
    """Parser with a flag for each of `fields` (dict: name -> Option) in `names`; None: all.

    defaults: the source of settings without flag, for --help; by default each option's default.
    """
    result = Parser(description=description, epilog=VERSION, allow_abbrev=False, argument_default=argparse.SUPPRESS,
                    formatter_class=lambda prog: Help(prog, max_help_position=32, width=120))
    result.add_argument('--version', action='version', version=VERSION, help='print the version and exit')
    groups = {}
    for name, option in fields.items():
        if names is not None and name not in names:
            result.left_out.add(name)
            continue
        if option.group not in groups:
            groups[option.group] = result.add_argument_group(option.group)
        default = defaults or ('no limit' if name == 'max_dataset_size' else option.default)
        text = option.help if callable(option.default) else f'{option.help} [{default}]'
        switch = {'nargs': '?', 'const': 'true'} if option.kind is bool else {}
        shown = f'{{{",".join(map(str, option.choices))}}}' if option.choices else option.kind.__name__.upper()
        groups[option.group].add_argument(f'--{name}', help=text, metavar=shown, **switch)
    return result


class Help(argparse.HelpFormatter):
    """Descriptions keep their lines, for examples; the usage names required arguments, not sixty flags."""

    def add_usage(self, usage, actions, groups, prefix=None):
        needed = [action for action in actions if action.required]
        words = [' '.join([*action.option_strings[:1], action.metavar or action.dest]) for action in needed]
        super().add_usage(usage or ' '.join(['%(prog)s', *words, '[options]']), actions, groups, prefix)

    def _fill_text(self, text, width, indent):
        return '\n'.join(indent + line for line in text.splitlines())


class Parser(argparse.ArgumentParser):
    """Prints an error in one line, without the usage of sixty flags."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.left_out = set()   # settings without flag in this script

    def parse_args(self, args=None, namespace=None):
        arguments, unknown_flags = self.parse_known_args(args, namespace)
        if unknown_flags:
            name = unknown_flags[0].split('=')[0].lstrip('-')
            flags = {flag.lstrip('-'): action.help or '' for flag, action in self._option_string_actions.items()}
            if name in self.left_out:
                meant = ''.join(f' (or was --{flag} meant?)' for flag in flags if name in flag)
                self.error(f'--{name} is an option of train.py and changes nothing here: omit it{meant}')
            self.error(unknown(name, flags))
        return arguments

    def error(self, message):
        self.exit(2, f'error: {message}; {self.prog} --help lists all\n')


def unknown(name, known):
    """The message for an unknown option; known: dict of name -> help of the options."""
    near = nearest(name, known)
    return f'unknown option {name!r}' + (f'; did you mean {near!r}?' if near else '')


def nearest(name, known):
    """The option that was probably meant, by spelling, then by words of the help; None if none is similar.

    Names of other projects are often words of the help: num_epochs is niter, 'epochs at the full learning rate'.
    """
    plain = {re.sub('[_-]', '', word).lower(): word for word in known}
    asked = re.sub('[_-]', '', name).lower()
    spelled = difflib.get_close_matches(asked, plain, n=1, cutoff=0.75) or \
        [word for word in plain if asked and (word.startswith(asked) or len(asked) > 2 and word.endswith(asked))]
    if spelled:
        return plain[spelled[0]]
    words = [word.rstrip('s')
             for word in re.split('[_-]', name.lower()) if len(word) > 2 and word not in ('num', 'size', 'dir')]
    places = {option: [re.search(rf'\b{re.escape(word)}', help.lower()) for word in words]
              for option, help in known.items()}
    matching = {option: sum(place.start() for place in there)
                for option, there in places.items() if words and all(there)}
    return min(matching, key=matching.get, default=None)
