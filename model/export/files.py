"""Exported files. Writes them whole and verified, or not at all; reads them; compares them with a checkpoint.

`out` is an .onnx file, with the style encoder in a second file, or a folder of Paddle Inference with metadata.json.
"""
import contextlib
import json
import os
import tempfile

import numpy as np
import paddle

from model.export import inference, verify
from model.init import OPT
from model.weights import WEIGHTS
from runtime import json_file
from runtime.errors import InputError, OptionError
from runtime.writing import remove, writing

# Entries of an export's metadata that check and describe read.
WRITTEN = ('project', 'version', 'network', 'float', 'half', 'options', 'epoch', 'licence', 'weights_sha256')


def paths_of(parts, out):
    """dict: network -> path of its ONNX file."""
    paths = {'generator': out, 'encoder': f'{out[:-len(".onnx")]}_encoder.onnx'}
    return {name: paths[name] for name in parts}


def refuse_existing(paths, force, as_folder):
    """InputError if a path exists; with `force`, only if it is no export, or a folder with other files in it."""
    for path in filter(os.path.lexists, paths):
        if not force:
            raise InputError(f'{path} exists and was not changed: add --force to replace it, or name another --out')
        if os.path.islink(path) or os.path.isdir(path) != as_folder:
            kind = 'link' if os.path.islink(path) else 'folder' if os.path.isdir(path) else 'file'
            raise InputError(f'{path} is a {kind}, which --force does not replace: name another --out')
        if as_folder and not os.listdir(path):
            continue
        try:
            networks, _ = read(path)
        except InputError:
            raise InputError(f'{path} is not an export, and --force replaces only exports: name another '
                             '--out') from None
        own = {'metadata.json', *(name + ending for name in networks for ending in inference.ENDINGS)}
        others = sorted(name for name in os.listdir(path) if name not in own) if as_folder else []
        if others:
            raise InputError(f'{path} holds other files than an export, {others[0]}: move them away, '
                             'or name another --out')


# ---- Writing: parts is a dict of network -> Exported

def write_onnx(parts, out):
    from model.export.graph import model_of
    paths = paths_of(parts, out)
    with contextlib.ExitStack() as finished:
        unfinished = {name: finished.enter_context(writing(path)) for name, path in paths.items()}
        for name, part in parts.items():
            for stage in part.stages():
                with open(unfinished[name], 'wb') as file:
                    model = model_of(stage.interface, stage.opt, stage.constants, stage.metadata)
                    file.write(model.SerializeToString())
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
        refuse_existing([out], True, as_folder=True)    # checked again just before the replacement
        remove(out)
    print(f'written: {out}, {sum(os.path.getsize(os.path.join(out, name)) for name in os.listdir(out)) / 1e6:.1f} MB')


# ---- Reading

ENTRIES = json_file.mapping(json_file.text(json_file.LARGEST))     # metadata: texts by name
OPTIONS = json_file.record(dict.fromkeys((*OPT.network_fields(), 'seed'), json_file.plain), others=json_file.plain)
AGAIN = 'export again: python -m model.export'


def read(path):
    """(dict: network -> its metadata, the onnx.ModelProto or None of a folder)."""
    if os.path.isdir(path):
        place = os.path.join(path, 'metadata.json')
        try:
            networks = json_file.read(place, json_file.mapping(ENTRIES), 'no export of this project')
        except FileNotFoundError:
            raise InputError(f'{path}: no export of Paddle Inference: it has no metadata.json') from None
        if not networks:
            raise InputError(f'{place}: names no network: no export of this project')
        for name, entries in networks.items():
            _check_entries(place, name, entries)
        return networks, None
    import onnx
    try:
        model = onnx.load(path, load_external_data=False)   # external data could name any file; ours has none
        entries = {entry.key: entry.value for entry in model.metadata_props}
    except FileNotFoundError:
        raise InputError(f'{path}: no such file or folder; export it first: python -m model.export onnx') from None
    except Exception as error:  # protobuf's class depends on its version
        raise InputError(f'{path}: cannot be read as ONNX: {" ".join(str(error).split())}') from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise InputError(f'{path}: has weights outside this file: no export of this project')
    if len(entries) != len(model.metadata_props) or 'network' not in entries:
        raise InputError(f'{path}: an ONNX file, but none of this project\'s: its metadata names no network')
    _check_entries(path, entries['network'], entries)
    return {entries['network']: entries}, model


def _check_entries(path, name, entries):
    """InputError unless `entries` are metadata (metadata_of) of network `name`."""
    if name not in ('generator', 'encoder') or not set(WRITTEN) <= set(entries) or entries['network'] != name or \
            not {entries['float'], entries['half']} <= {'true', 'false'} or \
                entries.get('weights', 'last') not in WEIGHTS:
        raise InputError(f'{path}: its metadata is damaged or of another program: no export of this project')
    options_of(path, entries)


