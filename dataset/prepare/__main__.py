"""From what people download to a data set:
python -m dataset.prepare coco_stuff --archives DIR, and the same for other sets.

Makes {train,val}_{img,label,inst} on all cores, straight out of the archives. The same command after a kill goes on;
after its sources were corrected it makes anew what they changed, and says so. At the end the set is checked, sheet.jpg
shows samples of it, report.txt says what was changed, guessed or left out, and the command to train with is printed.
"""
import argparse
import os
import sys

from dataset import classes, contents, demo
from dataset.check import check
from dataset.files import find_samples
from dataset.palette import UNLABELLED
from dataset.photo import span_of
from dataset.prepare import advice, coco, folders, own
from dataset.prepare.contact_sheet import contact_sheet
from dataset.prepare.report import FILE as REPORT
from dataset.prepare.report import Report
from dataset.prepare.samples import VERSION, prepare
from dataset.prepare.split import GROUPS
from model.init import OPT
from model.presets import PRESETS
from runtime.errors import InputError, printable, shown_in_one_line
from runtime.writing import writing

SHEET = 'sheet.jpg'

RELEASED = {  # command -> (preset, what --archives must hold, label ids in the files)
    'coco_stuff': ('coco_stuff_paper', 'train2017.zip, val2017.zip, stuffthingmaps_trainval2017.zip and '
                   'annotations_trainval2017.zip', 182),
    'ade20k': ('ade20k_paper', 'ADEChallengeData2016.zip, or the folder ADEChallengeData2016', 151),
    'ade20k_outdoor': ('ade20k_outdoor_paper', 'ADEChallengeData2016.zip, or the folder ADEChallengeData2016', 151),
    'cityscapes': ('cityscapes_paper',
                   'leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, or the folders leftImg8bit and '
                   'gtFine', 35),
}

OFFICIAL_IDS = '''\
Instance maps. By default every object has a number of its own, which no class and no other object in the picture has,
so that every border between objects and around them becomes an edge. --official-ids paints objects as 0, 1, 2, ...
over the class ids, as NVlabs/SPADE's coco_generate_instance_map.py does: an object whose number is that of the class
beside it loses its edge there. It is not the default for that reason; it is for alignment with the published weights,
which have seen such maps.'''

OUTDOOR = '''\
The paper takes its ADE20K-outdoor from Qi et al., Semi-parametric Image Synthesis (CVPR 2018). No list of its
training pictures is known to us; later work made its own (issue 23 of boschresearch/OASIS). By default this takes the
pictures whose scene in sceneCategories.txt is an outdoor one in the list of Places365, or says so in its name
(dataset/outdoor_scenes.txt): close in kind, but not the paper's selection. With a list of your own: --list FILE, a
picture's name in each line.'''

OWN = '''\
Folders are walked with all below them. Photo and maps of a sample have one name, apart from endings, accents, case,
and words such as _mask, _gt, _labelIds, images/ and masks/; one folder may hold both. A repeated command follows
corrected files, tables and flags.
Colour table: lines "id red green blue name", or JSON {"name": [red, green, blue], ...}; id 255 is unlabelled. Several
colours may share an id, 255 too. Connected regions have the edges of the label map itself: they cannot part touching
objects of one class.
Names: a class name in each line, for id 0, 1, 2, ...; lines that begin with # are left out. They are kept in the
set's classes.json, which scores, sheets and pages show.'''


def released(arguments):
    preset, _, shown = RELEASED[arguments.command]
    output = arguments.output or PRESETS[preset].get('dataroot', OPT().dataroot)
    module = coco if arguments.command == 'coco_stuff' else folders
    opt = OPT.preset(preset, dataroot=output, batchSize=1)
    settings = {'made by': f'dataset.prepare {arguments.command}', 'link': arguments.link,
                'instances': not opt.no_instance,
                'sources': {'archives': os.path.realpath(arguments.archives)}, 'version': VERSION}
    if arguments.command == 'coco_stuff':
        settings['official ids'] = arguments.official_ids
    jobs, unsafe = module.jobs(arguments)
    outcome = made(output, settings, jobs, module.maker(arguments))
    found = {'label_nc': opt.label_nc, 'unlabelled': opt.contain_dontcare_label, 'instances': not opt.no_instance,
             'highest': shown - 1}
    classes.write(output, {**classes.RELEASED[arguments.command], **found})
    flags = ['--preset', preset] + (['--dataroot', output] if arguments.output else [])
    return finish(opt, shown, Report(outcome, unsafe=unsafe), advice.preset(flags))


