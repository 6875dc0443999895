"""Painting a folder of label maps: pairs of files, the record of the pictures, and which of them are current."""
import hashlib
import json
import os

from dataset.components import COMPONENTS
from dataset.contents import digest_of
from dataset.files import by_stem
from runtime.errors import InputError
from runtime.writing import inputs_of


def folder_jobs(arguments):
    """list of (label, instance, photo, out), sorted by name; InputError for label maps without a partner."""
    labels = by_stem(arguments.label, '--label')
    instances = dict.fromkeys(labels, arguments.instance)   # None, or components
    if arguments.instance and arguments.instance != COMPONENTS:
        if not os.path.isdir(arguments.instance):
            raise InputError(f'--instance {arguments.instance}: not a folder, but --label is one: name the folder of '
                             'the instance maps')
        instances = partners(labels, arguments.instance, '--instance')
    photos = dict.fromkeys(labels, arguments.style_photo)
    if arguments.style_photo and os.path.isdir(arguments.style_photo):
        photos = partners(labels, arguments.style_photo, '--style_photo')
    folder, ending = out_folder(arguments), '.png' if arguments.png else '.jpg'
    for option in ('label', 'instance', 'style_photo'):
        other = getattr(arguments, option)
        if other and os.path.exists(other) and os.path.exists(folder) and os.path.samefile(other, folder):
            raise InputError(f'--out {folder}: is the folder of --{option} too: name another one')
    return [(path, instances[stem], photos[stem], os.path.join(folder, stem + ending)) for stem, path in labels.items()]


def out_folder(arguments):
    return arguments.out or f'{os.path.basename(os.path.abspath(arguments.label))}_painted'


def partners(stems, folder, option):
    """dict: stem -> path in `folder`; InputError unless each of `stems` has one."""
    paths = by_stem(folder, option)
    missing = [stem for stem in stems if stem not in paths]
    if missing:
        raise InputError(f'{option} {folder}: {len(missing)} files are missing: {", ".join(missing[:3])}'
                         f'{", ..." if len(missing) > 3 else ""}; files are matched by name without ending')
    return paths


def inputs_identity(record, files, colours):
    """16 hex digits that identify all that a picture depends on: the record, and what its input `files` hold.

    Dates do not count: a map that `mv`, `cp -p` or unzip puts in place may be older than the picture of another.
    files: paths, None for an input that is not given; colours: dict colour -> id, for label maps in colours.
    """
    settings = {**record, 'style_photo': None, 'between': None}     # paths of some of the files
    contents = [path if path in (None, COMPONENTS) else digest_of(path) for path in files]
    return hashlib.sha256(json.dumps([settings, contents, sorted(colours.items())], sort_keys=True)
                          .encode()).hexdigest()[:16]


def is_current(out, *made_from):
    """Whether the picture `out` exists and was painted from the same inputs: arguments of `inputs_identity`."""
    return bool(inputs_of(out)) and inputs_of(out) == inputs_identity(*made_from)


def record_of(made_by, arguments):
    """dict for painted.json: all that the folder's pictures depend on, besides their inputs."""
    instance = {'instance': COMPONENTS} if arguments.instance == COMPONENTS else {}
    style = {'style': arguments.style} if arguments.style else {}   # records of earlier versions lack both
    return {**made_by, **instance, **style, 'generator': arguments.weights, 'styles': arguments.styles,
            'steps': arguments.steps, 'between': arguments.between, 'style_photo': arguments.style_photo}
