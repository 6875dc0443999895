"""The ONNX file: networks.py as nodes of the standard domain, written with the `onnx` package alone.

paddle2onnx silently exports leaky_relu of Paddle 3.3.1 with a wrong slope, and fails for interpolation.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.export import networks
from model.normalization import EPSILON

OPSET, IR_VERSION = 17, 8   # ONNX 1.12, ONNX Runtime 1.12 and later
TYPES = {'float32': TensorProto.FLOAT, 'uint8': TensorProto.UINT8, 'int32': TensorProto.INT32}


def _operator(kind):
    """Method (name, *inputs) that adds a node of an ONNX operator."""
    return lambda self, name, *inputs: self.node(kind, name, inputs)


class GraphOperators:
    """Operators that add a node to a graph; tensors are names."""

    def __init__(self, constants):
        """constants: dict of name -> array; float16 ones are stored as such and cast to float32 where used."""
        self.constants, self.nodes, self.initializers, self.cast_weights = constants, [], {}, set()

    def node(self, operator, name, inputs, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name, array):
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    # ---- Constants

    def has(self, name):
        return name in self.constants

    def weight(self, name):
        self.constant(name, self.constants[name])
        if self.constants[name].dtype != np.float16:
            return name
        if name not in self.cast_weights:
            self.cast_weights.add(name)
            self.cast(f'{name}.float32', name, 'float32')
        return f'{name}.float32'

    def scalar(self, name, value):
        return self.constant(name, np.float32(value))

    def integer(self, name, value):
        return self.constant(name, np.asarray(value, np.int32))

    # ---- Layers

    def convolution(self, name, x, stride, padding):
        return self._convolution('Conv', name, x, stride, padding)

    def transposed_convolution(self, name, x):
        """Of model/convolution.py: twice the size."""
        return self._convolution('ConvTranspose', name, x, 2, 1, output_padding=[1, 1])

    def _convolution(self, operator, name, x, stride, padding, **attributes):
        inputs = [x, self.weight(f'{name}.weight')]
        if self.has(f'{name}.bias'):
            inputs.append(self.weight(f'{name}.bias'))
        return self.node(operator, name, inputs, kernel_shape=self.constants[f'{name}.weight'].shape[2:],
                         strides=[stride] * 2, pads=[padding] * 4, **attributes)

    def mirrored(self, name, x, padding):
        """Padded by its own pixels, reflected at the border."""
        pads = self.constant(f'{name}.pads', np.int64([0, 0, padding, padding] * 2))
        return self.node('Pad', name, [x, pads], mode='reflect')

    def instance_norm(self, name, x):
        mean = self.spatial_mean(f'{name}.mean', x)
        centred = self.subtract(f'{name}.centred', x, mean)
        variance = self.spatial_mean(f'{name}.variance', self.multiply(f'{name}.squares', centred, centred))
        deviation = self.node('Sqrt', f'{name}.deviation',
                              [self.add(f'{name}.stable', variance, self.scalar('epsilon', EPSILON))])
        return self.divide(name, centred, deviation)

    def doubled(self, name, x):
        return self.node('Resize', name, [x, '', self.constant('doubling', np.float32([1, 1, 2, 2]))], mode='nearest',
                         coordinate_transformation_mode='asymmetric', nearest_mode='floor')

    def gelu(self, name, x):
        erf = self.node('Erf', f'{name}.erf',
                        [self.multiply(f'{name}.scaled', x, self.scalar('gelu.factor', 0.5 ** 0.5))])
        whole = self.multiply(f'{name}.twice', x, self.add(f'{name}.shifted', erf, self.scalar('gelu.one', 1)))
        return self.multiply(name, whole, self.scalar('gelu.half', 0.5))

    def leaky_relu(self, name, x, slope):
        return self.node('LeakyRelu', name, [x], alpha=slope)

    def spatial_mean(self, name, x):
        return self.node('ReduceMean', name, [x], axes=[2, 3], keepdims=1)

    # ---- Arithmetic, logic, shape

    add, subtract, multiply, divide, matmul = map(_operator, ('Add', 'Sub', 'Mul', 'Div', 'MatMul'))
    round, relu, sigmoid, tanh = map(_operator, ('Round', 'Relu', 'Sigmoid', 'Tanh'))
    equal, logical_and, logical_not, where = map(_operator, ('Equal', 'And', 'Not', 'Where'))

    def clip(self, name, x, lowest, highest):
        return self.node('Clip', name,
                         [x, self.scalar(f'{name}.lowest', lowest), self.scalar(f'{name}.highest', highest)])

    def cast(self, name, x, kind):
        return self.node('Cast', name, [x], to=TYPES[kind])

    def gather(self, name, x, positions, axis):
        return self.node('Gather', name, [x, positions], axis=axis)

    def concat(self, name, parts, axis):
        return self.node('Concat', name, parts, axis=axis)

    def reshape(self, name, x, shape):
        return self.node('Reshape', name, [x, self.constant(f'{name}.shape', np.int64(shape))])

    def transpose(self, name, x, order):
        return self.node('Transpose', name, [x], perm=order)


def model_of(interface, opt, constants, metadata):
    """onnx.ModelProto of the network of an Interface (interface.py), fully checked; metadata: dict of strings."""
    ops = GraphOperators(constants)
    names = list(interface.inputs)
    if interface.network == 'generator':
        networks.generator(ops, opt, interface.as_float, **{name: name for name in names})
    else:
        networks.encoder(ops, opt, *names)
    inputs, outputs = ([helper.make_tensor_value_info(name, TYPES[kind], ['N', *shape])
                        for name, (kind, shape) in values.items()] for values in (interface.inputs, interface.outputs))
    graph = helper.make_graph(ops.nodes, f'spade_{interface.network}', inputs, outputs, list(ops.initializers.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=IR_VERSION,
                              producer_name='SPADE-Paddle', producer_version=metadata['version'])
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def weights_of(model):
    """dict: name -> array of all initializers of an onnx.ModelProto."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
