"""Photo and label map side by side in one file, as pix2pix has them: python -m dataset.prepare pairs."""
import functools

import numpy as np
from PIL import Image

from dataset import classes
from dataset.palette import UNLABELLED
from dataset.photo import read_photo
from dataset.picture_file import DataError, noted
from dataset.prepare.archive import Member, read
from dataset.prepare.own import completed, made, table_and_names
from dataset.prepare.own_sample import Whole, ids_of_colours
from dataset.prepare.pairs import below, distinct, row_of
from dataset.prepare.sources import Sources


def pairs(arguments):
    """Make the data set that the flags describe; return whether its check found problems."""
    table, _ = table_and_names(arguments)
    label_nc = 1 + max((entry.id for entry in table if entry.id != UNLABELLED), default=0)
    sources = Sources(arguments, ['pictures'], _rows)
    outcome = made(arguments, sources, {'instances': False, 'colours': table, 'maps': arguments.maps},
                   functools.partial(_read, table=table, maps=arguments.maps))
    return completed(arguments, sources, outcome, classes.of_table(table, label_nc), label_nc, False)


def _rows(folders):
    (option, folder), = folders.items()
    members = [Member(folder, name) for name in below(folder, option)]
    return distinct([row_of(member, member) for member in members]), []


def half(width, side):
    """slice of the columns of the left or right side of a picture; None: of all."""
    return {'left': slice(width // 2), 'right': slice(width // 2, width)}.get(side, slice(width))


def _read(job, table, maps):
    """Whole of the two halves of a picture; maps: the side of the map."""
    content = read(job.photo)
    photo = read_photo(content)
    width, height = photo.image.size
    decoded = ids_of_colours(content, table, half(width, maps))
    if width % 2 or decoded.ids.shape != (height, width // 2):
        raise DataError(f'{content}: {width} wide and {height} high, no two halves: left out; save it upright, without '
                        'orientation tag', 'no pair')
    pixels = np.asarray(photo.image)[:, half(width, 'left' if maps == 'right' else 'right')]
    return Whole(decoded.ids, None, photo._replace(image=Image.fromarray(pixels)), noted('label map', decoded), None,
                 None, decoded.lacking)
