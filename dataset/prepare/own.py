"""A data set of one's own photos and label maps: python -m dataset.prepare folder."""
import functools
from collections import defaultdict

from dataset import classes
from dataset.agreement import check_palettes, masks
from dataset.components import COMPONENTS
from dataset.palette import UNLABELLED, read_names, read_table
from dataset.photo import span_of
from dataset.prepare import advice, pairs
from dataset.prepare.own_sample import Maker, read_maps
from dataset.prepare.record import PARTS, VERSION, read_record
from dataset.prepare.report import Report, finish
from dataset.prepare.samples import prepare
from dataset.prepare.sources import Sources
from model.init import OPT
from runtime.errors import InputError, printable

GAP = 32    # a highest id so far above the next, where less than half of the ids occur, hardly numbers a class


def folder(arguments):
    """Make the data set that the flags describe; return whether its check found problems."""
    output, (table, names) = arguments.output, table_and_names(arguments)
    flags = ['images', 'labels'] + ['instances'] * (arguments.instances not in ('none', COMPONENTS))
    sources = Sources(arguments, flags, _rows, _drawn_before(output, arguments))
    maps = sources.paths('label')
    of_palette = {} if table else _palette_colours(maps)
    if not table:
        _check_not_masks(maps, arguments)
    span = span_of(sources.paths('photo'))
    settings = {'instances': arguments.instances != 'none', 'colours': table, 'names': names, 'fit': arguments.fit,
                'void': sorted(arguments.void), 'span': span,
                'instances from': arguments.instances if arguments.instances in ('none', COMPONENTS) else 'folder'}
    read = functools.partial(read_maps, table=table, void=arguments.void, classes=len(names), link=arguments.link,
                             instances=arguments.instances, fit=arguments.fit == 'photo', span=span)
    outcome = made(arguments, sources, settings, read)
    records = outcome.made
    highest = max(record['highest'] for record in records)
    of_table = [entry.id for entry in table or () if entry.id != UNLABELLED and entry.id not in arguments.void]
    label_nc = max(1 + max([highest, *of_table]), len(names))
    _check_unlabelled(arguments, label_nc, table, records)
    if not names and not table:
        stem = next(record['stem'] for record in records if record['highest'] == highest)
        sources.guessed.append(f'{label_nc} classes, since the highest id is {highest}, in the map of {stem} (or give '
                               '--names)')
    return completed(arguments, sources, outcome, _content(output, table, names, label_nc, of_palette), label_nc,
                     settings['instances'], _doubtful(arguments, records, label_nc, bool(names or table)))


def made(arguments, sources, settings, read):
    """Outcome of the sources' jobs. Validation samples are drawn among those that can be made.

    read: the function with which Maker reads a sample.
    """
    make = Maker(read, arguments.tiles, arguments.instances == COMPONENTS, arguments.link)
    settings = {'made by': f'dataset.prepare {arguments.command}', 'link': arguments.link, 'seed': arguments.seed,
                'val': arguments.val, 'group': arguments.group, 'sources': sources.folders(), **settings,
                **({'tiles': arguments.tiles} if arguments.tiles else {}),
                **({'drawn': 1} if sources.by_place else {}), 'version': VERSION}
    excluded = set()
    outcome = prepare(arguments.output, settings, sources.jobs(excluded), make)
    while excluded != (left_out := {record['stem'] for record in outcome.left_out}):
        excluded = left_out     # drawn for validation perhaps: draw again
        outcome = prepare(arguments.output, settings, sources.jobs(excluded), make).after(outcome)
    if not any(record.get('ids', True) for record in outcome.made):
        raise InputError(f'{arguments.output}: every pixel of every label map is unlabelled'
                         + (f' with --void {" ".join(map(str, arguments.void))}: name fewer ids' if arguments.void else
                            ': give some pixels a class'))
    return outcome


def completed(arguments, sources, outcome, content, label_nc, instances, suspicious=()):
    """Write classes.json, check the data set and report; return whether the check found problems.

    content: of classes.json (dataset.classes); instances: whether there are instance maps; suspicious: lines to report.
    """
    output, records = arguments.output, outcome.made
    if both := sources.trained_on():
        print(printable(f'{len(both)} validation photos are training photos too, {both[0]} the first: scores on them '
                        'say nothing about new maps: remove them from one folder'))
    if sources.divided:
        print(printable(sources.divided))
    widths, heights = zip(*(record['size'] for record in records))
    classes.write(output, {**content, 'label_nc': label_nc, 'instances': instances,
                           'highest': max(record['highest'] for record in records),
                           'unlabelled': any(record['unlabelled'] for record in records),
                           'width': [min(widths), max(widths)], 'height': [min(heights), max(heights)]})
    opt = OPT(dataroot=output, **classes.settings_of(output))
    count = sum(record['split'] == 'train' for record in records)
    report = Report(outcome, sources.guessed, borders=sources.borders(),
                    suspicious=[*suspicious, *_alike(content['names'])])
    return finish(opt, label_nc, report, advice.own(output, count, len(records) - count, arguments.tiles))


