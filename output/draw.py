"""Paints the whole validation set, for val.py and for scores while training."""
import contextlib
import functools
import os
import zlib

from dataset.labelled_images import ValidationImages
from dataset.loader import Loader
from model.semantics import prepared
from model.styles import drawn
from output import painted, pictures
from runtime.bar import bar
from runtime.errors import InputError


def draw(opt, painter, folder, endings, style=None, batch=1, rank=0, ranks=1, record=None):
    """Paint the validation set into folder/<stem><ending>; returns the number of pictures.

    style, if the generator reads a z: 'photo' (of a style encoder) or 'random', both seeded. Each of several ranks
    paints its share. record: the content of painted.json; None for a folder that the caller owns.
    """
    pictures.check_channels(opt.output_nc)
    try:
        data = ValidationImages(opt, photos=style == 'photo')
    except InputError as error:
        raise InputError(f'{error}{"; or paint without photos: --style random" if style == "photo" else ""}') from None
    mine = range(rank, len(data), ranks)
    if opt.size == 'map':   # arrays of one batch have one size
        batch = 1
    batches = [mine[start:start + batch] for start in range(0, len(mine), batch)]
    names = [f'{sample.stem}{ending}' for sample in data.samples for ending in endings]
    with painted.claimed(folder, record, names, '--results') if record else contextlib.nullcontext(), \
            bar(len(mine), 'paint', disable=rank > 0) as progress, \
            Loader(data, opt.nThreads, functools.partial(prepared, opt=opt)) as loader:
        for indices, inputs in zip(batches, loader(batches)):
            stems = [data.samples[index].stem for index in indices]
            noise = style and style_noise(opt, stems, inputs['semantics'].size)
            images = painter.paint(inputs['semantics'], inputs.get('image'), noise=noise)
            for stem, pixels in zip(stems, pictures.to_uint8(images)):
                for ending in endings:
                    pictures.save(pixels, os.path.join(folder, f'{stem}{ending}'), record['painter'] if record else '')
            progress.update(len(stems))
    return len(data)


def style_noise(opt, stems, size=None):
    """(N, *opt.z_shape(size)) normal draws, functions of seed and name: a picture does not depend on the others."""
    return [drawn(opt, size or opt.picture_size, opt.seed, zlib.crc32(os.fsencode(stem))) for stem in stems]
