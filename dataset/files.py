"""Lists, pairs by name, reads and checks the files of a data set."""
import os
import unicodedata
from collections import namedtuple

import numpy as np
from PIL import Image

from dataset.components import COMPONENTS, components
from dataset.label_map import read_instances, read_map
from dataset.photo import load_photo, read_photo  # noqa: F401  users' scripts import load_photo from here
from dataset.picture_file import ENDINGS, DataError, noted
from model.init import DONTCARE
from runtime.errors import InputError

Sample = namedtuple('Sample', 'stem label instance photo')  # paths; None if not read
WITHOUT = ', or train without instance maps: --no_instance true'


# ---- Names and pairs

def letters(name):
    """A file's name with composed accents (NFC); macOS decomposes them (NFD). Bytes that are not UTF-8 remain."""
    return unicodedata.normalize('NFC', name)


def same_but_for_the_ending(folder, name, other):
    """Message on two files of one folder with the same stem."""
    if letters(name) == letters(other):
        return f'{folder}: {ascii(name)} and {ascii(other)} are one name (Unicode NFC and NFD): remove one'
    return f'{folder}: {name} and {other} have the same name but for the ending; files pair by name: remove one'


def evenly_spaced(files, most=None):
    """list of up to `most` of the files, evenly spaced; most None: all."""
    chosen = np.linspace(0, len(files) - 1, min(most or len(files), len(files))).round().astype(int)
    return [files[index] for index in np.unique(chosen)]


def split_folders(opt, split, photos=True):
    """dict: 'label', 'instance', 'photo' -> folder of `split` ('train' or 'val')."""
    names = {'label': 'label', 'instance': None if opt.no_instance else 'inst', 'photo': 'img' if photos else None}
    return {part: os.path.join(opt.dataroot, f'{split}_{name}') for part, name in names.items() if name}


def find_samples(opt, split, photos=True):
    """list of Sample, sorted by stem, up to max_dataset_size; DataError for the first problem of a folder or name."""
    samples, problems = pair_files(opt, split, photos)
    if problems:
        raise problems[0]
    return samples


def pair_files(opt, split, photos=True):
    """(list of complete Samples, list of DataErrors on folders and names)."""
    files, problems, folders = {}, [], split_folders(opt, split, photos)
    for part, folder in folders.items():
        try:
            found, twice, others = _images(folder)
        except FileNotFoundError:
            problems.append(_missing_folder(opt, folder, part))
            continue
        except OSError as error:
            problems.append(DataError(f'{folder}: cannot list the folder (dataroot): {error.strerror}',
                                      'missing folder'))
            continue
        problems += [DataError(same_but_for_the_ending(folder, *names), 'same name twice') for names in twice]
        if found:
            files[part] = found
        else:
            problems.append(DataError(f'{folder}: no images in this folder of --dataroot ({others} other files), '
                                      f'expected files that end in {" ".join(ENDINGS)}: put the images there or name '
                                      'another --dataroot', 'empty folder'))
    if len(files) < len(folders):
        return [], problems
    problems += _unpaired(folders, files)
    paired = set.intersection(*map(set, files.values()))
    stems = sorted((os.path.splitext(os.path.basename(files['label'][key]))[0], key) for key in paired)
    return [Sample(stem, *(files[part][key] if part in files else None for part in Sample._fields[1:]))
            for stem, key in stems[:opt.max_dataset_size]], problems


def by_stem(folder, option):
    """dict: name without ending, in `letters` -> path of each image in a folder, sorted; InputError."""
    try:
        files, twice, _ = _images(folder)
    except OSError as error:
        raise InputError(f'{option} {folder}: cannot list the folder: {error.strerror}') from None
    if twice:
        raise InputError(same_but_for_the_ending(f'{option} {folder}', *twice[0]))
    if not files:
        raise InputError(f'{option} {folder}: no images in it, expected files that end in {" ".join(ENDINGS)}')
    return files


