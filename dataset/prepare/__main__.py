"""From what people download to a data set: python -m dataset.prepare coco_stuff --archives DIR, and the same for other sets.

Makes {train,val}_{img,label,inst} on all cores, straight out of the archives. The same command after a kill goes on. At the end
the set is checked, sheet.jpg shows samples of it, report.txt lists grey photos and what was left out, and the command to train
with is printed.
"""
import argparse
import os
import shlex
import sys

from dataset import classes, demo
from dataset.check import check
from dataset.files import find_samples
from dataset.picture_file import Notes
from dataset.prepare import coco, folders, own
from dataset.prepare.contact_sheet import contact_sheet
from dataset.prepare.samples import prepare
from model.init import OPT
from model.presets import PRESETS
from runtime.commands import runnable
from runtime.errors import InputError, shown_in_one_line

SHEET, REPORT = 'sheet.jpg', 'report.txt'

RELEASED = {  # command -> (preset, what --archives must hold, label ids in the files)
    'coco_stuff': ('coco_stuff_paper', 'train2017.zip, val2017.zip, stuffthingmaps_trainval2017.zip and '
                   'annotations_trainval2017.zip', 182),
    'ade20k': ('ade20k_paper', 'ADEChallengeData2016.zip, or the folder ADEChallengeData2016', 151),
    'ade20k_outdoor': ('ade20k_outdoor_paper', 'ADEChallengeData2016.zip, or the folder ADEChallengeData2016', 151),
    'cityscapes': ('cityscapes_paper', 'leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, or the folders leftImg8bit and '
                   'gtFine', 35),
}

OFFICIAL_IDS = '''\
Instance maps. By default every object has a number of its own, which no class and no other object in the picture has, so that
every border between objects and around them becomes an edge. --official-ids paints objects as 0, 1, 2, ... over the class ids,
as NVlabs/SPADE's coco_generate_instance_map.py does: an object whose number is that of the class beside it loses its edge there.
It is not the default for that reason; it is for alignment with the published weights, which have seen such maps.'''

OUTDOOR = '''\
The paper takes its ADE20K-outdoor from Qi et al., Semi-parametric Image Synthesis (CVPR 2018). No list of its training pictures
is known to us; later work made its own (issue 23 of boschresearch/OASIS). By default this takes the pictures whose scene in
sceneCategories.txt is an outdoor one in the list of Places365, or says so in its name (dataset/outdoor_scenes.txt): close in
kind, but not the paper's selection. With a list of your own: --list FILE, a picture's name in each line.'''

OWN = '''\
Colour table: lines "id red green blue name", or JSON {"name": [red, green, blue], ...}; id 255 is unlabelled. Connected regions
have the edges of the label map itself: they cannot part touching objects of one class.
Names: a class name in each line, for id 0, 1, 2, ...; lines that begin with # are left out. They are kept in the set's
classes.json, which scores, sheets and pages show.'''


def released(arguments):
    preset, _, shown = RELEASED[arguments.command]
    output = arguments.output or PRESETS[preset].get('dataroot', OPT().dataroot)
    module = coco if arguments.command == 'coco_stuff' else folders
    opt = OPT.preset(preset, dataroot=output, batchSize=1)
    settings = {'made by': f'dataset.prepare {arguments.command}', 'link': arguments.link, 'instances': not opt.no_instance}
    if arguments.command == 'coco_stuff':
        settings['official ids'] = arguments.official_ids
    made(output, module, arguments, settings)
    classes.write(output, classes.RELEASED[arguments.command])
    flags = ['--preset', preset] + (['--dataroot', output] if arguments.output else [])
    return finish(opt, shown, flags)


def folder(arguments):
    if arguments.colours and arguments.names:
        raise InputError('--colours and --names both give names: leave --names out, the names are those of the table')
    table = own.table_of(arguments.colours) if arguments.colours else None
    given = own.names_of(arguments.names, arguments.void) if arguments.names else []
    settings = {'made by': 'dataset.prepare folder', 'link': arguments.link, 'instances': arguments.instances != 'none',
                'colours': table, 'seed': arguments.seed, 'val': arguments.val, 'instances from': arguments.instances}
    settings.update({name: value for name, value in (('names', given), ('void', arguments.void), ('fit', arguments.fit)) if value
                     and value != 'none'})
    settings.update({name: True for name in ('val_images', 'val_labels') if getattr(arguments, name)})
    records = made(arguments.output, own, arguments, settings)
    fitted = sum(record.get('fitted', False) for record in records)
    if fitted:
        print(f'{fitted} label maps had another size than their photo and were fitted to it (nearest pixel)')
    table_top = [entry.id for entry in table or () if entry.id != 255 and entry.id not in arguments.void]
    label_nc = max([1 + record['highest'] for record in records] + [1 + index for index in table_top] + [len(given)])
    if label_nc and not given and not table:
        print(f'{label_nc} classes, since the highest id is {label_nc - 1}, in the map of '
              f'{next(record["stem"] for record in records if record["highest"] == label_nc - 1)}; --names says how many there are')
    both = own.trained_on(arguments)
    if both:
        print(f'{len(both)} validation photos are training photos too, {both[0]} the first: scores on them say nothing about new '
              'maps: take them out of one folder')
    if label_nc > 255 and not table and 255 not in arguments.void and any(record['unlabelled'] for record in records):
        raise InputError(f'{arguments.labels}: ids go up to {label_nc - 1}, and 255, which means unlabelled, occurs too, in the map of '
                         f'{next(record["stem"] for record in records if record["unlabelled"])}: if it is unlabelled, --void 255; if it '
                         'is a class, give that another id')
    if table:
        known = classes.of_table(table, label_nc)
    else:
        of_palette = {index: colour for index, colour in own.palette_colours(arguments).items() if index < label_nc}
        known = classes.content(given or [str(index) for index in range(label_nc)], colours=of_palette)
    classes.write(arguments.output, known)
    unlabelled = any(record['unlabelled'] for record in records)
    flags = {'dataroot': arguments.output, 'label_nc': label_nc}
    if not unlabelled:
        flags['contain_dontcare_label'] = False
    if arguments.instances == 'none':
        flags['no_instance'] = True
    run = os.path.join('runs', os.path.basename(os.path.normpath(arguments.output)))
    words = [word for name, value in flags.items() for word in (f'--{name}', str(value).lower() if value is not arguments.output
                                                                else value)]
    return finish(OPT(**flags), label_nc, words + ['--output', run, '--log', os.path.join(run, 'log')])


