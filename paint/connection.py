"""Connections with time limits: uvicorn's wait endlessly for the head of a request, and for a client that does not
read.
"""
import contextlib
import os

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 256       # at once
HEAD_SECONDS = 20       # for the head of a request, from the connection or the last answer on
ANSWER_SECONDS = 60     # within which a client must read an answer


class Connection(H11Protocol):
    """Aborted if its client takes too long. Beyond CONNECTIONS, the one that has waited longest for its client is
    aborted; if none waits for a client, uvicorn answers 503.
    """

    patience = None     # the timer that aborts

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)   # so that pause_writing and resume_writing report any unread byte
        self.unread = False
        self._wait_for_client()
        others = [other for other in self.connections if other is not self and other.waits]
        if len(self.connections) > CONNECTIONS and others:
            oldest = min(others, key=lambda other: other.since)
            oldest.transport.abort()
            self.connections.discard(oldest)    # at once: the next connection may come before connection_lost

    def connection_lost(self, error):
        self.patience.cancel()
        super().connection_lost(error)

    def handle_events(self):
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._wait_for_client()

    def on_response_complete(self):
        self._wait_for_client()
        super().on_response_complete()  # may start the next request

    def pause_writing(self):
        super().pause_writing()
        self.unread = True
        self._wait_for_client()

    def resume_writing(self):
        super().resume_writing()
        self.unread = False
        self._wait_for_client()

    @property
    def waits(self):
        """Whether it is the client's turn, to send a head or a body or to read."""
        return self.unread or self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _wait_for_client(self):
        """Restart the timer. The application times bodies."""
        if self.patience:
            self.patience.cancel()
        self.since = self.loop.time()
        if self.unread:
            self.patience = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)
        elif self.cycle is None or self.cycle.response_complete:
            self.patience = self.loop.call_later(HEAD_SECONDS, self.transport.abort)


class Server(uvicorn.Server):
    def handle_exit(self, number, frame):
        """End at once after Ctrl-C or SIGTERM: no file has to be completed."""
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(1, b'\nended\n')
        os._exit(128 + number)


def serve(application, listening):
    """Until Ctrl-C."""
    configuration = uvicorn.Config(
        application, http=Connection, ws='none', lifespan='off', log_level='error', access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=HEAD_SECONDS, limit_concurrency=CONNECTIONS + 1)
    Server(configuration).run(sockets=[listening])