def _images(folder):
    """(dict: stem in `letters` -> path of each image, pairs of names with one stem, number of other files)."""
    files, twice, others = {}, [], 0
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            stem, ending = os.path.splitext(entry.name)
            stem = letters(stem)
            if entry.name.startswith('.') or ending.lower() not in ENDINGS or not entry.is_file():
                others += 1
            elif stem in files:
                twice.append((os.path.basename(files[stem]), entry.name))
            else:
                files[stem] = entry.path
    return files, twice, others


def _missing_folder(opt, folder, part):
    if not os.path.isdir(opt.dataroot):
        return DataError(f'{folder}: missing folder, since --dataroot {opt.dataroot} does not exist: correct the '
                         'name, or make the set with python -m dataset.prepare', 'missing folder')
    what = {'label': 'label maps', 'instance': 'instance maps', 'photo': 'photos'}[part]
    return DataError(f'{folder}: missing folder for the {what} of --dataroot {opt.dataroot}: put them there or name '
                     f'another --dataroot{WITHOUT if part == "instance" else ""}', 'missing folder')


def _unpaired(folders, files):
    """list of DataErrors on photos and label maps without a partner."""
    problems = []
    for one, other, what in (('label', 'photo', 'label maps without photo'),
                             ('photo', 'label', 'photos without label map'),
                             ('label', 'instance', 'label maps without instance map')):
        if other in files and one in files and (alone := sorted(files[one].keys() - files[other].keys())):
            names = ', '.join(alone[:3]) + (', ...' if len(alone) > 3 else '')
            problems.append(DataError(f'{folders[one]}: {len(alone)} {what} in {folders[other]}: {names}; files are '
                                      f'paired by name without ending: add the missing files or remove '
                                      f'these{WITHOUT if other == "instance" else ""}', 'unpaired files'))
    return problems


# ---- Reading a sample

def load_label(path, opt, colours=None):
    """(H, W) uint8, int32 if label_nc > 255: class ids, unlabelled pixels (255) as label_nc; DataError for other ids.

    With contain_dontcare_label, 255 is never a class, even if label_nc is above 255. colours: as for read_map.
    """
    return checked_label(path, read_map(path, colours=colours).ids, opt)


def checked_label(path, label, opt):
    """As load_label, for the ids (H, W) stored in `path`."""
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
    remedies = ['map the ids to that range, or train with a larger --label_nc'] if (ids != DONTCARE).any() else []
    if opt.contain_dontcare_label:
        allowed += f', and {opt.label_nc} or {DONTCARE} for unlabelled pixels'
    elif DONTCARE in ids:
        remedies.append(f'if {DONTCARE} marks unlabelled pixels: train with --contain_dontcare_label true')
    return DataError(f'{path}: label value {found}{more}; allowed: {allowed}; {"; ".join(remedies)}', 'label value')


def load_ids(path, what):
    """(H, W) int32 ids as stored, of any range; what: the kind of map, for messages."""
    return read_map(path, what).ids.astype(np.int32)


def load_instance(path):
    """(H, W) int32 instance ids of any range. Only differences between neighbours matter."""
    return read_instances(path).ids.astype(np.int32)


def check_same_size(sizes):
    """DataError unless all values of `sizes`, a dict: path -> (width, height), are equal."""
    if len(set(sizes.values())) > 1:
        found = ', '.join(f'{path} is {width} wide and {height} high' for path, (width, height) in sizes.items())
        raise DataError(f'different sizes: {found}; label map, instance map and photo must have the same size: replace '
                        'the wrong one, or fit the maps with python -m dataset.prepare folder --fit photo',
                        'different sizes')


def load_images(sample, opt, colours=None, notes=None):
    """dict: 'label', 'instance' (unless no_instance), 'image' (with a photo) -> Pillow images of one size; DataError.

    colours: as for label_map.read_map; notes: picture_file.Notes to which the files' notes are added.
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
