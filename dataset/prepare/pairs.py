"""Pairs photos and maps of one's own folders by name, in the layouts of annotation tools.

Names are compared in rounds, the strictest first; each round pairs the remaining files:

    as they are       city/0001.jpg        city/0001.png
    as letters        composed and decomposed accents are equal (Unicode NFC; macOS decomposes them)
    without roles     a_leftImg8bit.png    a_gtFine_labelIds.png;  images/a.jpg  masks/a_mask.png;  a.jpg  a.jpg.png
    without case      IMG_1.JPG            img_1.png
    without folders   photos/city/a.jpg    maps/a.png
"""
import os
import re
import zlib
from collections import Counter, defaultdict, namedtuple

from dataset.files import ENDINGS, letters, same_but_for_the_ending
from dataset.prepare.archive import Member
from runtime.errors import InputError, printable

# stem: in the set; folder: without roles; photo, label, instance: Members or None; details: as of Job
Row = namedtuple('Row', 'stem folder photo label instance details', defaults=(None, ()))

MAP = (r'gt_?fine|gt_?coarse|label(?:_?train)?_?ids?|color_?ids|labels?|lbls?|label_images(?:_semantic)?|'
       r'masks?(?:_machine)?|gts?|ground_?truths?|seg(?:s|map|mask|mentations?)?|'
       r'segmentation_?(?:class|object)(?:_?(?:png|raw|aug))?|annot(?:s|ation|ations)?|ann|sem(?:antic)?|matte|trimaps?|'
       r'l|inst(?:ance)?s?(?:_?ids)?')
PHOTO = (r'left_?img_?8bit|jpeg_?images|(?:original_?)?(?:images?|imgs?|photos?|pictures?|pics?)|rgb|sat|'
         r'orig(?:inals?)?|im|default')
SEPARATOR = r'[\s_.\-]+'
ENDS, BEGINS, WHOLE = {}, {}, {}   # kind -> pattern
for kind, words in (('map', MAP), ('photo', PHOTO), ('any', f'{MAP}|{PHOTO}')):
    ENDS[kind] = re.compile(f'(.+?)(?:{SEPARATOR}(?:{words}))+', re.IGNORECASE)
    BEGINS[kind] = re.compile(f'(?:(?:{words}){SEPARATOR})+(.+)', re.IGNORECASE)
    WHOLE[kind] = re.compile(f'(?:{words})(?:{SEPARATOR}(?:{words}))*', re.IGNORECASE)
ANNOTATED = re.compile('(.+)annot', re.IGNORECASE)       # CVAT's CamVid: default/ and defaultannot/
LOSSY = '.jpg', '.jpeg', '.jfif', '.webp'
LONGEST = 180    # bytes of a name in the set: file systems allow 255, and temporary names are longer


def below(folder, option, endings=ENDINGS):
    """Paths, with slashes, of the images in a folder and its subfolders, sorted; InputError without any.

    Hidden files and macOS's __MACOSX folders are skipped; a linked folder is entered once, but no link
    to a folder around it or `folder`.
    """
    found, seen = [], set()

    def refuse(error):
        raise InputError(f'{option} {error.filename or folder}: cannot list the folder: {error.strerror}') from None
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        folders[:] = [name for name in folders if not name.startswith('.') and name != '__MACOSX'
                      and not any(_inside(inner, os.path.join(place, name)) for inner in (place, folder))]
        inside = os.path.relpath(place, folder).replace(os.sep, '/')
        found += [name if inside == '.' else f'{inside}/{name}' for name in files
                  if name.lower().endswith(endings) and not name.startswith('.')]
    if not found:
        raise InputError(f'{option} {folder}: no {"images" if endings is ENDINGS else "annotations"} in this folder or '
                         f'its subfolders, expected files that end in {" ".join(endings)}')
    return sorted(found)


