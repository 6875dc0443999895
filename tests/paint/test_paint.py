"""The page's server without a browser: what it paints, bit for bit, and its command."""
import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import time
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.label_map import read_map
from dataset.labelled_images import ValidationImages, prediction_inputs
from model import styles
from model.painter import load_painter
from model.semantics import SemanticMap, instance_edges
from model.weights import read_weights, save_weights
from output import pictures
from output.draw import style_noise
from paint.__main__ import bound
from paint.maps import renumbered
from tests.painting import body, maps_of, png, resident, served
from tests.runner import message, says

LABEL = np.zeros((32, 32), np.uint16)


def npy(value):
    target = io.BytesIO()
    np.save(target, value)
    return target.getvalue()


@pytest.fixture(scope='module')
def painter(styled, one_thread):
    """(OPT, Painter) of the same model in this process."""
    return load_painter(argparse.Namespace(lastoutput=str(styled / 'output'), which_epoch=None, weights=None))


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
    arrays, _ = prediction_inputs(opt, scripts.data / 'val_label/001.png', scripts.data / 'val_inst/001.png', path)
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


def test_a_saved_map_is_read_back(server):
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


def saved_as(pixels, kind, **options):
    target = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(target, kind, **options)
    return target.getvalue()


IDS = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) % 9
TURNED = Image.Exif()
TURNED[274] = 6     # orientation: a quarter turn


@pytest.mark.parametrize('content, note', [
    (saved_as(IDS, 'PNG'), None), (saved_as(IDS, 'PPM'), None), (saved_as(IDS, 'BMP'), None),
    (saved_as(IDS, 'GIF'), None),
    (saved_as(IDS.astype(np.uint16), 'PNG'), None), (saved_as(IDS, 'TIFF', compression='tiff_lzw'), None),
    (saved_as(np.stack(3 * [IDS], 2), 'PNG'), 'three equal'),
    (saved_as(np.stack([IDS, np.full_like(IDS, 255)], 2), 'PNG'), None),
    (saved_as(np.rot90(IDS).copy(), 'PNG', exif=TURNED), 'turned')])
def test_maps_are_read_as_predict_reads_them(server, tmp_path, content, note):
    """In every form, and the page hears what was done for that."""
    (tmp_path / 'map').write_bytes(content)
    status, answer, headers = server.ask('POST', '/open', body(dict(label=len(content)), content))
    assert status == 200, answer
    assert np.array_equal(server.unpacked(answer)[0], IDS) and np.array_equal(read_map(tmp_path / 'map').ids, IDS)
    notes = json.loads(unquote(headers['notes']))
    assert (note is None) == (notes == []) and all(note in line for line in notes)


def test_a_photo_is_turned_by_its_tag(server, scripts):
    """Its style is that of the upright photo, and the page hears of it."""
    pixels = np.asarray(Image.open(scripts.data / 'val_img/002.png').convert('RGB'))
    photos = saved_as(pixels, 'PNG'), saved_as(np.rot90(pixels).copy(), 'PNG', exif=TURNED)
    z, notes = zip(*(json.loads(server.ask('POST', '/style', body(dict(page='p', number=number), content))[1]).values()
                     for number, content in enumerate(photos)))
    assert z[0] == z[1] and notes[0] == [] and says(notes[1][0], '1 photo turned')


# ---- The command

def test_printed_lines_and_ctrl_c(scripts, styled):
    """At once, in the middle of a request, with the status of Ctrl-C."""
    with served(styled, start=scripts.start_command) as server:
        assert server.address == f'http://127.0.0.1:{server.port}/'
        assert says(server.said, '32 wide', '9 classes', 'validation maps: 3')
        with contextlib.closing(socket.create_connection(('127.0.0.1', server.port))) as connection:
            connection.sendall(b'POST /paint HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n{')
            time.sleep(0.1)
            began = time.monotonic()
            os.kill(server.process.pid, signal.SIGINT)
            assert server.process.wait(timeout=20) == 130
            assert time.monotonic() - began < 5
        assert 'Traceback' not in server.said


