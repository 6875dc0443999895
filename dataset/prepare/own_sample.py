"""One sample of one's own photos and maps: colours become ids, instance maps are copied or computed, sizes fitted,
photographs cut into tiles.
"""
import os
from collections import Counter, namedtuple

import numpy as np
from PIL import Image

from dataset.colour_coded import merged
from dataset.components import COMPONENTS, components
from dataset.label_map import read_colours, read_instances, read_map
from dataset.palette import UNLABELLED
from dataset.photo import load_photo
from dataset.picture_file import DataError, noted
from dataset.prepare.archive import read
from dataset.prepare.job import checked_photo, facts_of, label_bytes, photo_file, png

FITTED = 'of another size than the photo, fitted to it by nearest pixel'
# A photograph and its maps before they are cut. label, instance: integers (H, W), instance perhaps None; photo:
# dataset.photo.Photo; notes: as of `noted`; photo_file: NamedBytes of a photo that stays as it is, else None;
# instance_file: the same, (ending, bytes or Member); lacking: as of LabelMap; void: ids of --void that occur
Whole = namedtuple('Whole', 'label instance photo notes photo_file instance_file lacking void', defaults=((), ()))
LACKING = 8     # colours that a sample's record names
SHAPES_DIFFER = 0.02   # relative difference of width / height that --fit photo accepts: rounding


class Maker:
    """`make` of dataset.prepare.samples.prepare. read(job) -> Whole; DataError.

    tiles: side of the tiles that a photograph is cut into, or None; number_regions: instance maps are the connected
    regions of each class.
    """

    def __init__(self, read, tiles=None, number_regions=False, link=False):
        self.read, self.tiles, self.number_regions, self.link = read, tiles, number_regions, link
        self.held = None, None      # sources of the photograph read last, and its Whole: tiles follow each other

    def __call__(self, job):
        sources = job._replace(stem='', tile=None)
        if self.held[0] != sources:
            self.held = sources, self.read(job)
        whole = _tile(self.held[1], job, self.tiles) if self.tiles else self.held[1]
        files = {'img': photo_file(job, whole.photo_file, whole.photo, self.link), 'label': ('.png', png(whole.label))}
        if self.number_regions:
            files['inst'] = '.png', png(components(whole.label))
        elif whole.instance is not None:
            files['inst'] = whole.instance_file or ('.png', png(whole.instance))
        known, facts = whole.label[whole.label != UNLABELLED], facts_of(whole.photo)
        ids = np.flatnonzero(np.bincount(known)).tolist()
        return files, {**facts, 'highest': max(ids, default=0), 'unlabelled': known.size < whole.label.size,
                       'ids': ids, 'void': list(self.held[1].void), 'notes': whole.notes + facts['notes'],
                       **({'lacking': whole.lacking[:LACKING]} if whole.lacking else {})}


def _tile(whole, job, side):
    """Whole of the job's tile; DataError if the photograph does not hold it."""
    height, width = whole.label.shape
    top, left = (side * place for place in job.tile or (0, 0))
    if top + side > height or left + side > width:
        raise DataError(f'{job.photo.name}: {width} wide and {height} high, '
                        + ('upright only by its orientation tag: save it upright' if job.tile else
                           f'smaller than a tile of {side}') + ': left out', 'too small for a tile')
    box = slice(top, top + side), slice(left, left + side)
    photo = whole.photo._replace(image=whole.photo.image.crop((left, top, left + side, top + side)))
    notes, lacking = whole.notes, whole.lacking
    if job.tile != (0, 0):      # a note on a file counts once
        photo, notes, lacking = photo._replace(notes={}), [], []
    return Whole(whole.label[box], None if whole.instance is None else whole.instance[box], photo, notes, None, None,
                 lacking)


