"""What a stranger can hold of the page's server, and for how long: the table in docs/paint.md.

Limits in seconds are tried in this process with shorter ones, the rest at a server as it is.
"""
import asyncio
import contextlib
import io
import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from paint import bodies, connection, decoder
from paint.bodies import Bodies
from paint.decoder import Decoders
from paint.refusal import Refused, say_once
from paint.turns import Busy
from tests.forked import REPOSITORY, until
from tests.painting import body, png, resident, served

pytestmark = pytest.mark.without_paddle

HEAD = b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
ANSWER = bytes(16 << 20)    # more than the sockets' buffers hold


def open_to(port, content=b'', buffer=None):
    found = socket.socket()
    if buffer:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    found.settimeout(60)
    found.connect(('127.0.0.1', port))
    found.sendall(content)
    return found


def has_ended(found):
    """Wait until the server has closed it; what it sent before is read."""
    with contextlib.suppress(ConnectionError):
        while found.recv(1 << 16):
            pass
    return True


def hears(found, expected):
    """Wait until these bytes have arrived."""
    content = b''
    while expected not in content:
        part = found.recv(1 << 16)
        assert part, content
        content += part
    return True


@contextlib.contextmanager
def serving(application):
    """(port, set of open connections) of the ASGI application, served in this process as the page is."""
    listening = socket.create_server(('127.0.0.1', 0))
    server = uvicorn.Server(uvicorn.Config(application, http=connection.Connection, ws='none', lifespan='off',
                                           log_level='error', timeout_keep_alive=60,
                                           limit_concurrency=connection.CONNECTIONS + 1))
    thread = threading.Thread(target=server.run, kwargs=dict(sockets=[listening]))
    thread.start()
    until(lambda: server.started)
    try:
        yield listening.getsockname()[1], server.server_state.connections
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


# ---- Connections

async def answering(scope, receive, send):
    """/ answers at once, /large with more than is read, /held when `go` is set."""
    if scope['path'] == '/held':
        answering.begun += 1
        while not answering.go:
            await asyncio.sleep(0.01)
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': ANSWER if scope['path'] == '/large' else b'answer'})


@pytest.mark.parametrize('content', [b'', b'GET / HTTP/1.1\r\nHost: loc', HEAD, HEAD + b'G',
                                     b'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\nbeginning'])
def test_a_head_that_does_not_arrive(monkeypatch, content):
    """At first, after an answer, and behind a body that nothing reads."""
    monkeypatch.setattr(connection, 'HEAD_SECONDS', 0.2)
    with serving(answering) as (port, _), contextlib.closing(open_to(port, content)) as found:
        assert has_ended(found)


def test_a_head_that_trickles(monkeypatch):
    monkeypatch.setattr(connection, 'HEAD_SECONDS', 0.3)
    with serving(answering) as (port, _), contextlib.closing(open_to(port, HEAD)) as found:
        with pytest.raises(ConnectionError):
            for _ in range(600):    # each byte alone is in time
                found.sendall(b'G')
                time.sleep(0.1)


@pytest.mark.parametrize('requests', [1, 3])
def test_an_answer_that_is_not_read(monkeypatch, requests):
    monkeypatch.setattr(connection, 'ANSWER_SECONDS', 0.2)
    request = b'GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n'
    with serving(answering) as (port, connections), contextlib.closing(open_to(port, request * requests, buffer=4096)):
        until(lambda: any(found.unread for found in tuple(connections)))
        until(lambda: not connections)


def test_the_one_that_waited_longest_is_closed(monkeypatch):
    """300 that send nothing, or half a request: whoever comes is answered, and those that are worked for stay."""
    monkeypatch.setattr(connection, 'CONNECTIONS', 20)
    answering.begun, answering.go = 0, False
    with serving(answering) as (port, _), contextlib.ExitStack() as closed:
        def opened(content):
            return closed.enter_context(contextlib.closing(open_to(port, content)))
        held = opened(HEAD.replace(b'/', b'/held', 1))
        until(lambda: answering.begun == 1)
        unfinished = b'', HEAD[:20], b'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n'
        idle = [opened(unfinished[n % 3]) for n in range(300)]
        assert hears(opened(HEAD), b'answer')
        assert all(map(has_ended, idle[:-20]))
        answering.go = True
        assert hears(held, b'answer')