def folder(arguments):
    output, (table, given) = arguments.output, own.classes_of(arguments)
    sources = own.Sources(arguments)
    of_palette = {} if table else own.palette_colours(sources.paths('label'))
    if not table:
        own.check_not_masks(sources.paths('label'), arguments)
    span = span_of(sources.paths('photo'))
    settings = {'made by': 'dataset.prepare folder', 'link': arguments.link, 'instances': arguments.instances != 'none',
                'colours': table, 'names': given, 'void': sorted(arguments.void), 'fit': arguments.fit, 'span': span,
                'instances from': arguments.instances if arguments.instances in ('none', 'components') else 'folder',
                'seed': arguments.seed, 'val': arguments.val, 'group': arguments.group, 'sources': sources.folders(),
                'version': VERSION}
    outcome, left_out = None, None
    while outcome is None or left_out != _left_out(outcome):
        left_out = _left_out(outcome) if outcome else set()
        found = made(output, settings, sources.jobs(left_out), own.maker(arguments, table, given, span))
        outcome = found if outcome is None else found.after(outcome)   # again: validation got some that are left out
    records = [record for record in outcome.records if 'left_out' not in record]
    table_top = [entry.id for entry in table or () if entry.id != UNLABELLED and entry.id not in arguments.void]
    label_nc = max([1 + record['highest'] for record in records] + [1 + index for index in table_top] + [len(given)])
    if label_nc > UNLABELLED and not table and UNLABELLED not in arguments.void and \
            any(record['unlabelled'] for record in records):
        raise InputError(f'{arguments.labels}: ids go up to {label_nc - 1}, and 255, which means unlabelled, occurs '
                         f'too, in the map of {next(record["stem"] for record in records if record["unlabelled"])}: if '
                         'it is unlabelled, --void 255; if it is a class, give that another id')
    guessed = list(sources.guessed)
    if not given and not table:
        guessed.append(f'{label_nc} classes, since the highest id is {label_nc - 1}, in the map of '
                       f'{next(record["stem"] for record in records if record["highest"] == label_nc - 1)}; --names '
                       'says how many')
    both = sources.trained_on()
    if both:
        print(printable(f'{len(both)} validation photos are training photos too, {both[0]} the first: scores on them '
                        'say nothing about new maps: take them out of one folder'))
    if sources.divided:
        print(printable(sources.divided))
    known = {'label_nc': label_nc, 'unlabelled': any(record['unlabelled'] for record in records),
             'instances': arguments.instances != 'none', 'highest': max(record['highest'] for record in records),
             **{side: [min(sizes), max(sizes)] for side, sizes in zip(('width', 'height'),
                                                                      zip(*(record['size'] for record in records)))}}
    content = classes.of_table(table, label_nc) if table else classes.content(
        given or [str(index) for index in range(label_nc)],
        colours={index: colour for index, colour in of_palette.items()
                                                                     if index < label_nc})
    kept = classes.read(output)   # names that were written there by hand
    if not table and not given and kept and len(kept['names']) in (label_nc, label_nc + 1):
        content = kept
    classes.write(output, {**content, **known})
    opt = OPT(dataroot=output, **classes.settings_of(output))
    count = sum(record['split'] == 'train' for record in records)
    return finish(opt, label_nc, Report(outcome, guessed), advice.own(output, count, len(records) - count))


def _left_out(outcome):
    """set of the stems of what could not be made."""
    return {record['stem'] for record in outcome.records if 'left_out' in record}


def made(output, settings, jobs, make):
    """Outcome of the samples; InputError if none could be made."""
    outcome = prepare(output, settings, jobs, make)
    left_out = [record for record in outcome.records if 'left_out' in record]
    if len(left_out) == len(outcome.records):
        raise InputError(f'{output}: no sample could be made; the first: '
                         f'{left_out[0]["left_out"] if left_out else "no files"}')
    return outcome


