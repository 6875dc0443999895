"""Reports that the memory of the CPU or GPU ran out, in one line with a remedy."""
import contextlib

from runtime.errors import InputError

# In the messages of Paddle, CUDA's libraries, oneDNN and the system.
WORDS = ('out of memory', 'out_of_memory', 'resourceexhausted', 'alloc_failed', 'bad_alloc', 'cannot allocate',
         'fail to alloc')


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
