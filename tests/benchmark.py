"""Speed and memory of the default path against plain dense Paddle.
`python -m tests.benchmark [--size demo|small|full] [--full] [--plot]`.

Generator forward in eval mode and full training step (no encoder, no VGG) on real COCO-Stuff maps (folder named by
SPADE_COCO_SAMPLE) or else on demo maps with COCO-Stuff's 182 labels. All settings run in turn in one process; ratios
are medians of paired runs. GFLOP are those of convolutions and window products; beside their rate stands that of a
large matrix product in the same process. Peak memory is that of a process of its own, two training steps long.
--full, about an hour, adds windows and kernels alone, encoder and VGG, batch 4, other resolutions, and maps from flat
to random. Ends in one line of JSON.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import paddle

from dataset.demo import scene
from dataset.labelled_images import ValidationImages
from dataset.loader import stacked
from model.fast import operators
from model.init import OPT
from model.semantics import prepared
from model.train_step import TrainStep
from model.weights import save_weights
from tests import benchmark_paint
from vgg.vgg19 import VGG19Features

SETTINGS = {'plain': dict(modulation='dense', cpu_kernels=False),
            'windows': dict(modulation='windows', cpu_kernels=False),
            'kernels': dict(modulation='dense', cpu_kernels=True), 'both': {}}
SIZES = {   # options, batch
    'demo': (dict(crop_size=64, load_size=64, ngf=16, ndf=16), 2),
    'small': (dict(crop_size=128, load_size=128, ngf=32, ndf=32), 2), 'full': ({}, 1)}
RUNS = 5  # timed, of each setting
BASE = dict(use_vae=False, crop_size=256)


def batches(opt, count=1):
    """Endless batches of `count` samples: dicts of label, instance and image arrays."""
    folder = os.environ.get('SPADE_COCO_SAMPLE')
    if folder:
        opt.dataroot = folder
        data = ValidationImages(opt)
        samples = [data[index] for index in range(len(data))]
    else:
        height, width = opt.picture_size
        samples = []
        for seed in range(8):
            photo, label, instance = scene(seed, height, width)
            label = np.where(label == 255, opt.label_nc, label).astype(np.int32)
            image = photo.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
            samples.append(dict(label=label, instance=instance.astype(np.int32), image=image))
    start = 0
    while True:
        yield stacked(samples, [(start + n) % len(samples) for n in range(count)])
        start += count


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(options, names, maps=None, train=True, count=1, runs=RUNS):
    """Time the settings in turn: dict of 'generator_forward' and 'train_step' -> dict of setting -> list of seconds.

    maps: a function of opt that gives batches, by default those of `batches`. Windows are found beforehand, as the
    loader's workers do; window_cost() prints what that costs. An uncounted run builds and plans the kernels first.
    """
    steps = {name: TrainStep(OPT(**{**BASE, **options, **SETTINGS[name]})) for name in names}
    source = (maps or batches)(next(iter(steps.values())).opt, count)
    times = {}
    for what in ['generator_forward'] + ['train_step'] * train:
        times[what] = {name: [] for name in names}
        for run in range(runs + 1):
            batch = next(source)
            for name, train_step in steps.items():
                if run or train_step.opt.cpu_kernels:
                    times[what][name].append(seconds(_work(what, train_step, batch)))
        times[what] = {name: taken[-runs:] for name, taken in times[what].items()}
    return times


def operations(options, count):
    """dict of 'generator_forward' and 'train_step' -> GFLOP of convolutions and window products on the kernels."""
    train_step = TrainStep(OPT(**{**BASE, **options}))
    batch, counted = next(batches(train_step.opt, count)), [0]

    def counting(function, *arguments):
        if function == 'spade_convolution':
            n, c, height, width, out, kh, kw, stride, pad_h, pad_w = arguments[2:12]
            pixels = ((height + 2 * pad_h - kh) // stride + 1) * ((width + 2 * pad_w - kw) // stride + 1)
            counted[0] += 2 * n * c * out * kh * kw * pixels
        elif function.startswith('spade_window_product'):
            rows, k, width, out, hidden_rows = arguments[-5:]
            counted[0] += (2 if 'backward' in function else 1) * 4 * min(rows, hidden_rows) * width * out * k
        return call(function, *arguments)

    call, operators._call = operators._call, counting
    try:
        found = {}
        for what in ('generator_forward', 'train_step'):
            counted[0] = 0
            _work(what, train_step, batch)()
            found[what] = counted[0] / 1e9
    finally:
        operators._call = call
    return found


def matrix_product():
    """GFLOP/s of a large matrix product."""
    a = paddle.rand([2048, 2048])
    a @ a
    return 2 * 2048 ** 3 / 1e9 / statistics.median(seconds(lambda: (a @ a).numpy()) for _ in range(5))


def _processor_name():
    with open('/proc/cpuinfo') as file:
        return next((line.split(':')[1].strip() for line in file if line.startswith('model name')), platform.machine())


def _work(what, train_step, batch):
    semantics = prepared(batch, train_step.opt)['semantics']
    if what == 'generator_forward':
        return lambda: train_step.painter.paint(semantics)
    return lambda: train_step.step(semantics, None, batch['image'])


def table(title, times):
    """Print medians in seconds, and how many times as fast as the first setting; the median of paired runs."""
    for what, taken in times.items():
        plain = next(iter(taken.values()))
        cells = ', '.join(f'{name} {statistics.median(values):.3f} s ({ratio(plain, values):.2f}x)'
                          for name, values in taken.items())
        print(f'{title:34} {what:18} {cells}', flush=True)


def ratio(plain, other):
    return statistics.median(a / b for a, b in zip(plain, other))


def peak_memory(name, size):
    """Peak resident memory in GB of a process that makes two training steps in that setting."""
    command = [sys.executable, '-m', 'tests.benchmark', '--peak', name, '--size', size]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.splitlines()[-1])


def print_peak(name, size):
    options, count = SIZES[size]
    train_step = TrainStep(OPT(**{**BASE, **options, **SETTINGS[name]}))
    source = batches(train_step.opt, count)
    for _ in range(2):
        batch = next(source)
        train_step.step(batch['label'], batch['instance'], batch['image'])
    with open('/proc/self/status') as status:   # getrusage would count what the process that started this one held
        print(next(int(line.split()[1]) / 1e6 for line in status if line.startswith('VmHWM')))


def window_cost():
    """Print the seconds that finding all windows of an image takes."""
    opt = OPT(**BASE)
    source = batches(opt)
    taken = [seconds(lambda: prepared(next(source), opt)) for _ in range(20)]
    print(f'finding the windows: {statistics.median(taken):.3f} s an image')


def full():
    """Further tables; -> dict of title -> times."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, 'vgg19.pdparams')
        save_weights(VGG19Features().state_dict(), weights)  # random weights cost the same
        results['encoder and VGG'] = compare(dict(use_vae=True, no_vgg_loss=False, vggwpath=weights), ['plain', 'both'],
                                             runs=3)
        table('encoder and VGG', results['encoder and VGG'])
    for title, options, maps, train, count in [('batch 4', {}, None, True, 4)] + [
            (f'{size} x {size}', dict(crop_size=size), None, True, 1) for size in (128, 512)] + [
            (f'map of {cells} x {cells} cells', {}, lambda opt, count, cells=cells: checkers(opt, cells), False, 1)
            for cells in (1, 4, 16, 64, 256)]:
        results[title] = compare(options, SETTINGS, maps, train, count, runs=3)
        table(title, results[title])
    return results


