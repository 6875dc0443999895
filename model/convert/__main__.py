"""Weights from elsewhere -> ours. PyTorch need not be installed.

    python -m model.convert nvlabs CHECKPOINT_DIR OUTPUT_DIR [--preset NAME] [--crop_size 256 ...]
    python -m model.convert ctkindle DIR OUTPUT_DIR [--crop_size 256 ...]
    python -m model.convert vgg19 SOURCE vgg/vgg19pretrain.pdparams
    python -m model.convert export nvlabs OUTPUT_DIR CHECKPOINT_DIR    ours -> the official code's
    python -m model.convert deeplab|drn|inception FILE.pth OUT.pdparams
    python -m model.convert upernet ENCODER.pth DECODER.pth OUT.pdparams

Conversion fails if a tensor is missing, unexpected or wrongly shaped.
"""
import importlib
import sys

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import paddle

from runtime.errors import OptionError, shown_in_one_line

# source -> module, function; as text, since vgg and result import model, and a command needs only its own module
SOURCES = {'nvlabs': ('model.convert.nvlabs', 'convert'), 'ctkindle': ('model.convert.ctkindle', 'convert'),
           'export': ('model.convert.nvlabs', 'export'), 'vgg19': ('vgg.convert', 'convert'),
           **{name: ('result.networks.convert', name) for name in ('deeplab', 'drn', 'upernet', 'inception')}}


def main(words=None):
    words = sys.argv[1:] if words is None else words
    if words[:1] in ([], ['-h'], ['--help']):
        print(__doc__.strip())
    elif words[0] not in SOURCES:
        raise OptionError(f'source: found {words[0]!r}, allowed: {", ".join(SOURCES)}')
    else:
        paddle.set_device('cpu')   # networks are only filled here
        module, function = SOURCES[words[0]]
        getattr(importlib.import_module(module), function)(words[1:])


if __name__ == '__main__':
    with shown_in_one_line():
        main()
