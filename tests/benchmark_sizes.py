"""Seconds and memory of one picture by its size: python -m tests.benchmark_sizes [--lastoutput pretrained/aerial].

Each size in a process of its own, after a small picture: a drawn scene with its windows, the generator in eval mode.
Memory is what the process's peak exceeds what it held before (model/painter.py, bytes_per_pixel, expects it). Without
--lastoutput: random weights of ngf 16 with segmap_noise, 9 classes. Ends in one line of JSON.
"""
import argparse
import json
import resource
import subprocess
import sys
import time

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import numpy as np

from dataset.demo import scene
from model.generator import SPADEGenerator
from model.init import OPT
from model.painter import Painter, load_painter
from model.semantics import SemanticMap
from output import pictures

RANDOM = dict(label_nc=8, no_instance=True, crop_size=64, ngf=16, generator_input='segmap_noise', z_dim=64)
SMALL = 64


def painted(opt, painter, height, width):
    """Seconds of one picture."""
    label, instance = (scene(0, height, width)[part].astype(np.int32) for part in (1, 2))
    began = time.perf_counter()
    semantics = SemanticMap(label[None] % opt.label_nc, None if opt.no_instance else instance[None], opt, round_up=True)
    pictures.to_uint8(painter.paint(semantics))
    return time.perf_counter() - began


def one(side, lastoutput, cpu_kernels):
    """dict of a picture side x side, in this process."""
    if lastoutput:
        opt, painter = load_painter(argparse.Namespace(lastoutput=lastoutput, which_epoch=None, weights=None,
                                                       cpu_kernels=str(cpu_kernels).lower()))
    else:
        opt = OPT(**RANDOM, cpu_kernels=cpu_kernels)
        painter = Painter(opt, SPADEGenerator(opt))
    painted(opt, painter, SMALL, SMALL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = painted(opt, painter, side, side)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return dict(seconds=seconds, gigabytes=(peak - before) * 1024 / 1e9, process=peak * 1024 / 1e9)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--lastoutput', metavar='DIR', help='a run, or a model, without style encoder')
    parser.add_argument('--sides', type=int, nargs='+', default=[256, 512, 1024, 2048])
    parser.add_argument('--plain', action='store_true', help='without the CPU kernels')
    parser.add_argument('--one', type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return print(json.dumps(one(arguments.one, arguments.lastoutput, not arguments.plain)))
    results = {}
    print('| size | seconds | GB |\n|---|---|---|')
    for side in arguments.sides:
        words = [sys.executable, '-m', 'tests.benchmark_sizes', '--one', str(side), *['--plain'] * arguments.plain]
        words += ['--lastoutput', arguments.lastoutput] if arguments.lastoutput else []
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        found = results[side] = json.loads(said.splitlines()[-1])
        print(f'| {side} x {side} | {found["seconds"]:.2f} | {found["gigabytes"]:.2f} |', flush=True)
    print(json.dumps(results))


if __name__ == '__main__':
    main()