def finish(opt, shown, report, commands):
    """Check the set, draw its sheet, say what was done and what to do next; -> whether the check found anything wrong.
    """
    root, records = opt.dataroot, report.outcome.records
    left_out = [record for record in records if 'left_out' in record]
    report.write(root)
    print(f'{root}: {len(records) - len(left_out)} samples; {len(left_out)} left out, {len(report.grey)} grey photos, '
          f'{len(report.unsafe)} unsafe members of archives: {os.path.join(root, REPORT)}')
    wrong = check(opt)
    contents.keep(root)
    path = os.path.join(root, SHEET)
    samples = {split: find_samples(opt, split)
               for split in ('train', 'val') if os.path.isdir(os.path.join(root, f'{split}_label'))}
    noted = {(record['split'], record['stem']): [note for kind in ('notes', 'flaws')
                                                 for _, note, _ in record.get(kind, ())]
             for record in records}
    sheet = contact_sheet([(sample, noted.get((split, sample.stem), ())) for split, found in samples.items()
                           for sample in found],
                          classes.colours(classes.read(root), shown), report.first_line)
    with writing(path) as unfinished:
        sheet.save(unfinished, quality=95)
    print('\n'.join(report.shown()))
    print('\n'.join([f'look at: {path}', *commands]))
    return wrong


def parser():
    result = argparse.ArgumentParser(prog='python -m dataset.prepare', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = result.add_subparsers(dest='command', required=True, metavar='SET')
    for name, (preset, content, _) in RELEASED.items():
        more = {'coco_stuff': OFFICIAL_IDS, 'ade20k_outdoor': OUTDOOR}.get(name, '')
        command = _command(commands, name, f'{name} from {content}', more)
        command.add_argument('--archives', metavar='DIR', required=True,
                             help=f'folder that holds {content}; unpacked files do too')
        command.add_argument('--output', metavar='DIR',
                             help='folder to make; default: where --preset ' + preset + ' looks')
        command.add_argument('--link', action='store_true',
                             help='symbolic links to files that are unpacked in --archives already')
        command.set_defaults(action=released)
        if name == 'coco_stuff':
            command.add_argument('--official-ids', action='store_true',
                                 help='instance ids of the official script; see below')
        if name == 'ade20k_outdoor':
            command.add_argument('--list', metavar='FILE', help='take these pictures instead; see below')
    command = _command(commands, 'folder', 'your own photos and label maps', OWN)
    command.add_argument('--images', metavar='DIR', required=True, help='photos')
    command.add_argument('--labels', metavar='DIR', required=True, help='label maps of the same names: ids, or colours')
    command.add_argument('--colours', metavar='FILE', help='table of the colours in the label maps')
    command.add_argument('--instances', metavar='DIR|components|none', default='none',
                         help='instance maps: a folder, the '
                         'connected regions of each class, or none (default)')
    command.add_argument('--val_images', metavar='DIR', help='photos for validation, where a set has its own split')
    command.add_argument('--val_labels', metavar='DIR', help='their label maps')
    command.add_argument('--val_instances', metavar='DIR', help='their instance maps, where --instances names a folder')
    command.add_argument('--void', metavar='ID', type=int, nargs='+', default=[],
                         help='ids in the label maps that mean '
                         'unlabelled, beside 255')
    command.add_argument('--names', metavar='FILE', help='names of the classes, one a line, in the order of their ids')
    command.add_argument('--fit', choices=('none', 'photo'), default='none',
                         help='photo: maps of another size than their photo '
                         'are resized to it, by nearest pixel; none (default): such samples are left out')
    command.add_argument('--val', type=float, default=0.1,
                         help='fraction of the samples set aside for validation (default 0.1)')
    command.add_argument('--seed', type=int, default=0, help='another seed sets others aside')
    command.add_argument('--group', choices=GROUPS, default='auto', help='auto (default): whole folders, or all tiles '
                         'NAME_row_column of a photograph, go to one side, so that validation shows nothing of what is '
                         'trained on; none: samples are drawn one by one')
    command.add_argument('--output', metavar='DIR', required=True, help='folder to make')
    command.add_argument('--link', action='store_true', help='symbolic links to the photos instead of copies')
    command.set_defaults(action=folder)
    command = _command(commands, 'demo', 'generated scenes, nothing to download', '')
    demo.add_flags(command)
    command.set_defaults(action=demo.make)
    return result


def _command(commands, name, help, more):
    return commands.add_parser(name, help=help, description=help, epilog=more,
                               formatter_class=argparse.RawDescriptionHelpFormatter)


def main():
    arguments = parser().parse_args()
    sys.exit(arguments.action(arguments))


if __name__ == '__main__':
    with shown_in_one_line():
        main()
