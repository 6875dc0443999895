"""A page in the browser where a label map becomes a picture while you draw: python -m paint [--lastoutput output/]

The page is served on 127.0.0.1, to this machine alone. Nothing is written here: what you save, your browser keeps. Ctrl-C ends it.
"""
import os
import socket
import sys

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

from model.painter import checkpoint_parser
from runtime.errors import InputError, shown_in_one_line

try:
    import uvicorn

    from paint.server import LOOPBACK, application
    from paint.studio import Studio
except ImportError as missing:
    if missing.name not in ('uvicorn', 'starlette'):
        raise
    sys.exit(f'error: {missing.name} is not installed, which serves the page: pip install -r paint/requirements.txt')

KEPT_ALIVE = 30     # seconds that an idle connection stays open
CONNECTIONS = 256   # at once


class Server(uvicorn.Server):
    def handle_exit(self, number, frame):
        """Ctrl-C and SIGTERM: nothing is written here that would have to be finished, so the end is at once."""
        os.write(1, b'\nended\n')
        os._exit(128 + number)


def main():
    arguments = command_line()
    device.use_best_device()
    listening = bound(arguments.host, arguments.port)
    studio = Studio(arguments)
    height, width = studio.opt.picture_size
    named = f'{len(studio.classes)} classes' + (', styles' if studio.opt.use_vae else '')
    print(f'model: {studio.folder}: pictures {width} wide and {height} high, {named}')
    print(f'validation maps: {len(studio.maps.samples) if studio.maps else f"none ({studio.no_maps})"}')
    configuration = uvicorn.Config(application(studio, arguments.host), log_level='error', access_log=False, lifespan='off',
                                   ws='none', timeout_keep_alive=KEPT_ALIVE, limit_concurrency=CONNECTIONS, server_header=False,
                                   proxy_headers=False)
    listening.listen(128)
    port = listening.getsockname()[1]
    if arguments.host not in LOOPBACK:
        print(f'--host {arguments.host}: every machine that reaches this one can paint here and see the validation maps; there is '
              'no password and no encryption')
    name = arguments.host if arguments.host not in ('0.0.0.0', '::') else socket.gethostname()
    print(f'open http://{f"[{name}]" if ":" in name else name}:{port}/  (Ctrl-C ends it)', flush=True)
    Server(configuration).run(sockets=[listening])


def bound(host, port):
    """A socket at that address; InputError if it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        return listening
    except (OSError, OverflowError) as error:
        raise InputError(f'--host {host} --port {port}: cannot be used: {getattr(error, "strerror", None) or error}: name another '
                         '--port; 0 takes any free one') from None


def command_line():
    parser = checkpoint_parser(' '.join(__doc__.split()), more=['dataroot'])
    parser.prog = 'python -m paint'
    parser.add_argument('--port', type=int, default=8000, help='0 takes any free one [8000]')
    parser.add_argument('--host', default='127.0.0.1', help='address to serve at. Another one than 127.0.0.1 (0.0.0.0: all) lets '
                        'every machine that reaches this one use the model and see the validation maps, without password or '
                        'encryption [127.0.0.1]')
    return parser.parse_args()


if __name__ == '__main__':
    with shown_in_one_line():
        main()