def test_a_reachable_host_requires_a_token(scripts, styled):
    """The printed address gives a cookie that opens everything; nothing is open without."""
    with served(styled, '--host', '0.0.0.0', start=scripts.start_command) as server:
        assert says(server.said, '--host 0.0.0.0', 'token', 'not encrypted') and len(server.token) == 32
        label, instance = server.maps(0)
        assert server.painted(label, instance).shape == (32, 32, 3)
        for host, status in (('192.168.7.7:1', 403), (f'192.168.7.7:{server.port}', 200), ('evil.example', 403),
                             (f'{socket.gethostname()}:{server.port}', 200)):   # the cookie is named for the port
            assert server.ask('GET', '/model', headers={'Host': host})[0] == status
        status, content, headers = server.ask('GET', f'/?token={server.token}', headers={'Cookie': ''})
        assert (status, headers['location'], content) == (303, './', b'')
        cookie = headers['set-cookie']
        assert says(cookie, f'spade-paint-{server.port}={server.token}', 'HttpOnly', 'SameSite=lax')
        assert server.ask('GET', '/', headers={'Cookie': cookie.partition(';')[0]})[0] == 200
        named = f'spade-paint-{server.port}'
        for wrong in ('', 'spade-paint-=', f'{named}=', f'{named}={server.token[:-1]}', f'{named}="\xff',
                      f'other={server.token}', '=;,"'):
            for method, path in (('GET', '/model'), ('GET', '/maps/0'), ('GET', '/static/main.js'), ('POST', '/paint'),
                                 ('POST', '/open'), ('GET', '/model?token='), ('GET', f'/model?token={server.token}0'),
                                 ('GET', '/model?token=%ff&token=' + server.token)):
                status, content, headers = server.ask(method, path, headers={'Cookie': wrong})
                assert status == 403 and json.loads(content)['error'] == 'token' and 'set-cookie' not in headers
            status, content, _ = server.ask('GET', '/', headers={'Cookie': wrong})
            assert status == 403 and says(content.decode(), 'token', '令牌')


def test_this_machine_alone_needs_no_token(server):
    assert server.token is None and 'token' not in server.said


@pytest.mark.parametrize('host, port', [('127.0.0.1', 0), ('localhost', 0), ('127.3.2.1', 0)])
def test_the_port_is_bound_before_the_model_is_loaded(host, port):
    """By the first of two that begin at once."""
    with contextlib.closing(bound(host, port)) as first:
        port = first.getsockname()[1]
        assert says(message(bound, host, port), f'--host {host!r} --port {port}', 'cannot be used',
                    'name another --port')


def test_a_port_in_use(scripts, styled, server):
    said = scripts.failure('-m', 'paint', '--lastoutput', styled / 'none', '--port', server.port)
    assert says(said, f'--port {server.port}', 'cannot be used', 'name another --port')
    assert says(scripts.failure('-m', 'paint', '--lastoutput', styled / 'none', '--port', 0), 'none', 'no such folder')
    for flag, wrong in (('--port', -1), ('--port', 70000), ('--host', 'no.such.host.example'), ('--host', '192.0.2.1'),
                        ('--host', 'a\0b'), ('--host', '')):
        assert says(scripts.failure('-m', 'paint', flag, wrong), flag, 'cannot be used')


@pytest.mark.parametrize('content', [b'', b'\x93NUMPY\x01\0', b'7', npy([1, 2]), npy('seven'), npy(np.nan)])
def test_a_damaged_epoch_is_reported(scripts, styled, tmp_path, content):
    shutil.copytree(styled / 'output', tmp_path / 'output')
    (tmp_path / 'output/current_epoch.npy').write_bytes(content)
    said = scripts.failure('-m', 'paint', '--lastoutput', tmp_path / 'output', '--port', 0)
    assert says(said, 'current_epoch.npy', 'epoch', 'remove it')


