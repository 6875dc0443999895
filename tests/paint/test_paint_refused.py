"""What the page's server refuses: foreign hosts, paths, hostile maps and photos, malformed bodies; none ends it."""
import contextlib
import io
import json
import socket
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.painting import body, maps_of, png

pytestmark = pytest.mark.without_paddle

LABEL = np.zeros((32, 32), np.uint16)
NOISE = np.random.default_rng(0).integers(0, 9, (99, 99), np.uint8)


def chunk(name, content):
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))


def raw_png(width, height, depth, kind, rows=b'', before=b''):
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, 0)) + before
            + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def encoded(pixels, kind, **options):
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind, **options)
    return target.getvalue()


def pages(kind):
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (0, 99)]
    return encoded(np.zeros((8, 8), np.uint8), kind, save_all=True, append_images=frames)


@pytest.mark.parametrize('headers, status', [
    ({'Host': 'evil.example'}, 403), ({'Host': 'evil.example:8000'}, 403), ({'Host': '127.0.0.1.evil.example'}, 403),
    ({'Host': '192.168.0.1'}, 403), ({'Origin': 'http://evil.example'}, 403), ({'Origin': 'null'}, 403),
    ({'Origin': 'http://localhost:1'}, 403), ({'Host': 'localhost:9', 'Origin': 'http://localhost:9'}, 200),
    ({'Host': '[::1]:80'}, 200), ({'Host': 'LOCALHOST'}, 200)])
def test_foreign_hosts_and_origins(server, headers, status):
    found, content, sent = server.ask('GET', '/model', headers=headers)
    assert found == status
    assert status == 200 or json.loads(content)['error'] in ('host', 'origin')
    assert "default-src 'none'" in sent['Content-Security-Policy'] and sent['X-Content-Type-Options'] == 'nosniff'
    assert 'Access-Control-Allow-Origin' not in sent


@pytest.mark.parametrize('path', ['/static/../__main__.py', '/static/..%2f__main__.py', '/static/%2e%2e/server.py',
                                  '/static//etc/passwd', '/../../etc/passwd', '/maps/../model', '/maps/-1', '/maps/3',
                                  '/maps/99999999999999999999', '/maps/x', '/static/', '/static/none.js', '/model/',
                                  '/paint', '/open'])
def test_no_path_can_be_named(server, path):
    status, content, _ = server.get(path)
    assert status in (404, 405) or (status, path) == (307, '/model/'), (status, content[:80])
    assert b'import' not in content and b'root:' not in content


BOMB = b'x\0\0' + zlib.compress(bytes(10 ** 8))
REFUSED_MAPS = {
    'not_picture': [b'no picture', b'', b'\x89PNG\r\n\x1a\n', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n',
                    raw_png(0, 4, 8, 0)],
    'pixels': [raw_png(60000, 60000, 8, 0), raw_png(2 ** 31 - 1, 2 ** 31 - 1, 1, 0)],
    'colours': [png(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))],
    'colour-coded map': [raw_png(2, 2, 16, 2, bytes(2 * 13))],
    'animated': [pages('PNG'), pages('GIF'), pages('TIFF')],
    'unreadable': [png(NOISE)[:-999], raw_png(64, 64, 8, 0, bytes(5)),
                   raw_png(8, 8, 8, 0, bytes(72), chunk(b'zTXt', BOMB)),
                   raw_png(2, 2, 8, 0, bytes(6), chunk(b'iCCP', BOMB))],
    'ids': [png(np.full((4, 4), 11, np.uint8)), png(np.full((4, 4), 300, np.uint16))],
    'transparent': [png(np.zeros((4, 4, 4), np.uint8))],
    'lossy': [encoded(NOISE, 'JPEG'), encoded(NOISE, 'WEBP')],
}


@pytest.mark.parametrize('code, number', [(code, number) for code, maps in REFUSED_MAPS.items()
                                          for number in range(len(maps))])
def test_hostile_maps(server, code, number):
    content, expected = REFUSED_MAPS[code][number], 413 if code == 'pixels' else 422
    server.refused('/open', body(dict(label=len(content)), content), expected, code)
    if content and code not in ('ids', 'colours'):
        good = png(np.zeros((4, 4), np.uint8))
        server.refused('/open', body(dict(label=len(good)), good, content), expected, code)


