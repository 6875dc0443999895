"""The folder of trained networks: n_[gde].pdparams, n_g_ema.pdparams, opt.json; found, read strictly, written whole."""
import os

from model.convert.paddle_files import load_weights, save_weights
from model.errors import InputError
from model.writing import writing

AVERAGED = 'n_g_ema.pdparams'
# file -> name of the network that it holds
NETWORKS = {'n_g.pdparams': 'generator', 'n_d.pdparams': 'discriminator', 'n_e.pdparams': 'encoder', AVERAGED: 'averaged'}


def folder_of(path, which_epoch=None, option='--lastoutput'):
    """The folder with the weights: `path`/model, or with `which_epoch` `path`/epoch_<n>, or `path` itself.

    Links are resolved, so that reading from it is not disturbed by a training that saves meanwhile.
    """
    candidates = [os.path.join(path, 'model'), path] if which_epoch is None else [os.path.join(path, f'epoch_{which_epoch}')]
    for candidate in candidates:
        if os.path.isfile(os.path.join(candidate, 'n_g.pdparams')):
            return os.path.realpath(candidate)
    kept = sorted((name for name in (os.listdir(path) if os.path.isdir(path) else ()) if name.startswith('epoch_')),
                  key=lambda name: (len(name), name))
    if which_epoch is not None and kept:
        raise InputError(f'{candidates[0]}: no n_g.pdparams there; {path} has {", ".join(kept)} (training keeps a copy every '
                         '--save_epoch_freq epochs)')
    raise InputError(f'{candidates[0]}: no n_g.pdparams there; train first (python train.py), or name the folder of the run '
                     f'with {option}')


def load_networks(owner, folder, optional=(), files=NETWORKS):
    """Load each of `files` whose network `owner` has from `folder`; a missing one is an error unless its name is in `optional`.

    Returns the names of the files left out.
    """
    left_out = []
    for file, name in files.items():
        network = getattr(owner, name, None)
        if network is None:
            continue
        path = os.path.join(folder, file)
        if file in optional and not os.path.exists(path):
            left_out.append(file)
        else:
            load_weights(network, path)
    return left_out


def load_training(train_step, folder, optional=()):
    """load_networks of a TrainStep; an average of the generator that is not there begins anew. Names of other files left out."""
    left_out = load_networks(train_step, folder, (*optional, AVERAGED))
    if AVERAGED in left_out:
        train_step.average.restart()
        print(f'{AVERAGED} is not in {folder}: the average of the generator begins now, with its weights there')
    return [file for file in left_out if file != AVERAGED]


def write_model(folder, opt, states, licence=None):
    """Make `folder` of options and state dicts (file name -> name -> array); `licence`: a line that exported files repeat."""
    with writing(folder) as unfinished:
        os.mkdir(unfinished)
        for file, state in states.items():
            save_weights(state, os.path.join(unfinished, file))
        opt.save(os.path.join(unfinished, 'opt.json'))
        if licence:
            with open(os.path.join(unfinished, 'licence.txt'), 'w') as file:
                file.write(f'{licence}\n')
