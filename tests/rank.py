"""What every process of tests/model/test_ranks.py does: training steps on a share of fixed samples.

    python -m paddle.distributed.launch --nproc_per_node 2 tests/rank.py FOLDER SETTING ...        a sample each
    python -m tests.rank FOLDER --world 2 SETTING ...                                              one process with both

Each setting's losses, first gradients of a step, statistics and last weights go to FOLDER/<setting>.npz, written by
rank 0; those of the same steps with the gradients exchanged after backward to FOLDER/<setting>_after.npz.
"""
import argparse
import functools
import hashlib

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import paddle

from model import gradients
from model.averaged import COPIED
from model.init import OPT
from model.normalization import BatchNorm
from model.train_step import LOG_COLUMNS, TrainStep
from model.weights import as_arrays
from runtime import distributed

gradients.LARGE = 1000  # so that tiny networks, too, have gradients that are exchanged by themselves
# the last are compared bit for bit; of one process only the first step in float32 is
STEPS = {'float64': 3, 'float32': 2}
SAMPLES = 4
TINY = dict(label_nc=9, crop_size=32, ngf=2, ndf=2, z_dim=8, use_vae=False)
SETTINGS = {
    'instance': dict(norm_G='spectralspadeinstance3x3'),
    'syncbatch': dict(norm_G='spectralspadesyncbatch3x3'),
    'syncbatch_windows': dict(norm_G='spadesyncbatch3x3', modulation='windows'),
    'concat': dict(norm_G='spectralconcatsyncbatch3x3'),
    'pix2pixhd': dict(netG='pix2pixhd', resnet_n_downsample=2, resnet_n_blocks=1),
    'encoder': dict(norm_G='spectralspadesyncbatch3x3', use_vae=True),
    'sync_in_D_and_E': dict(norm_D='spectralsync_batch', norm_E='syncbatch', use_vae=True, D_steps_per_G=2),
}


def sample(step, index):
    """label, instance, image of one sample; some maps are flat, some noise, so that ranks choose different paths."""
    rng = np.random.default_rng([step, index])
    label = rng.integers(0, 9, (32, 32)) if index % 2 else np.full((32, 32), rng.integers(9))
    return label, np.arange(32 * 32).reshape(32, 32) // 200, rng.uniform(-1, 1, (3, 32, 32))


def batch(step, world, rank=None):
    indices = range(world) if rank is None else [rank]
    return [np.stack(arrays) for arrays in zip(*(sample(step, index) for index in indices))]


def run(settings, world, rank, steps, after=False):
    """dict of arrays: losses (steps, 7), gradients and buffers after the first step, the last weights of G, and the
    number of buckets that were on their way when backward ended and of all, each for G and D in the last step.

    after: gradients are exchanged when backward has ended.
    """
    opt = OPT(**{**TINY, **settings})
    if rank is None:
        # KL sums over a process's samples, its gradient is the mean over processes: docs/training.md
        opt.lambda_kld /= world
    train_step = TrainStep(opt)
    results, rows, early = {}, [], {}
    for name, exchange in (('G', train_step.exchange_g), ('D', train_step.exchange_d)):
        exchange.finish = functools.partial(_finish, exchange, early, name)
        if after:
            exchange.expect = functools.partial(_expect_nothing, exchange)
    for step in range(steps):
        losses = train_step.step(*batch(step, world, rank))
        rows.append([losses[name] for name in LOG_COLUMNS])
        networks = {name: getattr(train_step, name) for name in ('generator', 'discriminator', 'encoder')}
        for name, network in networks.items():
            if network is not None and step == 0:
                results.update({f'{name}.{key}.grad': value.grad.numpy().copy()
                                for key, value in network.named_parameters()})
                results.update({f'{name}.{key}': value.numpy().copy() for key, value in network.named_buffers()})
    weights = {f'{name}.last': value.numpy() for name, value in train_step.generator.state_dict().items()}
    return {'losses': np.array(rows), 'early': np.array([early['G'], early['D']]), **results, **weights}


def _expect_nothing(exchange, backwards):
    type(exchange).expect(exchange, 0)


def _finish(exchange, early, name):
    early[name] = len(exchange.sent), len(exchange.buckets)
    type(exchange).finish(exchange)


def unequal_batches(world, rank):
    """Batch norm over ranks of 1, 2, 3, ... samples: output, gradient and running statistics of all samples in order.
    """
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((count, 3, 4, 5)) * 3 + 50 for count in range(1, world + 1)]
    weights = [rng.standard_normal(value.shape) for value in values]
    norm = BatchNorm(3, affine=True, synchronized=True)
    own = slice(None) if rank is None else slice(rank, rank + 1)
    x = paddle.to_tensor(np.concatenate(values[own]), stop_gradient=False)
    y = norm(x)
    (y * paddle.to_tensor(np.concatenate(weights[own]))).sum().backward()
    outputs, gradients = zip(*distributed.gathered((y.numpy(), x.grad.numpy())))
    return dict(output=np.concatenate(outputs), gradient=np.concatenate(gradients), mean=norm._mean.numpy(),
                variance=norm._variance.numpy())


def averages(world, rank):
    """Averaged weights after three steps: how far from decay * average + (1 - decay) * weights,
    and every rank's digest.
    """
    train_step = TrainStep(OPT(**TINY, norm_G='spectralspadesyncbatch3x3', ema_decay=0.75))
    expected = as_arrays(train_step.generator.state_dict())
    for step in range(3):
        train_step.step(*batch(step, world, rank))
        for name, value in as_arrays(train_step.generator.state_dict()).items():
            expected[name] = value if name.endswith(COPIED) else 0.75 * expected[name] + 0.25 * value
    found = as_arrays(train_step.averaged.state_dict())
    digest = hashlib.sha256(b''.join(found[name].tobytes() for name in sorted(found))).hexdigest()
    return dict(error=max(np.abs(found[name] - expected[name]).max()
                          for name in found), digests=distributed.gathered(digest))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder')
    parser.add_argument('settings', nargs='+', choices=SETTINGS)
    parser.add_argument('--world', type=int)
    arguments = parser.parse_args()
    world, rank = (arguments.world, None) if arguments.world else (distributed.ranks(), distributed.rank())
    paddle.set_device('cpu')
    with distributed.joined():
        results = {}
        for dtype, steps in STEPS.items():
            paddle.set_default_dtype(dtype)
            for name in arguments.settings:
                results[f'{name}_{dtype}'] = run(SETTINGS[name], world, rank, 1 if rank is None and dtype == 'float32'
                                                 else steps)
                if dtype == 'float32' and rank is not None:
                    results[f'{name}_after'] = run(SETTINGS[name], world, rank, steps, after=True)
        paddle.set_default_dtype('float64')
        results['unequal'] = unequal_batches(world, rank)
        results['averages'] = averages(world, rank)
        if distributed.is_main():
            for name, arrays in results.items():
                np.savez(f'{arguments.folder}/{name}.npz', **arrays)


if __name__ == '__main__':
    main()
