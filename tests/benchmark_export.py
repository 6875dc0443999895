"""Exported files against Painter: differences of their pictures, and speed. `python -m tests.benchmark --export`.

From label ids to the picture in [-1, 1], batch 1, on real COCO-Stuff maps (SPADE_COCO_SAMPLE) or else demo maps: the
generator of COCO-Stuff's size (ngf 64, 256x256) with random weights, or the checkpoint in --lastoutput. Painter's
default path, dense on the kernels, ONNX Runtime and Paddle Inference (oneDNN on) with as many threads, and plain Paddle
take turns on every map; ratios are medians of paired runs. Then the same for every shape of convolution in the network,
ONNX Runtime against our kernels.
"""
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections import Counter

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import onnx
import paddle

from model.export import inference, verify
from model.export.exported import Exported, checkpoint
from model.export.graph import IR_VERSION, OPSET, model_of
from model.fast import operators
from model.init import OPT
from model.painter import checkpoint_parser
from model.semantics import SemanticMap
from tests.exporting import write_checkpoint

PATHS = {'default': dict(modulation='auto', cpu_kernels=True),
         'dense on the kernels': dict(modulation='dense', cpu_kernels=True),
         'ONNX Runtime': None, 'Paddle Inference': None, 'plain Paddle': dict(modulation='dense', cpu_kernels=False)}
IDLE = 0.25     # seconds before each run, in which the threads of the other runtime stop spinning
REPEATS = 3     # of each shape of convolution


def main(lastoutput=None, samples=None):
    """samples: a list of dicts of label and instance (1, H, W), as tests.benchmark.batches gives them, by the options.
    """
    with tempfile.TemporaryDirectory() as folder:
        part = _exported(folder, lastoutput)
        opt, maps = part.opt, samples(part.opt)
        before, after = part.stages()
        model = _write(before, f'{folder}/before')
        _write(after, f'{folder}/after')
        height, width = opt.picture_size
        threads = int(os.environ['OMP_NUM_THREADS'])
        print(f'{threads} threads; {len(maps)} maps; pictures of {width} x {height}, ngf {opt.ngf}', flush=True)
        expected = [_painted(part, _feeds(part, sample)) for sample in maps]
        differences = {name: _difference(kind, folder, part, maps, expected)
                       for name, kind in (('ONNX Runtime', 'onnx'), ('Paddle Inference', 'paddle'))}
        for name, (share, levels) in differences.items():
            print(f'{name}: at most {share:.2g} of the picture\'s scale before rounding, {levels:.0f} grey levels '
                  'after', flush=True)
        times = _times(folder, part, maps)
        plain = times['plain Paddle']
        for name, taken in times.items():
            print(f'{name:20} {statistics.median(taken):.3f} s, {_ratio(plain, taken):.2f}x as fast as plain Paddle',
                  flush=True)
        shapes = _shapes(model)
        layers = {shape: _convolution(*shape) for shape in sorted(shapes, key=lambda shape: shape[3:])}
    for shape, (ours, theirs, giga) in layers.items():
        inputs, outputs, k, height, width = shape
        print(f'{shapes[shape]} x convolution {inputs} -> {outputs}, {k}x{k}, {width} x {height}: kernels '
              f'{giga / ours:.0f}, ONNX Runtime {giga / theirs:.0f} G multiplications/s; ours {theirs / ours:.2f}x as '
              'fast')
    print(json.dumps({
        'threads': threads, 'paddle': paddle.__version__, 'maps': len(maps),
        'seconds': {name: statistics.median(taken) for name, taken in times.items()},
        'times_as_fast_as_plain': {name: _ratio(plain, taken) for name, taken in times.items()},
        'difference': {name: {'of_scale': share, 'grey_levels': levels}
                       for name, (share, levels) in differences.items()},
        'kernels_over_onnxruntime': _ratio(times['ONNX Runtime'], times['dense on the kernels']),
        'slower_than_onnxruntime': {f'{shape}': theirs / ours
                                    for shape, (ours, theirs, _) in layers.items() if theirs < ours}}))


def _exported(folder, lastoutput):
    if lastoutput is None:
        lastoutput = folder
        write_checkpoint(pathlib.Path(folder),
                         **{name: getattr(OPT(), name) for name in ('label_nc', 'crop_size', 'ngf')})
    opt, painter, place = checkpoint(checkpoint_parser('').parse_args(['--lastoutput', lastoutput]))
    return Exported('generator', opt, painter, place)


def _write(part, folder):
    """Write both files into `folder` -> the onnx.ModelProto."""
    os.mkdir(folder)
    model = model_of(part.interface, part.opt, part.constants, part.metadata)
    onnx.save(model, f'{folder}/generator.onnx')
    inference.save(part.interface, part.opt, part.constants, folder)
    return model


