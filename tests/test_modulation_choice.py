"""modulation auto where there are no kernels: dense and windows in turn, then the faster; and a run that goes on keeps to it."""
import json
import types

import numpy as np
import pytest

from model import modulation_choice
from model.errors import InputError
from model.init import OPT
from model.modulation_choice import FILE, TIMED, WARM_UP, ModulationChoice
from model.processes import distributed
from model.semantics import SemanticMap
from model.train_step import TrainStep
from output.checkpoint import Checkpoint
from tests.conftest import kill, says, until
from tests.rank import TINY, batch
from tests.test_resume import assert_same_run, rows

PLAIN = dict(cpu_kernels=False)
TURNS = 2 * (WARM_UP + TIMED)


class Clock:
    """A clock that passes in a step what `seconds` says of its modulation."""

    def __init__(self, **seconds):
        self.now, self.seconds, self.maps = 0.0, seconds, []

    def __call__(self):
        if self.maps:
            self.now += self.seconds.get(self.maps.pop(), 0)
        return self.now


def steps_taken(choice, count, first=0):
    """Let so many steps pass -> what each was modulated by."""
    taken = []
    for step in range(first, first + count):
        semantics = types.SimpleNamespace()
        with choice.taken(step, [semantics]):
            choice.clock.maps.append(semantics.modulation)
        choice.clock.maps.clear()
        taken.append(semantics.modulation)
    return taken


@pytest.mark.parametrize('faster, seconds', [('windows', dict(dense=3.0, windows=2.0)), ('dense', dict(dense=2.0, windows=3.0))])
def test_the_faster_stays(faster, seconds):
    choice = ModulationChoice(OPT(**PLAIN), Clock(**seconds))
    assert steps_taken(choice, TURNS) == ['dense', 'windows'] * (WARM_UP + TIMED)
    assert choice.chosen['modulation'] == faster and choice.chosen['seconds'] == seconds
    assert steps_taken(choice, 5, TURNS) == 5 * [faster] and choice.of_pictures() == faster
    begins, chooses = choice.unseen()
    assert says(begins, 'dense and windows in turn, 7 times each') and 'bit for bit' not in begins
    assert says(chooses, f'{faster} from here on, 1.50 times as fast', 'dense', 'windows') and not choice.unseen()
    assert choice.windows_wanted.value == (faster == 'windows')


def test_neither_the_first_turns_nor_a_few_slow_ones_decide():
    choice = ModulationChoice(OPT(**PLAIN), Clock(dense=1.0, windows=0.9))
    for step in range(TURNS):
        choice.clock.seconds['windows'] = 100.0 if step < 2 * WARM_UP or step in (2 * WARM_UP + 1, 2 * WARM_UP + 5) else 0.9
        steps_taken(choice, 1, step)
    assert choice.chosen['modulation'] == 'windows' and choice.chosen['seconds']['windows'] == pytest.approx(0.9)


def test_a_turn_holds_all_steps_from_one_g_update_to_the_next():
    choice = ModulationChoice(OPT(**PLAIN, D_steps_per_G=3), Clock(dense=1.0, windows=2.0))
    assert steps_taken(choice, 5, 1) == 2 * ['dense'] + 3 * ['windows']     # begun in the middle of a turn, which does not count
    assert {path: len(turns) for path, turns in choice.seconds.items()} == {'dense': 0, 'windows': 1}
    steps_taken(choice, 3 * TURNS, 6)
    assert choice.chosen['seconds'] == {'dense': 3.0, 'windows': 6.0}


def test_ranks_choose_by_the_slowest(monkeypatch):
    """Here windows are faster, at another rank far slower."""
    monkeypatch.setattr(distributed, 'gathered', lambda medians: [medians, [2.0, 9.0]])
    choice = ModulationChoice(OPT(**PLAIN), Clock(dense=3.0, windows=1.0))
    steps_taken(choice, TURNS)
    assert choice.chosen['modulation'] == 'dense' and choice.chosen['seconds'] == {'dense': 3.0, 'windows': 9.0}


