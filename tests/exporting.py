"""What tests of model.export share: checkpoints of random weights whose pictures have contrast, and exports of them."""
import contextlib
import io
import json
import os
import sys

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import numpy as np
import paddle
import pytest

from model.convolution import Convolution
from model.export.__main__ import main
from model.generator import build_generator
from model.init import OPT
from model.painter import Painter
from model.semantics import SemanticMap
from model.vae_encoder import VAEEncoder
from model.weights import save_weights

SMALL = {'label_nc': 5, 'crop_size': 32, 'ngf': 4, 'z_dim': 8, 'use_vae': False, 'dataroot': 'no such folder'}


def write_checkpoint(folder, seed=0, **options):
    """A checkpoint of random weights, the last layer's such that pictures have contrast; -> its Painter."""
    opt = OPT(**{**SMALL, **options})
    paddle.seed(seed)
    networks = {'generator': build_generator(opt), 'encoder': VAEEncoder(opt) if opt.use_vae else None}
    os.makedirs(folder / 'model', exist_ok=True)
    painter = Painter(opt, **networks)
    for name, network in networks.items():
        if network is None:
            continue
        for key, tensor in network.state_dict().items():
            if key.endswith('_variance'):
                tensor.set_value(paddle.rand(tensor.shape) + 0.5)
            elif key.endswith(('_mean', 'bias')):
                tensor.set_value(paddle.randn(tensor.shape) * 0.1)
            elif key.endswith('weight') and tensor.ndim > 1:
                tensor.set_value(paddle.randn(tensor.shape) * 0.1)
        _follow_singular_vectors(network)
        if name == 'generator':
            _give_contrast(painter)
        file = {'generator': 'n_g.pdparams', 'encoder': 'n_e.pdparams'}[name]
        save_weights(network.state_dict(), folder / 'model' / file)
    opt.save(folder / 'model' / 'opt.json')
    np.save(folder / 'model' / 'current_epoch.npy', 3)
    return painter


def _follow_singular_vectors(network):
    """One power iteration, as training has behind it: random u and v would divide by nearly nothing."""
    state, layers = network.state_dict(), dict(network.named_sublayers())
    for name in [name for name in state if name.endswith('weight_orig')]:
        matrix = layers[name[:-len('.weight_orig')]].as_matrix(state[name])
        u, v = (state[name.replace('orig', which)] for which in 'uv')
        v.set_value(paddle.nn.functional.normalize(paddle.mv(matrix.t(), u), axis=0))
        u.set_value(paddle.nn.functional.normalize(paddle.mv(matrix, v), axis=0))


def _give_contrast(painter):
    """Scale the last convolution so that what tanh gets has standard deviation 0.4: nothing is saturated."""
    opt, last = painter.opt, [layer for layer in painter.generator.sublayers() if isinstance(layer, Convolution)][-1]
    last.bias.set_value(paddle.zeros(last.bias.shape))
    last.weight.set_value(last.weight * 1e-6)   # where tanh is linear
    label, instance = np.random.default_rng(0).integers(0, opt.label_nc, (2, 1, *opt.picture_size))
    picture = painter.paint(SemanticMap(label, None if opt.no_instance else instance, opt)).astype('float64')
    last.weight.set_value(last.weight * (0.4 / float(picture.std())))


def exported(kind, folder, *flags):
    """(what was printed, path) of an export of the checkpoint in `folder`."""
    out = folder / {'onnx': 'spade.onnx', 'paddle': 'served'}[kind]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main([kind, '--lastoutput', str(folder), '--out', str(out), *flags])
    return printed.getvalue(), str(out)


@pytest.fixture
def short_stacks(monkeypatch):
    """Paddle notes the stack at each operator that it traces for an export; pytest's is 60 calls deep."""
    monkeypatch.setattr(sys, 'tracebacklimit', 5, raising=False)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    """A checkpoint with its ONNX file, and the Painter."""
    folder = tmp_path_factory.mktemp('pair')
    painter = write_checkpoint(folder)
    (folder / 'model' / 'classes.json').write_text(json.dumps({'names': list('abcde'),
                                                               'colours': [[n, 0, 0] for n in range(5)]}))
    (folder / 'model' / 'licence.txt').write_text('CC BY-NC-SA 4.0')
    return folder, exported('onnx', folder)[1], painter