def options_of(path, entries):
    """OPT of an export's metadata; InputError if they are invalid."""
    source, remedy = f'{path}: options in its metadata', 'no export of this project'
    options = json_file.parsed(entries['options'], OPTIONS, source, remedy)
    try:
        return OPT(**options)
    except (OptionError, TypeError) as error:
        raise InputError(f'{source}: {error}; {remedy}') from None


# ---- Checking

def check(path, part, entries, model):
    """Compare one network of an existing file, from `read`, with the checkpoint's `part`: content, then pictures."""
    name = part.interface.network
    if entries['weights_sha256'] != part.metadata['weights_sha256']:
        raise InputError(f'{path}: {name} was exported from other weights than the checkpoint\'s: epoch '
                         f'{entries["epoch"]:.40} there, {part.metadata["epoch"]} here; export again, or name its '
                         'checkpoint')
    _check_metadata(path, part, entries)
    if model is None:
        _check_program(path, part, entries)
        part.compare(verify.paddle_runner(inference.program_of(path, name)), path)
    else:
        _check_model(path, model, part)
        part.compare(verify.onnx_runner(path), path)


def _check_metadata(path, part, entries):
    """InputError if an entry differs from the checkpoint's, except the version and settings that shape no network."""
    options = options_of(path, entries)
    differ = [f'{name} {getattr(options, name)}'
              for name in OPT.network_fields() if getattr(options, name) != getattr(part.opt, name)]
    expected = {name: value for name, value in part.metadata.items() if name not in ('options', 'version')}
    existing = {name: value for name, value in entries.items() if name not in ('options', 'version', 'files_sha256')}
    existing.setdefault('weights', part.metadata['weights'])   # earlier versions did not write this entry
    differ += [f'{name} {existing.get(name, "missing"):.60}' for name in sorted({*expected, *existing})
               if existing.get(name) != expected.get(name)]
    if differ:
        raise InputError(f'{path}: its metadata is not the checkpoint\'s: {ascii(", ".join(differ))[1:-1]:.300}; '
                         f'{AGAIN}')


def _check_model(path, model, part):
    """InputError if nodes, inputs, outputs or weights of an ONNX file differ from those that this version writes."""
    from model.export.graph import model_of, weights_of
    expected = model_of(part.interface, part.opt, part.constants, part.metadata)
    weights, existing = weights_of(expected), weights_of(model)
    if set(existing) != set(weights) or len(existing) != len(model.graph.initializer):
        named = min(set(existing) ^ set(weights), default='a weight given twice')
        raise InputError(f'{path}: damaged: {ascii(named)[1:-1]} is missing or should not be there; {AGAIN}')
    for name, array in weights.items():
        if array.shape != existing[name].shape or array.dtype != existing[name].dtype:
            raise InputError(f'{path}: damaged: {name} is {existing[name].dtype} {existing[name].shape}, expected '
                             f'{array.dtype} {array.shape}')
        bits = [np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(array.size, -1)
                for values in (array, existing[name])]
        different = int((bits[0] != bits[1]).any(1).sum())
        if different:
            raise InputError(f'{path}: damaged: {name} differs in {different} of {array.size} values; {AGAIN}')
    nodes = [[node.SerializeToString(deterministic=True) for node in graph.node]
             for graph in (expected.graph, model.graph)]
    if nodes[0] != nodes[1]:
        count = sum(node not in set(nodes[0]) for node in nodes[1])
        raise InputError(f'{path}: altered, or exported by another version: {count} of its {len(nodes[1])} operators '
                         f'differ from the {len(nodes[0])} that this version writes; {AGAIN}')
    for whole in (expected, model):     # without parts that were compared or may differ
        del whole.graph.node[:], whole.graph.initializer[:], whole.metadata_props[:]
        whole.producer_version = ''
    if expected.SerializeToString(deterministic=True) != model.SerializeToString(deterministic=True):
        raise InputError(f'{path}: altered, or exported by another version: this version writes other inputs, outputs '
                         f'or versions; {AGAIN}')


def _check_program(path, part, entries):
    """InputError if weights or program of Paddle Inference differ in a byte from those written here and now."""
    name = part.interface.network
    with tempfile.TemporaryDirectory() as folder:
        inference.save(part.interface, part.opt, part.constants, folder)
        expected = inference.digests(folder, name)
    for file, digest in inference.digests(path, name).items():
        if digest != expected.get(file):
            raise InputError(f'{os.path.join(path, file)}: damaged, altered, or exported by another version of this '
                             f'project or of Paddle (here {paddle.__version__}); {AGAIN}')
    source = f'{path}: files_sha256 in its metadata'
    if json_file.parsed(entries.get('files_sha256', '{}'), ENTRIES, source, AGAIN) != expected:
        raise InputError(f'{source} does not fit its files; {AGAIN}')
