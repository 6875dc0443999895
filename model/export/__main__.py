"""Export the trained generator for other programs, and verify that the file gives the same pictures.

    python -m model.export onnx --lastoutput output/ --out spade.onnx [--size 512x384] [--half] [--float] [--force]
                                [--describe]
    python -m model.export paddle --lastoutput output/ --out spade_inference/ [the same]
    python -m model.export weights --lastoutput output/ --out spade_weights/ [--half] [--force]
    python -m model.export check FILE_OR_FOLDER --lastoutput output/
    python -m model.export describe FILE_OR_FOLDER

A style encoder becomes a second file, spade_encoder.onnx. weights: a folder for --lastoutput and --init_from without
what only training needs, in float16 with --half.
"""
import importlib.util
import json
import os
import sys

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import paddle

from model.export import files, inference, weights
from model.export.exported import Exported, checkpoint, set_size
from model.export.interface import interface_of
from model.export.metadata import description
from model.painter import checkpoint_parser
from runtime.errors import InputError, OptionError, shown_in_one_line
from runtime.writing import refuse_shipped


def export(kind, words):
    parser = _parser(kind, __doc__, 'size')
    default = {'onnx': 'spade.onnx', 'paddle': 'spade_inference'}[kind]
    parser.add_argument('--out', default=default, help=f'the file (onnx) or folder (paddle) to write [{default}]')
    for flag, help in (('half', 'weights in float16: half the size'),
                       ('float', 'pictures float32 (N, C, H, W) in [-1, 1]'),
                       ('force', 'replace an earlier export'), ('describe', 'print inputs, outputs and an example')):
        parser.add_argument(f'--{flag}', action='store_true', default=False, help=help)
    arguments = parser.parse_args(words)
    out = os.path.normpath(arguments.out)
    if kind == 'onnx' and not out.endswith('.onnx'):
        raise InputError(f'--out {arguments.out}: expected a name that ends in .onnx')
    refuse_shipped(out, '--out')
    paths = files.paths_of(['generator', 'encoder'], out).values() if kind == 'onnx' else [out]
    files.refuse_existing(paths, arguments.force, as_folder=kind == 'paddle')
    if getattr(arguments, 'size', '') == 'map':
        raise InputError('--size map: an export has one size: name it, such as --size 512x384')
    opt, painter, folder = checkpoint(arguments)
    if 'x' in opt.size:
        set_size(opt, *opt.painted_size(opt.picture_size), f'--size {opt.size}')
    print(f'weights: the {painter.weights} ones of {folder}')
    names = ['generator'] + ['encoder'] * (painter.encoder is not None)
    parts = {name: Exported(name, opt, painter, folder, arguments.float, arguments.half) for name in names}
    {'onnx': files.write_onnx, 'paddle': files.write_paddle}[kind](parts, out)
    if arguments.describe:
        describe([out])


def export_weights(words):
    parser = _parser('weights', __doc__, 'size')
    parser.add_argument('--out', default='spade_weights', help='the folder to write [spade_weights]')
    for flag, help in (('half', 'kernels in float16: half the size'),
                       ('force', 'replace earlier weights in the folder; its other files remain')):
        parser.add_argument(f'--{flag}', action='store_true', default=False, help=help)
    arguments = parser.parse_args(words)
    out = os.path.normpath(arguments.out)
    weights.refuse_existing(out, arguments.force)
    opt, painter, folder = checkpoint(arguments)
    if os.path.realpath(out) == folder:
        raise InputError(f'--out {arguments.out}: is the folder of the checkpoint: name another one')
    print(f'weights: the {painter.weights} ones of {folder}')
    weights.write(opt, painter, folder, out, arguments.half)


def check(words):
    """Compare a file with a checkpoint: every weight, then pictures."""
    parser = _parser('check', check.__doc__)
    parser.add_argument('file', help='.onnx file, or folder of Paddle Inference')
    arguments = parser.parse_args(words)
    networks, model = files.read(os.path.normpath(arguments.file))
    # the weights that the file was exported from
    arguments.weights = arguments.weights or next(iter(networks.values())).get('weights')
    opt, painter, folder = checkpoint(arguments)
    if opt.any_size:
        set_size(opt, *files.options_of(arguments.file, next(iter(networks.values()))).picture_size,
                 arguments.file)
    for name, entries in networks.items():
        if getattr(painter, name) is None:
            raise InputError(f'{arguments.file}: has a style {name}, {folder} has none')
        part = Exported(name, opt, painter, folder, json.loads(entries['float']), json.loads(entries['half']))
        files.check(arguments.file, part, entries, model)


def describe(words):
    """Print inputs, outputs and an example."""
    if len(words) != 1 or words[0].startswith('-'):
        raise OptionError('describe: expected the name of one .onnx file or folder of Paddle Inference')
    path = os.path.normpath(words[0])
    networks, _ = files.read(path)
    for name, entries in networks.items():
        opt = files.options_of(path, entries)
        interface = interface_of(name, opt, json.loads(entries['float']))
        text = '\n'.join(description(path, interface, entries, opt))
        print(text if path.endswith('.onnx') else text.replace("'PROGRAM'", repr(inference.program_of(path, name))))


def _parser(command, description, *more):
    """Parser with the flags that choose a checkpoint, and `more`."""
    parser = checkpoint_parser(description, ['dataroot', *more])   # dataroot: its validation maps test the file
    parser.prog = f'python -m model.export {command}'
    return parser


def main(words=None):
    words = sys.argv[1:] if words is None else words
    if words[:1] in ([], ['-h'], ['--help']):
        return print(__doc__.strip())
    if words[0] not in ('onnx', 'paddle', 'weights', 'check', 'describe'):
        raise OptionError(f'model.export: found {words[0]!r}, allowed: onnx, paddle, weights, check, describe')
    of_folder = words[0] in ('paddle', 'weights') or words[0] != 'onnx' and len(words) > 1 and os.path.isdir(words[1])
    missing = [name for name in ('onnx', 'onnxruntime') if not of_folder and importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f'{" and ".join(missing)}: not installed; pip install -r model/export/requirements.txt')
    paddle.set_device('cpu')    # the reference is float32 on the CPU
    {'onnx': lambda: export('onnx', words[1:]), 'paddle': lambda: export('paddle', words[1:]),
     'weights': lambda: export_weights(words[1:]), 'check': lambda: check(words[1:]),
     'describe': lambda: describe(words[1:])}[words[0]]()


if __name__ == '__main__':
    with shown_in_one_line():
        main()