def rows(folders, options):
    """(list of Row, sorted by stem, lines on what was guessed) of `folders`: dict of 'photo', 'label', perhaps
    'instance'.

    options: their flags. A missing partner is None. InputError if a name has two partners.
    """
    files, guessed = _roles({part: [Member(folder, name) for name in below(folder, options[part])]
                             for part, folder in folders.items()}, folders, options)
    partners = {}
    for part in files:
        _refuse_lookalikes(files[part], options[part])
        if part != 'photo':
            partners[part], lines = _paired(files['photo'], files[part], part, options)
            guessed += lines
    label_of = partners['label']
    found = [row_of(photo, label_of.get(photo), partners.get('instance', {}).get(photo)) for photo in files['photo']]
    used = set(label_of.values())
    found += [row_of(None, label) for label in files['label'] if label not in used]
    return distinct(found), guessed


# ---- Photo or map, in a folder that holds both

def _roles(files, folders, options):
    """(files without those of another role, lines on what was guessed)."""
    places = {part: {_place(member): member for member in members}
              for part, members in files.items()}
    guessed = []
    shared = set(places['photo']) & set(places['label'])
    if shared and os.path.realpath(folders['photo']) == os.path.realpath(folders['label']):
        maps = {path for path in shared if _is_map(places['photo'][path].name)}
        by_name = defaultdict(list)
        for path in shared - maps:
            by_name[letters(os.path.splitext(path)[0])].append(path)
        beside = {path for paths in by_name.values() if len(paths) == 2 and len(_lossless(paths)) == 1
                  for path in _lossless(paths)}
        if not maps | beside:
            raise InputError(f'{options["photo"]} and {options["label"]} {folders["label"]}: one folder for both, and '
                             'no name distinguishes label maps from photos (as a_mask.png beside a.jpg or a.png '
                             'beside a.jpg would): move the maps to another folder')
        if beside:
            guessed.append(f'{len(beside)} files used as label maps, because each lies beside a JPEG of the same name: '
                           f'{printable(os.path.basename(min(beside)))}')
        maps |= beside
    else:   # the inner folder belongs to its role, and so does one that the other's links reach
        own = os.path.join(os.path.realpath(folders['label']), '')
        maps = set() if _inside(folders['photo'], folders['label']) else {
            path for path in shared if path.startswith(own)}
    files = {**files, 'photo': [member for path, member in places['photo'].items() if path not in maps],
             'label': [member for path, member in places['label'].items() if path not in shared - maps]}
    if 'instance' in files:
        files['photo'] = [member for member in files['photo'] if _place(member) not in places['instance']]
    return files, guessed


def _place(member):
    """Path without links to folders. Links to one file are files of their own: their names count."""
    folder, name = os.path.split(os.path.join(*member))
    return os.path.join(os.path.realpath(folder), name)


def _is_map(name):
    stem, *folders = reversed(os.path.splitext(name)[0].split('/'))
    return bool(ENDS['map'].fullmatch(stem) or BEGINS['map'].fullmatch(stem) or WHOLE['map'].fullmatch(stem)
                or any(WHOLE['map'].fullmatch(folder) or ANNOTATED.fullmatch(folder) for folder in folders))


def _inside(folder, other):
    folder, other = os.path.realpath(folder), os.path.realpath(other)
    return folder != other and os.path.commonpath([folder, other]) == other


def _lossless(paths):
    return [path for path in paths if not path.lower().endswith(LOSSY)]


# ---- Pairs

def _without_roles(name):
    """'Tile 1/masks/a_mask.png' -> 'Tile 1/a': drops words for photo or map, and a second ending."""
    *folders, stem = os.path.splitext(letters(name))[0].split('/')
    while stem.lower().endswith(ENDINGS):
        stem = os.path.splitext(stem)[0]
    folders = [_stripped(ANNOTATED, folder) for folder in folders]
    stem = _stripped(BEGINS['any'], _stripped(ENDS['any'], stem))
    return '/'.join([folder for folder in folders if not WHOLE['any'].fullmatch(folder)] +
                    ['' if WHOLE['any'].fullmatch(stem) else stem])


