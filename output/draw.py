"""Pictures of the whole validation set: what val.py writes, and what training scores."""
import functools
import os
import zlib

from dataset.labelled_images import ValidationImages
from dataset.loader import Loader
from model.painter import normal_draws
from model.semantics import prepared
from output import pictures
from runtime.bar import bar
from runtime.errors import InputError

ENDINGS = ('.jpg', '.png')


def draw(opt, painter, folder, endings, style=None, batch=1, rank=0, ranks=1):
    """Paint the validation set into folder/<stem><ending>; returns the number of its pictures.

    style, with a style encoder: 'photo' or 'random', both seeded. Of several processes each paints its share.
    """
    try:
        data = ValidationImages(opt, photos=style == 'photo')
    except InputError as error:
        raise InputError(f'{error}; or draw without photos: --style random' if style == 'photo' else str(error)) from None
    mine = range(rank, len(data), ranks)
    batches = [mine[start:start + batch] for start in range(0, len(mine), batch)]
    found, removed = functools.partial(prepared, opt=opt), False
    with bar(len(mine), 'paint', disable=rank > 0) as progress, Loader(data, opt.nThreads, found) as loader:
        for indices, inputs in zip(batches, loader(batches)):
            stems = [data.samples[index].stem for index in indices]
            painted = painter.paint(inputs['semantics'], inputs.get('image'), noise=style and style_noise(opt, stems))
            for stem, pixels in zip(stems, pictures.to_uint8(painted)):
                for ending in ENDINGS:
                    path = os.path.join(folder, f'{stem}{ending}')
                    if ending in endings:
                        pictures.save(pixels, path)
                    elif os.path.exists(path):
                        os.remove(path)   # of another model: result.evaluate would score it
                        removed = True
            progress.update(len(stems))
    if removed:
        print(f'{folder}: earlier files of these names that this run does not write are removed')
    return len(data)


def style_noise(opt, stems):
    """(N, z_dim) normal draws, a function of seed and name: a picture does not depend on what else is drawn."""
    return [normal_draws((opt.z_dim,), opt.seed, zlib.crc32(os.fsencode(stem))).numpy() for stem in stems]