def test_when_all_are_being_served_others_get_503(monkeypatch):
    monkeypatch.setattr(connection, 'CONNECTIONS', 5)
    answering.begun, answering.go = 0, False
    with serving(answering) as (port, _), contextlib.ExitStack() as closed:
        for _ in range(5):
            closed.enter_context(contextlib.closing(open_to(port, HEAD.replace(b'/', b'/held', 1))))
        until(lambda: answering.begun == 5)
        with contextlib.closing(open_to(port, HEAD)) as more:
            assert hears(more, b'HTTP/1.1 503')
        answering.go = True


def test_300_idle_connections(server):
    """At the server as it is: it answers, also while they stay."""
    with contextlib.ExitStack() as closed:
        for _ in range(300):
            closed.enter_context(contextlib.closing(open_to(server.port)))
        assert server.ask('GET', '/model', timeout=30)[0] == 200


# ---- Bodies

def bodies_in_memory():
    """(Bodies, an application with it that answers b'<length>' when `go` is set)."""
    kept = Bodies()

    async def counted(request):
        try:
            async with kept.of(request, 1 << 20) as (_, content):
                while not application.go:
                    await asyncio.sleep(0.01)
                return Response(str(len(content)))
        except Refused as refused:
            return Response(refused.code, refused.status)
    application = Starlette(routes=[Route('/', counted, methods=['POST'])])
    application.go = False
    return kept, application


def post(length, content=b''):
    return b'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n{}\n' % length + content


def test_all_bodies_together_are_limited(monkeypatch):
    """The oldest that still arrives makes room; one that has arrived stays; where all have, a new one is refused."""
    monkeypatch.setattr(bodies, 'MOST_BODIES', 1_000_000)
    kept, application = bodies_in_memory()
    with serving(application) as (port, _), contextlib.ExitStack() as closed:
        def opened(content):
            return closed.enter_context(contextlib.closing(open_to(port, content)))
        whole = opened(post(400_003, bytes(400_000)))
        until(lambda: kept.total == 400_003)
        first = opened(post(500_000, bytes(300_000)))
        until(lambda: kept.total == 700_006)
        second = opened(post(500_000, bytes(400_000)))
        assert hears(first, b'503') and kept.total < 1_000_000
        until(lambda: kept.total == 800_006)
        second.sendall(bytes(99_997))
        until(lambda: kept.total == 900_003)
        assert hears(opened(post(400_003, bytes(400_000))), b'503')
        application.go = True
        assert hears(whole, b'400000') and hears(second, b'499997')
        until(lambda: kept.total == 0 and not kept.arriving)


def test_a_body_that_does_not_arrive(monkeypatch):
    monkeypatch.setattr(bodies, 'BODY_SECONDS', 0.2)
    kept, application = bodies_in_memory()
    with serving(application) as (port, _):
        with contextlib.closing(open_to(port, post(500_000, bytes(1000)))) as found:
            assert hears(found, b'408')
        until(lambda: kept.total == 0 and not kept.arriving)
        with contextlib.closing(open_to(port, post(500_000, bytes(1000)))):
            until(lambda: kept.total)
        until(lambda: kept.total == 0 and not kept.arriving)


def test_60_unfinished_bodies(server):
    """32 MB each: the server holds no more than MOST_BODIES of them (and a copy), and goes on painting."""
    label, instance = server.maps(0)
    before, content = resident(server.process), bytes(32 << 20)
    with contextlib.ExitStack() as closed:
        for _ in range(60):
            found = closed.enter_context(contextlib.closing(open_to(
                server.port, b'POST /open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108864\r\n\r\n')))
            with contextlib.suppress(ConnectionError):
                found.sendall(content)
        assert server.painted(label, instance).shape == (32, 32, 3)
        assert resident(server.process) - before < 2 * bodies.MOST_BODIES


# ---- Decoders

def test_a_decoder_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(decoder, 'DECODE_SECONDS', 1)
    with pytest.raises(Refused, match="more than 1 s") as caught:
        asyncio.run(Decoders().decoded(sum, range(10 ** 15)))
    assert caught.value.code == 'costly'


