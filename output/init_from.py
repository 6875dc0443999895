"""--init_from: the weights of another model, perhaps of other classes, for a new run.

Classes shape only the convolutions that read the label map (Convolution.map_at), and there only the map's input
channels: these are copied by class name. A layer that fits for no other reason stays newly initialized, and is named.
"""
import csv
import math
import os
import re
from collections import defaultdict

import numpy as np

from dataset import classes
from dataset.palette import text_of
from model.init import OPT
from model.weights import AVERAGED, NETWORKS, as_arrays, folder_of, load_training, read_weights, set_weights
from runtime.errors import InputError

OF_THE_SET = 'label_nc', 'contain_dontcare_label', 'no_instance', 'crop_size', 'aspect_ratio'   # may differ


def load(train_step, opt, source, table=None):
    """Load the weights in the folder `source` into a new `train_step`, and print what comes from where; InputError.

    table: file of --init_classes, with a line "new name, old name" for each class that no name or another one matches.
    """
    folder, states = folder_of(source, option='--init_from'), {}
    path = os.path.join(folder, 'opt.json')
    old = OPT.load(path) if os.path.exists(path) else opt
    channels, plan = channel_sources(opt, old, folder, table)
    different = opt.differences(old, ['networks'])
    differ = ', '.join(f'{name} is {before} there, {now} here' for name, (now, before) in different.items())
    for file, name in NETWORKS.items():
        network, path = getattr(train_step, name, None), os.path.join(folder, file)
        if network is None or not os.path.exists(path):
            continue
        arrays = read_weights(path)
        rearrange(arrays, network, channels, old.semantic_nc)
        states[file], new, unused = fitting(arrays, network)
        if file == 'n_g.pdparams' and 2 * len(new) > len(layers_of(states[file])):
            flags = [f'--{name} {str(before).lower()}' for name, (_, before) in different.items()
                     if name not in OF_THE_SET]
            if flags:
                raise InputError(f'--init_from {source}: weights of other networks: {differ}: add {" ".join(flags)}')
            set_weights(network, arrays, path)  # InputError
        if file != AVERAGED:    # its layers are the generator's
            plan += [f'{file}: {what}: {", ".join(layers)}' for what, layers in (
                ('no such layer of this shape there, newly initialized', new), ('without use here', unused)) if layers]
    left_out = load_training(train_step, folder, ('n_d.pdparams', 'n_e.pdparams'), states)
    print(f'weights from {source}' + (f'; missing there, newly initialized: {", ".join(left_out)}' if left_out else ''))
    for line in [f'options that differ: {differ}'] * bool(differ) + plan:
        print(f'  {line}')


# ---- Which channel of the map comes from which

def channel_sources(opt, old, folder, table=None):
    """(list: for each channel of opt's map those of old's whose mean it starts from, none: zero; lines that say so).

    folder: that of old's weights and classes.json.
    """
    named = classes.of_set(opt), classes.of_checkpoint(folder, old)
    by_number = not table and not all(named)
    here, there = ([str(index) if by_number or not content else content['names'][index]
                    for index in range(side.label_nc)] for side, content in zip((opt, old), named))
    unnamed = opt.dataroot if named[1] else folder
    lines = [f'classes by number, since {unnamed} has no classes.json'] * (by_number and any(named))
    by_table, namesakes = read_table(table, here, there) if table else {}, finder(there)
    sources = [by_table.get(index) or namesakes(name) for index, name in enumerate(here)]
    if here != there or table:
        theirs = [' and '.join(there[index] for index in some) or f'the mean of all {old.label_nc}' for some in sources]
        lines.append('classes: ' + ', '.join(name if name == other else f'{name} from {other}'
                                             for name, other in zip(here, theirs)))
    channels = [some or list(range(old.label_nc)) for some in sources]
    for what, has, had, at in (
            ('unlabelled pixels', opt.contain_dontcare_label, old.contain_dontcare_label, old.label_nc),
            ('instance edges', not opt.no_instance, not old.no_instance, old.semantic_nc - 1)):
        channels += [[at] * had] * has
        if has != had:
            lines.append(f'channel of {what}: ' + ('starts at zero, since that model has none' if has
                                                   else 'dropped, since this model has none'))
    return channels, lines


