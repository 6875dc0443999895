"""Files for Paddle Inference: networks.py run by Paddle's operators and saved by paddle.jit."""
import hashlib
import os
import warnings

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from model.export import networks
from model.normalization import EPSILON
from runtime.errors import InputError


class PaddleOperators(nn.Layer):
    """The operators of GraphOperators (graph.py) on Paddle's tensors; a layer, so that jit.save keeps its constants.

    Those that oneDNN inside Paddle Inference gets wrong, or crashes at, are written out: nearest and bilinear resizing,
    batch norm without parameters, leaky ReLU behind a convolution.
    """

    def __init__(self, interface, opt, constants):
        super().__init__()
        self.interface, self.opt, self.places = interface, opt, {}
        for number, (name, array) in enumerate(constants.items()):
            tensor = paddle.to_tensor(array)
            tensor.name = f'constant_{number}'     # else a number that counts all tensors of the process
            self.register_buffer(f'constant_{number}', tensor)
            self.places[name] = f'constant_{number}'

    # Called as it is: jit.save would rewrite all of this code, and reuse that with its constants in the next export
    @paddle.jit.not_to_static
    def forward(self, first, second=None, third=None):     # jit.save takes no *inputs
        inputs = dict(zip(self.interface.inputs, (first, second, third)))
        if self.interface.network == 'encoder':
            return networks.encoder(self, self.opt, **inputs)
        return networks.generator(self, self.opt, self.interface.as_float, **inputs)

    # ---- Constants

    def has(self, name):
        return name in self.places

    def weight(self, name):
        value = getattr(self, self.places[name])
        return value if value.dtype == paddle.float32 else value.astype('float32')

    def scalar(self, name, value):
        return value

    def integer(self, name, value):
        return paddle.to_tensor(np.asarray(value, np.int32))

    # ---- Layers

    def convolution(self, name, x, stride, padding):
        bias = self.weight(f'{name}.bias') if self.has(f'{name}.bias') else None
        return F.conv2d(x, self.weight(f'{name}.weight'), bias, stride, padding)

    def instance_norm(self, name, x):
        centred = x - self.spatial_mean('', x)
        return centred / paddle.sqrt(self.spatial_mean('', centred * centred) + EPSILON)

    def doubled(self, name, x):
        _, channels, height, width = x.shape
        doubled = x.reshape([-1, channels, height, 1, width, 1]).tile([1, 1, 1, 2, 1, 2])
        return doubled.reshape([-1, channels, 2 * height, 2 * width])

    def gelu(self, name, x):
        return F.gelu(x)

    def leaky_relu(self, name, x, slope):
        return F.relu(x) - slope * F.relu(-x)

    def relu(self, name, x):
        return F.relu(x)

    def sigmoid(self, name, x):
        return F.sigmoid(x)

    def tanh(self, name, x):
        return paddle.tanh(x)

    def spatial_mean(self, name, x):
        return x.mean([2, 3], keepdim=True)

    # ---- Arithmetic

    def add(self, name, a, b):
        return a + b

    def subtract(self, name, a, b):
        return a - b

    def multiply(self, name, a, b):
        return a * b

    def divide(self, name, a, b):
        return a / b

    def matmul(self, name, a, b):
        return paddle.matmul(a, b)

    def round(self, name, x):
        return paddle.round(x)

    def clip(self, name, x, lowest, highest):
        return paddle.clip(x, lowest, highest)

    # ---- Logic and shape

    def equal(self, name, a, b):
        return paddle.equal(a, b)

    def logical_and(self, name, a, b):
        return paddle.logical_and(a, b)

    def logical_not(self, name, a):
        return paddle.logical_not(a)

    def where(self, name, condition, a, b):
        return paddle.where(condition, a.expand_as(b), b)

    def cast(self, name, x, kind):
        return x.astype(kind)

    def gather(self, name, x, positions, axis):
        return paddle.index_select(x, positions, axis)

    def concat(self, name, parts, axis):
        return paddle.concat(parts, axis)

    def reshape(self, name, x, shape):
        return x.reshape(shape)

    def transpose(self, name, x, order):
        return x.transpose(order)


def save(interface, opt, constants, folder):
    """Write <network>.pdiparams and the program beside it (.json from Paddle 3 on, else .pdmodel) into `folder`.

    OSError if they are not whole: Paddle writes on a full disk what fits, and says nothing.
    """
    # names are counted anew: the same network gives the same bytes, whatever was built before
    with warnings.catch_warnings(), paddle.utils.unique_name.guard():
        warnings.simplefilter('ignore')     # what Paddle advises of its own code
        layer = PaddleOperators(interface, opt, constants)
        layer.eval()
        specs = [paddle.static.InputSpec([None, *shape], kind, name)
                 for name, (kind, shape) in interface.inputs.items()]
        paddle.jit.save(paddle.jit.to_static(layer, input_spec=specs, full_graph=True),
                        os.path.join(folder, interface.network))
    program, weights = program_of(folder, interface.network), os.path.join(folder, f'{interface.network}.pdiparams')
    whole = os.path.getsize(weights) >= sum(array.nbytes for array in constants.values())
    if program.endswith('.json'):
        with open(program, encoding='utf-8') as file:
            whole = whole and file.read().endswith('}')
    if not whole:
        raise OSError('Paddle has written only a part: is the disk full?')


ENDINGS = '.json', '.pdmodel', '.pdiparams', '.pdiparams.info'    # of the files that paddle.jit.save writes, by version


def program_of(folder, network):
    """Path of the program that `save` wrote."""
    for ending in ('.json', '.pdmodel'):
        if os.path.exists(os.path.join(folder, network + ending)):
            return os.path.join(folder, network + ending)
    raise InputError(f'{folder}: no {network}.json or {network}.pdmodel there: export again')


def digests(folder, network):
    """dict: name of each file of the network -> its SHA-256."""
    result = {}
    for path in (program_of(folder, network), os.path.join(folder, f'{network}.pdiparams')):
        try:
            with open(path, 'rb') as file:
                result[os.path.basename(path)] = hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            raise InputError(f'{path}: cannot be read: {error.strerror or error}; export again') from None
    return result
