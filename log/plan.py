"""What a run says before it trains: how its settings differ from a preset, and what a step is made of."""
from dataset.labelled_images import global_batch
from model.init import OPT
from model.presets import PRESETS
from runtime import distributed


def print_settings(opt, named=None):
    """One line that says how this run differs from the preset that was `named`, else from the nearest."""
    differences = {name: opt.differences(OPT.preset(name)) for name in ([named] if named else PRESETS)}
    nearest = min(differences, key=lambda name: len(differences[name]))
    listed = ', '.join(f'{name} {own} (preset: {other})' for name, (own, other) in differences[nearest].items())
    settings = ', '.join(f'{name} {value}' for name, value in PRESETS[nearest].items())
    print(f'settings: preset {nearest}{"" if named else " is the nearest"} ({settings}); '
          f'{"different here: " + listed if listed else "nothing changed"}')


def print_plan(opt, samples, train_step):
    """What a step is made of, how many there are, and the learning rates."""
    ranks = distributed.ranks()
    whole = global_batch(opt, ranks)
    factors = [f'{ranks} processes'] * (ranks > 1) + [f'batchSize {opt.batchSize}'] + [f'accumulate {opt.accumulate}'] * (
        opt.accumulate > 1)
    left_out = f' {samples % whole} samples left out of each epoch (the last incomplete batch);' if samples % whole else ''
    print(f'plan: {opt.epochs} epochs of {samples // whole} steps, batch {whole} ({" x ".join(factors)});{left_out} learning rates '
          f'G {train_step.optimizer_g.get_lr():g}, D {train_step.optimizer_d.get_lr():g}')
    if ranks > 1 and opt.generator_norm.kind == 'batch':
        print(f'norm_G {opt.norm_G}: every process normalizes by its own {opt.batchSize} samples; the paper by those of all: '
              f'--norm_G {opt.norm_G.replace("batch", "syncbatch")}')
