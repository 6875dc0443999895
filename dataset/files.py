"""Files of a data set: found, paired by name, read and checked; an error says in one line which file is wrong and how.
"""
import os
import unicodedata
from collections import namedtuple

import numpy as np
from PIL import Image

from dataset.components import COMPONENTS, components
from dataset.label_map import read_instances, read_map
from dataset.photo import load_photo, read_photo  # noqa: F401
from dataset.picture_file import ENDINGS, DataError, noted
from model.init import DONTCARE
from runtime.errors import InputError

Sample = namedtuple('Sample', 'stem label instance photo')  # paths; None for what is not read


# ---- Finding the files

def letters(name):
    """A file's name as people see it: accents that macOS takes apart (NFD) are composed; bytes that are no UTF-8 stay.
    """
    return unicodedata.normalize('NFC', name)


def same_but_for_the_ending(folder, name, other):
    """What to say of two files of one folder with one stem."""
    if letters(name) == letters(other):
        return (f'{folder}: {ascii(name)} and {ascii(other)} are one name, written in two ways (Unicode NFC and NFD): '
                'remove one')
    return (f'{folder}: {name} and {other} have the same name but for the ending, and files are paired by name: '
            'remove one')


def split_folders(opt, split, photos=True):
    """dict: 'label', 'instance', 'photo' -> the folders that `split` ('train' or 'val') is read from."""
    names = {'label': 'label', 'instance': None if opt.no_instance else 'inst', 'photo': 'img' if photos else None}
    return {part: os.path.join(opt.dataroot, f'{split}_{name}') for part, name in names.items() if name}


def find_samples(opt, split, photos=True):
    """list of Sample, sorted by stem, the first max_dataset_size of them; DataError for the first wrong folder or name.
    """
    samples, problems = pair_files(opt, split, photos)
    if problems:
        raise problems[0]
    return samples


def pair_files(opt, split, photos=True):
    """(samples that are complete, DataErrors of all that is wrong with folders and names)."""
    files, problems = {}, []
    for part, folder in split_folders(opt, split, photos).items():
        try:
            files[part], twice = _listing(folder)
            problems += twice
        except FileNotFoundError:
            problems.append(_missing_folder(opt, folder, part))
        except OSError as error:
            problems.append(DataError(f'{folder}: cannot list the folder (dataroot): {error.strerror}',
                                      'missing folder'))
        except DataError as error:
            problems.append(error)
    if len(files) < len(split_folders(opt, split, photos)):
        return [], problems
    problems += _unpaired(opt, split, files)
    paired = set.intersection(*map(set, files.values()))
    stems = sorted((os.path.splitext(os.path.basename(files['label'][key]))[0], key)
                   for key in paired)[:opt.max_dataset_size]
    return [Sample(stem, *(files[part][key] if part in files else None for part in Sample._fields[1:]))
            for stem, key in stems], problems


def _listing(folder):
    """(dict: stem in `letters` -> path of the images in `folder`, DataErrors of stems that occur twice)."""
    files, twice, others = {}, [], 0
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            stem, ending = os.path.splitext(entry.name)
            stem = letters(stem)
            if entry.name.startswith('.') or ending.lower() not in ENDINGS or not entry.is_file():
                others += 1
            elif stem in files:
                twice.append(DataError(same_but_for_the_ending(folder, os.path.basename(files[stem]), entry.name),
                                       'same name twice'))
            else:
                files[stem] = entry.path
    if not files:
        raise DataError(f'{folder}: no images in this folder (dataroot; {others} other files), expected files that end '
                        f'in {" ".join(ENDINGS)}: put the images there or name another --dataroot', 'empty folder')
    return files, twice


def by_stem(folder, option):
    """dict: name without ending, in `letters` -> path of the images in a folder, sorted."""
    try:
        names = sorted(name for name in os.listdir(folder)
                       if name.lower().endswith(ENDINGS) and not name.startswith('.'))
    except OSError as error:
        raise InputError(f'{option} {folder}: cannot list the folder: {error.strerror}') from None
    found = {}
    for name in names:
        stem = letters(os.path.splitext(name)[0])
        if stem in found:
            raise InputError(same_but_for_the_ending(f'{option} {folder}', os.path.basename(found[stem]), name))
        found[stem] = os.path.join(folder, name)
    if not found:
        raise InputError(f'{option} {folder}: no images in it, expected files that end in {" ".join(ENDINGS)}')
    return found


def _missing_folder(opt, folder, part):
    remedy = {'instance': ', or train without instance maps: --no_instance true'}.get(part, '')
    what = {'label': 'label maps', 'instance': 'instance maps', 'photo': 'photos'}[part]
    return DataError(f'{folder}: missing folder; dataroot is {opt.dataroot!r} and must hold the {what} there: '
                     f'put them there or name another --dataroot{remedy}', 'missing folder')


