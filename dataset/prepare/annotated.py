"""What annotation files of one's own share: photos found by the names in them, and the set that is made."""
import functools
import posixpath
from collections import defaultdict

from dataset import classes
from dataset.files import letters
from dataset.palette import UNLABELLED
from dataset.photo import read_photo
from dataset.picture_file import DataError, check_size
from dataset.prepare.archive import Member, read
from dataset.prepare.job import checked_photo
from dataset.prepare.own import completed, made
from dataset.prepare.own_sample import Maker, Whole
from dataset.prepare.pairs import below, distinct
from runtime.errors import InputError


class Photos:
    """The photos below a folder, found by the names that annotation files give."""

    def __init__(self, folder, option):
        self.by_path = {letters(name): Member(folder, name) for name in below(folder, option)}
        self.by_stem = {posixpath.splitext(path)[0]: member for path, member in self.by_path.items()}
        self.by_name = defaultdict(list)
        for path, member in self.by_path.items():
            self.by_name[posixpath.basename(path)].append(member)

    def find(self, name, folder=''):
        """Member of the photo `name`, a path from `folder` or from the top, else the only one of its file name; None.
        """
        name = letters(name.replace('\\', '/'))
        for path in (posixpath.normpath(posixpath.join(folder, name)), posixpath.normpath(name)):
            if path in self.by_path:
                return self.by_path[path]
        alike = self.by_name.get(posixpath.basename(name), ())
        return alike[0] if len(alike) == 1 else None

    def checked(self, rows, option):
        """(the rows, sorted, lines on photos without annotations); InputError if a photo is annotated twice."""
        used = set()
        for row in rows:
            if row.photo in used:
                raise InputError(f'{option}: {row.photo.name} is annotated twice, the second time in {row.label.name}: '
                                 'remove one')
            used |= {row.photo} - {None}
        rest = [member.name for member in self.by_path.values() if member not in used]
        lines = [f'{len(rest)} photos without annotations are not used: {", ".join(rest[:3])}'] if rest else []
        return distinct(rows), lines


def map_size(job, source, photo, width, height):
    """(width, height) of the map: those of the annotations in `source`, else those of the photo; DataError."""
    if job.photo is None:
        raise DataError(f'{source}: its photo {photo} is missing: left out; name its folder with --images',
                        'unpaired files')
    size = (width, height) if type(width) is type(height) is int else read_photo(read(job.photo)).image.size
    check_size(source, *size)
    return size


def make(arguments, sources, names, draw, things=None):
    """Make the data set; return whether its check found problems.

    names: of the classes, by id; draw(job, background=id of pixels outside all regions) -> (label, instance, notes) as
    in own_sample.Whole; things: ids of countable classes.
    """
    if arguments.background and arguments.background not in names:
        names = [*names, arguments.background]
    if len(names) > UNLABELLED:
        raise InputError(f'--annotations {arguments.annotations}: {len(names)} classes, allowed: {UNLABELLED}')
    content = classes.content(names, things)
    classes.check(content, f'--annotations {arguments.annotations}')
    background = names.index(arguments.background) if arguments.background else UNLABELLED
    settings = {'instances': True, 'names': names, 'background': background}
    outcome = made(arguments, sources, settings,
                   Maker(functools.partial(_whole, draw, background), arguments.tiles, link=arguments.link))
    return completed(arguments, sources, outcome, content, len(names), True, sources.guessed)


def _whole(draw, background, job):
    label, instance, notes = draw(job, background=background)
    content, photo = checked_photo(job, label)
    return Whole(label, instance, photo, notes, content, None)
