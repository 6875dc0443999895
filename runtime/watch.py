"""A link between the ranks of one run. It names a lost rank, and lets ranks wait for each other without a time limit.

Collectives of gloo fail after 30 seconds and name only an address; those of nccl hang. Neither names the dead rank, nor
gives rank 0 a minute alone to save. So every rank has a TCP connection to rank 0. The system closes it however a
process ends, and keep-alive probes detect a machine that is gone.
"""
import json
import os
import socket
import sys
import threading
import time

from runtime.errors import InputError

FIREWALL = 'if a firewall is between them, open that port; --watch_port N chooses it'
SILENCE = 20  # seconds without an answer to probes until a machine counts as gone


class Watch:
    """One rank's end of the link; all ranks make theirs together. A lost rank ends this process with status 1."""

    def __init__(self, rank, ranks, address, token, listener=None):
        """address: (host, port) of rank 0, where its `listener` is bound; token: identifies this job."""
        self.rank, self.changed = rank, threading.Condition()
        self.meetings = dict.fromkeys(range(ranks), 0)  # barriers each rank has reached; above rank 0: only own and 0's
        self.closing, self.failed = False, False
        if rank:
            self.links = {0: _Link(_connected(rank, address))}
            self.links[0].send(rank=rank, token=token)
        else:
            self.links = _accepted(listener, ranks, token)
        for other, link in self.links.items():
            link.socket.settimeout(None)
            threading.Thread(target=self._listen, args=(other, link), daemon=True).start()

    def barrier(self):
        """Return when every rank has called this as often as this rank."""
        with self.changed:
            self.meetings[self.rank] += 1
            number = self.meetings[self.rank]
            if self.rank:
                self.links[0].send(met=number)
                self.changed.wait_for(lambda: self.meetings[0] >= number)
                return
            self.changed.wait_for(lambda: min(self.meetings.values()) >= number)
        for link in self.links.values():
            link.send(met=number)

    def close(self, error=None):
        """Leave the link: after a barrier, or at once with the message of an `error`, which rank 0 prints."""
        if error is None:
            self.barrier()
        self.closing = True
        for link in self.links.values():
            link.send(leaves=error)

    def wait_for_the_end(self):
        """Wait, after a failed collective, until the link names the reason and ends the process."""
        time.sleep(SILENCE + 5)

    def _listen(self, other, link):
        while True:
            message = link.receive()
            if message is None:
                if not self.closing:
                    self._end(f'rank {other} was lost: its process or its machine has ended')
                return
            if 'met' in message:
                with self.changed:
                    self.meetings[other] = message['met']
                    self.changed.notify_all()
            elif message.get('lost'):
                self._end(message['lost'])
            elif message.get('leaves'):
                self._end(f'rank {other}: {message["leaves"]}')
            else:
                return

    def _end(self, reason):
        with self.changed:
            if self.failed:
                return
            self.failed = True
        print(f'error: {reason}; all ranks end; the last checkpoint stays; the same command continues from it',
              file=sys.stderr, flush=True)
        if not self.rank:
            for link in self.links.values():
                link.send(lost=reason)
        os._exit(1)


def _connected(rank, address):
    """A socket to rank 0, which is alive: it has just sent its address."""
    try:
        return socket.create_connection(address, SILENCE)
    except OSError as error:
        raise InputError(f'rank {rank} on {socket.gethostname()} cannot connect to rank 0 at {address[0]}:{address[1]} '
                         f'({error}), though both are alive: {FIREWALL}') from None


def _accepted(listener, ranks, token):
    """dict: rank -> _Link of all ranks above 0. Connections without the token are ignored."""
    links, lock, complete = {}, threading.Lock(), threading.Event()

    def greet(connection):
        link = _Link(connection)
        connection.settimeout(SILENCE)
        hello = link.receive()
        if isinstance(hello, dict) and hello.get('token') == token:
            with lock:
                links[hello['rank']] = link
                if len(links) == ranks - 1:
                    complete.set()

    def listen():
        while not complete.is_set():
            try:
                threading.Thread(target=greet, args=(listener.accept()[0],), daemon=True).start()
            except OSError:     # a timeout, or closed below
                pass

    listener.settimeout(0.2)
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    arrived = complete.wait(SILENCE)
    complete.set()
    thread.join()
    port = listener.getsockname()[1]
    listener.close()
    missing = sorted(set(range(1, ranks)) - set(links))
    if not arrived and missing:
        raise InputError(f'rank {", ".join(map(str, missing))} did not connect to rank 0 at port {port} of '
                         f'{socket.gethostname()} within {SILENCE} s, though alive: {FIREWALL}')
    return links


class _Link:
    """JSON lines over a socket."""

    def __init__(self, connection):
        self.socket, self.lines, self.sending = connection, connection.makefile('rb'), threading.Lock()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in (('TCP_KEEPIDLE', SILENCE // 4), ('TCP_KEEPINTVL', SILENCE // 4), ('TCP_KEEPCNT', 3),
                            ('TCP_USER_TIMEOUT', SILENCE * 1000)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, **message):
        try:
            with self.sending:
                self.socket.sendall(json.dumps(message).encode() + b'\n')
        except OSError:
            pass  # _listen sees the end too

    def receive(self):
        """The next message, None at the end."""
        try:
            line = self.lines.readline()
            return json.loads(line) if line.endswith(b'\n') else None
        except (OSError, ValueError):
            return None
