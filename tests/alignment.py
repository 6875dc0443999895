"""Compares our networks with stored values of the official implementation (tests/golden/README.md): `python -m
tests.alignment`.

Each row: file, precision, quantity, error, tolerance. Errors are relative to the scale that the tolerance names.
With --training --dataroot CAMVID, whole trainings are compared instead (tests/alignment_training.py).
"""
import argparse
import json
import os
import sys
import tempfile

from runtime import device  # noqa: F401  first: sets the threads, then imports numpy and Paddle in the order that works

# isort: split

import numpy as np
import paddle

from model.init import OPT
from model.painter import Painter
from model.semantics import SemanticMap
from model.train_step import LOG_COLUMNS, TrainStep
from model.vae_encoder import reparameterize
from model.weights import save_weights, set_weights
from runtime.errors import InputError, shown_in_one_line
from tests.forked import GOLDEN
from tests.golden.fixture import inputs, seeded_weight

CASES = ('base_64.npz', 'vgg_64.npz', 'vae_256.npz', 'most_128.npz', 'spade1x1_64.npz', 'pix2pixhd_64.npz')
LINEAR = ('fc.weight', 'fc_mu.weight', 'fc_var.weight')  # Paddle keeps (in, out)


class Case:
    """One golden file: its options, weights and inputs, and a TrainStep with them."""

    def __init__(self, path, **options):
        self.golden = np.load(path)
        self.seed = int(self.golden['seed'])
        settings = {**json.loads(str(self.golden['opt'])), **options}
        with tempfile.TemporaryDirectory() as folder:
            if not settings['no_vgg_loss']:
                settings['vggwpath'] = os.path.join(folder, 'vgg19.pdparams')
                save_weights(self.vgg_weights(), settings['vggwpath'])
            self.opt = OPT(**settings)
            self.train_step = TrainStep(self.opt)
        self.load_weights()
        height, width = self.opt.picture_size
        self.data = inputs(self.seed, int(self.golden['input_count']), height, width, self.opt.label_nc,
                           self.opt.contain_dontcare_label)

    def load_weights(self):
        for letter, name in (('G', 'generator'), ('D', 'discriminator'), ('E', 'encoder')):
            if getattr(self.train_step, name) is not None:
                set_weights(getattr(self.train_step, name), self.weights(letter), letter)

    def weights(self, letter):
        """Official state dict of G, D or E under our names: dict of name -> float32 array."""
        state = {}
        shapes = [json.loads(str(shape)) for shape in self.golden[letter + '_shapes']]
        names = self.golden[letter + '_names'].tolist()
        last = [name for name, shape in zip(names, shapes) if len(shape) > 1][-1]
        for name, shape in zip(names, shapes):
            key = f'{letter}/{name}'
            if name.endswith('num_batches_tracked'):
                continue
            if len(shape) > 1:
                gain = 0.15 if letter == 'G' and name == last else 1.0
                value = seeded_weight(self.seed, key, shape, gain)
            else:
                value = self.golden[key].astype(np.float32)
            value = value.T if name in LINEAR and value.ndim == 2 else value
            state[name.replace('running_mean', '_mean').replace('running_var', '_variance')] = value
        return state

    def vgg_weights(self):
        """VGG19's convolutions up to relu5_1, torchvision's names."""
        widths = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
                  16: (256, 256), 19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512)}
        seed, state = int(self.golden['vgg_seed']), {}
        for layer, (before, after) in widths.items():
            name = f'features.{layer}.weight'
            state[name] = seeded_weight(seed, f'VGG/{name}', (after, before, 3, 3), 1.4)
            state[f'features.{layer}.bias'] = np.zeros(after, np.float32)
        return state

    def batch(self, step):
        """(label, instance or None, image) of a step."""
        count = len(self.data[0])
        rows = [(step * self.opt.batchSize + j) % count for j in range(self.opt.batchSize)]
        label, instance, image = (values[rows] for values in self.data)
        return label, None if self.opt.no_instance else instance, image

    def eps(self, *index):
        return self.golden['eps'][index] if self.opt.use_vae else None