def checkers(opt, cells):
    """Endless maps of cells x cells squares, each of a random class: one cell is flat, as many as pixels is random."""
    rng = np.random.default_rng(0)
    height, width = opt.picture_size
    while True:
        label = rng.integers(0, opt.label_nc, (1, cells, cells), dtype=np.int32)
        label = label.repeat(height // cells, 1).repeat(width // cells, 2)
        yield dict(label=label, instance=label, image=np.zeros((1, 3, height, width), np.float32))


def plot(results, path):
    """Draw how many times as fast as plain each setting is, for every table."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    bars = [(f'{title}\n{what}', taken) for title, times in results.items() for what, taken in times.items()]
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.5 * len(bars)), layout='constrained')
    for offset, name in enumerate(SETTINGS):
        values = [ratio(taken['plain'], taken[name]) if name in taken else 0 for _, taken in bars]
        axes.barh([row + 0.2 * offset for row in range(len(bars))], values, 0.18, label=name)
    axes.set_yticks([row + 0.3 for row in range(len(bars))], [title for title, _ in bars])
    axes.set_xlabel('times as fast as plain dense Paddle')
    axes.invert_yaxis()
    axes.legend()
    figure.savefig(path, dpi=120)
    print(f'drawn: {path}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', choices=SIZES, default='full',
                        help='demo: 64x64, ngf 16, batch 2; small: 128x128, ngf 32, batch 2; full: 256x256, ngf 64, '
                             'batch 1 [full]')
    parser.add_argument('--full', action='store_true', help='all tables, all settings')
    parser.add_argument('--settings', nargs='+', default=[], choices=SETTINGS, help='more columns than plain and both')
    parser.add_argument('--plot', metavar='FILE', help='draw the ratios')
    parser.add_argument('--export', action='store_true', help='exported files instead (tests/benchmark_export.py)')
    parser.add_argument('--lastoutput', metavar='FOLDER', help='with --export: a checkpoint, instead of random weights')
    parser.add_argument('--device', choices=('gpu', 'cpu'),
                        help='another benchmark, of what a GPU does: --device gpu --help')
    parser.add_argument('--paint', action='store_true',
                        help='how long an answer of python -m paint takes, and nothing else')
    parser.add_argument('--peak', choices=SETTINGS, help=argparse.SUPPRESS)
    if any(argument.split('=')[0] == '--device' for argument in sys.argv[1:]):
        from tests import benchmark_gpu  # which takes the maps from here
        return benchmark_gpu.main()
    arguments = parser.parse_args()
    if arguments.export:
        from tests import benchmark_export  # needs onnx and onnxruntime
        return benchmark_export.main(arguments.lastoutput, lambda opt: list(islice(batches(opt), 8)))
    if arguments.peak:
        return print_peak(arguments.peak, arguments.size)
    device.use_best_device()
    if arguments.paint:
        return benchmark_paint.main()
    demo = 'demo scenes (name COCO-Stuff samples with SPADE_COCO_SAMPLE)'
    print(f'maps: {os.environ.get("SPADE_COCO_SAMPLE", demo)}')
    options, count = SIZES[arguments.size]
    title = '{0} x {0}, batch {1}'.format(options.get('crop_size', 256), count)
    print(f'{_processor_name()}, {os.environ["OMP_NUM_THREADS"]} threads, load {os.getloadavg()[0]:.1f}, '
          f'Paddle {paddle.__version__}')
    window_cost()
    names = [name for name in SETTINGS if arguments.full or name in {'plain', 'both', *arguments.settings}]
    results = {title: compare(options, names, count=count)}
    table(title, results[title])
    product = matrix_product()
    for what, work in operations(options, count).items():
        rate = work / statistics.median(results[title][what]['both'])
        print(f'{what}: {work:.1f} GFLOP, {rate:.0f} GFLOP/s; matrix product {product:.0f} GFLOP/s')
    peak = {name: peak_memory(name, arguments.size) for name in ('plain', 'both')}
    print(f'peak memory of a training step: plain {peak["plain"]:.2f} GB, both {peak["both"]:.2f} GB')
    if arguments.full:
        results.update(full())
    if arguments.plot:
        plot(results, arguments.plot)
    summary = {what: dict(dense_s=statistics.median(taken['plain']), default_s=statistics.median(taken['both']),
                          ratio=ratio(taken['plain'], taken['both']))
               for what, taken in results[title].items()}
    print(json.dumps({**summary, 'peak_memory_ratio': peak['both'] / peak['plain']}))


if __name__ == '__main__':
    main()