def _unpaired(opt, split, files):
    """DataErrors for photos or label maps that have no partner, and label maps without instance map."""
    problems, folders = [], split_folders(opt, split)
    sides = [('label', 'photo', 'label maps without photo'), ('photo', 'label', 'photos without label map'),
             ('label', 'instance', 'label maps without instance map')]
    for one, other, what in sides:
        if one in files and other in files:
            alone = sorted(set(files[one]) - set(files[other]))
            if alone:
                names = ', '.join(alone[:3]) + (', ...' if len(alone) > 3 else '')
                remedy = ', or train without instance maps: --no_instance true' if other == 'instance' else ''
                problems.append(DataError(f'{folders[one]}: {len(alone)} {what} in {folders[other]}: {names}; files '
                                          f'are paired by name without ending: add what is missing or remove '
                                          f'these{remedy}', 'unpaired files'))
    return problems


# ---- Reading a sample

def load_label(path, opt, colours=None):
    """(H, W) uint8, or int32 if label_nc > 255: class ids, unlabelled pixels (255) as label_nc;
    DataError for other values.

    With contain_dontcare_label 255 is never a class, however large label_nc is. `colours`: as for label_map.read_map.
    """
    return checked_label(path, read_map(path, colours=colours).ids, opt)


def checked_label(path, label, opt):
    """The same of the ids (H, W) that `path` holds."""
    label = label.astype(np.uint8 if label.dtype.itemsize == 1 and opt.label_nc <= 255 else np.int32)
    bad = (label < 0) | (label > opt.highest_label)
    if opt.contain_dontcare_label:
        bad &= label != DONTCARE
    if bad.any():
        raise _wrong_values(path, opt, label[bad])
    if opt.contain_dontcare_label:
        label[label == DONTCARE] = opt.label_nc
    return label.astype(np.uint8 if opt.label_nc <= 255 else np.int32)


def _wrong_values(path, opt, values):
    ids, counts = np.unique(values, return_counts=True)
    found = ', '.join(f'{value} ({count} pixels)' for value, count in list(zip(ids, counts))[:3])
    more = f' and {len(ids) - 3} more' if len(ids) > 3 else ''
    allowed = f'0 .. {opt.label_nc - 1}'
    remedies = ['map the ids to that range or set --label_nc'] if (ids != DONTCARE).any() else []
    if opt.contain_dontcare_label:
        allowed += f', and {opt.label_nc} or {DONTCARE} for unlabelled pixels'
    elif DONTCARE in ids:
        remedies.append(f'if {DONTCARE} marks unlabelled pixels: --contain_dontcare_label true')
    return DataError(f'{path}: label value {found}{more}; allowed: {allowed}; {"; ".join(remedies)}', 'label value')


def load_ids(path, what):
    """(H, W) int32 ids of any range, as stored; `what` is the kind of map, for messages."""
    return read_map(path, what).ids.astype(np.int32)


def load_instance(path):
    """(H, W) int32 instance ids of any range; only where neighbours differ matters."""
    return read_instances(path).ids.astype(np.int32)


def check_same_size(sizes):
    """DataError unless all values of `sizes`, a dict: path -> (width, height), are equal."""
    if len(set(sizes.values())) > 1:
        found = ', '.join(f'{path} is {width} wide and {height} high' for path, (width, height) in sizes.items())
        raise DataError(f'different sizes: {found}; label map, instance map and photo must have the same '
                        'size: replace the wrong one, or fit the maps with python -m dataset.prepare folder --fit '
                        'photo', 'different sizes')


def load_images(sample, opt, colours=None, notes=None):
    """dict: 'label', 'instance' (without no_instance), 'image' (with a photo) -> Pillow images of one size;
    else DataError.

    colours: as for label_map.read_map; notes: a picture_file.Notes that gains what was done to the files.
    """
    label = read_map(sample.label, colours=colours)
    read, images = [('label map', label)], {'label': Image.fromarray(checked_label(sample.label, label.ids, opt))}
    sizes = {sample.label: images['label'].size}
    if not opt.no_instance and sample.instance == COMPONENTS:
        images['instance'] = Image.fromarray(components(np.asarray(images['label'])).astype(np.int32))
    elif not opt.no_instance:
        instance = read_instances(sample.instance)
        read.append(('instance map', instance))
        images['instance'] = Image.fromarray(instance.ids.astype(np.int32))
        sizes[sample.instance] = images['instance'].size
    if sample.photo:
        photo = read_photo(sample.photo, images['label'].size)
        read.append(('photo', photo))
        images['image'] = photo.image
        sizes[sample.photo] = images['image'].size
    if notes:
        for what, decoded in read:
            notes.add(noted(what, decoded))
    check_same_size(sizes)
    return images
