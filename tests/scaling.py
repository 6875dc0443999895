"""What many processes exchange in a step, and what that costs: `python -m tests.scaling [--steps 3]`.

First the bytes, counted from the networks of the paper (COCO-Stuff, 256x256, ngf 64). Then, from the assumptions below, the
efficiency that 8 and 64 GPUs can be expected to reach: arithmetic, not a measurement. Last, measured here over gloo, two
processes against one, a thread each, in turn.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from model.processes import device  # noqa: F401  first: sets the threads, then imports Paddle

from model.processes import distributed
from model.discriminator import MultiscaleDiscriminator
from model.generator import SPADEGenerator
from model.init import OPT
from model.normalization import BatchNorm
from model.semantics import prepared
from model.train_step import TrainStep
from tests.benchmark import BASE, batches

# Assumptions. Of one image's step: G forward in both updates and backward once (twice a forward), 191 GMAC each, and D.
TFLOP_PER_IMAGE = 2 * (4 * 0.191 + 0.1)
GPU_TFLOPS = 10            # a V100 in float32, two thirds of its peak
BATCH = 4                  # images per GPU: the paper's 32 on 8
CLUSTERS = (('8 GPUs, NVLink', 8, 100e9, 40e-6),    # bytes/s of a ring all-reduce per GPU, seconds of latency of a collective
            ('8 GPUs, PCIe', 8, 10e9, 60e-6),
            ('64 GPUs, 8 machines, 100 Gb/s', 64, 10e9, 150e-6),
            ('64 GPUs, 8 machines, 10 Gb/s', 64, 1e9, 250e-6))


def exchanged(opt):
    """dict of name -> (bytes, collectives) that a rank puts into all-reduces in one step, norm_G syncbatch, on CPU or GPU."""
    generator, discriminator = SPADEGenerator(opt), MultiscaleDiscriminator(opt)
    channels = [layer._mean.shape[0] for layer in generator.sublayers() if isinstance(layer, BatchNorm)]
    result = {}
    for name, network in (('G gradients', generator), ('D gradients', discriminator)):
        sizes = [parameter.size for parameter in network.parameters() if not parameter.stop_gradient]
        result[name] = 4 * sum(sizes), 1 + sum(size >= distributed.LARGE for size in sizes)
    # Two forwards of G with a mean and a mean square a channel and a count, one backward with two sums, in float64.
    result['batch-norm statistics'] = sum(2 * 8 * (2 * c + 1) + 8 * 2 * c for c in channels), 3 * len(channels)
    return result


def expected(parts):
    """Print the efficiency with nothing overlapped: compute / (compute + exchange)."""
    compute = BATCH * TFLOP_PER_IMAGE / GPU_TFLOPS
    print(f'\nassumed: {TFLOP_PER_IMAGE:.2f} TFLOP an image, {GPU_TFLOPS} TFLOP/s a GPU, batch {BATCH} a GPU: {compute:.2f} s a '
          'step alone; nothing overlaps\n')
    print('| cluster | all-reduce per GPU | latency | exchange per step | efficiency |\n| --- | --- | --- | --- | --- |')
    for name, gpus, bandwidth, latency in CLUSTERS:
        ring = 2 * (gpus - 1) / gpus
        seconds = sum(ring * size / bandwidth + collectives * latency for size, collectives in parts.values())
        print(f'| {name} | {bandwidth / 1e9:g} GB/s | {latency * 1e6:g} us | {seconds:.3f} s | '
              f'{compute / (compute + seconds):.0%} |')


def work(steps):
    """Print the seconds of each of this rank's steps, after one to warm up."""
    distributed.only_rank_0_prints()
    with distributed.joined():
        train_step = TrainStep(OPT(**BASE))
        source = batches(train_step.opt)
        taken = []
        for _ in range(steps + 1):
            batch = next(source)
            began = time.perf_counter()
            train_step.step(prepared(batch, train_step.opt)['semantics'], None, batch['image'])
            taken.append(time.perf_counter() - began)
        print('seconds:', *taken[1:])


def measured(processes, steps):
    """Median seconds of a step of that many processes with a thread each."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'paddle.distributed.launch', '--nproc_per_node', str(processes), '--backend', 'gloo',
                   '--log_dir', folder, '--', __file__, '--work', str(steps)]
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.getcwd()}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(os.path.join(folder, 'workerlog.0')) as said:
            line = next(line for line in said if line.startswith('seconds:'))
    return statistics.median(map(float, line.split()[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=3, help='timed steps of each run [3]; 0 leaves the measurement out')
    parser.add_argument('--work', type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work)
    parts = exchanged(OPT(**BASE))
    print('| exchanged per step | MB | collectives |\n| --- | --- | --- |')
    for name, (size, collectives) in parts.items():
        print(f'| {name} | {size / 1e6:.2f} | {collectives} |')
    expected(parts)
    if arguments.steps:
        ratios = []
        for _ in range(3):
            one, two = (measured(processes, arguments.steps) for processes in (1, 2))
            ratios.append(2 * one / two)
            print(f'\none process {one:.2f} s a step, two {two:.2f} s: {ratios[-1]:.2f} times the images', flush=True)
        print(f'\nmedian: two processes, a thread each, process {statistics.median(ratios):.2f} times the images of one')


if __name__ == '__main__':
    main()
