"""Progress on stderr: a bar on a terminal, else a line a minute, both with the time left."""
import sys
import time
from datetime import timedelta

from tqdm import tqdm

LINE_EVERY = 60  # seconds between two lines


def bar(total, title, unit='picture', done=0, disable=False, **drawn):
    """with bar(5000, 'segmentation') as progress: progress.update(4)

    done: units that an earlier run completed; drawn: arguments of tqdm.
    """
    if disable or sys.stderr.isatty():
        return tqdm(total=total, desc=title, unit=f' {unit}s', initial=done, disable=disable, dynamic_ncols=True,
                    **drawn)
    return _Lines(total, title, unit, done)


def counted(items, total, title, unit='picture', done=0, **drawn):
    """Yield `items`; an item counts as done when the next one is requested."""
    with bar(total, title, unit, done, **drawn) as progress:
        for item in items:
            yield item
            progress.update()


class _Lines:
    """Replaces the bar where stderr is no terminal: in a log file a bar would be one long line."""

    def __init__(self, total, title, unit, done):
        self.total, self.title, self.unit, self.before, self.done = total, title, unit, done, done
        self.begun = self.printed = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, count=1):
        self.done += count
        now = time.monotonic()
        if now - self.printed >= LINE_EVERY:
            self.printed = now
            left = timedelta(seconds=round((now - self.begun) / (self.done - self.before) * (self.total - self.done)))
            print(f'{self.title}: {self.done} of {self.total} {self.unit}s, left: {left}', file=sys.stderr, flush=True)