@pytest.mark.parametrize('options', [dict(cpu_kernels=False, modulation='dense'), dict(cpu_kernels=False, modulation='windows')])
def test_what_is_asked_for_is_taken(options, tmp_path):
    choice = ModulationChoice(OPT(**options), Clock())
    assert steps_taken(choice, 3) == 3 * [options['modulation']]
    choice.save(tmp_path)
    assert not choice.unseen() and not list(tmp_path.iterdir())
    (tmp_path / FILE).write_text('{}')
    choice.load(tmp_path)
    assert choice.of_pictures() == options['modulation']


def test_with_the_kernels_nothing_is_measured():
    train_step = TrainStep(OPT(**TINY))
    semantics = SemanticMap(*batch(0, 2)[:2], train_step.opt)
    train_step.step(semantics, None, batch(0, 2)[2])
    assert semantics.modulation == 'auto' and not train_step.choice.unseen()


def test_a_choice_is_kept_and_read_again(tmp_path, monkeypatch):
    choice = ModulationChoice(OPT(**PLAIN), Clock(dense=3.0, windows=2.0))
    steps_taken(choice, TURNS)
    choice.save(tmp_path)
    other = ModulationChoice(OPT(**PLAIN), Clock())
    other.load(tmp_path)
    assert other.chosen == choice.chosen and says(other.unseen()[0], 'windows, as this run has measured')
    monkeypatch.setattr(modulation_choice, '_device', lambda: 'gpu')
    other = ModulationChoice(OPT(**PLAIN), Clock(dense=1.0, windows=2.0))
    other.load(tmp_path)
    assert other.measuring
    steps_taken(other, 1, 20)
    assert says(other.unseen()[0], 'measures dense and windows', 'no choice for this device', 'not bit for bit')


@pytest.mark.parametrize('content', ['{', '{"modulation": "windows"}', '[]',
                                     '{"modulation": "windows", "device": "cpu", "seconds": 3}'])
def test_a_damaged_choice_is_named(content, tmp_path):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError) as caught:
        ModulationChoice(OPT(**PLAIN)).load(tmp_path)
    assert says(str(caught.value), tmp_path / FILE, 'remove it') and '\n' not in str(caught.value)


# ---- Whole steps

# Where the difference is clear on a CPU: one flat map is one window, and many classes make the one-hot map large. Of random maps
# hardly two windows are alike; on large ones Paddle's convolutions take as long as the windows' matrix products, on small ones
# the windows' many operators cost more.
MAPS = {'flat': dict(label_nc=120, crop_size=64, ngf=2, ndf=8), 'random': dict(label_nc=9, crop_size=32, ngf=2, ndf=2)}


@pytest.mark.thorough
@pytest.mark.parametrize('kind, faster', [('flat', 'windows'), ('random', 'dense')])
def test_flat_maps_choose_windows_and_random_ones_dense(kind, faster):
    """By the clock of this machine."""
    rng = np.random.default_rng(0)
    train_step = TrainStep(OPT(**MAPS[kind], use_vae=False, **PLAIN))
    shape = 1, *train_step.opt.picture_size
    for step in range(TURNS):
        label = np.full(shape, step) if kind == 'flat' else rng.integers(0, 9, shape)
        instance = np.zeros(shape, np.int64) if kind == 'flat' else rng.integers(0, 99, shape)
        train_step.step(label, instance, rng.uniform(-1, 1, (1, 3, *shape[1:])))
    assert train_step.choice.chosen['modulation'] == faster, train_step.choice.chosen


def networks_of(train_step):
    return {f'{name}.{key}': value.numpy() for name in ('generator', 'discriminator')
            for key, value in getattr(train_step, name).state_dict().items()}