def _stripped(pattern, name):
    found = pattern.fullmatch(name)
    return found[1] if found else name


ROUNDS = (
    ('as they are', lambda name: os.path.splitext(name)[0]),
    ('as letters: accents composed', lambda name: letters(os.path.splitext(name)[0])),
    ('without the words for photo or map', _without_roles),
    ('ignoring case', lambda name: _without_roles(name).casefold()),
    ('without their folders', lambda name: os.path.basename(_without_roles(name)).casefold()))


def _refuse_lookalikes(members, option):
    """InputError for two names of one folder that differ only in the composition of accents."""
    seen = {}
    for member in members:
        other = seen.setdefault(letters(os.path.splitext(member.name)[0]), member)
        if os.path.splitext(other.name)[0] != os.path.splitext(member.name)[0]:
            raise InputError(same_but_for_the_ending(f'{option} {member.archive}', other.name, member.name))


def _paired(photos, others, part, options):
    """(dict: photo -> partner among `others`, lines on what was guessed); InputError for two partners."""
    found, guessed = {}, []
    for number, (how, key) in enumerate(ROUNDS):
        sides = []
        for members, paired in ((photos, set(found)), (others, set(found.values()))):
            side = defaultdict(list)
            for member in members:
                if member not in paired:
                    side[key(member.name)].append(member)
            sides.append(side)
        here = {}
        for name in sides[0].keys() & sides[1].keys():
            pair = [_only(side[name], option, kind, number) for side, option, kind in zip(
                sides, (options['photo'], options[part]), ('photo', part))]
            if None not in pair:
                here[pair[0]] = pair[1]
        found.update(here)
        if here and number > 1:
            photo = min(here)
            what = {'label': 'label maps', 'instance': 'instance maps'}[part]
            guessed.append(f'{len(here)} {what} paired by name {how}: {printable(photo.name)} and '
                           f'{printable(here[photo].name)}')
    return found, guessed


def _only(members, option, kind, number):
    """The only member, or the only lossless one of several maps; else InputError, but None in the last round."""
    if len(members) > 1 and kind != 'photo' and len(_lossless(member.name for member in members)) == 1:
        members = [member for member in members if _lossless([member.name])]
    if len(members) == 1:
        return members[0]
    if number == len(ROUNDS) - 1:
        return None
    raise InputError(same_but_for_the_ending(f'{option} {members[0].archive}', members[0].name, members[1].name)
                     if number < 2 else
                     f'{option} {members[0].archive}: {members[0].name} and {members[1].name} both fit one '
                     f'{"map" if kind == "photo" else "photo"} by name: keep only one of them in the folder')


# ---- Names in the set

def row_of(photo, label, instance=None, details=()):
    """Row of these Members, named by the photo, else by its label map."""
    folder = os.path.dirname(_without_roles((photo or label).name))
    return Row(_stem(photo or label, folder), folder, photo, label, instance, details)


def _stem(member, folder):
    """The name in the set: folders, then the file's name. A very long one is cut and ends in a checksum."""
    name = letters(os.path.splitext(os.path.basename(member.name))[0])
    if WHOLE['any'].fullmatch(name) and folder:      # labelme's a_json/img.png
        folder, name = os.path.dirname(folder), os.path.basename(folder)
    whole = '_'.join(filter(None, [*folder.split('/'), name]))
    checksum, cut = f'_{zlib.crc32(os.fsencode(whole)):08x}', whole
    while len(os.fsencode(cut)) > LONGEST:
        cut = cut[:-1]
    return whole if cut == whole else cut + checksum


def distinct(found):
    """The rows, sorted; rows with the same name in the set get a checksum of their path."""
    often = Counter(row.stem for row in found)
    return sorted(row if often[row.stem] == 1 else row._replace(
        stem=f'{row.stem}_{zlib.crc32(os.fsencode((row.photo or row.label).name)):08x}') for row in found)