def read_maps(job, table, void, classes, instances, fit, span, link):
    """Whole of a label map in ids or colours. table: of --colours, or None; classes: number of --names."""
    label_file = label_bytes(job)
    decoded = ids_of_colours(label_file, table) if table else read_map(label_file)
    label, notes = decoded.ids.astype(np.int32), noted('label map', decoded)
    is_void = np.isin(label, void)
    voided = np.unique(label[is_void]).tolist()
    label[is_void] = UNLABELLED
    if label.min(initial=0) < 0 or label.max(initial=0) > 65535:
        wrong = label.min() if label.min() < 0 else label.max()
        raise DataError(f'{label_file}: label values {label.min()} .. {label.max()}, allowed: 0 .. 65535: '
                        f'left out; if {wrong} means unlabelled, add --void {wrong}', 'label value')
    highest = int(label[label != UNLABELLED].max(initial=0))
    if classes and highest >= classes:
        raise DataError(f'{label_file}: label value {highest}, but --names has {classes} names, for 0 .. '
                        f'{classes - 1}: left out; add the name to --names, or the id to --void', 'label value')
    if fit:
        label = _fitted('label map', label_file, label, job, notes)
    maps, instance_file = [], None
    if instances not in ('none', COMPONENTS):
        if job.instance is None:
            raise DataError(f'{label_file}: no instance map of that name in {instances}: left out', 'unpaired files')
        name, instance, instance_file = _instances(job, fit, link, notes)
        maps = [(name, instance)]
    photo_content, photo = checked_photo(job, label, *maps, span=span)
    return Whole(label, maps[0][1] if maps else None, photo, notes, photo_content, instance_file, decoded.lacking,
                 voided)


def _instances(job, fit, link, notes):
    """(name, int32 (H, W), (ending, bytes or Member) of a file that stays as it is, else None) of the instance map;
    adds to `notes`.
    """
    file = read(job.instance)
    decoded = read_instances(file)
    notes += noted('instance map', decoded)
    stored = ids = decoded.ids.astype(np.int32)
    if ids.max(initial=0) > 65535:      # colours
        ids = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    if fit:
        ids = _fitted('instance map', file, ids, job, notes)
    if ids is stored:
        return str(file), ids, (os.path.splitext(job.instance.name)[1], job.instance if link else file.getvalue())
    return str(file), ids, None


def _fitted(what, file, ids, job, notes):
    """ids (H, W) at the size of the job's photo, by nearest pixel; DataError for another shape; adds to `notes`."""
    if job.photo is None:
        return ids      # checked_photo raises the error
    width, height = load_photo(read(job.photo), ids.shape[::-1]).size
    if ids.shape == (height, width):
        return ids
    if abs(ids.shape[1] * height / (ids.shape[0] * width) - 1) > SHAPES_DIFFER:
        raise DataError(f'{file}: {ids.shape[1]} wide and {ids.shape[0]} high, but its photo is {width} wide and '
                        f'{height} high; --fit photo would distort it: left out; check whether one of them is turned '
                        'or cropped',
                        'different sizes')
    notes.append((what, FITTED, 0))
    return np.asarray(Image.fromarray(ids.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))


def ids_of_colours(file, table, columns=slice(None)):
    """LabelMap of a colour-coded picture; DataError naming colours missing in `table` and the nearest ones.

    columns: as for read_colours.
    """
    decoded, unknown = read_colours(file, {entry.colour: entry.id for entry in table}, columns=columns)
    if not unknown:
        return decoded
    if all(len(set(colour)) == 1 and colour[0] in {entry.id for entry in table} for _, colour in unknown):
        raise DataError(f'{file}: holds {", ".join(str(colour[0]) for _, colour in unknown[:3])}, which are ids of the '
                        'table of --colours, not its colours: omit --colours; --names FILE gives the names',
                        'unknown colour')
    named, found = [], merged(Counter({colour: pixels for pixels, colour in unknown}))
    for colour, pixels in found[:3]:
        nearest = min(table, key=lambda entry: sum((one - other) ** 2 for one, other in zip(entry.colour, colour)))
        named.append(f'{colour} in {pixels} pixels (nearest known: {nearest.colour}, id {nearest.id}, {nearest.name})')
    more = f' and {len(found) - 3} more' if len(found) > 3 else ''
    raise DataError(f'{file}: unknown colours: around {", ".join(named)}{more}: add them to the table of '
                    '--colours, or correct the picture', 'unknown colour')
