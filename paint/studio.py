"""The model that the page paints with, its classes, its validation maps."""
import contextlib
import math
import os
import time

import numpy as np

from dataset import classes
from dataset.files import load_images
from dataset.labelled_images import ValidationImages, whole_picture
from model import styles
from model.convolution import Convolution
from model.init import OPT
from model.painter import bytes_per_pixel, load_painter
from model.semantics import SemanticMap, modulation_of
from model.weights import epoch_of, folder_of
from output import pictures
from paint import uploads
from paint.maps import CANVAS_SIDE, kept
from paint.refusal import Refused, say_once
from paint.turns import Superseded, Turns
from runtime import memory
from runtime.errors import InputError

MOST_SEED = 2 ** 53 - 1     # the largest integer that JavaScript counts exactly
MOST_STYLE = 1000.0         # largest number in z
SHARE = 0.8                 # of the free memory that a picture may take
UNLABELLED_NAMES = ('unlabelled', 'unlabeled', 'unknown', 'void')


class Studio:
    """One Painter behind Turns. arguments: those of load_painter."""

    def __init__(self, arguments):
        self.opt, self.painter = load_painter(arguments)
        self.folder = folder_of(self.opt.lastoutput, arguments.which_epoch)
        self.epoch = epoch_of(self.folder)
        self.classes, self.unlabelled = _classes(self.folder, self.opt)
        self.turns = Turns()
        try:
            self.maps, self.no_maps = ValidationImages(self.opt, photos=False), None
        except InputError as error:
            self.maps, self.no_maps = None, error
        self.largest = self._largest()
        self.size = self._first_size()      # of the first canvas
        self.at_size = sized(self.opt, *self.size)
        flat = np.zeros((2, *self.opt.picture_size), np.int32)
        self.turns.submit('warm-up', 0, lambda: self.painted(flat[0], flat[1], {'seed': 0})).result()

    def description(self):
        """dict that the page loads first."""
        opt = self.opt
        height, width = self.size
        return {'run': os.path.basename(os.path.abspath(opt.lastoutput)), 'epoch': self.epoch,
                'width': width, 'height': height, 'label_nc': opt.label_nc,
                'highest': opt.highest_label, 'classes': self.classes,
                'unlabelled': self.unlabelled, 'instances': not opt.no_instance, 'styles': bool(opt.use_vae),
                'seeds': opt.reads_z, 'any_size': opt.any_size, 'largest': self.largest, 'most_side': CANVAS_SIDE,
                'multiple': opt.size_multiple, 'own_sizes': opt.size == 'map',
                'z_dim': opt.z_dim if opt.use_vae else 0, 'seed': min(opt.seed, MOST_SEED),
                'maps': [sample.stem for sample in self.maps.samples] if self.maps else [],
                'largest_file': uploads.LARGEST_FILE}

    def checked_size(self, height, width):
        """(height, width) of a canvas; Refused if this model or this machine cannot paint it."""
        if (height, width) != self.size and not self.opt.any_size:
            raise Refused('one_size', f'this model paints {self.size[1]} x {self.size[0]} alone', 400)
        if not self._fits(height, width):
            raise Refused('canvas', f'a canvas of {width} x {height} pixels: at most {self.largest} pixels, and '
                          f'{CANVAS_SIDE} a side, fit into the memory', 413, most=round(self.largest / 1e6, 2),
                          side=CANVAS_SIDE)
        return height, width

    def _largest(self):
        """Most pixels of a canvas: what fits into the memory, and never less than a picture of training has."""
        free, own = memory.available(), math.prod(self.opt.picture_size)
        if not self.opt.any_size:
            return own
        each = bytes_per_pixel(self.opt, dense=modulation_of(self.opt) == 'dense')
        fits = CANVAS_SIDE ** 2 if free is None else int(SHARE * free / each)
        return max(own, min(CANVAS_SIDE ** 2, fits))

    def _fits(self, height, width):
        return 0 < min(height, width) and max(height, width) <= CANVAS_SIDE and height * width <= self.largest

    def _first_size(self):
        """(height, width) by option size; with map that of the first validation map, if there is one."""
        size = self.opt.painted_size(self.opt.picture_size)
        if self.opt.size == 'map' and self.maps:
            with contextlib.suppress(InputError):   # said when the page asks for it
                size = self.maps[0]['label'].shape
        return size if self._fits(*size) else self.opt.picture_size

    def painted(self, label, instance, style, overtaken=None):
        """(uint8 (H, W, 3), seconds) of one label map and instance map (H, W) and a style for `style_of`.

        Bit for bit the picture of predict.py: a batch of one, with the style given as z. Superseded as soon as
        overtaken() before a convolution.
        """
        began = time.perf_counter()
        semantics = SemanticMap(label[None], None if self.opt.no_instance else instance[None], self.opt, round_up=True)
        z = self.style_of(style, semantics.size)[None] if self.opt.reads_z else None
        with self._given_up_when(overtaken):
            pixels = pictures.to_uint8(self.painter.paint(semantics, z=z))[0]
        return pixels, time.perf_counter() - began

    @contextlib.contextmanager
    def _given_up_when(self, overtaken):
        def stop(*_):
            if overtaken():
                raise Superseded
        layers = self.painter.generator.sublayers() if overtaken else []
        hooks = [layer.register_forward_pre_hook(stop) for layer in layers if isinstance(layer, Convolution)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def style_of(self, style, size=None):
        """z, float32, of {'seed': n} for a picture of `size`; with a style encoder also of {'z': [...]} or
        {'between': [style, style], 'share': 0 .. 1}.
        """
        if self.opt.use_vae and isinstance(style, dict) and set(style) == {'between', 'share'}:
            ends, share = style['between'], style['share']
            if isinstance(ends, list) and len(ends) == 2 and _is_number(share) and 0 <= share <= 1:
                return styles.between(*map(self._plain_style, ends), share)
        return self._plain_style(style, size)

    def _plain_style(self, style, size=None):
        if isinstance(style, dict) and set(style) == {'seed'}:
            if type(style['seed']) is int and 0 <= style['seed'] <= MOST_SEED:
                return styles.of_seed(self.opt, style['seed'], size)
        elif self.opt.use_vae and isinstance(style, dict) and set(style) == {'z'}:
            z = style['z']
            if isinstance(z, list) and len(z) == self.opt.z_dim and all(
                    _is_number(part) and abs(part) <= MOST_STYLE for part in z):
                return np.array(z, np.float32)
        others = f', {self.opt.z_dim} numbers, or two of these and a share from 0 to 1' if self.opt.use_vae else ''
        raise Refused('style', f'no style that this model knows: a seed from 0 to {MOST_SEED}{others}', 400)

    def style_of_photo(self, image):
        """list of floats: the style of a photo (3, H, W)."""
        return styles.of_photo(self.painter, image).tolist()

    def map(self, index, size=None):
        """((height, width), bytes) of a validation map, by its place in the description, as maps.kept gives them.

        size: (height, width); None: that of the first canvas, or with option size map its own.
        """
        if not self.maps or not 0 <= index < len(self.maps):
            raise Refused('no_map', 'there is no such validation map', 404)
        try:
            arrays = self.maps[index]
            fits = self._fits(*arrays['label'].shape) if size is None else arrays['label'].shape == size
            if not fits:
                opt = sized(self.opt, *size) if size else self.at_size
                arrays = whole_picture(load_images(self.maps.samples[index], opt), opt)
        except InputError as error:
            say_once(str(error))
            raise Refused('damaged_map', 'this validation map cannot be read; the terminal of the server shows the '
                                         'error') \
                from None
        return arrays['label'].shape, kept(arrays['label'], arrays.get('instance'), self.opt.label_nc)


def sized(opt, height, width):
    """A copy of `opt` for pictures of that size."""
    return OPT(**{**opt.as_dict(), 'size': f'{width}x{height}'})


def _classes(folder, opt):
    """([{'id', 'name', 'colour', 'thing'}, ...], id of an unlabelled pixel or None); thing where classes.json tells."""
    found = classes.of_checkpoint(folder, opt) or classes.content([str(index) for index in range(opt.label_nc)])
    things = found.get('things')
    listed = [{'id': index, 'name': name, 'colour': colour, **({} if things is None else {'thing': index in things})}
              for index, (name, colour) in enumerate(zip(found['names'], found['colours']))]
    listed = listed[:opt.highest_label + 1]
    if opt.contain_dontcare_label and len(listed) == opt.label_nc:
        return listed, opt.label_nc
    return listed, next((entry['id'] for entry in listed if entry['name'].lower() in UNLABELLED_NAMES), None)


def _is_number(value):
    return type(value) in (int, float) and value == value and abs(value) != float('inf')
