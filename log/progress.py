"""The progress of a run: a bar on a terminal, else a line every print_freq steps and every minute."""
import sys
import time
from datetime import timedelta

from tqdm import tqdm

from runtime.bar import LINE_EVERY

PACED = 2   # steps after the first that give the estimate of the rest


class Progress:
    """Counts steps, and the seconds spent waiting for data (reader) and in the whole step (batch)."""

    def __init__(self, first, last, batch_size, print_freq):
        self.first, self.step, self.last, self.batch_size, self.print_freq = first, first, last, batch_size, print_freq
        self.speed = 0.0    # images per second since the last line
        self.bar = tqdm(total=last, initial=first, unit='step', dynamic_ncols=True) if sys.stdout.isatty() else None
        self._start_window()

    def timed(self, batches):
        """Yield `batches` and count the seconds spent waiting for them."""
        batches = iter(batches)
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            self.reader += time.perf_counter() - before
            if batch is None:
                return
            yield batch

    def done(self, epoch, losses):
        """Count a step; `losses` is a dict of floats."""
        self.step += 1
        self.steps += 1
        seconds = (time.perf_counter() - self.start) / self.steps
        self.speed = self.batch_size / seconds
        if self.bar is not None:
            self.bar.set_description(f'epoch {epoch}', refresh=False)
            shown = {name.replace('_loss', ''): f'{value:.3f}' for name, value in losses.items() if value}
            self.bar.set_postfix({**shown, 'images/s': f'{self.speed:.2f}'}, refresh=False)
            self.bar.update()
        late = self.bar is None and (self.step == self.last or seconds * self.steps >= LINE_EVERY)
        is_due, is_first = self.steps == self.print_freq or late, self.step == self.first + 1
        if is_due or is_first:      # the first step, to show that training works and how long a step takes
            self._print(epoch, losses, seconds)
        if is_due:
            self._start_window()
        if is_first:
            self.after_first = time.perf_counter()  # the first step is slower than the others

    def seconds_left(self):
        """Estimate for the rest of the run, at PACED steps after the first; None at any other step."""
        paced = self.step - self.first - 1
        return (time.perf_counter() - self.after_first) / PACED * (self.last - self.step) if paced == PACED else None

    def say(self, line):
        """Print a line above the bar."""
        tqdm.write(line) if self.bar is not None else print(line, flush=True)

    def close(self):
        if self.bar is not None:
            self.bar.close()

    def _start_window(self):
        self.start, self.reader, self.steps = time.perf_counter(), 0.0, 0

    def _print(self, epoch, losses, seconds):
        if self.bar is not None:
            return
        values = ', '.join(f'{name}: {value:.4f}' for name, value in losses.items())
        left = timedelta(seconds=round(seconds * (self.last - self.step)))
        print(f'epoch {epoch}, step {self.step}/{self.last}, {values}, avg_reader_cost: {self.reader / self.steps:.5f} '
              f'sec, avg_batch_cost: {seconds:.5f} sec, avg_ips: {self.speed:.3f} images/sec, left: {left}', flush=True)
