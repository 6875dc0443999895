"""The page's server without a browser: what it paints, what it refuses, and that nothing ends it but Ctrl-C."""
import argparse
import contextlib
import io
import json
import shutil
import signal
import socket
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.labelled_images import ValidationImages, prediction_inputs
from model import styles
from model.convert.paddle_files import as_arrays, read_weights, save_weights
from model.convert.run_folder import write_model
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import load_painter
from model.semantics import SemanticMap, instance_edges
from output import pictures
from paint.studio import renumbered
from paint.turns import Busy, MOST_WAITING, Superseded, Turns
from result.draw import style_noise
from tests.conftest import says
from tests.painting import body, maps_of, served

LABEL = np.zeros((32, 32), np.uint16)
NOISE = np.random.default_rng(0).integers(0, 9, (99, 99), np.uint8)


@pytest.fixture(scope='module')
def styled(trained_vae, tmp_path_factory):
    """A model whose styles are plain to see: a few steps leave its weights tiny."""
    folder = tmp_path_factory.mktemp('painted')
    shutil.copytree(trained_vae / 'output/model', folder / 'output')
    for name, weight in (('n_g', 'fc.weight'), ('n_e', 'fc_mu.weight')):
        state = read_weights(folder / f'output/{name}.pdparams')
        save_weights({**state, weight: 300 * state[weight]}, folder / f'output/{name}.pdparams')
    return folder


@pytest.fixture(scope='module')
def server(scripts, styled):
    with served(styled, environment=scripts.environment) as found:
        yield found


@pytest.fixture(scope='module')
def plain_model(tmp_path_factory):
    """A model, not trained, that knows label maps of five classes and nothing else."""
    folder = tmp_path_factory.mktemp('plain')
    opt = OPT(label_nc=5, no_instance=True, contain_dontcare_label=False, use_vae=False, crop_size=32, ngf=2, dataroot='nowhere/')
    write_model(folder / 'output/model', opt, {'n_g.pdparams': as_arrays(SPADEGenerator(opt).state_dict())})
    return folder


@pytest.fixture(scope='module')
def painter(styled):
    """(OPT, Painter) of the same model in this process."""
    return load_painter(argparse.Namespace(lastoutput=str(styled / 'output'), which_epoch=None, weights=None))


def png(pixels, mode=None, **options):
    target = io.BytesIO()
    Image.fromarray(np.asarray(pixels), mode).save(target, 'PNG', **options)
    return target.getvalue()


def chunk(name, content):
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))


def raw_png(width, height, depth, kind, rows=b'', before=b''):
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, 0)) + before
            + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


# ---- What is painted

def test_the_picture_is_the_painters_bit_for_bit(server, painter):
    """For a seed, a z, a photo's style, and val.py's own draw for a name: those of predict.py and val.py."""
    opt, own = painter
    label, instance = server.maps(1)
    semantics = SemanticMap(label[None].astype(int), instance[None].astype(int), opt)
    noise = np.float32(style_noise(opt, ['001'])[0])
    for style, z in (({'seed': 7}, styles.of_seed(opt, 7)), ({'z': noise.tolist()}, noise),
                     ({'between': [{'seed': 1}, {'seed': 2}], 'share': 0.25},
                      np.float32(0.75) * styles.of_seed(opt, 1) + np.float32(0.25) * styles.of_seed(opt, 2))):
        expected = pictures.to_uint8(own.paint(semantics, z=z[None]))[0]
        assert np.array_equal(server.painted(label, instance, style), expected)
    by_seed = pictures.to_uint8(own.paint(semantics))[0]
    assert np.array_equal(server.painted(label, instance, {'seed': opt.seed}), by_seed)
    by_noise = pictures.to_uint8(own.paint(semantics, noise=noise[None]))[0]
    assert np.array_equal(server.painted(label, instance, {'z': noise.tolist()}), by_noise)
    assert not np.array_equal(by_seed, by_noise)


def test_the_style_of_a_photo(server, painter, scripts):
    opt, own = painter
    path = scripts.data / 'val_img/002.png'
    status, content, _ = server.ask('POST', '/style', body(dict(page='p', number=1), path.read_bytes()))
    assert status == 200
    arrays = prediction_inputs(opt, scripts.data / 'val_label/001.png', scripts.data / 'val_inst/001.png', path)
    expected = own.style(arrays['image'][None]).numpy()[0]
    assert np.array_equal(np.float32(json.loads(content)['z']), expected) and np.abs(expected).max() > 0.01


