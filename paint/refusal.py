"""What a request is refused with: a status, a code that the page translates with its facts, and the same in English."""
import sys
from functools import lru_cache


class Refused(Exception):
    def __init__(self, code, text, status=422, **facts):
        super().__init__(text)
        self.code, self.text, self.status, self.facts = code, text, status, facts

    def content(self):
        return {'error': self.code, 'text': self.text, 'facts': self.facts}


@lru_cache(256)     # no client can fill a file that the terminal's lines go to
def say_once(line):
    print(line, file=sys.stderr, flush=True)
