"""A folder of label maps to paint: its pairs, and what of it is painted already."""
import hashlib
import json
import os

from dataset.files import by_stem
from model.init import OPT
from model.weights import folder_of
from runtime.errors import InputError
from runtime.writing import writing

RECORD = 'painted.json'     # in the folder of the pictures: what made them


def folder_jobs(arguments):
    """list of (label, instance, photo, out), sorted by name; InputError for the first name without partner."""
    labels = by_stem(arguments.label, '--label')
    instances = {}
    if arguments.instance:
        if not os.path.isdir(arguments.instance):
            raise InputError(f'--instance {arguments.instance}: no folder, but --label is one: name that of the instance maps')
        instances = partners(labels, arguments.instance, '--instance')
    photos = dict.fromkeys(labels, arguments.style_photo)
    if arguments.style_photo and os.path.isdir(arguments.style_photo):
        photos = partners(labels, arguments.style_photo, '--style_photo')
    folder, ending = out_folder(arguments), '.png' if arguments.png else '.jpg'
    for option in ('label', 'instance', 'style_photo'):
        other = getattr(arguments, option)
        if other and os.path.exists(other) and os.path.exists(folder) and os.path.samefile(other, folder):
            raise InputError(f'--out {folder}: is the folder of --{option}: name another one')
    return [(path, instances.get(stem), photos[stem], os.path.join(folder, stem + ending)) for stem, path in labels.items()]


def out_folder(arguments):
    return arguments.out or f'{os.path.basename(os.path.abspath(arguments.label))}_painted'


def partners(labels, folder, option):
    found = by_stem(folder, option)
    missing = [stem for stem in labels if stem not in found]
    if missing:
        raise InputError(f'{option} {folder}: nothing there for {len(missing)} label maps: {", ".join(missing[:3])}'
                         f'{", ..." if len(missing) > 3 else ""}; files are matched by name without ending')
    return found


def jobs_left(jobs, opt, arguments):
    """The jobs whose picture is not there, or is older than what it is made of; InputError if others were made there."""
    folder = out_folder(arguments)
    record, made_by = os.path.join(folder, RECORD), fingerprint(opt, arguments)
    try:
        with open(record) as file:
            found = json.load(file)
    except FileNotFoundError:
        there = [job[-1] for job in jobs if os.path.lexists(job[-1])]
        if there:
            raise InputError(f'{there[0]}: is there already, and not by this command: name another --out') from None
        with writing(record) as unfinished, open(unfinished, 'w') as file:
            json.dump(made_by, file, indent=2)
        found = made_by
    except (OSError, ValueError) as error:
        raise InputError(f'{record}: cannot be read: {error}: name another --out') from None
    if found != made_by:
        raise InputError(f'{folder}: its pictures were made with other weights, options or styles ({_differing(found, made_by)}): '
                         'name another --out, or remove that folder')
    return [job for job in jobs if not is_current(job)]


def _differing(found, made_by):
    """The settings in which two records differ, with their values where those are short."""
    if not isinstance(found, dict):
        return f'{RECORD} is not what predict.py writes'
    names = [name for name in made_by if found.get(name) != made_by[name]]
    return ', '.join(name if name == 'weights' else f'{name} {found.get(name)}, now {made_by[name]}' for name in names)


def is_current(job):
    *inputs, out = job
    return os.path.exists(out) and all(os.path.getmtime(path) <= os.path.getmtime(out) for path in inputs if path)


def fingerprint(opt, arguments):
    """dict of what a picture depends on beside its own files."""
    folder, digest = folder_of(opt.lastoutput, arguments.which_epoch), hashlib.sha256()
    for name in sorted(name for name in os.listdir(folder) if name.endswith('.pdparams')):
        with open(os.path.join(folder, name), 'rb') as file:
            for part in iter(lambda: file.read(1 << 20), b''):
                digest.update(part)
    settings = {name: getattr(opt, name) for name in (*OPT.network_fields(), 'seed', 'modulation', 'cpu_kernels', 'cpu_precision')}
    return {'weights': digest.hexdigest(), 'generator': arguments.weights, **settings, 'styles': arguments.styles,
            'steps': arguments.steps, 'between': arguments.between and list(arguments.between),
            'style_photo': arguments.style_photo}
