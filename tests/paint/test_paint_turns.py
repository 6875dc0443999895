"""Many pages at once: each gets its own pictures, in turn, and a newer request replaces an older one."""
import socket
import threading

import numpy as np
import pytest

from paint.turns import MOST_WAITING, Busy, Superseded, Turns
from tests.painting import body, maps_of


def test_four_clients_get_their_own_pictures(server):
    maps = [server.maps(index % 3) for index in range(4)]
    style = [{'seed': seed} for seed in range(4)]
    expected = [server.painted(*maps[n], style[n]) for n in range(4)]
    found = [[] for _ in range(4)]

    def client(n):
        for number in range(5):
            found[n].append(server.painted(*maps[n], style[n], page=f'client {n}', number=number))
    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(4):
        assert len(found[n]) == 5 and all(np.array_equal(pixels, expected[n]) for pixels in found[n])
    assert not np.array_equal(expected[0], expected[3])


class Held:
    """Turns whose thread waits inside a first piece of work until release()."""

    def __init__(self):
        self.turns, self.begun, self.go, self.order = Turns(), threading.Event(), threading.Event(), []
        self.turns.submit('first', 0, lambda: (self.begun.set(), self.go.wait(60)))
        assert self.begun.wait(60)

    def submit(self, page, number, name):
        return self.turns.submit(page, number, lambda: self.order.append(name) or name)


def test_pages_take_turns_and_the_newest_request_wins():
    held = Held()
    old = held.submit('a', 1, 'a1')
    other = held.submit('b', 1, 'b1')
    new = held.submit('a', 2, 'a2')
    with pytest.raises(Superseded):
        old.result(60)
    with pytest.raises(Superseded):
        held.submit('a', 1, 'late')
    held.go.set()
    assert (new.result(60), other.result(60)) == ('a2', 'b1')
    assert held.order == ['a2', 'b1']      # a kept its place
    assert not held.turns.waiting


def test_a_closed_page_is_forgotten():
    held = Held()
    gone, other = held.submit('a', 1, 'a1'), held.submit('b', 1, 'b1')
    held.turns.forget('a', gone)
    held.turns.forget('b', gone)           # another's future forgets nothing
    held.go.set()
    assert other.result(60) == 'b1' and held.order == ['b1']


def test_the_queue_is_bounded_and_errors_end_nothing():
    held = Held()
    failing = held.turns.submit('bad', 1, lambda: 1 / 0)
    for number in range(MOST_WAITING - 1):
        held.submit(f'page {number}', 1, number)
    with pytest.raises(Busy):
        held.submit('one more', 1, 'x')
    held.go.set()
    with pytest.raises(ZeroDivisionError):
        failing.result(60)
    assert held.turns.submit('after', 1, lambda: 'alive').result(60) == 'alive'


def test_a_client_that_hangs_up_is_not_painted_for(server):
    """Ten that ask and go: the next one's picture does not wait for theirs, and nothing is left of them."""
    label, instance = server.maps(0)
    for n in range(10):
        connection = socket.create_connection(('127.0.0.1', server.port))
        content = body(dict(page=f'gone {n}', number=1, style={'seed': 0}), maps_of(label, instance))
        head = b'POST /paint HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(content)
        connection.sendall(head + content)
        connection.close()
    assert server.painted(label, instance).shape == (32, 32, 3)