def test_validation_maps_keep_their_edges(server, scripts, painter):
    """Through the server and renumbered; the class's own number where it is all there is of a class."""
    opt, _ = painter
    opt.dataroot = str(scripts.data)
    data = ValidationImages(opt, photos=False)
    assert server.model['maps'] == ['000', '001', '002']
    for index in range(3):
        label, instance = server.maps(index)
        assert np.array_equal(label, data[index]['label'])
        assert np.array_equal(instance_edges(instance[None]), instance_edges(data[index]['instance'][None]))


@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_renumbered_instances_differ_where_they_did(seed, count):
    rng = np.random.default_rng(seed)
    label, instance = rng.integers(0, 4, (6, 7)), rng.integers(0, count, (6, 7)) * 1000
    found = renumbered(label, instance, 4).astype(int)
    assert np.array_equal(instance[:, 1:] == instance[:, :-1], found[:, 1:] == found[:, :-1])
    assert len(np.unique(found)) == len(np.unique(instance))
    for number in np.unique(found[found <= 4]):
        assert (label[found == number] == number).all()


def test_a_saved_map_comes_back(server):
    label, instance = (values.copy() for values in server.maps(0))
    content = png(np.where(label == 9, 255, label).astype(np.uint8)), png(instance)
    status, answer, _ = server.ask('POST', '/open', body(dict(label=len(content[0])), *content))
    assert status == 200, answer
    again = server.unpacked(answer)
    assert np.array_equal(again[0], label)
    assert np.array_equal(renumbered(again[0], again[1], 9), renumbered(label, instance, 9))


def test_palette_and_colours(server):
    """A palette PNG holds ids; a PNG in colours those of the classes, exactly."""
    colours = np.array([entry['colour'] for entry in server.model['classes']], np.uint8)
    label = np.arange(32 * 32).reshape(32, 32) % 9
    indexed = Image.fromarray(label.astype(np.uint8)).convert('P')
    indexed.putpalette(colours.ravel().tolist())
    target = io.BytesIO()
    indexed.save(target, 'PNG')
    for content in (target.getvalue(), png(colours[label])):
        status, answer, _ = server.ask('POST', '/open', body(dict(label=len(content)), content))
        assert status == 200 and np.array_equal(server.unpacked(answer)[0], label)
    spoilt = colours[label].copy()
    spoilt[3, :5] = (1, 2, 3)
    facts = server.refused('/open', body(dict(label=len(png(spoilt))), png(spoilt)), 422, 'colours')
    assert facts['colours'] == ['#010203 (5)'] and facts['count'] == 1


# ---- What is refused

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
                                  '/maps/99999999999999999999', '/maps/x', '/static/', '/static/none.js', '/model/', '/paint',
                                  '/open'])
def test_no_path_can_be_named(server, path):
    status, content, _ = server.get(path)
    assert status in (404, 405) or (status, path) == (307, '/model/'), (status, content[:80])
    assert b'import' not in content and b'root:' not in content


BOMB = b'x\0\0' + zlib.compress(bytes(10 ** 8))
REFUSED_MAPS = {
    'not_png': [b'GIF89a' + bytes(40), b'', b'\x89PNG\r\n\x1a\n'],
    'pixels': [raw_png(60000, 60000, 8, 0), raw_png(2 ** 31 - 1, 2 ** 31 - 1, 1, 0), raw_png(0, 4, 8, 0)],
    'sixteen_bit': [png(np.zeros((4, 4), np.uint16)), raw_png(2, 2, 16, 2, bytes(2 * 13))],
    'animated': [raw_png(2, 2, 8, 0, bytes(6), chunk(b'acTL', struct.pack('>II', 2, 0)))],
    'profile': [raw_png(2, 2, 8, 0, bytes(6), chunk(b'iCCP', BOMB))],
    'unreadable': [png(NOISE)[:-999], raw_png(64, 64, 8, 0, bytes(5)), raw_png(8, 8, 7, 0, bytes(72)),
                   raw_png(8, 8, 8, 0, bytes(72), chunk(b'zTXt', BOMB))],
    'ids': [png(np.full((4, 4), 11, np.uint8))],
    'transparent': [png(np.zeros((4, 4, 4), np.uint8))],
}


