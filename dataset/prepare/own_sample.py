"""One sample of one's own photos and maps: colours become ids, instance maps are copied or computed, sizes fitted."""
import functools
import os

import numpy as np
from PIL import Image

from dataset.components import COMPONENTS, components
from dataset.label_map import read_colours, read_instances, read_map
from dataset.palette import UNLABELLED
from dataset.photo import load_photo
from dataset.picture_file import DataError, noted
from dataset.prepare.archive import read
from dataset.prepare.job import label_bytes, photo_and_facts, png

FITTED = 'of another size than the photo, fitted to it by nearest pixel'
SHAPES_DIFFER = 0.02   # relative difference of width / height that --fit photo accepts: rounding


def maker(arguments, table, names, span):
    """`make` of dataset.prepare.samples.prepare. table: of --colours, or None; names: of --names; span: of span_of."""
    return functools.partial(_make, table=table, void=arguments.void, classes=len(names), instances=arguments.instances,
                             fit=arguments.fit == 'photo', span=span, link=arguments.link)


def _make(job, table, void, classes, instances, fit, span, link):
    label_file = label_bytes(job)
    decoded = _ids_of_colours(label_file, table) if table else read_map(label_file)
    label, notes = decoded.ids.astype(np.int32), noted('label map', decoded)
    label = np.where(np.isin(label, void), UNLABELLED, label) if void else label
    if label.min(initial=0) < 0 or label.max(initial=0) > 65535:
        wrong = label.min() if label.min() < 0 else label.max()
        raise DataError(f'{label_file}: label values {label.min()} .. {label.max()}, allowed: 0 .. 65535: left out; if '
                        f'{wrong} means unlabelled: --void {wrong}', 'label value')
    known = label[label != UNLABELLED]
    highest = int(known.max(initial=0))
    if classes and highest >= classes:
        raise DataError(f'{label_file}: label value {highest}, but --names has {classes} names, for 0 .. '
                        f'{classes - 1}: left out; add its name, or its id to --void', 'label value')
    if fit:
        label = _fitted('label map', label_file, label, job, notes)
    maps, files = [], {}
    if instances == COMPONENTS:
        files['inst'] = '.png', png(components(label))
    elif instances != 'none':
        if job.instance is None:
            raise DataError(f'{label_file}: no instance map of that name in {instances}: left out', 'unpaired files')
        name, instance, files['inst'] = _instances(job, fit, link, notes)
        maps = [(name, instance)]
    files['img'], facts = photo_and_facts(job, label, *maps, span=span, link=link)
    files['label'] = '.png', png(label)
    return files, {**facts, 'highest': highest, 'unlabelled': known.size < label.size, 'notes': notes + facts['notes']}


def _instances(job, fit, link, notes):
    """(name, int32 (H, W), (ending, bytes or Member)) of the instance map; adds to `notes`."""
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
    return str(file), ids, ('.png', png(ids))


def _fitted(what, file, ids, job, notes):
    """ids (H, W) at the size of the job's photo, by nearest pixel; DataError for another shape; adds to `notes`."""
    if job.photo is None:
        return ids      # photo_and_facts raises the error
    width, height = load_photo(read(job.photo), ids.shape[::-1]).size
    if ids.shape == (height, width):
        return ids
    if abs(ids.shape[1] * height / (ids.shape[0] * width) - 1) > SHAPES_DIFFER:
        raise DataError(f'{file}: {ids.shape[1]} wide and {ids.shape[0]} high, its photo {width} and {height}: another '
                        'shape, which --fit photo would distort: left out; check whether it is turned or cropped',
                        'different sizes')
    notes.append((what, FITTED, 0))
    return np.asarray(Image.fromarray(ids.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))


def _ids_of_colours(file, table):
    """LabelMap of a colour-coded picture; DataError naming colours missing in `table` and the nearest ones."""
    decoded, unknown = read_colours(file, {entry.colour: entry.id for entry in table})
    if not unknown:
        return decoded
    if all(len(set(colour)) == 1 and colour[0] in {entry.id for entry in table} for _, colour in unknown):
        raise DataError(f'{file}: holds {", ".join(str(colour[0]) for _, colour in unknown[:3])}, which are ids of the '
                        'table of --colours, not its colours: leave --colours out; --names FILE gives the names',
                        'unknown colour')
    named = []
    for count, colour in unknown[:3]:
        nearest = min(table, key=lambda entry: sum((one - other) ** 2 for one, other in zip(entry.colour, colour)))
        named.append(f'{colour} in {count} pixels (nearest known: {nearest.colour}, id {nearest.id}, {nearest.name})')
    more = f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''
    raise DataError(f'{file}: {len(unknown)} unknown colours: {", ".join(named)}{more}: add them to the table of '
                    '--colours, or correct the picture', 'unknown colour')
