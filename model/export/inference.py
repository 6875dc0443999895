"""Files for Paddle Inference: networks.py on Paddle's operators, saved by paddle.jit."""
import hashlib
import operator
import os
import warnings

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from model.export import networks
from model.normalization import EPSILON
from runtime.errors import InputError


def _operator(function):
    """Method (name, *inputs) that calls `function`."""
    return lambda self, name, *inputs: function(*inputs)


class PaddleOperators(nn.Layer):
    """The operators of GraphOperators (graph.py) on Paddle's tensors; a layer, so that jit.save stores its constants.

    Operators that give wrong results or crash in Paddle Inference's oneDNN are composed of others: nearest and bilinear
    resizing, batch norm without parameters, leaky ReLU after a convolution.
    """

    def __init__(self, interface, opt, constants):
        super().__init__()
        self.interface, self.opt, self.places = interface, opt, {}
        for number, (name, array) in enumerate(constants.items()):
            tensor = paddle.to_tensor(array)
            tensor.name = f'constant_{number}'     # the default name counts all tensors of the process
            self.register_buffer(f'constant_{number}', tensor)
            self.places[name] = f'constant_{number}'

    # Exempt from rewriting: jit.save would reuse the rewritten code, with its constants, in the next export
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

    def transposed_convolution(self, name, x):
        bias = self.weight(f'{name}.bias') if self.has(f'{name}.bias') else None
        return F.conv2d_transpose(x, self.weight(f'{name}.weight'), bias, 2, 1, output_padding=1)

    def mirrored(self, name, x, padding):
        return F.pad(x, [padding] * 4, mode='reflect')

    def instance_norm(self, name, x):
        centred = x - self.spatial_mean('', x)
        return centred / paddle.sqrt(self.spatial_mean('', centred * centred) + EPSILON)

    def doubled(self, name, x):
        _, channels, height, width = x.shape
        doubled = x.reshape([-1, channels, height, 1, width, 1]).tile([1, 1, 1, 2, 1, 2])
        return doubled.reshape([-1, channels, 2 * height, 2 * width])

    def leaky_relu(self, name, x, slope):
        return F.relu(x) - slope * F.relu(-x)

    def spatial_mean(self, name, x):
        return x.mean([2, 3], keepdim=True)

    def where(self, name, condition, a, b):
        return paddle.where(condition, a.expand_as(b), b)

    # ---- Arithmetic, logic, shape

    add, subtract, multiply, divide, matmul = map(_operator, (
        operator.add, operator.sub, operator.mul, operator.truediv, paddle.matmul))
    round, clip, relu, gelu, sigmoid, tanh = map(_operator, (
        paddle.round, paddle.clip, F.relu, F.gelu, F.sigmoid, paddle.tanh))
    equal, logical_and, logical_not = map(_operator, (paddle.equal, paddle.logical_and, paddle.logical_not))
    cast, gather, concat, reshape, transpose = map(_operator, (
        paddle.cast, paddle.index_select, paddle.concat, paddle.reshape, paddle.transpose))


def save(interface, opt, constants, folder):
    """Write <network>.pdiparams and its program (.json from Paddle 3 on, else .pdmodel) into `folder`.

    OSError if they are incomplete: on a full disk Paddle silently writes a part.
    """
    # fresh counters for names: the same network gives the same bytes
    with warnings.catch_warnings(), paddle.utils.unique_name.guard():
        warnings.simplefilter('ignore')     # Paddle warns about its own code
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
    elif whole:
        _remove_call_stacks(program)
    if not whole:
        raise OSError('Paddle has written only a part: is the disk full?')


def _remove_call_stacks(path):
    """Rewrite a .pdmodel without the Python call stacks: they hold paths of this machine and depend on the caller."""
    with open(path, 'rb') as file:
        program = paddle.base.core.ProgramDesc(file.read())
    for block in map(program.block, range(program.num_blocks())):
        for operation in map(block.op, range(block.op_size())):
            operation.remove_attr(CALL_STACK)
    with open(path, 'wb') as file:
        file.write(program.serialize_to_string())


CALL_STACK = 'op_callstack'
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
