"""The folders that dataset.prepare folder reads: their files paired, and divided into training and validation."""
import filecmp
import os
from collections import defaultdict

from dataset.components import COMPONENTS
from dataset.prepare import pairs
from dataset.prepare.archive import path_of
from dataset.prepare.job import Job
from dataset.prepare.split import set_aside, set_aside_by_place
from runtime.errors import InputError


class Sources:
    """Files of --images, --labels, ... paired by name, and divided into training and validation.

    by_place: as version 1 of the record divided them.

    guessed: lines on guessed pairs; divided: a sentence on the choice of validation samples. InputError for an
    unreadable folder, a name with two partners, and contradictory flags.
    """

    def __init__(self, arguments, by_place=False):
        if not 0 <= arguments.val < 1:
            raise InputError(f'--val {arguments.val}: allowed: 0 to less than 1, '
                             'the fraction of samples for validation')
        self.arguments, self.by_place, self.divided = arguments, by_place, ''
        self.with_instances = arguments.instances not in ('none', COMPONENTS)
        self.own_split = self._own_split()
        self.rows, self.guessed = self._rows('')
        self.val_rows, guessed = self._rows('val_') if self.own_split else ([], [])
        self.guessed += guessed
        output = os.path.realpath(arguments.output)
        for name, folder in self.folders().items():
            if os.path.commonpath([folder, output]) == folder:
                raise InputError(f'--output {arguments.output}: lies in --{name} {folder}, which is read with all '
                                 'below it, and would be a source the next time: name another --output')

    def _own_split(self):
        """Whether the set has its own validation folders."""
        wanted = ['val_images', 'val_labels'] + ['val_instances'] * self.with_instances
        given = [name for name in ('val_images', 'val_labels', 'val_instances') if getattr(self.arguments, name)]
        if given and given != wanted:
            raise InputError(f'--{" and --".join(given)} given: a set with its own validation folders needs '
                             f'--{" and --".join(wanted)}')
        return bool(given)

    def _rows(self, split):
        flags = {'photo': 'images', 'label': 'labels', **({'instance': 'instances'} if self.with_instances else {})}
        return pairs.rows({part: getattr(self.arguments, split + flag) for part, flag in flags.items()},
                          {part: f'--{split}{flag}' for part, flag in flags.items()})

    def folders(self):
        """dict: flag -> path of its folder, for the record."""
        names = ['images', 'labels', 'val_images', 'val_labels', 'val_instances'] + ['instances'] * self.with_instances
        return {name: os.path.realpath(folder) for name in names if (folder := getattr(self.arguments, name))}

    def paths(self, part):
        """Paths of all files of a part: photo, label or instance."""
        return [path_of(getattr(row, part)) for row in self.rows + self.val_rows if getattr(row, part)]

    def jobs(self, left_out=()):
        """Jobs, sorted. Without validation folders, complete samples whose stem is not in `left_out` are drawn."""
        if self.own_split:
            return sorted([_job('train', row) for row in self.rows] + [_job('val', row) for row in self.val_rows])
        if self.by_place:
            stems = [row.stem for row in self.rows]
            val, self.divided = set_aside_by_place(stems, self.arguments.val, self.arguments.seed)
            return sorted(_job('val' if row.stem in val else 'train', row) for row in self.rows)
        whole = [row for row in self.rows if row.photo and row.label and row.stem not in left_out and
                 (row.instance or not self.with_instances)]
        val, self.divided = set_aside([row.stem for row in whole], [row.folder for row in whole], self.arguments.val,
                                      self.arguments.seed, self.arguments.group)
        return sorted(_job('val' if row.stem in val else 'train', row) for row in self.rows)

    def trained_on(self):
        """Paths of validation photos that are byte for byte training photos too, in a set with its own split."""
        of_size = defaultdict(list)
        for path in (path_of(row.photo) for row in self.rows if row.photo):
            of_size[os.path.getsize(path)].append(path)
        return [path for path in (path_of(row.photo) for row in self.val_rows if row.photo)
                if any(filecmp.cmp(path, other, shallow=False) for other in of_size[os.path.getsize(path)])]


def _job(split, row):
    return Job(split, row.stem, row.photo, row.label, row.instance)
