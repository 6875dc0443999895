"""What a request may ask, and what is refused before it is looked at.

A body is a line of JSON, and then bytes: those of maps, uint16 little-endian, row by row, or of files. So is the answer, but for
a picture's, which is its pixels, RGB.
"""
import asyncio
import ipaddress
import json
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from paint import uploads
from paint.refusal import Refused
from paint.turns import Busy, Superseded
from runtime.errors import InputError

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'static')
TYPES = {'.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml'}
MOST_JSON = 64 << 10    # bytes of the line before the maps: twice a z of 256 numbers fits many times
BODY_SECONDS = 60       # for a body to arrive
DECODERS = 2            # files that are decoded at once
LOOPBACK = ('localhost', '127.0.0.1', '::1')
HEADERS = {
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer', 'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin', 'Cache-Control': 'no-store',
}


def application(studio, host):
    """The ASGI application for a Studio; host: what it is bound to, for the names that it answers to."""
    files = {name: _file(name) for name in os.listdir(STATIC) if os.path.splitext(name)[1] in TYPES}
    height, width = studio.opt.picture_size
    map_bytes = 2 * height * width
    decoders = ThreadPoolExecutor(DECODERS)

    async def page(request):
        name = request.path_params.get('name', 'index.html')
        if name not in files:
            raise Refused('not_found', 'there is no such page', 404)
        content, kind = files[name]
        return Response(content, media_type=kind)

    async def model(request):
        return JSONResponse(studio.description())

    async def validation_map(request):
        return _maps(*await _decoded(studio.map, request.path_params['index']))

    async def open_maps(request):
        head, content = await _body(request, 2 * uploads.LARGEST_FILE)
        label = head.get('label')
        if type(label) is not int or not 0 < label <= len(content):
            raise _malformed()
        return _maps(*await _decoded(studio.opened, content[:label], content[label:]))

    async def photo_style(request):
        if not studio.opt.use_vae:
            raise Refused('no_styles', 'this model has no style encoder', 404)
        head, content = await _body(request, uploads.LARGEST_FILE)
        image = await _decoded(uploads.opened_photo, content, studio.opt)
        z = await _in_turn(request, ('photo', *_page(head)), lambda: studio.style_of_photo(image))
        return JSONResponse({'z': z})

    async def paint(request):
        arrived = time.perf_counter()
        head, content = await _body(request, (1 if studio.opt.no_instance else 2) * map_bytes)
        maps = np.frombuffer(content, '<u2') if len(content) % 2 == 0 else np.empty(0)
        if maps.size != height * width * (1 if studio.opt.no_instance else 2):
            raise _malformed()
        maps = maps.astype(np.int32).reshape(-1, height, width)
        if maps[0].max() > studio.opt.highest_label:
            raise Refused('ids', f'the label map holds {maps[0].max()}, which is no class of this model', 400,
                          values=[str(maps[0].max())], highest=studio.opt.highest_label)
        style = head.get('style', {'seed': 0})
        if studio.opt.use_vae:
            studio.style_of(style)      # refused before it takes a turn
        pixels, seconds = await _in_turn(request, ('picture', *_page(head)), lambda: studio.painted(maps[0], maps[-1], style))
        return Response(pixels.tobytes(), media_type='application/octet-stream', headers={
            'Server-Timing': f'paint;dur={1000 * seconds:.1f}, all;dur={1000 * (time.perf_counter() - arrived):.1f}'})

    def _decoded(work, *arguments):
        return asyncio.get_running_loop().run_in_executor(decoders, work, *arguments)

    async def _in_turn(request, place, work):
        """The result of `work` on the paint thread. Where the page has gone meanwhile, it is dropped."""
        kind, name, number = place
        future = studio.turns.submit((kind, name), number, work)
        result, gone = asyncio.ensure_future(asyncio.wrap_future(future)), asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise ClientDisconnect
            return result.result()
        finally:
            studio.turns.forget((kind, name), future)
            gone.cancel()
            result.cancel()

    routes = [Route('/', page), Route('/static/{name}', page), Route('/model', model), Route('/maps/{index:int}', validation_map),
              Route('/open', open_maps, methods=['POST']), Route('/style', photo_style, methods=['POST']),
              Route('/paint', paint, methods=['POST'])]
    answers = {Refused: _refusal, Superseded: _superseded, Busy: _busy, InputError: _input_error, 404: _not_found, 405: _not_found,
               ClientDisconnect: _unheard, Exception: _failed}
    return Guard(Starlette(routes=routes, exception_handlers=answers), host)