def finder(names):
    """Function of a name: list of the indices in `names` with it; if there are none, up to case, spaces, _ and -."""
    def found(name, key):
        return [index for index, other in enumerate(names) if key(other) == key(name)]
    return lambda name: found(name, str) or found(name, lambda text: re.split(r'[\s_-]+', text.casefold()))


def read_table(path, here, there):
    """dict: index of a class in the names `here` -> indices in `there`, of a file of --init_classes; InputError."""
    result, sides = defaultdict(list), (('in this set', here), ('in the model of --init_from', there))
    try:
        for number, row in enumerate(csv.reader(text_of(path).splitlines(), skipinitialspace=True), 1):
            row = [cell.strip() for cell in row]
            if not any(row) or row[0].startswith('#'):
                continue
            if len(row) != 2 or not all(row):
                raise ValueError(f'line {number}: found {", ".join(row)!r:.80}, expected "new name, old name", a name '
                                 'with a comma in quotes')
            pair = [finder(names)(name) for name, (_, names) in zip(row, sides)]
            for name, indices, (where, names) in zip(row, pair, sides):
                if not indices:
                    raise ValueError(f'line {number}: no class {name!r:.60} {where}, which has: {", ".join(names[:40])}'
                                     + ', ...' * (len(names) > 40))
            for index in pair[0]:
                result[index] += pair[1]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f'--init_classes {path}: {getattr(error, "strerror", None) or error}') from None
    return result


# ---- Weights

def rearrange(arrays, network, channels, old_count):
    """Rearrange the map's inputs in `arrays`, weights for `network` with old_count channels of the map, in place.

    Spectral norm: u belongs to outputs and stays, v to inputs and moves with them. Channels that are added or dropped
    change the largest singular value: u and v become its vectors.
    """
    permuted = sorted(channels) == [[index] for index in range(old_count)]
    for layer, convolution in network.named_sublayers():
        at, spectral = getattr(convolution, 'map_at', None), getattr(convolution, 'spectral', None)
        if at is None:
            continue
        weight, u, v = (f'{layer}.weight{end}' for end in ('_orig' if spectral else '', '_u', '_v'))
        outputs, inputs, *kernel = (convolution.weight_orig if spectral else convolution.weight).shape
        inputs += old_count - len(channels)
        shapes = {weight: (outputs, inputs, *kernel),
                  **({u: (outputs,), v: (inputs * math.prod(kernel),)} if spectral else {})}
        if any(name not in arrays or arrays[name].shape != shape for name, shape in shapes.items()):
            continue    # the layer stays newly initialized
        arrays[weight] = _rearranged(arrays[weight], at, channels, old_count)
        if spectral and permuted:
            arrays[v] = _rearranged(arrays[v].reshape(1, inputs, -1), at, channels, old_count).ravel()
        elif spectral:
            matrix = np.nan_to_num(arrays[weight], posinf=0, neginf=0)      # which set_weights refuses
            left, _, right = np.linalg.svd(matrix.astype(np.float64).reshape(outputs, -1), full_matrices=False)
            arrays[u], arrays[v] = left[:, 0], right[0]


def _rearranged(weight, at, channels, old_count):
    """weight (O, C, ...) with its old_count inputs from `at` on replaced by the means of `channels` of them."""
    old = weight[:, at:at + old_count]
    new = [old[:, some].mean(1, keepdims=True) if some else np.zeros_like(old[:, :1]) for some in channels]
    return np.concatenate([weight[:, :at], *new, weight[:, at + old_count:]], 1)


def layers_of(names):
    """The layers of tensors, in their order."""
    return list(dict.fromkeys(name.rpartition('.')[0] for name in names))


def fitting(arrays, network):
    """(state of `network` with the layers of `arrays` that fit, its other layers, layers that only `arrays` has)."""
    state = as_arrays(network.state_dict())
    new = layers_of(name for name in state if name not in arrays or arrays[name].shape != state[name].shape)
    taken = {name: arrays[name] for name in state if name.rpartition('.')[0] not in new}
    return {**state, **taken}, new, layers_of(name for name in arrays if name not in state)
