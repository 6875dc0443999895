"""The trained generator as a file that other programs run, proven to give the same pictures.

    python -m model.export onnx --lastoutput output/ --out spade.onnx [--half] [--float] [--force] [--describe]
    python -m model.export paddle --lastoutput output/ --out spade_inference/ [the same]
    python -m model.export check FILE_OR_FOLDER --lastoutput output/
    python -m model.export describe FILE_OR_FOLDER

A model with style encoder gives that as a second file: spade_encoder.onnx.
"""
import contextlib
import importlib.util
import json
import os
import shutil
import sys

from model.processes import device  # noqa: F401  first: sets the threads, then imports Paddle

import numpy as np
import paddle

from model.convert.run_folder import folder_of
from model.errors import InputError, OptionError, shown_in_one_line
from model.export import inference, verify
from model.export.folding import constants, plain_state, resizing
from model.export.interface import interface_of
from model.export.metadata import description, metadata_of
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import Painter, checkpoint_parser, load_painter
from model.vae_encoder import VAEEncoder
from model.convert.paddle_files import set_weights


class Exported:
    """Everything that a network of a checkpoint is exported from: interface, constants, metadata, and a Painter to compare with."""

    def __init__(self, network, opt, painter, folder, as_float, half):
        layer = getattr(painter, network)
        state = plain_state(layer, half)
        self.opt, self.interface = opt, interface_of(network, opt, as_float)
        self.constants = {**constants(state, half), **(resizing(opt) if network == 'encoder' else {})}
        self.metadata = metadata_of(self.interface, opt, folder, self.constants, half)
        self.painter = _rounded(painter, network, state) if half else painter

    def compare(self, run, source):
        """Run the file on several inputs and print how far it is from the checkpoint; InputError if more than rounding."""
        if self.interface.network == 'generator':
            mean, worst = verify.compare_generator(run, self.interface, self.painter, source)
            print(f'{source}: same pictures; difference {mean:.3g} grey levels in the mean, {worst:.3g} at most')
        else:
            mean, worst = verify.compare_encoder(run, self.painter, source)
            print(f'{source}: same styles; difference {mean:.3g} of their scale in the mean, {worst:.3g} at most')


def _rounded(painter, network, state):
    """A Painter whose network has no spectral norm and the weights `state`: what a --half file is to give."""
    opt = OPT(**painter.opt.as_dict())
    opt.norm_G, opt.norm_E = opt.norm_G.removeprefix('spectral'), opt.norm_E.removeprefix('spectral')
    layers = dict(generator=painter.generator, encoder=painter.encoder)
    layers[network] = {'generator': SPADEGenerator, 'encoder': VAEEncoder}[network](opt)
    set_weights(layers[network], state, 'the rounded weights')
    return Painter(opt, **layers)


def checkpoint(arguments):
    """(opt, painter, folder of the checkpoint); float32, for a comparison in less proves nothing."""
    opt, painter = load_painter(arguments)
    opt.cpu_precision, opt.amp = 'float32', 'none'
    return opt, painter, folder_of(opt.lastoutput, arguments.which_epoch)


def export(kind, words):
    parser = checkpoint_parser(__doc__)
    parser.prog = f'python -m model.export {kind}'
    default = {'onnx': 'spade.onnx', 'paddle': 'spade_inference'}[kind]
    parser.add_argument('--out', default=default, help=f'the file, or for paddle the folder, to write [{default}]')
    for flag, help in (('half', 'weights in float16: half the size'), ('float', 'pictures float32 (N, C, H, W) in [-1, 1]'),
                       ('force', 'replace what is there'), ('describe', 'print inputs, outputs and an example')):
        parser.add_argument(f'--{flag}', action='store_true', default=False, help=help)
    arguments = parser.parse_args(words)
    out = os.path.normpath(arguments.out)
    if kind == 'onnx' and not out.endswith('.onnx'):
        raise InputError(f'--out {arguments.out}: expected a name that ends in .onnx')
    _refuse_existing([out, encoder_path(out)] if kind == 'onnx' else [out], arguments.force, kind)
    opt, painter, folder = checkpoint(arguments)
    names = ['generator'] + ['encoder'] * (painter.encoder is not None)
    parts = {name: Exported(name, opt, painter, folder, getattr(arguments, 'float'), arguments.half) for name in names}
    if kind == 'onnx':
        _write_onnx(parts, out)
    else:
        _write_paddle(parts, out)
    if arguments.describe:
        describe([out])