@pytest.mark.parametrize('code, number', [(code, number) for code in REFUSED_MAPS for number in range(len(REFUSED_MAPS[code]))])
def test_hostile_maps(server, code, number):
    content, expected = REFUSED_MAPS[code][number], 413 if code == 'pixels' else 422
    if not content:
        server.refused('/open', body(dict(label=0)), 400, 'malformed')
        return
    server.refused('/open', body(dict(label=len(content)), content), expected, code)
    if code not in ('ids', 'transparent') and content[:8] == b'\x89PNG\r\n\x1a\n' and content[24:25] != b'\x10':
        good = png(np.zeros((4, 4), np.uint8))
        server.refused('/open', body(dict(label=len(good)), good, content), expected, code)


def test_instance_maps_must_fit(server):
    good = png(np.zeros((4, 4), np.uint8))
    facts = server.refused('/open', body(dict(label=len(good)), good, png(np.zeros((5, 4), np.uint16))), 422, 'other_size')
    assert facts['found'] == '4 x 5'
    server.refused('/open', body(dict(label=len(good)), good, png(np.zeros((4, 4, 3), np.uint8))), 422, 'not_grey')


def test_hostile_photos(server):
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (0, 99)]
    animated = io.BytesIO()
    frames[0].save(animated, 'PNG', save_all=True, append_images=frames[1:])
    for content, status, code in ((b'no picture', 422, 'not_photo'), (raw_png(60000, 60000, 8, 0), 413, 'pixels'),
                                  (animated.getvalue(), 422, 'animated'), (png(NOISE)[:-999], 422, 'unreadable')):
        server.refused('/style', body(dict(page='p', number=1), content), status, code)


@pytest.mark.parametrize('style', [
    None, 3, [], {}, {'seed': -1}, {'seed': 2 ** 53}, {'seed': 1.0}, {'seed': True}, {'z': [0.0] * 7}, {'z': [0.0] * 9},
    {'z': [1e9] * 8}, {'z': [float('nan')] * 8}, {'z': ['0'] * 8}, {'z': [[]] * 8}, {'between': [{'seed': 0}], 'share': 0},
    {'between': [{'seed': 0}] * 2, 'share': 1.5}, {'between': [{'between': [], 'share': 0}] * 2, 'share': 0.5},
    {'seed': 0, 'z': []}])
def test_styles_that_are_none(server, style):
    server.refused('/paint', body(dict(page='p', number=1, style=style), maps_of(LABEL, LABEL)), 400, 'style')


@pytest.mark.parametrize('content', [
    b'', b'{}', b'{}\n', b'[]\n', b'\xff\n', b'[' * 60000 + b'\n', body(dict(page='', number=1), maps_of(LABEL, LABEL)),
    body(dict(page='p'), maps_of(LABEL, LABEL)), body(dict(page='p', number=-1), maps_of(LABEL, LABEL)),
    body(dict(page='p', number=1), maps_of(LABEL, LABEL)[:-1]), body(dict(page='p', number=1), maps_of(LABEL, LABEL)[:-2]),
    body(dict(page='p' * 65, number=1), maps_of(LABEL, LABEL))])
def test_malformed_bodies(server, content):
    server.refused('/paint', content, 400, 'malformed')


def test_sizes_are_limited_before_anything_is_read(server):
    server.refused('/paint', body(dict(page='p', number=1), maps_of(np.full((32, 32), 10), LABEL)), 400, 'ids')
    server.refused('/paint', bytes(80000), 413, 'body')
    server.refused('/open', b'', 413, 'body', {'Content-Length': str(10 ** 12)})
    server.refused('/style', b'', 413, 'body', {'Content-Length': str(10 ** 12)})
    with contextlib.closing(socket.create_connection(('127.0.0.1', server.port), timeout=60)) as connection:   # of unknown length
        connection.sendall(b'POST /paint HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n')
        with contextlib.suppress(OSError):
            for _ in range(10):
                connection.sendall(b'8000\r\n' + bytes(0x8000) + b'\r\n')
        assert connection.recv(100).startswith(b'HTTP/1.1 413')


