"""Inputs and outputs of an exported network: names, types, shapes."""
from dataclasses import dataclass

from model.export.networks import input_names
from runtime.errors import InputError


@dataclass
class Interface:
    """network: 'generator' or 'encoder'. inputs, outputs: name -> (type, shape without the dynamic batch dimension)."""
    network: str
    as_float: bool
    inputs: dict
    outputs: dict


def interface_of(network, opt, as_float=False):
    """Interface of the generator, or of the style encoder, with these options."""
    height, width = opt.picture_size
    if network == 'encoder':
        if opt.output_nc != 3:
            raise InputError(f'output_nc {opt.output_nc}: the style encoder is exported for RGB photos only')
        style = ('float32', (opt.z_dim,))
        return Interface(network, as_float, {'photo': ('uint8', (height, width, 3))}, {'mu': style, 'logvar': style})
    if not as_float and opt.output_nc not in (1, 3):
        raise InputError(f'output_nc {opt.output_nc}: pictures of grey levels have 1 or 3 channels: add --float')
    ids = ('int32', (height, width))
    kinds = {'label': ids, 'instance': ids, 'z': ('float32', opt.z_shape())}
    picture = ('float32', (opt.output_nc, height, width)) if as_float else ('uint8', (height, width, 3))
    return Interface(network, as_float, {name: kinds[name] for name in input_names(opt)}, {'picture': picture})