@pytest.mark.thorough
@pytest.mark.parametrize('stopped', [5, TURNS + 1])
def test_a_run_goes_on_bit_for_bit(stopped, tmp_path):
    """Stopped with a choice: to the end. Stopped before: as long as both measure, since the step alone says what is taken."""
    opt = OPT(**TINY, **PLAIN, output=str(tmp_path))

    def begun():
        train_step = TrainStep(opt)
        train_step.choice.clock = Clock(dense=3.0, windows=2.0)
        return train_step

    def go(train_step, first, count):
        losses = []
        for step in range(first, first + count):
            semantics = SemanticMap(*batch(step, 2)[:2], opt)
            train_step.choice.clock.maps = [train_step.choice.of_step(step), 'before it']
            losses.append(train_step.step(semantics, None, batch(step, 2)[2]))
        return losses

    uninterrupted = begun()
    go(uninterrupted, 0, stopped)
    Checkpoint(opt.output).save(uninterrupted, opt, dict(epoch=1, seen=0, log_rows=0, log_checksum=0))
    resumed = begun()
    Checkpoint(opt.output).load(resumed)
    assert (resumed.choice.chosen is not None) == (stopped > TURNS)
    assert go(resumed, stopped, 4) == go(uninterrupted, stopped, 4)
    for name, value in networks_of(uninterrupted).items():
        np.testing.assert_array_equal(networks_of(resumed)[name], value, name)
    if stopped < TURNS:
        assert any('not bit for bit' in line for line in resumed.choice.unseen())


def test_dense_and_windows_differ_in_their_bits():
    """Or the test above would hold whatever a run goes on with."""
    pictures = []
    for modulation in ('dense', 'windows'):
        train_step = TrainStep(OPT(**TINY, **PLAIN, modulation=modulation))
        train_step.step(*batch(0, 2))
        pictures.append(train_step.generate(*batch(1, 2)[:2]).numpy())
    assert (pictures[0] != pictures[1]).any()
    np.testing.assert_allclose(*pictures, atol=1e-3)


@pytest.mark.thorough
def test_training_measures_and_val_takes_the_choice(scripts, tmp_path):
    """18 steps: the choice falls after 14. Then another run from the same checkpoint, and both agree with it."""
    said = scripts.trained(tmp_path, cpu_kernels='false', niter=3, save_epoch_freq=3, nThreads=1)
    assert says(said, 'modulation auto: measures dense and windows in turn', 'from here on')
    chosen = json.loads((tmp_path / 'output/model' / FILE).read_text())
    assert f'{chosen["modulation"]} from here on' in said
    assert min(chosen['seconds'], key=chosen['seconds'].get) == chosen['modulation']
    assert json.loads((tmp_path / 'output/epoch_3' / FILE).read_text()) == chosen
    said = scripts.trained(tmp_path, cpu_kernels='false', niter=4, nThreads=1)
    assert says(said, f'modulation auto: {chosen["modulation"]}, as this run has measured') and 'in turn' not in said
    assert json.loads((tmp_path / 'output/model' / FILE).read_text()) == chosen
    assert scripts.run('val.py', '--lastoutput', tmp_path / 'output', '--results', tmp_path / 'val').returncode == 0


@pytest.mark.thorough
@pytest.mark.parametrize('modulation', ['dense', 'windows'])
def test_a_killed_run_on_paddle_s_own_operators_equals_an_uninterrupted_one(scripts, tmp_path, modulation):
    settings = dict(cpu_kernels='false', modulation=modulation, save_latest_freq=1, niter=1)
    scripts.trained(tmp_path / 'one', **settings)
    process = scripts.start(tmp_path / 'other', **settings)
    until(lambda: rows(tmp_path / 'other') >= 3, process=process)
    kill(process)
    assert rows(tmp_path / 'other') < scripts.STEPS, 'it was faster than the kill'
    assert says(scripts.trained(tmp_path / 'other', **settings), 'goes on from')
    assert_same_run(tmp_path / 'one', tmp_path / 'other')


def test_a_painter_takes_the_choice_of_its_checkpoint(tmp_path):
    from model.painter import checkpoint_parser, load_painter
    opt = OPT(**TINY, **PLAIN, output=str(tmp_path))
    train_step = TrainStep(opt)
    train_step.choice.clock = Clock(dense=3.0, windows=2.0)
    steps_taken(train_step.choice, TURNS)
    Checkpoint(opt.output).save(train_step, opt, dict(epoch=1, seen=0, log_rows=0, log_checksum=0), keep_epoch=1)
    for more, expected in ([], 'windows'), (['--which_epoch', '1'], 'windows'), (['--modulation', 'dense'], 'dense'):
        _, painter = load_painter(checkpoint_parser('').parse_args(['--lastoutput', str(tmp_path), *more]))
        semantics = SemanticMap(*batch(0, 2)[:2], opt)
        painter.paint(semantics)
        assert semantics.modulation == expected
