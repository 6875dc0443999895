"""What the page paints with: one model, its classes, its validation maps."""
import os
import time

import numpy as np

from dataset import classes
from dataset.labelled_images import ValidationImages
from model import styles
from model.painter import load_painter
from model.semantics import SemanticMap
from model.weights import epoch_of, folder_of
from output import pictures
from paint import uploads
from paint.maps import kept
from paint.refusal import Refused, say_once
from paint.turns import Turns
from runtime.errors import InputError

MOST_SEED = 2 ** 53 - 1     # what JavaScript counts exactly
MOST_STYLE = 1000.0         # of a number in z
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
        flat = np.zeros((2, *self.opt.picture_size), np.int32)
        self.turns.submit('warm-up', 0, lambda: self.painted(flat[0], flat[1], {'seed': 0})).result()

    def description(self):
        """dict that the page begins with."""
        opt = self.opt
        height, width = opt.picture_size
        return {'run': os.path.basename(os.path.abspath(opt.lastoutput)), 'epoch': self.epoch,
                'width': width, 'height': height, 'label_nc': opt.label_nc,
                'highest': opt.highest_label, 'classes': self.classes,
                'unlabelled': self.unlabelled, 'instances': not opt.no_instance, 'styles': bool(opt.use_vae),
                'z_dim': opt.z_dim if opt.use_vae else 0, 'seed': min(opt.seed, MOST_SEED),
                'maps': [sample.stem for sample in self.maps.samples] if self.maps else [],
                'largest_file': uploads.LARGEST_FILE}

    def painted(self, label, instance, style):
        """(uint8 (H, W, 3), seconds) of one label map and instance map (H, W) and a style as `style_of` takes it.

        The same picture as predict.py's, bit for bit: a batch of one, with the style given as z.
        """
        began = time.perf_counter()
        semantics = SemanticMap(label[None], None if self.opt.no_instance else instance[None], self.opt)
        z = self.style_of(style)[None] if self.opt.use_vae else None
        pixels = pictures.to_uint8(self.painter.paint(semantics, z=z))[0]
        return pixels, time.perf_counter() - began

    def style_of(self, style):
        """z, float32 (z_dim,), of {'seed': n}, {'z': [...]} or {'between': [style, style], 'share': 0 .. 1}."""
        if isinstance(style, dict) and set(style) == {'between', 'share'}:
            ends, share = style['between'], style['share']
            if isinstance(ends, list) and len(ends) == 2 and _is_number(share) and 0 <= share <= 1:
                return styles.between(*map(self._plain_style, ends), share)
        return self._plain_style(style)

    def _plain_style(self, style):
        if isinstance(style, dict) and set(style) == {'seed'}:
            if type(style['seed']) is int and 0 <= style['seed'] <= MOST_SEED:
                return styles.of_seed(self.opt, style['seed'])
        elif isinstance(style, dict) and set(style) == {'z'}:
            z = style['z']
            if isinstance(z, list) and len(z) == self.opt.z_dim and all(
                    _is_number(part) and abs(part) <= MOST_STYLE for part in z):
                return np.array(z, np.float32)
        raise Refused('style', f'no style that this model knows: a seed from 0 to {MOST_SEED}, {self.opt.z_dim} '
                      'numbers, or two of these and a share from 0 to 1', 400)

    def style_of_photo(self, image):
        """list of floats: the style of a photo (3, H, W)."""
        return styles.of_photo(self.painter, image).tolist()

    def map(self, index):
        """bytes of a validation map, by its place in the description, as maps.kept gives them."""
        if not self.maps or not 0 <= index < len(self.maps):
            raise Refused('no_map', 'there is no such validation map', 404)
        try:
            arrays = self.maps[index]
        except InputError as error:
            say_once(str(error))
            raise Refused('damaged_map', 'this validation map cannot be read; the terminal of the server says why') \
                from None
        return kept(arrays['label'], arrays.get('instance'), self.opt.label_nc)


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
