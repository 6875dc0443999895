"""The exchange of many processes in a step, and its cost: `python -m tests.scaling [--steps 3]`.

First the bytes, counted from the networks of the paper (COCO-Stuff, 256x256, ngf 64). Then, from the assumptions below
and from when backward finishes which gradient, the efficiency that 8 and 64 GPUs can be expected to reach: arithmetic,
not a measurement. Last, measured here over gloo, two processes against one, a thread each, in turn.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

from model.init import OPT
from model.normalization import BatchNorm
from model.semantics import prepared
from model.train_step import TrainStep
from runtime import distributed
from tests.benchmark import BASE, batches

# Assumptions. Of one image's step: G forward in both updates and backward once (twice a forward), 191 GMAC each, and D.
TFLOP_PER_IMAGE = 2 * (4 * 0.191 + 0.1)
GPU_TFLOPS = 10            # a V100 in float32, two thirds of its peak
BATCH = 4                  # images per GPU: the paper's 32 on 8
# Size of the generator's layers, in that of its first feature map.
SCALES = dict(fc=1, head_0=1, G_middle_0=2, G_middle_1=2, up_0=4, up_1=8, up_2=16, up_3=32, conv_img=32)
# bytes/s of a ring all-reduce per GPU, seconds of latency of a collective
CLUSTERS = (('8 GPUs, NVLink', 8, 100e9, 40e-6),
            ('8 GPUs, PCIe', 8, 10e9, 60e-6),
            ('64 GPUs, 8 machines, 100 Gb/s', 64, 10e9, 150e-6),
            ('64 GPUs, 8 machines, 10 Gb/s', 64, 1e9, 250e-6))


def networks(opt):
    """{'G': a generator, 'D': a discriminator}, and what TrainStep hands to their Exchange: {'G': [parameters], ...}.
    """
    train_step = TrainStep(opt)
    exchanges = {'G': train_step.exchange_g, 'D': train_step.exchange_d}
    networks = {'G': train_step.generator, 'D': train_step.discriminator}
    return networks, {name: exchange.buckets for name, exchange in exchanges.items()}


def exchanged(found, of_network):
    """dict of name -> (bytes, collectives) that a rank puts into all-reduces in one step, norm_G syncbatch,
    on CPU or GPU.

    Of what networks() gives, however many ranks there are.
    """
    channels = [layer._mean.shape[0] for layer in found['G'].sublayers() if isinstance(layer, BatchNorm)]
    result = {f'{name} gradients': (4 * sum(size(bucket) for bucket in of_network[name]), len(of_network[name]))
              for name in found}
    # Two forwards of G with a mean and a mean square a channel and a count, one backward with two sums, in float64.
    result['batch-norm statistics'] = sum(2 * 8 * (2 * c + 1) + 8 * 2 * c for c in channels), 3 * len(channels)
    return result


def size(bucket):
    return sum(parameter.size for parameter in bucket)


def multiplications(opt, found):
    """dict: name of a parameter, as Paddle counts them -> multiplications of its convolution for one image, dense."""
    latent = opt.latent_size[0] * opt.latent_size[1]
    result = {}
    for name, parameter in found['G'].named_parameters():
        scale = SCALES[name.split('.')[0]]
        result[parameter.name] = parameter.size * latent * scale ** 2 if parameter.ndim == 4 else 0
    for scale, network in enumerate(found['D'].children()):
        side = opt.crop_size >> scale
        for n, block in enumerate(network.children()):
            side = side // 2 + 1 if n < opt.n_layers_D - 1 else side + 1    # kernel 4, padding 2, stride 2, then 1
            for parameter in block.parameters():
                result[parameter.name] = 2 * parameter.size * side ** 2 if parameter.ndim == 4 else 0  # fake and photo
    return result


def exposed(buckets, work, ring, bandwidth, latency):
    """Seconds by which the exchange of `buckets` outlasts backward, which finishes them one after the other.

    work: multiplications of each parameter's layer for one image; backward does twice as many.
    """
    now = done = 0
    for bucket in buckets:
        now += sum(2 * 2 * BATCH * work[parameter.name] for parameter in bucket) / (GPU_TFLOPS * 1e12)
        done = max(now, done) + ring * 4 * size(bucket) / bandwidth + latency
    return done - now


def expected(opt, found, of_network, parts):
    """Print the efficiency: compute / (compute + what of the exchange does not happen while backward runs)."""
    work = multiplications(opt, found)
    compute = BATCH * TFLOP_PER_IMAGE / GPU_TFLOPS
    print(f'\nassumed: {TFLOP_PER_IMAGE:.2f} TFLOP an image, {GPU_TFLOPS} TFLOP/s a GPU, batch {BATCH} a GPU: '
          f'{compute:.2f} s a step alone. Gradients are exchanged while backward runs, the statistics of batch norm '
          'when it waits for them\n')
    print('| cluster | all-reduce per GPU | latency | exchange per step | not hidden | efficiency |\n'
          '| --- | --- | --- | --- | --- | --- |')
    for name, gpus, bandwidth, latency in CLUSTERS:
        ring = 2 * (gpus - 1) / gpus
        seconds = {part: ring * size / bandwidth + collectives * latency for part, (size, collectives) in parts.items()}
        waits = seconds['batch-norm statistics'] + sum(exposed(buckets, work, ring, bandwidth, latency)
                                                       for buckets in of_network.values())
        print(f'| {name} | {bandwidth / 1e9:g} GB/s | {latency * 1e6:g} us | {sum(seconds.values()):.3f} s | '
              f'{waits:.3f} s | {compute / (compute + waits):.0%} |')


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
        command = [sys.executable, '-m', 'paddle.distributed.launch', '--nproc_per_node', str(processes), '--backend',
                   'gloo', '--log_dir', folder, '--', __file__, '--work', str(steps)]
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.getcwd()}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(os.path.join(folder, 'workerlog.0')) as said:
            line = next(line for line in said if line.startswith('seconds:'))
    return statistics.median(map(float, line.split()[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=3,
                        help='timed steps of each run [3]; 0 leaves the measurement out')
    parser.add_argument('--work', type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work)
    opt = OPT(**BASE)
    found = networks(opt)
    parts = exchanged(*found)
    print('| exchanged per step | MB | collectives |\n| --- | --- | --- |')
    for name, (size, collectives) in parts.items():
        print(f'| {name} | {size / 1e6:.2f} | {collectives} |')
    expected(opt, *found, parts)
    if arguments.steps:
        ratios = []
        for _ in range(3):
            one, two = (measured(processes, arguments.steps) for processes in (1, 2))
            ratios.append(2 * one / two)
            print(f'\none process {one:.2f} s a step, two {two:.2f} s: {ratios[-1]:.2f} times the images', flush=True)
        print(f'\nmedian: two processes, a thread each, process {statistics.median(ratios):.2f} times the images of '
              'one')


if __name__ == '__main__':
    main()