@given(st.sampled_from(['/paint', '/open', '/style', '/model', '/maps/0']),
       st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda tail: body(dict(page='p', number=1, label=9), tail)),
                 st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
                              lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                                  st.sampled_from(['page', 'number', 'style', 'seed', 'z', 'label']), inner, max_size=4)).map(
                                      lambda head: body(head, maps_of(LABEL, LABEL)))))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_bodies_leave_it_alive(server, path, content):
    status, answer, _ = server.ask('POST', path, content)
    assert status < 500, answer
    assert server.process.poll() is None


def test_it_is_alive_after_all_that(server):
    """And has printed no traceback; every painted picture is as before."""
    label, instance = server.maps(0)
    assert np.array_equal(server.painted(label, instance), server.painted(label, instance))


# ---- Many pages

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


def test_a_page_that_has_gone_is_forgotten():
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
        connection.sendall(b'POST /paint HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(content) + content)
        connection.close()
    assert server.painted(label, instance).shape == (32, 32, 3)


# ---- The command

def test_what_it_says_and_ctrl_c(scripts, styled):
    """At once, in the middle of a request, with the status of Ctrl-C."""
    with served(styled, environment=scripts.environment) as server:
        assert server.address == f'http://127.0.0.1:{server.port}/'
        assert says(''.join(server.said), '32 wide', '9 classes', 'validation maps: 3')
        with contextlib.closing(socket.create_connection(('127.0.0.1', server.port))) as connection:
            connection.sendall(b'POST /paint HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n{')
            time.sleep(0.1)
            began = time.monotonic()
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(timeout=20) == 130
            assert time.monotonic() - began < 5
        rest, errors = server.process.communicate()
        assert 'Traceback' not in rest + errors


def test_a_host_that_others_reach_is_said(scripts, styled):
    with served(styled, '--host', '0.0.0.0', environment=scripts.environment) as server:
        assert says(''.join(server.said), '--host 0.0.0.0', 'no password')
        for host, status in (('192.168.7.7:1', 200), (socket.gethostname(), 200), ('evil.example', 403)):
            assert server.ask('GET', '/model', headers={'Host': host})[0] == status


def test_a_port_that_is_taken(scripts, styled, server):
    said = scripts.failure('-m', 'paint', '--lastoutput', styled / 'output', '--port', server.port)
    assert says(said, f'--port {server.port}', 'cannot be used', 'name another --port')
    assert says(scripts.failure('-m', 'paint', '--lastoutput', styled / 'none'), 'none', 'n_g.pdparams')


def test_without_styles(scripts, trained):
    """A model without style encoder takes any style and draws predict.py's picture; /style is not there."""
    with served(trained, environment=scripts.environment) as server:
        assert server.model['styles'] is False and server.model['instances'] is True
        server.refused('/style', body(dict(page='p', number=1)), 404, 'no_styles')
        label, instance = server.maps(1)
        assert np.array_equal(server.painted(label, instance, {'seed': 1}), server.painted(label, instance, {'seed': 2}))
        process = scripts.run('predict.py', '--lastoutput', trained / 'output', '--label', scripts.data / 'val_label/001.png',
                              '--instance', scripts.data / 'val_inst/001.png', '--out', trained / 'page.png')
        assert process.returncode == 0, process.stderr
        assert np.array_equal(np.asarray(Image.open(trained / 'page.png')), server.painted(label, instance))


def test_without_instances_unlabelled_pixels_or_maps(plain_model, scripts):
    """What the page needs to know of such a model; only label maps are sent."""
    with served(plain_model, environment=scripts.environment) as server:
        model = server.model
        assert (model['instances'], model['unlabelled'], model['highest'], model['maps']) == (False, None, 4, [])
        assert [entry['name'] for entry in model['classes']] == list('01234')
        answer = server.ask('POST', '/paint', body(dict(page='p', number=1), LABEL.astype('<u2').tobytes()))
        assert answer[0] == 200 and len(answer[1]) == 32 * 32 * 3
        server.refused('/paint', body(dict(page='p', number=1), maps_of(LABEL, LABEL)), 400, 'malformed')
        unlabelled = png(np.full((4, 4), 255, np.uint8))
        server.refused('/open', body(dict(label=len(unlabelled)), unlabelled), 422, 'ids')
