"""SPADE on the CPU kernels: normalization, modulation and activation in one pass.

Backward recomputes it instead of storing it.
"""
import functools

import paddle

from model.activation import SLOPE, activate, attend
from model.fast import operators
from model.fast.window_tables import window_table


def spade_convolution(spade, convolution, x, semantics, activated, inplace):
    """convolution(activation(spade(x, semantics))); activated: with the activation;
    inplace: x is overwritten if no gradient is needed.
    """
    opt = spade.opt
    windows = spade.windows(semantics, x.shape[2:])
    if windows is None:
        hidden = spade.hidden(semantics, x.shape[2:])
        table, pixel = paddle.concat([spade.mlp_gamma(hidden), spade.mlp_beta(hidden)], axis=1), None
    else:
        table, pixel = compiled_table(spade, windows, semantics), windows.pixel
    fused = opt.activation == 'leaky_relu' and opt.attention == 'none'
    arguments = x, table, pixel, spade.param_free_norm.statistics(x), SLOPE if activated and fused else 1.0
    inplace = inplace and not paddle.is_grad_enabled()
    y = operators.modulated(*arguments, inplace=True) if inplace else operators.Modulate.apply(*arguments)
    if fused:
        return convolution(y, recompute=functools.partial(operators.modulated, *arguments))
    y = attend(y, opt)
    return convolution(activate(y, opt) if activated else y)


def compiled_table(spade, windows, semantics):
    """gamma and beta (2C, B) of the DoubleWindows."""
    if spade.opt.activation != 'leaky_relu':
        return window_table(spade, windows, semantics).t().contiguous()
    shared, gamma, beta = spade.mlp_shared[0], spade.mlp_gamma, spade.mlp_beta
    edge = 0 if semantics.edge is None else semantics.label_channels
    return operators.SpadeTable.apply(shared.weight, shared.bias, gamma.weight, gamma.bias, beta.weight, beta.bias,
                                      windows, edge)
