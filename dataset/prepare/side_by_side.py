"""Photo and label map side by side in one file, as pix2pix has them: python -m dataset.prepare pairs."""
import functools

from dataset import classes
from dataset.palette import UNLABELLED, read_table
from dataset.photo import read_photo
from dataset.picture_file import DataError, noted
from dataset.prepare.archive import Member, read
from dataset.prepare.own import completed, made, read_or_refuse
from dataset.prepare.own_sample import Maker, Whole, ids_of_colours
from dataset.prepare.pairs import below, distinct, row_of
from dataset.prepare.sources import Sources


def pairs(arguments):
    """Make the data set that the flags describe; return whether its check found problems."""
    table = read_or_refuse(read_table, '--colours', arguments.colours)
    label_nc = 1 + max((entry.id for entry in table if entry.id != UNLABELLED), default=0)
    content = classes.of_table(table, label_nc)
    classes.check(content, f'--colours {arguments.colours}')
    sources = Sources(arguments, ['pictures'], _rows)
    settings = {'instances': False, 'colours': table, 'maps': arguments.maps}
    outcome = made(arguments, sources, settings,
                   Maker(functools.partial(_read, table=table, left=arguments.maps == 'left'), arguments.tiles))
    return completed(arguments, sources, outcome, content, label_nc, False, sources.guessed)


def _rows(folders):
    (option, folder), = folders.items()
    members = [Member(folder, name) for name in below(folder, option)]
    return distinct([row_of(member, member) for member in members]), []


def _read(job, table, left):
    """Whole of the two halves of a picture; left: the map is the left one."""
    content = read(job.photo)
    photo = read_photo(content)
    width, height = photo.image.size
    if width % 2:
        raise DataError(f'{content}: {width} pixels wide, which are no two halves: left out', 'no pair')
    halves = [(0, width // 2), (width // 2, width)]
    if left:
        halves.reverse()
    (begin, end), columns = halves
    decoded = ids_of_colours(content, table, slice(*columns))
    if decoded.ids.shape != (height, width // 2):
        raise DataError(f'{content}: upright only by its orientation tag: left out; save it upright', 'no pair')
    photo = photo._replace(image=photo.image.crop((begin, 0, end, height)))
    return Whole(decoded.ids, None, photo, noted('label map', decoded), None, None, decoded.lacking)