def encoder_path(out):
    return out[:-len('.onnx')] + '_encoder.onnx'


def _write_onnx(parts, out):
    from model.export.graph import model_of
    paths = {'generator': out, 'encoder': encoder_path(out)}
    with _unfinished([paths[name] for name in parts]) as unfinished:
        for name, part in parts.items():
            data = model_of(part.interface, part.opt, part.constants, part.metadata).SerializeToString()
            with open(unfinished[paths[name]], 'wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.compare(verify.onnx_runner(unfinished[paths[name]]), paths[name])
    print('\n'.join(f'written: {paths[name]}, {os.path.getsize(paths[name]) / 1e6:.1f} MB' for name in parts))


def _write_paddle(parts, out):
    with _unfinished([out]) as unfinished:
        folder = unfinished[out]
        os.mkdir(folder)
        for name, part in parts.items():
            inference.save(part.interface, part.opt, part.constants, folder)
            part.compare(verify.paddle_runner(inference.program_of(folder, name)), os.path.join(out, name))
            part.metadata['files_sha256'] = json.dumps(inference.digests(folder, name))
        with open(os.path.join(folder, 'metadata.json'), 'w') as file:
            json.dump({name: part.metadata for name, part in parts.items()}, file, indent=2)
    print(f'written: {out}, {sum(os.path.getsize(os.path.join(out, name)) for name in os.listdir(out)) / 1e6:.1f} MB')


def _refuse_existing(paths, force, kind):
    for path in paths:
        if os.path.lexists(path) and not force:
            raise InputError(f'{path} exists and is left as it is: add --force to replace it, or name another --out')
        if os.path.lexists(path) and os.path.isdir(path) != (kind == 'paddle'):
            raise InputError(f'{path} is {"a folder" if os.path.isdir(path) else "a file"}: name another --out')
        if kind == 'paddle' and os.path.isdir(path) and os.listdir(path) and not os.path.exists(os.path.join(path, 'metadata.json')):
            raise InputError(f'{path} holds other files than an export (no metadata.json): name another --out')


@contextlib.contextmanager
def _unfinished(paths):
    """dict: path -> name beside it to write to; renamed when all is well, removed otherwise."""
    places = {path: f'{path}.unfinished' for path in paths}
    if paths[0].endswith('.onnx'):  # ONNX Runtime and readers go by the ending
        places = {path: f'{path[:-len(".onnx")]}.unfinished.onnx' for path in paths}
    try:
        for path, place in places.items():
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            _remove(place)
        yield places
        for path, place in places.items():
            if os.path.isdir(path):
                _remove(path)
            os.replace(place, path)
    except OSError as error:
        raise InputError(f'{paths[0]}: cannot be written: {error.strerror or error}; nothing is left of it') from None
    finally:
        for place in places.values():
            with contextlib.suppress(OSError):
                _remove(place)


def _remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


# ---- Existing files

def read(path):
    """dict: network -> its metadata; of an .onnx file also the ModelProto, else None."""
    if os.path.isdir(path):
        try:
            with open(os.path.join(path, 'metadata.json')) as file:
                return json.load(file), None
        except (OSError, ValueError) as error:
            raise InputError(f'{path}: no export of Paddle Inference, its metadata.json cannot be read: {error}') from None
    import onnx
    try:
        model = onnx.load(path)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        return {entries['network']: entries}, model
    except FileNotFoundError:
        raise InputError(f'{path}: no such file or folder; export it first: python -m model.export onnx') from None
    except KeyError:
        raise InputError(f'{path}: an ONNX file, but none of this project\'s: its metadata names no network') from None
    except Exception as error:  # protobuf's, by version
        raise InputError(f'{path}: cannot be read as ONNX: {" ".join(str(error).split())}') from None


def check(words):
    """Compare a file with a checkpoint: every weight, then pictures."""
    parser = checkpoint_parser(check.__doc__)
    parser.prog = 'python -m model.export check'
    parser.add_argument('file', help='.onnx file, or folder of Paddle Inference')
    arguments = parser.parse_args(words)
    networks, model = read(os.path.normpath(arguments.file))
    opt, painter, folder = checkpoint(arguments)
    for name, entries in networks.items():
        if getattr(painter, name) is None:
            raise InputError(f'{arguments.file}: holds a style {name}, and {folder} has none')
        part = Exported(name, opt, painter, folder, json.loads(entries['float']), json.loads(entries['half']))
        if entries['weights_sha256'] != part.metadata['weights_sha256']:
            raise InputError(f'{arguments.file}: {name} was exported from other weights than {folder}: epoch {entries["epoch"]} there, '
                             f'{part.metadata["epoch"]} here; export again, or name its checkpoint')
        if model is None:
            _check_files(arguments.file, name, entries)
            run = verify.paddle_runner(inference.program_of(arguments.file, name))
        else:
            _check_weights(arguments.file, model, part)
            run = verify.onnx_runner(arguments.file)
        part.compare(run, arguments.file)


def _check_weights(path, model, part):
    from model.export.graph import model_of, weights_of
    expected = weights_of(model_of(part.interface, part.opt, part.constants, part.metadata))
    found = weights_of(model)
    if set(found) != set(expected):
        raise InputError(f'{path}: damaged: {sorted(set(found) ^ set(expected))[0]} is missing or should not be there; export again')
    for name, array in expected.items():
        if array.shape != found[name].shape or array.dtype != found[name].dtype:
            raise InputError(f'{path}: damaged: {name} is {found[name].dtype} {found[name].shape}, expected {array.dtype} {array.shape}')
        different = int(np.sum(array.reshape(-1).view(np.uint8).reshape(array.size, -1) !=
                               found[name].reshape(-1).view(np.uint8).reshape(array.size, -1), axis=1).astype(bool).sum())
        if different:
            raise InputError(f'{path}: damaged: {name} differs in {different} of {array.size} values; export again')


def _check_files(folder, name, entries):
    found, expected = inference.digests(folder, name), json.loads(entries['files_sha256'])
    for file in expected:
        if found.get(file) != expected[file]:
            raise InputError(f'{os.path.join(folder, file)}: damaged or missing: its SHA-256 is not the one exported; export again')


def describe(words):
    """Print inputs, outputs and an example."""
    if len(words) != 1 or words[0].startswith('-'):
        raise OptionError('describe: expected the name of one .onnx file or folder of Paddle Inference')
    path = os.path.normpath(words[0])
    networks, _ = read(path)
    for name, entries in networks.items():
        interface = interface_of(name, OPT(**json.loads(entries['options'])), json.loads(entries['float']))
        text = '\n'.join(description(path, interface, entries))
        print(text if path.endswith('.onnx') else text.replace("'PROGRAM'", repr(inference.program_of(path, name))))


def main(words=None):
    words = sys.argv[1:] if words is None else words
    if words[:1] in ([], ['-h'], ['--help']):
        return print(__doc__.strip())
    if words[0] not in ('onnx', 'paddle', 'check', 'describe'):
        raise OptionError(f'model.export: found {words[0]!r}, allowed: onnx, paddle, check, describe')
    of_folder = words[0] == 'paddle' or words[0] != 'onnx' and len(words) > 1 and os.path.isdir(words[1])
    missing = [name for name in ('onnx', 'onnxruntime') if not of_folder and importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f'{" and ".join(missing)}: not installed; pip install -r model/export/requirements.txt')
    paddle.set_device('cpu')    # the reference is float32 on the CPU
    {'onnx': lambda: export('onnx', words[1:]), 'paddle': lambda: export('paddle', words[1:]),
     'check': lambda: check(words[1:]), 'describe': lambda: describe(words[1:])}[words[0]]()


if __name__ == '__main__':
    with shown_in_one_line():
        main()