def _runner(kind, folder):
    return verify.onnx_runner(f'{folder}/generator.onnx') if kind == 'onnx' else \
        verify.paddle_runner(inference.program_of(folder, 'generator'))


def _feeds(part, sample):
    style = np.random.default_rng(0).standard_normal((1, part.opt.z_dim)).astype(np.float32)
    values = {'label': sample['label'], 'instance': sample['instance'], 'z': style}
    return {name: np.ascontiguousarray(values[name]) for name in part.interface.inputs}


def _painted(part, feeds):
    return part.painter.paint(SemanticMap(feeds['label'], feeds.get('instance'), part.opt), z=feeds.get('z')).numpy()


def _difference(kind, folder, part, maps, pictures):
    """(largest difference before rounding, of the picture's scale; largest after, in grey levels) from Painter's
    pictures.
    """
    exact, rounded, shares, levels = _runner(kind, f'{folder}/before'), _runner(kind, f'{folder}/after'), [], []
    for sample, expected in zip(maps, pictures):
        feeds = _feeds(part, sample)
        shares.append(float(np.abs(exact(feeds)[0] - expected).max() / np.abs(expected).max()))
        grey = np.clip(np.rint((expected.transpose(0, 2, 3, 1) + 1) * 127.5), 0, 255)
        levels.append(float(np.abs(rounded(feeds)[0] - grey).max()))
    return max(shares), max(levels)


def _times(folder, part, maps):
    """dict: name of PATHS -> seconds on each map, after a run on the first that is not counted."""
    runners = {'ONNX Runtime': _runner('onnx', f'{folder}/before'),
               'Paddle Inference': _runner('paddle', f'{folder}/before')}
    times = {name: [] for name in PATHS}
    for sample in maps[:1] + maps:
        feeds = _feeds(part, sample)
        for name, options in PATHS.items():
            for option, value in (options or {}).items():
                setattr(part.opt, option, value)
            work = (lambda: runners[name](feeds)) if options is None else (lambda: _painted(part, feeds))
            times[name].append(_seconds(work))
    return {name: taken[1:] for name, taken in times.items()}


def _seconds(work):
    time.sleep(IDLE)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ratio(slow, fast):
    return statistics.median(a / b for a, b in zip(slow, fast))


# ---- Convolutions alone

def _shapes(model):
    """Counter of (input channels, output channels, kernel size, height, width) of the convolutions of an
    onnx.ModelProto.
    """
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    sizes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[2:]]
             for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    return Counter((weights[node.input[1]][1], weights[node.input[1]][0], weights[node.input[1]][2],
                    *sizes[node.output[0]])
                   for node in model.graph.node if node.op_type == 'Conv')


@paddle.no_grad()
def _convolution(inputs, outputs, k, height, width):
    """(seconds of our kernel, of ONNX Runtime, 1e9 multiplications), medians of runs in turn;
    ours as its time times the ratio.

    Both have laid the weights out before, as for painting.
    """
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32)
                       for shape in ((1, inputs, height, width), (outputs, inputs, k, k), (outputs,)))
    ours = operators.ConstantConvolution(paddle.to_tensor(weight), paddle.to_tensor(bias), 1, k // 2, False, None)
    theirs = verify.onnx_runner(_one_convolution(x, weight, bias, k // 2))
    placed = paddle.to_tensor(x)
    work = {'ours': lambda: ours(placed), 'theirs': lambda: theirs({'x': x})}
    giga = x[0, 0].size * weight.size / 1e9
    repeats = max(1, int(0.5 / giga))
    taken = {name: [] for name in work}
    for _ in range(REPEATS + 1):
        for name, run in work.items():
            taken[name].append(_seconds(lambda: [run() for _ in range(repeats)]) / repeats)
    taken = {name: values[1:] for name, values in taken.items()}
    theirs = statistics.median(taken['theirs'])
    return theirs / _ratio(taken['theirs'], taken['ours']), theirs, giga


def _one_convolution(x, weight, bias, padding):
    """Bytes of an ONNX file."""
    make, tensor = onnx.helper, onnx.numpy_helper.from_array
    node = make.make_node('Conv', ['x', 'weight', 'bias'], ['y'], pads=[padding] * 4)
    inputs = [make.make_tensor_value_info('x', onnx.TensorProto.FLOAT, x.shape)]
    outputs = [make.make_tensor_value_info('y', onnx.TensorProto.FLOAT, (1, len(weight), *x.shape[2:]))]
    graph = make.make_graph([node], 'convolution', inputs, outputs, [tensor(weight, 'weight'), tensor(bias, 'bias')])
    return make.make_model(graph, opset_imports=[make.make_opsetid('', OPSET)],
                           ir_version=IR_VERSION).SerializeToString()
