"""The refusal of a request: a status, a code with facts, which the page translates, and an English text."""
import sys
from functools import lru_cache


class Refused(Exception):
    def __init__(self, code, text, status=422, **facts):
        super().__init__(text)
        self.code, self.text, self.status, self.facts = code, text, status, facts

    def content(self):
        return {'error': self.code, 'text': self.text, 'facts': self.facts}


@lru_cache(256)     # so that no client can fill a log file of the terminal's lines
def say_once(line):
    print(line, file=sys.stderr, flush=True)