def measure(path, dtype, **options):
    """List of (quantity, error, tolerance) for one golden file in 'float32' or 'float64', with `options` set in OPT."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        case = Case(path, **options)
        return (_float32_rows if dtype == 'float32' else _float64_rows)(case)
    finally:
        paddle.set_default_dtype(before)


def _float32_rows(case):
    golden = case.golden
    rows = [('training picture', _of_scale(_training_picture(case), golden['step0/fake']), 5e-5)]
    # pix2pixhd_64: with u and v drawn at random, the official code overflows float32 in eval mode; float64 does not.
    if np.isfinite(golden['eval/fake']).all():
        rows += _eval_rows(case)
    log, _ = _train(case)
    rows.append(('first losses', _of_one(log[:1], golden['log'][:1]), 1e-4))
    rows.append(('all log rows', _of_one(log, golden['log']), 2e-2))
    return rows


def _eval_rows(case):
    golden, train_step = case.golden, case.train_step
    label, instance, image = case.batch(0)
    rows = [('eval picture', _of_scale(_eval_picture(case), golden['eval/fake']), 1e-5)]
    if case.opt.use_vae:
        train_step.encoder.eval()
        for name, value in zip(('mu', 'logvar'), train_step.encoder(paddle.to_tensor(image))):
            rows.append((f'eval {name}', _of_scale(value.numpy(), golden[f'eval/{name}']), 1e-5))
        train_step.encoder.train()
    train_step.discriminator.eval()
    pair = paddle.to_tensor(np.concatenate([golden['eval/fake'], image]))
    results = train_step.discriminator(SemanticMap(label, instance, case.opt), pair)
    train_step.discriminator.train()
    for scale, features in enumerate(results):
        features = [feature.numpy()[:len(label)] for feature in features]
        rows.append((f'eval prediction {scale}', _of_scale(features[-1], golden[f'eval/pred_fake_{scale}']), 1e-5))
        means = [[feature.mean(dtype=np.float64), np.abs(feature).mean(dtype=np.float64)] for feature in features]
        rows.append((f'eval feature means {scale}', _of_scale(np.array(means), golden[f'eval/feat_mean_{scale}']),
                     1e-5))
    return rows


def _float64_rows(case):
    golden = case.golden
    rows = [('eval picture', _of_scale(_eval_picture(case), golden['f64/eval/fake']), 1e-6)]
    log, norms = _train(case)
    rows.append(('all log rows', _of_one(log, golden['f64/log']), 1e-6))
    for letter, ours in norms.items():
        stored = dict(zip(golden[f'step0/grad{letter}_names'].tolist(), golden[f'f64/step0/grad{letter}_l2']))
        large = [name for name in stored if stored[name] > 1e-6 * max(stored.values())]
        rows.append((f'gradient norms {letter}', max(abs(ours[name] / stored[name] - 1) for name in large), 1e-6))
    rows.append(('picture after training', _of_scale(_eval_picture(case), golden['f64/trained/fake']), 1e-6))
    return rows


def _eval_picture(case):
    """Batch 0 as val.py would draw it, with the stored noise added to the style."""
    label, instance, image = case.batch(0)
    painter = Painter(case.opt, case.train_step.generator, case.train_step.encoder)
    return painter.paint(SemanticMap(label, instance, case.opt), image, noise=case.eps(0, 0)).numpy()


@paddle.no_grad()
def _training_picture(case):
    """Batch 0 as the first training forward draws it; u, v and running statistics are then restored."""
    label, instance, image = case.batch(0)
    z = None
    if case.opt.use_vae:
        z = reparameterize(*case.train_step.encoder(paddle.to_tensor(image)), paddle.to_tensor(case.eps(1, 0)))
    fake = case.train_step.generator(SemanticMap(label, instance, case.opt), z).numpy()
    case.load_weights()
    return fake


def _train(case):
    """All stored steps -> log rows, and the first step's gradient norms: dict of G, D, E -> dict of name -> norm."""
    log, norms = [], {}
    for step in range(len(case.golden['log'])):
        losses = case.train_step.step(*case.batch(step), noise=case.eps(step + 1))
        log.append([losses[name] for name in LOG_COLUMNS])
        if step == 0:
            networks = dict(G=case.train_step.generator, D=case.train_step.discriminator, E=case.train_step.encoder)
            norms = {letter: {name: float(np.linalg.norm(parameter.grad.numpy())) for name, parameter in
                              network.named_parameters()}
                     for letter, network in networks.items() if network is not None}
    return np.array(log), norms


def _of_scale(found, expected):
    """Largest difference, relative to the largest expected magnitude."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _of_one(found, expected):
    """Largest difference, relative to max(1, |expected|)."""
    return float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--training', action='store_true', help='compare whole trainings: minutes a seed')
    parser.add_argument('--dataroot', metavar='DIR', help="with --training: CamVid's 367 and 101 photographs, 12 ids")
    parser.add_argument('--seeds', type=int, default=3, metavar='INT', help='with --training: runs here [3]')
    parser.add_argument('--output', default='output/alignment/', metavar='DIR',
                        help='with --training: the runs; the same command continues them [output/alignment/]')
    parser.add_argument('--plot', metavar='FILE.png', help='with --training: draw all runs in --output')
    arguments = parser.parse_args()
    if arguments.training:
        if not arguments.dataroot or arguments.seeds < 2:
            raise InputError('--training needs --dataroot DIR, and two --seeds at least')
        from tests import alignment_training  # needs matplotlib
        return alignment_training.main(arguments)
    failed = 0
    print(f'Paddle {paddle.__version__}\n{"file":14} {"precision":9} {"quantity":24} {"error":>9} {"tolerance":>9}')
    for file in CASES:
        for dtype in ('float32', 'float64'):
            for quantity, error, tolerance in measure(os.path.join(GOLDEN, file), dtype):
                failed += not error <= tolerance
                print(f'{file:14} {dtype:9} {quantity:24} {error:9.1e} '
                      f'{tolerance:9.0e}{"" if error <= tolerance else "  FAILED"}', flush=True)
    sys.exit(f'{failed} quantities are beyond their tolerance' if failed else 0)


if __name__ == '__main__':
    with shown_in_one_line():
        main()
