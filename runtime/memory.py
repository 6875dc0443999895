"""Memory that has run out, of the CPU or a GPU: one line that says what to lower."""
import contextlib

from runtime.errors import InputError

# As Paddle, CUDA's libraries, oneDNN and the system say it.
SAID = ('out of memory', 'out_of_memory', 'resourceexhausted', 'alloc_failed', 'bad_alloc', 'cannot allocate',
        'fail to alloc')


def lack_of(error):
    """The line of an exception that says that memory ran out; '' for other exceptions."""
    lines = [line.strip() for line in str(error).splitlines() if any(word in line.lower() for word in SAID)]
    return lines[0] if lines else type(error).__name__ if isinstance(error, MemoryError) else ''


@contextlib.contextmanager
def enough(remedy):
    """Around work that takes much: where memory runs out, an InputError with the remedy."""
    try:
        yield
    except (MemoryError, RuntimeError, SystemError, OSError) as error:
        if isinstance(error, InputError) or not (found := lack_of(error)):
            raise
        raise InputError(f'out of memory ({found}): {remedy}') from None