def test_instance_maps_must_fit(server):
    good = png(np.zeros((4, 4), np.uint8))
    other = png(np.zeros((5, 4), np.uint16))
    facts = server.refused('/open', body(dict(label=len(good)), good, other), 422, 'other_size')
    assert facts['found'] == '4 x 5'


def test_hostile_photos(server):
    for content, status, code in ((b'no picture', 422, 'not_picture'), (raw_png(60000, 60000, 8, 0), 413, 'pixels'),
                                  (pages('PNG'), 422, 'animated'), (png(NOISE)[:-999], 422, 'unreadable')):
        server.refused('/style', body(dict(page='p', number=1), content), status, code)


@pytest.mark.parametrize('style', [
    None, 3, [], {}, {'seed': -1}, {'seed': 2 ** 53}, {'seed': 1.0}, {'seed': True}, {'z': [0.0] * 7}, {'z': [0.0] * 9},
    {'z': [1e9] * 8}, {'z': [float('nan')] * 8}, {'z': ['0'] * 8}, {'z': [[]] * 8},
    {'between': [{'seed': 0}], 'share': 0}, {'between': [{'seed': 0}] * 2, 'share': 1.5},
    {'between': [{'between': [], 'share': 0}] * 2, 'share': 0.5}, {'seed': 0, 'z': []}])
def test_invalid_styles(server, style):
    server.refused('/paint', body(dict(page='p', number=1, style=style), maps_of(LABEL, LABEL)), 400, 'style')


@pytest.mark.parametrize('content', [
    b'', b'{}', b'{}\n', b'[]\n', b'\xff\n', b'[' * 60000 + b'\n', body(dict(page='', number=1), maps_of(LABEL, LABEL)),
    body(dict(page='p'), maps_of(LABEL, LABEL)), body(dict(page='p', number=-1), maps_of(LABEL, LABEL)),
    body(dict(page='p', number=1), maps_of(LABEL, LABEL)[:-1]),
    body(dict(page='p', number=1), maps_of(LABEL, LABEL)[:-2]),
    body(dict(page='p' * 65, number=1), maps_of(LABEL, LABEL))])
def test_malformed_bodies(server, content):
    server.refused('/paint', content, 400, 'malformed')


def test_sizes_are_limited_before_anything_is_read(server):
    server.refused('/paint', body(dict(page='p', number=1), maps_of(np.full((32, 32), 10), LABEL)), 400, 'ids')
    server.refused('/paint', bytes(80000), 413, 'body')
    server.refused('/open', b'', 413, 'body', {'Content-Length': str(10 ** 12)})
    server.refused('/style', b'', 413, 'body', {'Content-Length': str(10 ** 12)})
    with contextlib.closing(socket.create_connection(('127.0.0.1', server.port), timeout=60)) as connection:
        # a body of unknown length
        connection.sendall(b'POST /paint HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n')
        with contextlib.suppress(OSError):
            for _ in range(10):
                connection.sendall(b'8000\r\n' + bytes(0x8000) + b'\r\n')
        assert connection.recv(100).startswith(b'HTTP/1.1 413')


@given(st.sampled_from(['/paint', '/open', '/style', '/model', '/maps/0']),
       st.one_of(st.binary(max_size=300),
                 st.binary(max_size=200).map(lambda tail: body(dict(page='p', number=1, label=9), tail)),
                 st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
                              lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                                  st.sampled_from(['page', 'number', 'style', 'seed', 'z', 'label']), inner,
                                  max_size=4)).map(lambda head: body(head, maps_of(LABEL, LABEL)))))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_bodies_leave_it_alive(server, path, content):
    status, answer, _ = server.ask('POST', path, content)
    assert status < 500, answer
    assert server.process.poll() is None


def test_the_server_still_works(server):
    """And has printed no traceback; every painted picture is as before."""
    label, instance = server.maps(0)
    assert np.array_equal(server.painted(label, instance), server.painted(label, instance))
