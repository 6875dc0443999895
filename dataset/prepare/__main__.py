"""Data sets from downloads: python -m dataset.prepare coco_stuff --archives DIR, and the same for other sets.

Makes {train,val}_{img,label,inst} on all cores, straight from the archives. The same command resumes after a kill, and
remakes samples whose sources changed. At the end it checks the set, draws samples in sheet.jpg, lists all changes,
guesses and omissions in report.txt, and prints the command to train with.
"""
import argparse
import os
import sys

from dataset import classes, demo
from dataset.components import COMPONENTS
from dataset.prepare import advice, coco, coco_json, folders, labelme, own, side_by_side
from dataset.prepare.record import VERSION
from dataset.prepare.report import Report, finish
from dataset.prepare.samples import prepare
from dataset.prepare.split import GROUPS
from model.init import OPT
from model.presets import PRESETS
from runtime.errors import shown_in_one_line

RELEASED = {  # command -> (preset, what --archives must hold, number of label ids in the files)
    'coco_stuff': ('coco_stuff_paper', 'train2017.zip, val2017.zip, stuffthingmaps_trainval2017.zip and '
                                       'annotations_trainval2017.zip', 182),
    'ade20k': ('ade20k_paper', 'ADEChallengeData2016.zip, or the folder ADEChallengeData2016', 151),
    'ade20k_outdoor': ('ade20k_outdoor_paper', 'ADEChallengeData2016.zip, or the folder ADEChallengeData2016', 151),
    'cityscapes': ('cityscapes_paper', 'leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, or the folders '
                                       'leftImg8bit and gtFine', 35),
}

OFFICIAL_IDS = '''\
Instance maps. By default the number of an object differs from those of all classes and other objects in the picture, so
that every border of an object becomes an edge. --official-ids paints objects as 0, 1, 2, ... over the class ids, like
NVlabs/SPADE's coco_generate_instance_map.py: an object with the number of a neighbouring class loses its edge there.
Use it for alignment with the published weights, which were trained on such maps.'''

OUTDOOR = '''\
The paper's ADE20K-outdoor is from Qi et al., Semi-parametric Image Synthesis (CVPR 2018). No list of its training
pictures is known; later work made its own (issue 23 of boschresearch/OASIS). By default this command selects pictures
whose scene in sceneCategories.txt is outdoor in the list of Places365, or by its name (dataset/outdoor_scenes.txt):
similar to the paper's selection, but not the same. --list FILE uses your own list, one picture name per line.'''

OWN = '''\
All subfolders are read. Photo and maps of a sample have the same name but for endings, accents, case, and words such as
_mask, _gt, _labelIds, images/ and masks/; one folder may hold both. A repeated command follows changes of files, tables
and flags.
Colour table: lines "id red green blue name", or JSON {"name": [red, green, blue], ...}; id 255 is unlabelled. Several
colours may share an id, 255 too.
Connected regions have no edges but those of the label map: touching objects of one class are one region.
Names: one class name per line, for id 0, 1, 2, ...; lines that begin with # are ignored. classes.json stores them for
scores, sheets and pages.'''


def released(arguments):
    """Make a released data set; return whether its check found problems."""
    preset, _, shown = RELEASED[arguments.command]
    output = arguments.output or PRESETS[preset].get('dataroot', OPT().dataroot)
    module = coco if arguments.command == 'coco_stuff' else folders
    opt = OPT.preset(preset, dataroot=output, batchSize=1)
    settings = {'made by': f'dataset.prepare {arguments.command}',
                           'link': arguments.link, 'instances': not opt.no_instance,
                'sources': {'archives': os.path.realpath(arguments.archives)}, 'version': VERSION}
    if arguments.command == 'coco_stuff':
        settings['official ids'] = arguments.official_ids
    jobs, unsafe = module.jobs(arguments)
    outcome = prepare(output, settings, jobs, module.maker(arguments))
    named = classes.naming(output, opt.label_nc) or classes.RELEASED[arguments.command]    # perhaps edited by hand
    classes.write(output, {**named, 'label_nc': opt.label_nc, 'highest': shown - 1,
                           'unlabelled': opt.contain_dontcare_label, 'instances': not opt.no_instance})
    flags = ['--preset', preset] + (['--dataroot', output] if arguments.output else [])
    return finish(opt, shown, Report(outcome, unsafe=unsafe), advice.preset(flags))


