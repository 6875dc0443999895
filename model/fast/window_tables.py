"""Convolutions over distinct label windows (windows.py): a table with one row per window, spread to the pixels."""
import numpy as np
import paddle
import paddle.nn.functional as F

from model import precision
from model.activation import activate_hidden
from model.fast import in_use, operators


def modulation(spade, windows, semantics):
    """gamma, beta (N, channels, H, W) of a SPADE layer, computed once a distinct window and spread to pixels."""
    return paddle.split(spread_to_pixels(window_table(spade, windows, semantics), windows), 2, axis=1)


def window_table(spade, windows, semantics):
    """gamma and beta (B, 2C) of the DoubleWindows."""
    shared = spade.mlp_shared[0]
    with precision.full():
        sums = window_sums(code_table(shared.weight, windows, semantics), windows, spade.opt)
        hidden = with_zero_row(activate_hidden(sums + shared.bias, spade.opt))                      # (A + 1, HIDDEN)
        neighbourhoods = F.embedding(_on_device(windows, 'second'), hidden).flatten(1)           # (B, K * HIDDEN)
        weight, bias = spade.joined_weights()                                                       # (2C, HIDDEN, k, k)
        weight = weight.transpose([2, 3, 1, 0]).reshape([neighbourhoods.shape[1], -1])              # (K * HIDDEN, 2C)
        return neighbourhoods @ weight + bias


def convolution_of_maps(weight, windows, semantics, opt):
    """The one-hot map's convolution with weight (out, semantic_nc, k, k): each of the Windows is computed once and
    spread to its pixels, (N, out, h, w).
    """
    return spread_to_pixels(window_sums(code_table(weight, windows, semantics), windows, opt), windows)


def code_table(weight, windows, semantics):
    """Contribution of each code at each offset to the convolution of the one-hot map:
    (K * C + 1, out), last row for outside.

    weight (out, label_channels + edge, k, k); windows.positions names the rows.
    """
    if 'channels' not in windows.on_device:
        classes, position = np.unique(windows.codes // 2, return_inverse=True)
        channels = classes if semantics.edge is None else np.append(classes, semantics.label_channels)
        edge = (windows.codes % 2).reshape(1, -1, 1)
        windows.on_device.update(channels=paddle.to_tensor(channels), position=paddle.to_tensor(position),
                                 edge=paddle.to_tensor(edge))
    sent = windows.on_device
    # Reads only the channels that occur: few of COCO-Stuff's 184 are in one picture.
    rows = paddle.index_select(weight, sent['channels'], axis=1).flatten(2).transpose([2, 1, 0])
    table = paddle.index_select(rows, sent['position'], axis=1)                                     # (K, C, out)
    if semantics.edge is not None:
        table = table + rows[:, -1:] * sent['edge'].astype(weight.dtype)
    return with_zero_row(table.flatten(0, 1))


def window_sums(table, windows, opt):
    """Convolution of the one-hot map at its distinct windows, (A, out): sums of K rows of a code_table."""
    if in_use(opt, table):
        return operators.WindowSums.apply(table, windows.positions)
    return F.embedding(_on_device(windows, 'positions'), table).sum(1)


def spread_to_pixels(table, windows):
    """(windows, width) -> (N, width, H, W): each pixel gets its window's row."""
    return F.embedding(_on_device(windows, 'pixel'), table).transpose([0, 3, 1, 2])


def _on_device(windows, name):
    if name not in windows.on_device:
        windows.on_device[name] = paddle.to_tensor(getattr(windows, name))
    return windows.on_device[name]


def with_zero_row(table):
    """(rows, width) -> (rows + 1, width): the last stands for 'outside'."""
    return paddle.concat([table, paddle.zeros([1, table.shape[1]], table.dtype)])
