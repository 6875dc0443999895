"""One's own photos and label maps: colours become ids, instances are found or copied, a part is set aside."""
import filecmp
import functools
import os

import numpy as np
from PIL import Image

from dataset import classes
from dataset.agreement import check_palettes, masks
from dataset.components import components
from dataset.files import DataError
from dataset.label_map import read_colours, read_instances, read_map
from dataset.palette import UNLABELLED, read_names, read_table
from dataset.photo import load_photo
from dataset.picture_file import noted
from dataset.prepare import pairs
from dataset.prepare.archive import path_of, read
from dataset.prepare.samples import Job, label_bytes, photo_and_facts, png
from dataset.prepare.split import set_aside
from runtime.errors import InputError

FITTED = 'of another size than the photo, fitted to it by nearest pixel'
SHAPES_DIFFER = 0.02   # part by which width / height of map and photo may differ with --fit photo: rounding, no more


class Sources:
    """The folders that --images, --labels, ...
    name: their files paired, once, and divided into training and validation.

    guessed: lines that say which pairs rest on a guess; divided: a sentence on the validation samples. InputError for a
    folder that cannot be listed, a name with two partners, and flags that contradict each other.
    """

    def __init__(self, arguments):
        if not 0 <= arguments.val < 1:
            raise InputError(f'--val {arguments.val}: allowed: 0 to less than 1, the fraction of the samples for '
                             'validation')
        self.arguments, self.divided = arguments, ''
        self.with_instances = arguments.instances not in ('none', 'components')
        self.own_split = self._own_split()
        self.rows, self.guessed = self._rows('')
        self.val_rows, guessed = self._rows('val_') if self.own_split else ([], [])
        self.guessed += guessed

    def _own_split(self):
        """Whether the set comes with validation folders."""
        wanted = ['val_images', 'val_labels'] + ['val_instances'] * self.with_instances
        given = [name for name in ('val_images', 'val_labels', 'val_instances') if getattr(self.arguments, name)]
        if given and given != wanted:
            raise InputError(f'--{" and --".join(given)} given: a set with its own validation folders needs '
                             f'--{" and --".join(wanted)}')
        return bool(given)

    def _rows(self, split):
        flags = {'photo': 'images', 'label': 'labels', **({'instance': 'instances'} if self.with_instances else {})}
        folders = {part: getattr(self.arguments, split + flag) for part, flag in flags.items()}
        return pairs.rows(folders, {part: f'--{split}{flag}' for part, flag in flags.items()})

    def folders(self):
        """dict: flag -> the folder it names, as the set's record keeps it."""
        names = ['images', 'labels', 'val_images', 'val_labels', 'val_instances'] + ['instances'] * self.with_instances
        return {name: os.path.realpath(getattr(self.arguments, name))
                for name in names if getattr(self.arguments, name)}

    def paths(self, part):
        """Paths of all files of a part: photo, label or instance."""
        return [path_of(getattr(row, part)) for row in self.rows + self.val_rows if getattr(row, part)]

    def jobs(self, left_out=()):
        """Jobs, sorted. Those for validation, where no folders of their own are named,
        are drawn from what is whole and not among `left_out`, a set of stems.
        """
        if self.own_split:
            return sorted([_job('train', row) for row in self.rows] + [_job('val', row) for row in self.val_rows])
        whole = [row for row in self.rows if row.photo and row.label and row.stem not in left_out and
                 (row.instance or not self.with_instances)]
        val, self.divided = set_aside([row.stem for row in whole], [row.folder for row in whole], self.arguments.val,
                                      self.arguments.seed, self.arguments.group)
        return sorted(_job('val' if row.stem in val else 'train', row) for row in self.rows)

    def trained_on(self):
        """Validation photos of a set with its own split, as paths, that are training photos too, to the byte."""
        photos = [[os.path.join(*row.photo) for row in rows if row.photo] for rows in (self.rows, self.val_rows)]
        of_size = {}
        for path in photos[0]:
            of_size.setdefault(os.path.getsize(path), []).append(path)
        return [path for path in photos[1] if any(filecmp.cmp(path, other, shallow=False)
                                                  for other in of_size.get(os.path.getsize(path), ()))]


def _job(split, row):
    return Job(split, row.stem, row.photo, row.label, row.instance)


def table_of(path):
    """list of dataset.palette.Class from the file of --colours; InputError."""
    try:
        return read_table(path)
    except OSError as error:
        raise InputError(f'--colours {path}: cannot read it: {error.strerror}') from None
    except ValueError as error:
        raise InputError(f'--colours {path}: {" ".join(str(error).split())}') from None


def names_of(path, void=()):
    """list of the class names in the file of --names, by id,
    without those of the last ids if these are void; InputError.
    """
    try:
        found = read_names(path)
    except OSError as error:
        raise InputError(f'--names {path}: cannot read it: {error.strerror}') from None
    except ValueError as error:
        raise InputError(f'--names {path}: {" ".join(str(error).split())}') from None
    while len(found) - 1 in void:
        found.pop()
    return found


def classes_of(arguments):
    """(list of dataset.palette.Class of --colours, or None; list of the names of --names);
    InputError, before anything is made.
    """
    if arguments.colours and arguments.names:
        raise InputError('--colours and --names both give names: leave --names out, the names are those of the table')
    table = table_of(arguments.colours) if arguments.colours else None
    given = names_of(arguments.names, arguments.void) if arguments.names else []
    if table:
        classes.checked(classes.of_table(table, 1 + max(entry.id for entry in table)), f'--colours {arguments.colours}')
    classes.checked(classes.content(given), f'--names {arguments.names}')
    return table, given