def made(output, module, arguments, settings):
    """Records of the samples that were made; InputError if there is none."""
    jobs, hostile = module.jobs(arguments)
    records = prepare(output, settings, jobs, module.maker(arguments))
    left_out = [record for record in records if 'left_out' in record]
    good = [record for record in records if 'left_out' not in record]
    lines = [f'left out: {record["split"]} {record["stem"]}: {record["left_out"]}' for record in left_out]
    lines += [f'not taken from the archive, its name or kind is not safe: {name!r}' for name in hostile]
    lines += [f'grey photo, kept: {record["split"]} {record["stem"]}' for record in good if record['grey']]
    with open(os.path.join(output, REPORT), 'w') as file:
        file.writelines(f'{line}\n' for line in lines)
    print(f'{output}: {len(good)} samples; {len(left_out)} left out, {len(lines) - len(left_out) - len(hostile)} grey photos, '
          f'{len(hostile)} unsafe members of archives' + (f': {os.path.join(output, REPORT)}' if lines else ''))
    print(''.join(f'  {line}\n' for line in lines[:5]), end='')
    notes = Notes()
    for record in good:
        notes.add(record.get('notes', ()))
    print(''.join(f'  {line}\n' for line in notes.lines()), end='')
    if not good:
        raise InputError(f'{output}: no sample could be made; the first: {left_out[0]["left_out"]}')
    return good


def finish(opt, shown, flags):
    """Check the set, draw its sheet, say what to do next; -> whether the check found anything wrong."""
    wrong = check(opt)
    path = os.path.join(opt.dataroot, SHEET)
    samples = [sample for split in ('train', 'val') if os.path.isdir(os.path.join(opt.dataroot, f'{split}_label'))
               for sample in find_samples(opt, split)]
    contact_sheet(samples, classes.colours(classes.read(opt.dataroot), shown)).save(path, quality=95)
    print(f'look at: {path}\ntrain:   {runnable(shlex.join(["python", "train.py", *flags]))}')
    return wrong


def parser():
    result = argparse.ArgumentParser(prog='python -m dataset.prepare', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = result.add_subparsers(dest='command', required=True, metavar='SET')
    for name, (preset, content, _) in RELEASED.items():
        more = {'coco_stuff': OFFICIAL_IDS, 'ade20k_outdoor': OUTDOOR}.get(name, '')
        command = _command(commands, name, f'{name} from {content}', more)
        command.add_argument('--archives', metavar='DIR', required=True, help=f'folder that holds {content}; unpacked files do too')
        command.add_argument('--output', metavar='DIR', help='folder to make; default: where --preset ' + preset + ' looks')
        command.add_argument('--link', action='store_true', help='symbolic links to files that are unpacked in --archives already')
        command.set_defaults(action=released)
        if name == 'coco_stuff':
            command.add_argument('--official-ids', action='store_true', help='instance ids of the official script; see below')
        if name == 'ade20k_outdoor':
            command.add_argument('--list', metavar='FILE', help='take these pictures instead; see below')
    command = _command(commands, 'folder', 'your own photos and label maps', OWN)
    command.add_argument('--images', metavar='DIR', required=True, help='photos')
    command.add_argument('--labels', metavar='DIR', required=True, help='label maps of the same names: ids, or colours')
    command.add_argument('--colours', metavar='FILE', help='table of the colours in the label maps')
    command.add_argument('--instances', metavar='DIR|components|none', default='none', help='instance maps: a folder, the '
                         'connected regions of each class, or none (default)')
    command.add_argument('--val_images', metavar='DIR', help='photos for validation, where a set has its own split')
    command.add_argument('--val_labels', metavar='DIR', help='their label maps')
    command.add_argument('--val_instances', metavar='DIR', help='their instance maps, where --instances names a folder')
    command.add_argument('--void', metavar='ID', type=int, nargs='+', default=[], help='ids in the label maps that mean '
                         'unlabelled, beside 255')
    command.add_argument('--names', metavar='FILE', help='names of the classes, one a line, in the order of their ids')
    command.add_argument('--fit', choices=('none', 'photo'), default='none', help='photo: maps of another size than their photo '
                         'are resized to it, by nearest pixel; none (default): such samples are left out')
    command.add_argument('--val', type=float, default=0.1, help='fraction of the samples set aside for validation (default 0.1)')
    command.add_argument('--seed', type=int, default=0, help='another seed sets others aside')
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
