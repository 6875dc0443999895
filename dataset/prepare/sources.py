"""Divides samples of one's own into training and validation, and photographs into tiles."""
import filecmp
import os
from collections import defaultdict

import numpy as np

from dataset.picture_file import ENDINGS, upright_size
from dataset.prepare.archive import path_of
from dataset.prepare.job import Job
from dataset.prepare.split import set_aside, set_aside_by_place
from runtime.bar import counted
from runtime.errors import InputError


class Sources:
    """Rows of files (dataset.prepare.pairs.Row), divided into training and validation.

    flags: those that name the sources; --val_<flag> name those of the set's own validation split. rows_of(dict:
    option -> path) gives (list of Row, lines on what was guessed). by_place: divide them as version 1 of the record
    did.

    guessed: lines on guessed pairs; divided: a sentence on the choice of validation samples. InputError for an
    unreadable folder, a name with two partners, or contradictory flags.
    """

    def __init__(self, arguments, flags, rows_of, by_place=False):
        if not 0 <= arguments.val < 1:
            raise InputError(f'--val {arguments.val}: expected the fraction of samples for validation, from 0 to less '
                             'than 1')
        if arguments.tiles is not None and (arguments.tiles < 1 or arguments.link):
            raise InputError(f'--tiles {arguments.tiles}: ' + (
                'allowed: 1 pixel or more' if arguments.tiles < 1 else 'tiles are new files: omit --link'))
        self.arguments, self.flags, self.by_place, self.divided = arguments, flags, by_place, ''
        # of --tiles: sizes of photographs; stems of those of each size that are cut; a tile's stem -> its photograph's
        self.sizes, self.cut, self.photograph_of = {}, {}, {}
        self.own_split = self._own_split()
        self.rows, self.guessed = rows_of(self._named(''))
        self.val_rows, guessed = rows_of(self._named('val_')) if self.own_split else ([], [])
        self.guessed = [*self.guessed, *guessed]
        output = os.path.realpath(arguments.output)
        for name, folder in self.folders().items():
            if os.path.commonpath([folder, output]) == folder:
                raise InputError(f'--output {arguments.output}: lies within --{name} {folder}, so the next command '
                                 'would read it as a source: name another --output')

    def _own_split(self):
        """Whether the set has its own validation folders."""
        wanted = [f'val_{flag}' for flag in self.flags]
        given = [name for name, value in vars(self.arguments).items() if name.startswith('val_') and value]
        if given and given != wanted:
            raise InputError(f'--{" and --".join(given)} given: a set with its own validation folders needs '
                             f'--{" and --".join(wanted)}')
        return bool(given)

    def _named(self, prefix):
        return {f'--{prefix}{flag}': getattr(self.arguments, prefix + flag) for flag in self.flags}

    def folders(self):
        """dict: flag -> path of its folder, for the record."""
        names = [*self.flags, *(f'val_{flag}' for flag in self.flags)]
        return {name: os.path.realpath(folder) for name in names if (folder := getattr(self.arguments, name))}

    def paths(self, part):
        """Paths of all files of a `part`: photo, label or instance."""
        return [path_of(getattr(row, part)) for row in self.rows + self.val_rows if getattr(row, part)]

    def jobs(self, left_out=()):
        """Jobs, sorted. Without validation folders, complete samples not in `left_out` are drawn for validation.

        With --tiles, photographs are drawn, and each tile is a job.
        """
        self.cut.clear()
        if self.own_split:
            return sorted(self._jobs('train', self.rows) + self._jobs('val', self.val_rows))
        if self.by_place:
            stems = [row.stem for row in self.rows]
            val, self.divided = set_aside_by_place(stems, self.arguments.val, self.arguments.seed)
        else:
            broken = {self.photograph_of.get(stem, stem) for stem in left_out}
            whole = [row for row in self.rows if row.photo and row.label and row.stem not in broken and
                     (row.instance or 'instances' not in self.flags)]
            val, self.divided = set_aside([row.stem for row in whole], [row.folder for row in whole],
                                          self.arguments.val, self.arguments.seed, self.arguments.group,
                                          'photographs, with all their tiles' if self.arguments.tiles else 'samples')
        return sorted(self._jobs('train', [row for row in self.rows if row.stem not in val]) +
                      self._jobs('val', [row for row in self.rows if row.stem in val]))

    def _jobs(self, split, rows):
        """list of the rows' Jobs: one each, or one for each tile; a photograph without whole tile stays one."""
        found = []
        for row in counted(rows, len(rows), 'sizes', 'photograph', leave=False, disable=not self.arguments.tiles):
            down, across = self._grid(row)
            digits = len(str(max(down, across) - 1))
            tiles = [(f'{row.stem}_{place[0]:0{digits}}_{place[1]:0{digits}}', place)
                     for place in np.ndindex(down, across)]
            self.photograph_of.update((stem, row.stem) for stem, _ in tiles)
            found += [Job(split, stem, row.photo, row.label, row.instance, row.details, place)
                      for stem, place in tiles or [(row.stem, None)]]
        return found

    def _grid(self, row):
        """(rows, columns) of a photograph's tiles; (0, 0) without --tiles, or without readable files."""
        side = self.arguments.tiles
        if not side or not row.photo or not row.label:
            return 0, 0
        by_map = row.label.name.lower().endswith(ENDINGS) and self.arguments.fit != 'photo'
        member = row.label if by_map else row.photo
        if member not in self.sizes:
            self.sizes[member] = upright_size(path_of(member))
        width, height = self.sizes[member] or (0, 0)
        if width >= side and height >= side:
            self.cut.setdefault((width, height), []).append(row.stem)
        return height // side, width // side

    def borders(self):
        """Lines on the parts of photographs, on the right and below, that fill no tile."""
        side = self.arguments.tiles
        return [f'of {len(stems)} photograph{"s" * (len(stems) > 1)} {width} wide and {height} high, such as '
                f'{stems[0]}, the right {width % side} and the lower {height % side} pixels, which fill no tile of '
                f'{side} ({1 - (width // side) * (height // side) * side ** 2 / (width * height):.1%} of each)'
                for (width, height), stems in self.cut.items() if width % side or height % side]

    def trained_on(self):
        """Paths of validation photos that equal a training photo byte for byte, in a set with its own split."""
        of_size = defaultdict(list)
        photos, val_photos = ([path for row in rows if row.photo and os.access(path := path_of(row.photo), os.R_OK)]
                              for rows in (self.rows, self.val_rows))   # the others are left out
        for path in photos:
            of_size[os.path.getsize(path)].append(path)
        return [path for path in val_photos
                if any(filecmp.cmp(path, other, shallow=False) for other in of_size[os.path.getsize(path)])]