def maker(arguments, table, names, span):
    """What dataset.prepare.samples.prepare calls for each sample."""
    return functools.partial(_make, span=span, table=table, instances=arguments.instances, link=arguments.link,
                             void=arguments.void, classes=len(names) or None, fit=arguments.fit)


def palette_colours(maps):
    """dict: id -> colour, where label maps, paths, have a palette of colours; of colours that stand twice the first."""
    colours = check_palettes(maps) or ()
    if all(len(set(colour)) == 1 for colour in colours):
        return {}
    return {index: colour for index, colour in enumerate(colours) if colour not in colours[:index]}


def check_not_masks(maps, arguments):
    """InputError if all the label maps, paths, hold greys to look at, such as masks of 0 and 255,
    where 255 means unlabelled.
    """
    values = masks(maps)
    if not values or values[-1] in arguments.void:
        return
    *others, white = values
    listed = f'{", ".join(map(str, others))} and {white} alone'
    lines = ', '.join(f'"{step} {value} {value} {value} NAME"' for step, value in enumerate(values))
    remedy = f'--colours FILE with the lines {lines}' if white == UNLABELLED else 'save the maps with 8 bits, 0 to 255'
    raise InputError(f'--labels {arguments.labels}: the maps hold {listed}, and 255 means unlabelled: if {white} is a '
                     f'class, as white in a mask, {remedy}; if it is unlabelled, --void {white}')


def _make(job, table, instances, link, void=(), classes=None, fit='none', span=None):
    label_file = label_bytes(job)
    decoded = ids_of_colours(label_file, table) if table else read_map(label_file)
    label, notes = decoded.ids.astype(np.int32), noted('label map', decoded)
    label = np.where(np.isin(label, void), UNLABELLED, label) if void else label
    if label.min(initial=0) < 0 or label.max(initial=0) > 65535:
        raise DataError(f'{label_file}: label values {label.min()} .. {label.max()}, allowed: 0 .. 65535: left out',
                        'label value')
    known = label[label != UNLABELLED]
    facts = {'highest': int(known.max(initial=0)), 'unlabelled': bool(known.size < label.size)}
    if classes is not None and facts['highest'] >= classes:
        raise DataError(f'{label_file}: label value {facts["highest"]}, but --names has {classes} names, for 0 .. '
                        f'{classes - 1}: left out; add its name, or its id to --void', 'label value')
    if fit == 'photo':
        label, fitted = _fitted(label_file, label, job)
        notes += [('label map', FITTED, 0)] * fitted
    maps, files = [], {}
    if instances == 'components':
        files['inst'] = '.png', png(components(label))
    elif instances != 'none':
        if job.instance is None:
            raise DataError(f'{label_file}: no instance map of that name in {instances}: left out', 'unpaired files')
        instance_file = read(job.instance)
        decoded = read_instances(instance_file)
        instance, coloured = decoded.ids.astype(np.int32), int(decoded.ids.max(initial=0)) > 65535
        notes += noted('instance map', decoded)
        if coloured:
            instance = np.unique(instance, return_inverse=True)[1].reshape(instance.shape)
        if fit == 'photo':
            instance, changed = _fitted(instance_file, instance, job)
            notes += [('instance map', FITTED, 0)] * changed
        maps = [(str(instance_file), instance)]
        ending = os.path.splitext(job.instance.name)[1]
        files['inst'] = ending, job.instance if link else instance_file.getvalue()
        if coloured or fit == 'photo' and changed:
            files['inst'] = '.png', png(instance)
    files['img'], found = photo_and_facts(job, label, *maps, span=span, link=link)
    facts.update(found, notes=notes + found.get('notes', []))
    files['label'] = '.png', png(label)
    return files, facts


def _fitted(file, ids, job):
    """(ids (H, W) at the size of the job's photo, by nearest pixel, whether that is another);
    DataError for another shape.
    """
    if job.photo is None:
        return ids, False   # which photo_and_sizes says
    width, height = load_photo(read(job.photo), ids.shape[::-1]).size
    if ids.shape == (height, width):
        return ids, False
    if abs(ids.shape[1] * height / (ids.shape[0] * width) - 1) > SHAPES_DIFFER:
        raise DataError(f'{file}: {ids.shape[1]} wide and {ids.shape[0]} high, its photo {width} and {height}: another '
                        'shape, which --fit photo would distort: left out; is it turned, or cut?', 'different sizes')
    return np.asarray(Image.fromarray(ids.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)), True


def ids_of_colours(file, table):
    """LabelMap of a colour-coded picture; DataError naming the colours that are not in `table` and the nearest known.
    """
    decoded, unknown = read_colours(file, {entry.colour: entry.id for entry in table})
    if unknown and all(len(set(colour)) == 1 and colour[0] in {entry.id for entry in table} for _, colour in unknown):
        raise DataError(f'{file}: holds {", ".join(str(colour[0]) for _, colour in unknown[:3])}, which are ids of the '
                        'table of --colours, not its colours: leave --colours out; --names FILE gives the names',
                        'unknown colour')
    if unknown:
        known = np.array([entry.colour for entry in table])
        named = []
        for count, colour in unknown[:3]:
            nearest = table[int(((known - np.array(colour)) ** 2).sum(1).argmin())]
            named.append(f'{colour} in {count} pixels (nearest known: {nearest.colour}, id {nearest.id}, '
                         f'{nearest.name})')
        more = f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''
        raise DataError(f'{file}: {len(unknown)} unknown colours: {", ".join(named)}{more}: add them to the table of '
                        '--colours, or mend the picture', 'unknown colour')
    return decoded
