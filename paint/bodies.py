"""Bodies of requests: a line of JSON, then bytes. Size and time of each are limited, and the size of all together."""
import asyncio
import contextlib
import json

from paint.refusal import Refused

MOST_JSON = 64 << 10        # bytes of the line before the maps: two z of 256 numbers take a fraction of it
BODY_SECONDS = 60           # within which a body must arrive
MOST_BODIES = 192 << 20     # bytes of all bodies in memory


class Bodies:
    """`async with bodies.of(request, most) as (head, content)`: dict and memoryview, in memory until the block ends."""

    def __init__(self):
        self.total, self.arriving = 0, {}   # bytes of all bodies; reading task -> its bytearray, the oldest first

    @contextlib.asynccontextmanager
    async def of(self, request, most):
        """most: bytes allowed after the line. Beyond MOST_BODIES in all, the oldest still arriving is ended."""
        most += MOST_JSON
        length = request.headers.get('content-length', '0')
        if not length.isascii() or not length.isdecimal() or len(length) > 15 or int(length) > most:
            raise _too_long(most)
        content = bytearray()
        reading = asyncio.ensure_future(self._read(request, content, most))
        self.arriving[reading] = content
        try:
            await asyncio.wait({reading}, timeout=BODY_SECONDS)
            self.arriving.pop(reading, None)
            if not reading.done():
                raise Refused('slow', f'the request did not arrive within {BODY_SECONDS} s', 408)
            if reading.cancelled():
                raise Refused('busy', 'too much is being sent: try again in a moment', 503)
            reading.result()
            yield _parsed(content)
        finally:
            self.arriving.pop(reading, None)
            reading.cancel()
            self.total -= len(content)

    async def _read(self, request, content, most):
        async for part in request.stream():
            if len(content) + len(part) > most:
                raise _too_long(most)
            content += part
            self.total += len(part)
            while self.total > MOST_BODIES:
                oldest = next(iter(self.arriving))
                oldest.cancel()
                held = self.arriving.pop(oldest)
                self.total -= len(held)
                held.clear()


def _parsed(content):
    end = content.find(b'\n', 0, MOST_JSON)
    try:
        head = json.loads(content[:end]) if end >= 0 else None
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise malformed()
    return head, memoryview(content)[end + 1:]


def malformed():
    return Refused('malformed', 'the page sends no such request: reload the page', 400)


def _too_long(most):
    return Refused('body', f'more than {most >> 10} kB in one request', 413, most=most >> 20)