def test_a_decoder_that_takes_too_much_memory(monkeypatch):
    monkeypatch.setattr(decoder, 'DECODE_MEMORY', 1 << 30)
    with pytest.raises(Refused) as caught:
        asyncio.run(Decoders().decoded(bytes, 2 << 30))
    assert caught.value.code == 'costly'
    assert asyncio.run(Decoders().decoded(bytes, 3)) == bytes(3)


def children():
    return {int(number) for number in Path(f'/proc/self/task/{threading.get_native_id()}/children').read_text().split()}


def test_decoders_are_few_queue_and_end_with_their_client():
    async def tried():
        before, decoders = children(), Decoders()
        asked = [asyncio.ensure_future(decoders.decoded(time.sleep, 999)) for _ in range(decoder.MOST_WAITING)]
        while len(children() - before) < decoder.PROCESSES:
            await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await decoders.decoded(bytes, 1)
        for future in asked:
            future.cancel()
        await asyncio.wait(asked)
        assert await decoders.decoded(bytes, 1) == b'\0'
        while children() - before:
            await asyncio.sleep(0.01)
        assert decoders.waiting == 0
    asyncio.run(asyncio.wait_for(tried(), 60))


def endless_jpeg():
    """A photo within all limits of size, progressive, that takes minutes to decode: one scan, over and over."""
    target = io.BytesIO()
    Image.new('L', (8192, 8192), 99).save(target, 'JPEG', progressive=True)
    content = target.getvalue()
    begin = content.index(b'\xff\xda', content.index(b'\xff\xda') + 2)
    end = content.index(b'\xff', begin + 2)
    return content[:begin] + 60000 * content[begin:end] + content[end:]


IMPATIENT = """
import runpy
from paint import decoder
decoder.DECODE_SECONDS = 3
runpy.run_module('paint', run_name='__main__')
"""


def test_photos_that_take_minutes_hold_nothing(scripts, styled, tmp_path):
    """Their senders leave, or stay: validation maps are read and other photos decoded all the same. At a server that
    ends decoders after 3 s.
    """
    (tmp_path / 'impatient.py').write_text(IMPATIENT)

    def start(command, file):
        return scripts.start_command([tmp_path / 'impatient.py', *command[2:]], file,
                                     environment={'PYTHONPATH': str(REPOSITORY)})
    photo = body(dict(page='endless', number=1), endless_jpeg())
    request = b'POST /style HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(photo) + photo
    with contextlib.ExitStack() as closed:
        server = closed.enter_context(served(styled, start=start))
        held = [closed.enter_context(contextlib.closing(open_to(server.port, request)))
                for _ in range(decoder.PROCESSES)]
        assert server.ask('GET', '/maps/0', timeout=60)[0] == 200
        other = png(np.zeros((9, 9, 3), np.uint8))
        status, answer, _ = server.ask('POST', '/style', body(dict(page='p', number=1), other))
        assert status == 200 and len(json.loads(answer)['z']) == server.model['z_dim']
        for found in held:
            assert hears(found, b'costly')


@pytest.mark.parametrize('width, height', [(1, 1 << 24), (1 << 24, 1), (9, (1 << 15) + 1)])
def test_sides_are_limited(server, width, height):
    target = io.BytesIO()
    Image.new('L', (width, height)).save(target, 'PNG')
    content = target.getvalue()
    server.refused('/open', body(dict(label=len(content)), content), 413, 'side')
    server.refused('/style', body(dict(page='p', number=1), content), 413, 'side')


def test_the_largest_files_are_read(server):
    """No limit of time or memory is below those of sizes."""
    colours = np.array([entry['colour'] for entry in server.model['classes']], np.uint8)
    map_, photo = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.tile(colours[:2], (4096, 2048, 1))).save(map_, 'PNG', compress_level=1)
    Image.new('RGB', (8192, 8192), (1, 2, 3)).save(photo, 'JPEG')
    content = map_.getvalue()
    status, answer, _ = server.ask('POST', '/open', body(dict(label=len(content)), content))
    assert status == 200 and set(np.unique(server.unpacked(answer)[0])) <= {0, 1}
    assert server.ask('POST', '/style', body(dict(page='p', number=1), photo.getvalue()))[0] == 200


# ---- What is kept of them

def test_the_same_line_once(capsys):
    for _ in range(9):
        say_once('a map is damaged')
    assert capsys.readouterr().err == 'a map is damaged\n'
