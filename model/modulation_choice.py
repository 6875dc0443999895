"""Dense convolutions or label windows: with modulation auto a training takes both in turn, measures, and keeps to the faster.

Both give the same, to rounding. Which is faster depends on the device, the size and the maps. With the CPU kernels nothing is
measured: there each layer goes by the share of its distinct windows (model/normalization.py).
"""
import contextlib
import json
import multiprocessing
import os
import statistics
import time

import paddle

from model.errors import InputError
from model.fast import in_use
from model.processes import distributed
from model.semantics import modulation_of, prepared

PATHS = 'dense', 'windows'
WARM_UP, TIMED = 2, 5   # turns of each path that are not counted, and that are
FILE = 'modulation.json'  # beside the weights of a checkpoint, and of its copies


def synchronized_clock():
    """Seconds, when the device has done all that it was given."""
    if paddle.get_device().startswith('gpu'):
        paddle.device.cuda.synchronize()
    return time.perf_counter()


class ModulationChoice:
    """What a step's maps are modulated by. Until a choice is made that is a function of the step alone, then the choice.

    Only with modulation auto and without the CPU kernels; else what the options say. A turn is as many steps as there are from
    one G update to the next.
    """

    def __init__(self, opt, clock=synchronized_clock):
        self.opt, self.clock = opt, clock
        self.asked = opt.modulation == 'auto' and not in_use(opt)
        self.chosen = None      # {'modulation': one of PATHS, 'seconds': {path: of a turn}, 'device': 'gpu' or 'cpu'}
        self.seconds = {path: [] for path in PATHS}     # of this process's turns
        self.steps_of_turn, self._news = [], []
        # Shared with the processes that load data, which are forked before the choice is made.
        self.windows_wanted = multiprocessing.RawValue('b', self.asked or modulation_of(opt) != 'dense')

    @property
    def measuring(self):
        return self.asked and self.chosen is None

    def of_pictures(self):
        """The modulation of pictures: the choice; before it what is plain."""
        return self.chosen['modulation'] if self.chosen else modulation_of(self.opt)

    def of_step(self, step):
        """The modulation of the step that follows after so many."""
        return PATHS[step // self.opt.D_steps_per_G % 2] if self.measuring else self.of_pictures()

    @contextlib.contextmanager
    def taken(self, step, maps):
        """Around the step after so many, on these SemanticMaps; measures it, and after enough of them chooses."""
        for semantics in maps:
            semantics.modulation = self.of_step(step)
        if not self.measuring:
            yield
            return
        if not any(self.seconds.values()) and not self.steps_of_turn:
            again = '; its checkpoint holds no choice for this device, so that it goes on, but not bit for bit' if step else ''
            self._news.append(f'modulation auto: measures dense and windows in turn, {WARM_UP + TIMED} times each, and keeps to the '
                             f'faster{again}')
        began = self.clock()
        yield
        self._record(step, self.clock() - began)

    def prepared(self, arrays):
        """A batch as the loader stacks it -> the same with its SemanticMap as 'semantics', its windows found if they are wanted.

        While both are measured only processes that load data find them: in the training process they cost a step time.
        """
        elsewhere = multiprocessing.parent_process() is not None
        return prepared(arrays, self.opt, bool(self.windows_wanted.value) and (elsewhere or not self.measuring))

    def unseen(self):
        """Lines for the user, each once."""
        news, self._news = self._news, []
        return news

    def save(self, folder):
        """Write the choice, if there is one, into a checkpoint."""
        if self.chosen:
            with open(os.path.join(folder, FILE), 'w') as file:
                json.dump(self.chosen, file, indent=2)

    def load(self, folder):
        """Keep to the choice of a checkpoint. It is left aside where modulation is not auto now, or on another kind of device."""
        path = os.path.join(folder, FILE)
        if not self.asked or not os.path.exists(path):
            return
        try:
            with open(path) as file:
                found = json.load(file)
            known = found['modulation'] in PATHS and found['device'] == _device()
            seconds = {name: float(found['seconds'][name]) for name in PATHS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{path}: cannot be read: {error!r}; remove it, and dense and windows are measured again') from None
        if known:
            self._keep_to(found['modulation'], seconds)
            self._news.append(f'modulation auto: {found["modulation"]}, as this run has measured ({_shown(seconds)})')

    def _record(self, step, seconds):
        self.steps_of_turn.append(seconds)
        if (step + 1) % self.opt.D_steps_per_G:
            return
        if len(self.steps_of_turn) == self.opt.D_steps_per_G:   # not where this process has begun in the middle of a turn
            self.seconds[self.of_step(step)].append(sum(self.steps_of_turn))
        self.steps_of_turn = []
        if all(len(turns) >= WARM_UP + TIMED for turns in self.seconds.values()):
            self._choose()

    def _choose(self):
        """By the medians of the slowest rank, for which the others wait: every rank chooses the same."""
        medians = [statistics.median(self.seconds[path][WARM_UP:]) for path in PATHS]
        seconds = dict(zip(PATHS, map(max, zip(*distributed.gathered(medians)))))
        faster, slower = sorted(PATHS, key=seconds.get)
        self._keep_to(faster, seconds)
        self._news.append(f'modulation auto: {faster} from here on, {seconds[slower] / seconds[faster]:.2f} times as fast '
                         f'({_shown(seconds)})')

    def _keep_to(self, modulation, seconds):
        self.chosen = {'modulation': modulation, 'seconds': seconds, 'device': _device()}
        self.windows_wanted.value = modulation == 'windows'


def _device():
    return paddle.get_device().split(':')[0]


def _shown(seconds):
    return ', '.join(f'{path} {seconds[path]:.3g} s' for path in PATHS) + ', medians'