def _doubtful(arguments, records, label_nc, declared):
    """Lines on ids: those of --void that no map holds, and a highest one that hardly numbers a class.

    declared: whether --names or --colours say what the ids are. Records of earlier versions lack ids.
    """
    absent = set(arguments.void).difference(*(record.get('void', arguments.void) for record in records))
    lines = [f'--void {" ".join(map(str, sorted(absent)))}: in no label map'] if absent else []
    used = sorted({index for record in records for index in record.get('ids', ())})
    if not declared and len(used) > 1 and used[-1] - used[-2] > GAP and 2 * len(used) < label_nc:
        lines.append(f'{len(used)} of {label_nc} ids occur, and {used[-1]} lies far above the next, {used[-2]}: if it '
                     f'means unlabelled, add --void {used[-1]}; else number the classes from 0 without gaps')
    return lines


def _alike(names):
    """Lines on classes whose names differ at most in case and blanks."""
    alike = defaultdict(list)
    for index, name in enumerate(names):
        alike[' '.join(name.split()).casefold()].append(f'{index} {name!r}')
    return [f'classes {" and ".join(found)} have one name but for case and blanks: if they are one class, give them '
            'one name in the annotations, or one id in the table' for found in alike.values() if len(found) > 1]


def _drawn_before(output, arguments):
    """Whether version 1 of the record drew the set's validation samples, with the same flags.

    After a new draw, photos that earlier runs were trained on would become validation photos.
    """
    head = read_record(output)[0]
    return head is not None and ('version' not in head or head.get('drawn') == 1) and \
        (head.get('seed'), head.get('val')) == (arguments.seed, arguments.val)


def _rows(folders):
    """pairs.rows of dict: option -> folder, of photos, label maps and perhaps instance maps."""
    return pairs.rows(dict(zip(PARTS, folders.values())), dict(zip(PARTS, folders)))


def _content(output, table, names, label_nc, of_palette):
    """Names and colours for classes.json: of the table, of --names, of a classes.json already there, or numbers."""
    if table:
        return classes.of_table(table, label_nc)
    if not names and (there := classes.naming(output, label_nc)):
        return there
    return classes.content(names or [str(index) for index in range(label_nc)],
                           colours={index: colour for index, colour in of_palette.items() if index < label_nc})


# ---- Flags

def table_and_names(arguments):
    """(list of dataset.palette.Class of --colours, or None; list of names of --names); InputError."""
    if arguments.colours and arguments.names:
        raise InputError('--colours and --names both give names: omit --names; the table has the names')
    table = read_or_refuse(read_table, '--colours', arguments.colours) if arguments.colours else None
    names = read_or_refuse(read_names, '--names', arguments.names) if arguments.names else []
    while names and len(names) - 1 in arguments.void:
        names.pop()
    if table:
        classes.check(classes.of_table(table, 1 + max(entry.id for entry in table)), f'--colours {arguments.colours}')
    classes.check(classes.content(names), f'--names {arguments.names}')
    return table, names


def read_or_refuse(reader, flag, path):
    """reader(path); its errors as an InputError that names the flag."""
    try:
        return reader(path)
    except OSError as error:
        raise InputError(f'{flag} {path}: cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise InputError(f'{flag} {path}: {" ".join(str(error).split())}') from None


# ---- What the label maps mean

def _palette_colours(maps):
    """dict: id -> colour of the label maps' common palette, each colour once; {} without one or if it is grey."""
    colours = check_palettes(maps) or ()
    if all(len(set(colour)) == 1 for colour in colours):
        return {}
    return {index: colour for index, colour in enumerate(colours) if colour not in colours[:index]}


def _check_not_masks(maps, arguments):
    """InputError if all label maps are masks of greys, such as 0 and 255, unless --void decides on white."""
    found = masks(maps)
    if not found or found.values[-1] in arguments.void:
        return
    *others, white = found.values
    steps = list(enumerate(found.values))
    listed = f'{" and ".join(filter(None, [", ".join(map(str, others)), str(white)]))} alone'
    if found.other:
        listed += f', which some files store as other numbers, such as {found.other}'
        steps += [(1, 1)] * (white == UNLABELLED)
    lines = ', '.join(f'"{step} {value} {value} {value} NAME"' for step, value in steps)
    remedy = f'--colours FILE with the lines {lines}' if white <= 255 else 'save the maps with 8 bits, 0 to 255'
    if white < UNLABELLED:
        raise InputError(f'--labels {arguments.labels}: the maps hold {listed}: {remedy}')
    raise InputError(f'--labels {arguments.labels}: the maps hold {listed}, and 255 means unlabelled: if {white} is a '
                     f'class, as white in a mask, {remedy}; if it is unlabelled, --void {white}')


def _check_unlabelled(arguments, label_nc, table, records):
    """InputError if 255 could be a class: ids go beyond it and nothing declares it unlabelled."""
    stem = next((record['stem'] for record in records if record['unlabelled']), None)
    if label_nc > UNLABELLED and stem is not None and not table and UNLABELLED not in arguments.void:
        raise InputError(f'{arguments.labels}: ids go up to {label_nc - 1}, and 255, which means unlabelled, occurs '
                         f'too, in the map of {stem}: if it is unlabelled, --void 255; if it is a class, give it '
                         'another id')
