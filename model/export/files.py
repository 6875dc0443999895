"""Exported files: written whole and proven, or not there; read; held against a checkpoint.

`out` is an .onnx file, with a style encoder as a second one beside it, or a folder of Paddle Inference with metadata.json.
"""
import contextlib
import json
import os

import numpy as np

from model.export import inference, verify
from runtime.errors import InputError
from runtime.writing import remove, writing

# What check and describe read in an export's metadata.
WRITTEN = ('project', 'version', 'network', 'float', 'half', 'options', 'epoch', 'licence', 'weights_sha256')


def paths_of(parts, out):
    """dict: network -> path of its ONNX file."""
    paths = {'generator': out, 'encoder': f'{out[:-len(".onnx")]}_encoder.onnx'}
    return {name: paths[name] for name in parts}


def refuse_existing(paths, force, as_folder):
    """InputError if one of the paths exists, without `force`; with it, if it is no file or no exported folder."""
    for path in filter(os.path.lexists, paths):
        if not force:
            raise InputError(f'{path} exists and is left as it is: add --force to replace it, or name another --out')
        if os.path.islink(path) or os.path.isdir(path) != as_folder:
            kind = 'link' if os.path.islink(path) else 'folder' if os.path.isdir(path) else 'file'
            raise InputError(f'{path} is a {kind}, which --force does not replace: name another --out')
        if as_folder and not os.listdir(path):
            continue
        try:
            networks, _ = read(path)
        except InputError:
            raise InputError(f'{path} holds other files than an export (no metadata.json of one): name another --out' if as_folder
                             else f'{path} is no export, which is all that --force replaces: name another --out') from None
        own = {'metadata.json', *(name + ending for name in networks for ending in inference.ENDINGS)}
        others = sorted(name for name in os.listdir(path) if name not in own) if as_folder else []
        if others:
            raise InputError(f'{path} holds other files than an export, {others[0]}: move them away, or name another --out')


# ---- Writing: parts is a dict of network -> Exported

def write_onnx(parts, out):
    from model.export.graph import model_of
    paths = paths_of(parts, out)
    with contextlib.ExitStack() as finished:
        unfinished = {name: finished.enter_context(writing(path)) for name, path in paths.items()}
        for name, part in parts.items():
            for stage in part.stages():
                with open(unfinished[name], 'wb') as file:
                    file.write(model_of(stage.interface, stage.opt, stage.constants, stage.metadata).SerializeToString())
                stage.compare(verify.onnx_runner(unfinished[name]), paths[name])
    print('\n'.join(f'written: {path}, {os.path.getsize(path) / 1e6:.1f} MB' for path in paths.values()))


def write_paddle(parts, out):
    with writing(out) as folder:
        os.mkdir(folder)
        for name, part in parts.items():
            for stage in part.stages():
                inference.save(stage.interface, stage.opt, stage.constants, folder)
                stage.compare(verify.paddle_runner(inference.program_of(folder, name)), os.path.join(out, name))
            part.metadata['files_sha256'] = json.dumps(inference.digests(folder, name))
        with open(os.path.join(folder, 'metadata.json'), 'w', encoding='utf-8') as file:
            json.dump({name: part.metadata for name, part in parts.items()}, file, indent=2)
        refuse_existing([out], True, as_folder=True)    # once more, before what --force allows to replace
        remove(out)
    print(f'written: {out}, {sum(os.path.getsize(os.path.join(out, name)) for name in os.listdir(out)) / 1e6:.1f} MB')


# ---- Reading

def read(path):
    """(dict: network -> its metadata, the onnx.ModelProto or None of a folder)."""
    if os.path.isdir(path):
        try:
            with open(os.path.join(path, 'metadata.json'), encoding='utf-8') as file:
                networks = json.load(file)
        except (OSError, ValueError) as error:
            raise InputError(f'{path}: no export of Paddle Inference, its metadata.json cannot be read: {error}') from None
        if not isinstance(networks, dict) or not networks or not all(map(_is_ours, networks, networks.values())):
            raise InputError(f'{path}: no export of this project: its metadata.json was written by another program, or damaged')
        return networks, None
    import onnx
    try:
        model = onnx.load(path)
        entries = {entry.key: entry.value for entry in model.metadata_props}
    except FileNotFoundError:
        raise InputError(f'{path}: no such file or folder; export it first: python -m model.export onnx') from None
    except Exception as error:  # protobuf's, by version
        raise InputError(f'{path}: cannot be read as ONNX: {" ".join(str(error).split())}') from None
    if not _is_ours(entries.get('network'), entries):
        raise InputError(f'{path}: an ONNX file, but none of this project\'s: its metadata names no network')
    return {entries['network']: entries}, model


def _is_ours(name, entries):
    """Whether these are the metadata of network `name` that `export` writes (metadata_of)."""
    if name not in ('generator', 'encoder') or not isinstance(entries, dict) or entries.get('network') != name:
        return False
    if not all(isinstance(entries.get(entry), str) for entry in WRITTEN):
        return False
    try:
        return isinstance(json.loads(entries['options']), dict) and all(
            isinstance(json.loads(entries[flag]), bool) for flag in ('float', 'half'))
    except ValueError:
        return False


# ---- Checking

def check(path, part, entries, model):
    """Hold one network of an existing file, as `read` gave it, against the checkpoint's `part`: every weight, then pictures."""
    name = part.interface.network
    if entries['weights_sha256'] != part.metadata['weights_sha256']:
        raise InputError(f'{path}: {name} was exported from other weights than the checkpoint\'s: epoch {entries["epoch"]} there, '
                         f'{part.metadata["epoch"]} here; export again, or name its checkpoint')
    if model is None:
        _check_digests(path, name, entries)
        part.compare(verify.paddle_runner(inference.program_of(path, name)), path)
    else:
        _check_weights(path, model, part)
        part.compare(verify.onnx_runner(path), path)


def _check_weights(path, model, part):
    from model.export.graph import model_of, weights_of
    expected = weights_of(model_of(part.interface, part.opt, part.constants, part.metadata))
    found = weights_of(model)
    if set(found) != set(expected):
        raise InputError(f'{path}: damaged: {min(set(found) ^ set(expected))} is missing or should not be there; export again')
    for name, array in expected.items():
        if array.shape != found[name].shape or array.dtype != found[name].dtype:
            raise InputError(f'{path}: damaged: {name} is {found[name].dtype} {found[name].shape}, expected {array.dtype} '
                             f'{array.shape}')
        bits = [np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(array.size, -1) for values in (array, found[name])]
        different = int((bits[0] != bits[1]).any(1).sum())
        if different:
            raise InputError(f'{path}: damaged: {name} differs in {different} of {array.size} values; export again')


def _check_digests(folder, name, entries):
    found, expected = inference.digests(folder, name), json.loads(entries['files_sha256'])
    for file in expected:
        if found.get(file) != expected[file]:
            raise InputError(f'{os.path.join(folder, file)}: damaged or missing: its SHA-256 is not the one exported; export again')
