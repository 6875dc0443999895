"""What pip finds as this project's build backend: it refuses, for there is nothing that would work when installed."""
import sys

SAID = ('this project runs from its checkout and is not installed: its folders (model, dataset, log, ...) would become '
        'packages of those names. Install what it needs, pip install -r requirements.txt, and run python train.py in '
        'the checkout.')


def refuse(*arguments, **settings):
    sys.exit(f'error: {SAID}')


# PEP 517 and PEP 660: all that pip may ask of a backend.
get_requires_for_build_wheel = get_requires_for_build_editable = get_requires_for_build_sdist = refuse
prepare_metadata_for_build_wheel = prepare_metadata_for_build_editable = refuse
build_wheel = build_editable = build_sdist = refuse