def parser():
    result = argparse.ArgumentParser(prog='python -m dataset.prepare', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = result.add_subparsers(dest='command', required=True, metavar='SET')

    def command(name, action, help, more=''):
        added = commands.add_parser(name, help=help, description=help, epilog=more,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
        added.set_defaults(action=action, tiles=None, link=False, fit='none', instances='none', names=None, void=[])
        return added.add_argument

    for name, (preset, content, _) in RELEASED.items():
        flag = command(name, released, f'{name} from {content}',
                                       {'coco_stuff': OFFICIAL_IDS, 'ade20k_outdoor': OUTDOOR}.get(name))
        flag('--archives', metavar='DIR', required=True, help=f'folder with {content}, packed or unpacked')
        flag('--output', metavar='DIR', help=f'folder to make; default: dataroot of --preset {preset}')
        flag('--link', action='store_true', help='make symbolic links to files that are unpacked in --archives')
        if name == 'coco_stuff':
            flag('--official-ids', action='store_true', help='instance ids of the official script; see below')
        if name == 'ade20k_outdoor':
            flag('--list', metavar='FILE', help='use these pictures; see below')

    flag = command('folder', own.folder, 'your own photos and label maps', OWN)
    flag('--images', metavar='DIR', required=True, help='photos')
    flag('--labels', metavar='DIR', required=True, help='label maps of the same names: ids or colours')
    flag('--colours', metavar='FILE', help='table of the colours in the label maps')
    flag('--instances', metavar=f'DIR|{COMPONENTS}|none', default='none',
         help='instance maps: a folder, the connected regions of each class, or none (default)')
    flag('--val_images', metavar='DIR', help='validation photos, if the set has its own split')
    flag('--val_labels', metavar='DIR', help='their label maps')
    flag('--val_instances', metavar='DIR', help='their instance maps, if --instances names a folder')
    flag('--void', metavar='ID', type=int, nargs='+', default=[], help='ids that mean unlabelled, besides 255')
    flag('--names', metavar='FILE', help='names of the classes, one per line, in the order of ids')
    flag('--fit', choices=('none', 'photo'), default='none',
         help='photo: resize maps to the size of their photo, by nearest pixel; none (default): leave out '
              'samples whose files differ in size')
    _own_flags(flag)

    flag = command('labelme', labelme.labelme, 'your own photos with LabelMe annotations', labelme.__doc__)
    flag('--names', metavar='FILE', help='the labels, one per line, in the order of ids (default: by the alphabet)')
    _annotation_flags(flag, 'DIR', 'JSON files of LabelMe')

    flag = command('coco_json', coco_json.coco_json, 'your own photos with annotations in COCO\'s formats',
                   coco_json.__doc__)
    _annotation_flags(flag, 'FILE', 'JSON file, instances or panoptic')

    flag = command('pairs', side_by_side.pairs, 'photo and colours side by side in one picture (pix2pix)')
    flag('--pictures', metavar='DIR', required=True, help='pictures of two halves, JPEG too')
    flag('--colours', metavar='FILE', required=True, help='table of the colours, as python -m dataset.colours lists it')
    flag('--maps', choices=('left', 'right'), default='right', help='side of the label map (default: right)')
    flag('--val_pictures', metavar='DIR', help='validation pictures, if the set has its own split')
    _own_flags(flag, cut=False)

    command('demo', demo.make, 'generated scenes, nothing to download')
    demo.add_flags(commands.choices['demo'])
    return result


def _annotation_flags(flag, metavar, what):
    flag('--annotations', metavar=metavar, required=True, help=what)
    flag('--images', metavar='DIR', help='photos (default: those in the folder of --annotations)')
    flag('--val_annotations', metavar=metavar, help='annotations for validation, if the set has its own split')
    flag('--val_images', metavar='DIR', help='their photos')
    flag('--background', metavar='NAME', help='class of pixels outside all regions (default: unlabelled)')
    _own_flags(flag)


def _own_flags(flag, cut=True):
    """The flags of every set of one's own; cut: photos may be linked or cut."""
    flag('--val', type=float, default=0.1, help='fraction of the samples for validation (default 0.1)')
    flag('--seed', type=int, default=0, help='seed of the choice of validation samples')
    flag('--group', choices=GROUPS, default='auto',
         help='auto (default): a folder, or all tiles NAME_row_column of a photograph, goes to one side, so that '
              'validation shows no neighbour of a training sample; none: draw samples one by one')
    flag('--output', metavar='DIR', required=True, help='folder to make')
    if not cut:
        return
    flag('--link', action='store_true', help='make symbolic links to the photos instead of copies')
    flag('--tiles', metavar='SIDE', type=int, help='cut photos and maps, unscaled, into square tiles of so many '
         'pixels, NAME_row_column.png; all tiles of a photo go to one side')


def main():
    arguments = parser().parse_args()
    sys.exit(arguments.action(arguments))


if __name__ == '__main__':
    with shown_in_one_line():
        main()
