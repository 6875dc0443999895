"""A page in the browser where a label map becomes a picture while you draw: python -m paint [--lastoutput output/]

Without a run in output/ it opens pretrained/aerial, which comes with the project. The page is served on 127.0.0.1, to
this machine alone. The server writes nothing: your browser saves your files. Ctrl-C ends it.
"""
import ipaddress
import os
import secrets
import socket

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

from model.init import OPT
from model.painter import checkpoint_parser
from model.weights import folder_of
from runtime.errors import InputError, shown_in_one_line

SHIPPED = 'pretrained/aerial'


def main():
    arguments = or_shipped(command_line())
    try:
        from paint.connection import serve
        from paint.server import application
        from paint.studio import Studio
    except ModuleNotFoundError as missing:
        package = missing.name.partition('.')[0]
        if package not in ('h11', 'starlette', 'uvicorn'):
            raise
        raise InputError(f'{package}, which serves the page, is not installed: pip install -r paint/requirements.txt') \
            from None
    device.use_best_device()
    listening = bound(arguments.host, arguments.port)
    address, port = listening.getsockname()[:2]
    token = None if ipaddress.ip_address(address.partition('%')[0]).is_loopback else secrets.token_hex(16)
    studio = Studio(arguments)
    height, width = studio.size
    count = sum(entry['id'] != studio.unlabelled for entry in studio.classes)
    named = f'{count} class{"es" * (count > 1)}' + (', styles' if studio.opt.use_vae else '')
    print(f'model: {studio.folder}: pictures {width} wide and {height} high, {named}')
    print(f'validation maps: {len(studio.maps.samples) if studio.maps else f"none ({studio.no_maps})"}')
    if token:
        print(f'--host {arguments.host}: whoever has the address below, with its token, can paint here and see the '
              'validation maps; connections are not encrypted')
    name = arguments.host if arguments.host not in ('0.0.0.0', '::') else socket.gethostname()
    name = f'[{name}]' if ':' in name else name
    print(f'open http://{name}:{port}/{f"?token={token}" if token else ""}  (Ctrl-C ends it)', flush=True)
    serve(application(studio, arguments.host, token), listening)


def or_shipped(arguments):
    """`arguments`, with lastoutput SHIPPED if they name no weights and there are none in the default place."""
    own = OPT().lastoutput
    if 'lastoutput' in arguments or arguments.which_epoch is not None or arguments.weights or \
            not os.path.isfile(os.path.join(SHIPPED, 'n_g.pdparams')):
        return arguments
    try:
        folder_of(own)
    except InputError:
        print(f'no model of your own in {own}: opening {SHIPPED}, aerial photographs; --lastoutput names another run')
        arguments.lastoutput = SHIPPED
    return arguments


def bound(host, port):
    """A listening socket, made before the seconds of loading a model; InputError if the address cannot be used."""
    try:
        if not 0 <= port <= 65535:
            raise ValueError('a port is 0 to 65535')    # -1 would be 65535
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)   # at once: with SO_REUSEADDR, sockets that do not listen yet may share an address
        return listening
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise InputError(f'--host {host!r} --port {port}: cannot be used: {reason}: name another --port (0: any free '
                         'one) or another --host') from None


def command_line():
    parser = checkpoint_parser(' '.join(__doc__.split()), more=['dataroot', 'size'])
    parser.prog = 'python -m paint'
    parser.add_argument('--port', type=int, default=8000, help='port to serve at; 0: any free one [8000]')
    parser.add_argument('--host', default='127.0.0.1', help='address to serve at. Any but 127.0.0.1 (0.0.0.0: all) is '
                                                            'open to whoever has the printed address, which contains '
                                                            'a token; connections are not encrypted [127.0.0.1]')
    return parser.parse_args()


if __name__ == '__main__':
    with shown_in_one_line():
        main()