class Guard:
    """Around the application: refuses foreign Hosts and Origins, adds headers, and lets no traceback through."""

    def __init__(self, application, host):
        self.application = application
        self.names = {*LOOPBACK, host.lower()}
        self.by_address = host not in LOOPBACK
        if self.by_address:
            self.names.add(socket.gethostname().lower())

    async def __call__(self, scope, receive, send):
        if scope['type'] != 'http':
            if scope['type'] == 'websocket':
                await send({'type': 'websocket.close'})
            return

        async def sending(message):
            if message['type'] == 'http.response.start':
                message['headers'] = [*message['headers'], *((name.encode(), value.encode()) for name, value in HEADERS.items())]
            await send(message)

        headers = {name: value.decode('latin-1') for name, value in scope['headers']}
        try:
            if not self._is_known(headers.get(b'host', '')):
                await _refusal(None, Refused('host', 'this address is not one that the server answers to: open the one that it '
                                             'printed', 403))(scope, receive, sending)
            elif b'origin' in headers and headers[b'origin'] not in (f'http://{headers[b"host"]}', f'https://{headers[b"host"]}'):
                await _refusal(None, Refused('origin', 'requests of other pages are refused', 403))(scope, receive, sending)
            else:
                await self.application(scope, receive, sending)
        except Exception as error:      # answered by _failed already; uvicorn would print a traceback
            print(f'a request failed: {type(error).__name__}: {error}', file=sys.stderr, flush=True)

    def _is_known(self, host):
        """Whether a Host header is a name of ours, with any port, or, where others may connect, any address: a page that makes
        its own name point here (DNS rebinding) cannot send either."""
        name = host.rsplit(':', 1)[0] if not host.endswith(']') else host
        name = name.strip('[]').lower()
        if name in self.names:
            return True
        try:
            return self.by_address and bool(ipaddress.ip_address(name))
        except ValueError:
            return False


def _file(name):
    with open(os.path.join(STATIC, name), 'rb') as file:
        return file.read(), TYPES[os.path.splitext(name)[1]]


async def _body(request, most):
    """(dict, bytes) of a request whose line of JSON and `most` bytes are counted before they are kept."""
    most += MOST_JSON
    length = request.headers.get('content-length', '0')
    if not length.isascii() or not length.isdecimal() or int(length) > most:
        raise Refused('body', f'more than {most >> 10} kB in one request', 413, most=most >> 20)
    parts, size = [], 0

    async def read():
        nonlocal size
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise Refused('body', f'more than {most >> 10} kB in one request', 413, most=most >> 20)
            parts.append(part)
    try:
        await asyncio.wait_for(read(), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise Refused('slow', f'the request did not arrive within {BODY_SECONDS} s', 408) from None
    content = b''.join(parts)
    end = content.find(b'\n', 0, MOST_JSON)
    try:
        head = json.loads(content[:end]) if end >= 0 else None
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise _malformed()
    return head, content[end + 1:]


def _page(head):
    """(name, number) by which the page and its request are known."""
    name, number = head.get('page'), head.get('number')
    if not isinstance(name, str) or not 0 < len(name) <= 64 or type(number) is not int or not 0 <= number < 2 ** 53:
        raise _malformed()
    return name, number


async def _gone(request):
    while (await request.receive())['type'] != 'http.disconnect':
        pass


def _maps(label, instance):
    return Response(label.astype('<u2').tobytes() + instance.astype('<u2').tobytes(), media_type='application/octet-stream')


def _malformed():
    return Refused('malformed', 'this is no request that the page sends: reload the page', 400)


def _refusal(request, refused):
    return JSONResponse(refused.content(), refused.status)


def _superseded(request, error):
    return Response(status_code=204)    # nothing is wrong: a newer request of the page has taken the place of this one


def _busy(request, error):
    return _refusal(request, Refused('busy', 'too many pages are waiting: try again in a moment', 503))


def _input_error(request, error):
    return _refusal(request, Refused('input', 'the model cannot paint this map', 400))


def _unheard(request, error):
    return Response(status_code=400)


def _failed(request, error):
    return _refusal(request, Refused('failed', 'the server failed at this request; its terminal says why', 500))


def _not_found(request, error):
    return _refusal(request, Refused('not_found', 'there is no such page', error.status_code))