def test_weights_that_are_not_finite_are_reported(scripts, styled, tmp_path):
    shutil.copytree(styled / 'output', tmp_path / 'output')
    state = read_weights(tmp_path / 'output/n_g.pdparams')
    save_weights({**state, 'fc.weight': state['fc.weight'] * np.float32('nan')}, tmp_path / 'output/n_g.pdparams')
    said = scripts.failure('-m', 'paint', '--lastoutput', tmp_path / 'output', '--port', 0)
    assert says(said, 'n_g.pdparams', 'NaN', 'fc.weight')


WITHOUT = """
import runpy, sys
folder = sys.argv[1]
for absent in ('uvicorn', 'starlette', 'h11'):
    for words in (['--help'], ['--lastoutput', folder]):
        for name in list(sys.modules):
            if name.partition('.')[0] in ('paint', 'uvicorn', 'starlette', 'h11'):
                del sys.modules[name]
        sys.modules[absent], sys.argv[:] = None, ['paint', *words]
        try:
            runpy.run_module('paint', run_name='__main__')
        except SystemExit as end:
            print('ended:', end.code)
"""


def test_help_and_one_line_without_what_serves_the_page(scripts, styled):
    """uvicorn, starlette or h11 not installed."""
    said = scripts.run('-c', WITHOUT, styled / 'output', fresh=True).stdout.split('ended: ')
    assert all('--port' in text for text in said[:6:2]) and [text.splitlines()[0] for text in said[1::2]] == 3 * ['0']
    for text, absent in zip(said[2::2], ('uvicorn', 'starlette', 'h11'), strict=True):
        assert says(text.splitlines()[0], 'error: ', absent, 'paint/requirements.txt')


def test_without_styles(scripts, trained):
    """A model without style encoder takes any style and draws predict.py's picture; /style is not there."""
    with served(trained, start=scripts.start_command) as server:
        assert server.model['styles'] is False and server.model['instances'] is True
        server.refused('/style', body(dict(page='p', number=1)), 404, 'no_styles')
        label, instance = server.maps(1)
        one, other = (server.painted(label, instance, {'seed': seed}) for seed in (1, 2))
        assert np.array_equal(one, other)
        process = scripts.run('predict.py', '--lastoutput', trained / 'output', '--out', trained / 'page.png',
                              '--label', scripts.data / 'val_label/001.png', '--instance',
                              scripts.data / 'val_inst/001.png')
        assert process.returncode == 0, process.stderr
        assert np.array_equal(np.asarray(Image.open(trained / 'page.png')), one)


def test_without_instances_unlabelled_pixels_or_maps(plain_model, scripts):
    """What the page needs to know of such a model; only label maps are sent."""
    with served(plain_model, start=scripts.start_command) as server:
        model = server.model
        assert (model['instances'], model['unlabelled'], model['highest'], model['maps']) == (False, None, 4, [])
        assert [entry['name'] for entry in model['classes']] == list('01234')
        answer = server.ask('POST', '/paint', body(dict(page='p', number=1), LABEL.astype('<u2').tobytes()))
        assert answer[0] == 200 and len(answer[1]) == 32 * 32 * 3
        server.refused('/paint', body(dict(page='p', number=1), maps_of(LABEL, LABEL)), 400, 'malformed')
        unlabelled = png(np.full((4, 4), 255, np.uint8))
        server.refused('/open', body(dict(label=len(unlabelled)), unlabelled), 422, 'ids')


def test_many_requests_at_constant_memory(server):
    label, instance = server.maps(0)
    ask = [lambda n: server.get('/model'), lambda n: server.get('/maps/1'),
           lambda n: server.ask('POST', '/paint', body(dict(page=f'page {n}', number=n), maps_of(label, instance))),
           lambda n: server.ask('POST', '/open', b'{}\n'), lambda n: server.get(f'/{n}')]
    for n in range(100):
        ask[n % len(ask)](n)
    before = resident(server.process)
    for n in range(500):
        ask[n % len(ask)](n)
    assert resident(server.process) - before < 16 << 20
