"""A folder of label maps to paint: its pairs, what their pictures depend on, and which of them are painted already."""
import os

from dataset.components import COMPONENTS
from dataset.files import by_stem
from output import painted
from runtime.errors import InputError


def folder_jobs(arguments):
    """list of (label, instance, photo, out), sorted by name; InputError for the first name without partner."""
    labels = by_stem(arguments.label, '--label')
    instances = {}
    if arguments.instance == COMPONENTS:
        instances = dict.fromkeys(labels, COMPONENTS)
    elif arguments.instance:
        if not os.path.isdir(arguments.instance):
            raise InputError(f'--instance {arguments.instance}: no folder, but --label is one: name that of the '
                             'instance maps')
        instances = partners(labels, arguments.instance, '--instance')
    photos = dict.fromkeys(labels, arguments.style_photo)
    if arguments.style_photo and os.path.isdir(arguments.style_photo):
        photos = partners(labels, arguments.style_photo, '--style_photo')
    folder, ending = out_folder(arguments), '.png' if arguments.png else '.jpg'
    for option in ('label', 'instance', 'style_photo'):
        other = getattr(arguments, option)
        if other and os.path.exists(other) and os.path.exists(folder) and os.path.samefile(other, folder):
            raise InputError(f'--out {folder}: is the folder of --{option}: name another one')
    return [(path, instances.get(stem), photos[stem], os.path.join(folder, stem + ending))
            for stem, path in labels.items()]


def out_folder(arguments):
    return arguments.out or f'{os.path.basename(os.path.abspath(arguments.label))}_painted'


def partners(labels, folder, option):
    found = by_stem(folder, option)
    missing = [stem for stem in labels if stem not in found]
    if missing:
        raise InputError(f'{option} {folder}: nothing there for {len(missing)} label maps: {", ".join(missing[:3])}'
                         f'{", ..." if len(missing) > 3 else ""}; files are matched by name without ending')
    return found


def is_current(job):
    *inputs, out = job
    return os.path.exists(out) and \
        all(os.path.getmtime(path) <= os.path.getmtime(out) for path in inputs if path and path != COMPONENTS)


def record_of(opt, painter, arguments):
    """dict of what a picture depends on beside its own files."""
    made_by = painted.made_by(opt, painter.folder)
    drawn = {'instance': COMPONENTS} if arguments.instance == COMPONENTS else {}
    return {'weights': made_by.pop('weights'), **drawn, 'generator': arguments.weights, **made_by,
            'styles': arguments.styles,
            'steps': arguments.steps, 'between': arguments.between and list(arguments.between),
            'style_photo': arguments.style_photo}
