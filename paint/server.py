"""The requests of the page, and refusals of all others.

A body is a line of JSON, then bytes: maps, uint16 little-endian, row by row, or files. Answers are JSON, or the bytes
of maps or of an RGB picture.
"""
import asyncio
import functools
import ipaddress
import json
import os
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote

import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from paint import uploads
from paint.bodies import Bodies, malformed
from paint.decoder import Decoders
from paint.refusal import Refused, say_once
from paint.turns import Busy, Superseded
from runtime.errors import InputError
from runtime.memory import TooLarge

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'static')
TYPES = {'.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml'}
MAP_THREADS = 2     # validation maps read at the same time
LOOPBACK = ('localhost', '127.0.0.1', '::1')
COOKIE = 'spade-paint-'     # the port follows
UNINVITED = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>SPADE Paint</title>
<p>Open the address that python -m paint printed: it holds a token, which changes at every start.</p>
<p lang="zh-CN">请打开 python -m paint 给出的地址：其中含有令牌，每次启动都会更换。</p>
"""
HEADERS = {
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer', 'Cache-Control': 'no-store',
    'Cross-Origin-Resource-Policy': 'same-origin', 'Cross-Origin-Opener-Policy': 'same-origin',
}


def application(studio, host, token=None):
    """The ASGI application for a Studio. host: a name that it answers to; token: required by Guard, or None."""
    files = {name: _file(name) for name in os.listdir(STATIC) if os.path.splitext(name)[1] in TYPES}
    map_bytes = 2 * studio.largest
    bodies, decoders, map_threads = Bodies(), Decoders(), ThreadPoolExecutor(MAP_THREADS)

    async def page(request):
        name = request.path_params.get('name', 'index.html')
        if name not in files:
            raise Refused('not_found', 'there is no such page', 404)
        content, kind = files[name]
        return Response(content, media_type=kind)

    async def model(request):
        return JSONResponse(studio.description())

    async def validation_map(request):
        size = _size(studio, request.query_params) if request.query_params else None
        reading = asyncio.get_running_loop().run_in_executor(map_threads, studio.map, request.path_params['index'],
                                                             size)
        size, maps = await _while_heard(request, reading)
        return _bytes(maps, {'Size': '{}x{}'.format(*size)})

    async def open_maps(request):
        async with bodies.of(request, 2 * uploads.LARGEST_FILE) as (head, content):
            label = head.get('label')
            if type(label) is not int or not 0 <= label <= len(content):
                raise malformed()
            notes, maps = _parted(await _while_heard(request, decoders.decoded(
                uploads.sent_maps, bytes(content[:label]), bytes(content[label:]), studio.at_size, studio.classes,
                studio.largest)))
            facts = json.loads(notes)
            return _bytes(maps, {'Notes': quote(json.dumps(facts['notes'])), 'Size': '{}x{}'.format(*facts['size'])})

    async def photo_style(request):
        if not studio.opt.use_vae:
            raise Refused('no_styles', 'this model has no style encoder', 404)
        async with bodies.of(request, uploads.LARGEST_FILE) as (head, content):
            place = ('photo', *_page(head))
            decoding = decoders.decoded(uploads.opened_photo, bytes(content), studio.opt)
            notes, pixels = _parted(await _while_heard(request, decoding))
        image = np.frombuffer(pixels, np.float32).reshape(3, *studio.opt.picture_size)
        z = await _in_turn(request, place, lambda: studio.style_of_photo(image))
        return JSONResponse({'z': z, 'notes': json.loads(notes)['notes']})

    async def paint(request):
        arrived = time.perf_counter()
        async with bodies.of(request, (1 if studio.opt.no_instance else 2) * map_bytes) as (head, content):
            height, width = _size(studio, head)
            maps = np.frombuffer(content, '<u2') if len(content) % 2 == 0 else np.empty(0)
            if maps.size != height * width * (1 if studio.opt.no_instance else 2):
                raise malformed()
            maps = maps.astype(np.int32).reshape(-1, height, width)
        if maps[0].max() > studio.opt.highest_label:
            raise Refused('ids', f'the label map has the id {maps[0].max()}, which is no class of this model', 400,
                          values=[str(maps[0].max())], highest=studio.opt.highest_label)
        style = head.get('style', {'seed': 0})
        if studio.opt.reads_z:
            studio.style_of(style)      # a wrong style is refused before it takes a turn
        place = ('picture', *_page(head))
        overtaken = functools.partial(studio.turns.overtaken, place[:2], place[2]) if head.get('give_up') else None
        pixels, seconds = await _in_turn(request, place, lambda: studio.painted(maps[0], maps[-1], style, overtaken))
        return _bytes(pixels.tobytes(), {
            'Server-Timing': f'paint;dur={1000 * seconds:.1f}, all;dur={1000 * (time.perf_counter() - arrived):.1f}'})

    async def _in_turn(request, place, work):
        """The result of `work` on the paint thread. If the page disconnects, the work is dropped."""
        kind, name, number = place
        future = studio.turns.submit((kind, name), number, work)
        try:
            return await _while_heard(request, asyncio.wrap_future(future))
        finally:
            studio.turns.forget((kind, name), future)

    routes = [Route('/', page), Route('/static/{name}', page), Route('/model', model),
              Route('/maps/{index:int}', validation_map), Route('/open', open_maps, methods=['POST']),
              Route('/style', photo_style, methods=['POST']), Route('/paint', paint, methods=['POST'])]
    answers = {Refused: _refusal, TooLarge: _too_large, Superseded: _superseded, Busy: _busy, InputError: _input_error,
               404: _not_found, 405: _not_found, ClientDisconnect: _unheard, Exception: _failed}
    return Guard(Starlette(routes=routes, exception_handlers=answers), host, token)


class Guard:
    """Around the application: refuses foreign Hosts and Origins, adds headers, and stops tracebacks.

    With a token, it answers only browsers that have opened the address with the token, and then have a cookie.
    """

    def __init__(self, application, host, token=None):
        self.application, self.token = application, token
        self.names = {*LOOPBACK, host.lower()}
        if token:
            self.names.add(socket.gethostname().lower())

    async def __call__(self, scope, receive, send):
        if scope['type'] != 'http':
            if scope['type'] == 'websocket':
                await send({'type': 'websocket.close'})
            return

        async def sending(message):
            if message['type'] == 'http.response.start':
                added = ((name.encode(), value.encode()) for name, value in HEADERS.items())
                message['headers'] = [*message['headers'], *added]
            await send(message)

        try:
            await (self._answer(scope) or self.application)(scope, receive, sending)
        except Exception as error:      # _failed has answered; uvicorn would print a traceback
            say_once(f'a request failed: {type(error).__name__}: {error}')

    def _answer(self, scope):
        """The answer to a request that does not reach the application, else None."""
        headers = {name: value.decode('latin-1') for name, value in scope['headers']}
        host, origin = headers.get(b'host', ''), headers.get(b'origin')
        if not self._is_known(host):
            return _refusal(None, Refused('host', 'the server does not answer to this address: open the one that it '
                                                  'printed', 403))
        if origin not in (None, f'http://{host}', f'https://{host}'):
            return _refusal(None, Refused('origin', 'requests from other pages are refused', 403))
        if not self.token:
            return None
        cookie = COOKIE + (host.rpartition(':')[2] if ':' in host else '')  # browsers mix cookies of two ports
        if self._is_token(''.join(parse_qs(scope['query_string'].decode('latin-1')).get('token', [])[:1])):
            answer = RedirectResponse('./', 303)    # so that the address in the browser has no token
            answer.set_cookie(cookie, self.token, httponly=True, samesite='lax')
            return answer
        if self._is_token(_cookie(headers.get(b'cookie', ''), cookie)):
            return None
        if scope['path'] == '/':
            return HTMLResponse(UNINVITED, 403)
        return _refusal(None, Refused('token', 'open the address that the server printed: it contains a token', 403))

    def _is_token(self, text):
        return secrets.compare_digest(text.encode(), self.token.encode())

    def _is_known(self, host):
        """Whether a Host header, with any port, is a name of ours or, if others may connect, any address. A page
        whose own name points here (DNS rebinding) can send neither."""
        name = host.rsplit(':', 1)[0] if not host.endswith(']') else host
        name = name.strip('[]').lower()
        if name in self.names:
            return True
        try:
            return bool(self.token and ipaddress.ip_address(name))
        except ValueError:
            return False


def _file(name):
    with open(os.path.join(STATIC, name), 'rb') as file:
        return file.read(), TYPES[os.path.splitext(name)[1]]


def _size(studio, head):
    """(height, width) that a request names, by default those of the first canvas; Refused."""
    try:
        height, width = (int(head[side]) for side in ('height', 'width')) if 'width' in head else studio.size
    except (KeyError, TypeError, ValueError, OverflowError):
        raise malformed() from None
    return studio.checked_size(height, width)


def _page(head):
    """(name of the page, number of its request)."""
    name, number = head.get('page'), head.get('number')
    if not isinstance(name, str) or not 0 < len(name) <= 64 or type(number) is not int or not 0 <= number < 2 ** 53:
        raise malformed()
    return name, number


async def _while_heard(request, work):
    """The result of the awaitable `work`, cancelled if the client disconnects."""
    result, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientDisconnect
        return result.result()
    finally:
        gone.cancel()
        result.cancel()


async def _gone(request):
    while (await request.receive())['type'] != 'http.disconnect':
        pass


def _parted(answer):
    """(JSON, bytes) of an answer of paint.uploads."""
    notes, _, content = answer.partition(b'\n')
    return notes, content


def _cookie(header, name):
    try:
        return SimpleCookie(header)[name].value
    except (CookieError, KeyError):
        return ''


def _bytes(content, headers=None):
    return Response(content, media_type='application/octet-stream', headers=headers)


def _refusal(request, refused):
    return JSONResponse(refused.content(), refused.status)


def _superseded(request, error):
    return Response(status_code=204)    # no error: a newer request of the page has replaced this one


def _busy(request, error):
    return _refusal(request, Refused('busy', 'too many pages are waiting: try again in a moment', 503))


def _input_error(request, error):
    return _refusal(request, Refused('input', 'the model cannot paint this map', 400))


def _too_large(request, error):
    return _refusal(request, Refused('memory', str(error), 413))


def _unheard(request, error):
    return Response(status_code=400)


def _failed(request, error):
    return _refusal(request, Refused('failed', 'the server failed at this request; its terminal shows the error', 500))


def _not_found(request, error):
    return _refusal(request, Refused('not_found', 'there is no such page', error.status_code))
