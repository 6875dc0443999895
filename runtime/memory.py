"""Reports that the memory of the CPU or GPU ran out, or would, in one line with a remedy."""
import contextlib
import re

from runtime.errors import InputError

# In the messages of Paddle, CUDA's libraries, oneDNN and the system.
WORDS = ('out of memory', 'out_of_memory', 'resourceexhausted', 'alloc_failed', 'bad_alloc', 'cannot allocate',
         'fail to alloc')


class TooLarge(InputError):
    """More than the memory that is free."""


def lack_of(error):
    """The line of an exception that reports a lack of memory; '' for other exceptions."""
    lines = [line.strip() for line in str(error).splitlines() if any(word in line.lower() for word in WORDS)]
    return lines[0] if lines else type(error).__name__ if isinstance(error, MemoryError) else ''


@contextlib.contextmanager
def enough(remedy):
    """Around work that takes much memory: InputError with the `remedy` where it runs out."""
    try:
        yield
    except (MemoryError, RuntimeError, SystemError, OSError) as error:
        if isinstance(error, InputError) or not (reason := lack_of(error)):
            raise
        raise InputError(f'out of memory ({reason}): {remedy}') from None


def available():
    """Bytes of memory that this process can still take, by Linux and the limit of its control group; None elsewhere."""
    found = re.search(r'MemAvailable: +(\d+) kB', _text('/proc/meminfo'))
    if not found:
        return None
    free = int(found[1]) << 10
    limit, used = (_text(f'/sys/fs/cgroup/memory.{name}').strip() for name in ('max', 'current'))
    if limit.isdigit() and used.isdigit():
        cached = re.search(r'^inactive_file (\d+)', _text('/sys/fs/cgroup/memory.stat'), re.MULTILINE)
        free = min(free, int(limit) - int(used) + int(cached[1] if cached else 0))
    return max(0, free)


def require(needed, what, remedy):
    """TooLarge, before Linux kills the process, if `what` needs more bytes than there are."""
    free = available()
    if free is not None and needed > free:
        raise TooLarge(f'{what} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: '
                       f'{remedy}')


def _text(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ''
