"""Choice of validation samples: whole folders, or all tiles of a photograph, rather than single samples.

Neighbouring tiles share streets and shadows, so a network trained on one scores too well on the other.
"""
import hashlib
import re
from collections import defaultdict

import numpy as np

AXIS = r'(?:r|row|c|col|x|y)?[_\-]?'
TILE = re.compile(rf'(?P<of>.+?)[_\-. ]+{AXIS}(?P<row>\d{{1,5}})[_\-. x]+{AXIS}(?P<column>\d{{1,5}})', re.IGNORECASE)
DATE = re.compile(r'(?:.*\D)?(?:19|20)\d\d[_\-. ](?:0[1-9]|1[0-2])[_\-. ](?:0[1-9]|[12]\d|3[01])')   # no tile
GROUPS = 'auto', 'none'
NEAR = 2    # factor by which whole groups may miss the number wanted; beyond it, samples are drawn one by one


def set_aside(stems, folders, fraction, seed, group='auto', what='samples'):
    """(set of the stems for validation, a sentence on their choice) of samples `stems` in `folders`.

    `fraction` of them, at least one of several, are drawn by `seed` and their names: a new sample moves few others.
    what: their name in the sentence.
    """
    wanted = max(1, round(len(stems) * fraction)) if fraction and len(stems) > 1 else 0
    if not wanted:
        return set(), ''
    of, kind = _groups(stems, folders) if group == 'auto' else (None, '')
    if of:
        members = defaultdict(list)
        for stem in stems:
            members[of[stem]].append(stem)
        chosen = _whole_groups({name: len(inside) for name, inside in members.items()}, wanted, seed)
        found = {stem for name in chosen for stem in members[name]}
        if wanted / NEAR <= len(found) <= wanted * NEAR and len(chosen) < len(members):
            return found, (f'validation: {len(found)} of {len(stems)} {what}, all of {len(chosen)} of {len(members)} '
                           f'{kind} ({", ".join(chosen[:3])}{", ..." if len(chosen) > 3 else ""}), so that training '
                           'uses no neighbour of a validation sample (--group none draws them one by one)')
    drawn = set(sorted(stems, key=lambda stem: _draw(seed, stem))[:wanted])
    why = f', since whole {kind} do not fit it: training may use neighbours of validation samples' if of else ''
    how = ', drawn one by one' if what == 'samples' else ''
    return drawn, f'validation: {wanted} of {len(stems)} {what}{how}{why}'


def set_aside_by_place(stems, fraction, seed):
    """set_aside as version 1 of the record did it: by the places of the sorted `stems`, broken samples included."""
    order = np.random.default_rng(seed).permutation(len(stems))[:round(len(stems) * fraction)]
    return {stems[place] for place in order}, (
        f'validation: {len(order)} of {len(stems)} samples, drawn as the earlier version did that made this set: '
        'for a new draw, name another --output')


def _draw(seed, name):
    return hashlib.sha256(f'{seed}\0{name}'.encode('utf-8', 'surrogateescape')).digest()


def _groups(stems, folders):
    """(dict: stem -> its group, description of the groups); (None, '') if there are no groups."""
    of_folder = dict(zip(stems, folders))
    if len(set(folders)) > 1:
        return of_folder, 'folders'
    # Few tiles of a photograph may be annotated, so their places need not fill a grid.
    tiles = {stem: found['of'] for stem in stems if (found := TILE.fullmatch(stem))}
    cut = {of for stem, of in tiles.items() if not DATE.fullmatch(stem)}     # without IMG_2020 of IMG_2020_10_15
    tiles = {stem: of for stem, of in tiles.items() if of in cut}
    of = {stem: tiles.get(stem, stem) for stem in stems}
    if len(tiles) * 2 < len(stems) or len(set(of.values())) == len(stems):
        return None, ''     # most samples are not tiles, or each is of another photograph
    return of, 'photographs that were cut into tiles NAME_row_column'


def _whole_groups(sizes, wanted, seed):
    """Sorted names of groups with about `wanted` samples: in the order drawn, each that does not exceed it."""
    order, chosen, count = sorted(sizes, key=lambda name: _draw(seed, name)), [], 0
    for name in order:
        if count + sizes[name] <= wanted:
            chosen.append(name)
            count += sizes[name]
    return sorted(chosen) or [min(order, key=lambda name: abs(sizes[name] - wanted))]
