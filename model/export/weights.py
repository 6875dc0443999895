"""A folder with the weights that paint, without those that only training needs: for --lastoutput and --init_from."""
import contextlib
import os
import shutil

import numpy as np

from model.export import verify
from model.generator import build_generator
from model.init import OPT
from model.painter import Painter
from model.semantics import SemanticMap
from model.vae_encoder import VAEEncoder
from model.weights import as_arrays, load_weights, save_weights
from runtime.errors import InputError
from runtime.writing import writing

FILES = {'n_g.pdparams': 'generator', 'n_e.pdparams': 'encoder'}
BESIDE = 'classes.json', 'current_epoch.npy', 'licence.txt'     # copied from the checkpoint, where it has them
OF_TRAINING = 'model', 'progress.json', 'n_d.pdparams'          # a run and a checkpoint have them
PLACES = 'dataroot', 'vggwpath', 'output', 'lastoutput', 'log', 'visualdl', 'scoring'    # of the training machine
MOST_LEVELS = 2     # by which float16 may change a picture


def refuse_existing(out, force):
    """InputError if `out` has weights; with `force`, only if it belongs to a training."""
    training = [name for name in OF_TRAINING if os.path.lexists(os.path.join(out, name))]
    if training:
        raise InputError(f'{out} has {training[0]}, so it belongs to a training: name another --out')
    existing = [name for name in (*FILES, 'opt.json') if os.path.lexists(os.path.join(out, name))]
    if existing and not force:
        raise InputError(f'{os.path.join(out, existing[0])} exists and was not changed: add --force to replace it, or '
                         'name another --out')


def write(opt, painter, folder, out, half):
    """Write the networks of `painter`, from the checkpoint `folder`, into `out`; its other files remain.

    Kernels are float16 with `half`; biases, statistics and singular vectors stay float32, since they are few. Prints
    how far the pictures are from those of the checkpoint; InputError beyond MOST_LEVELS.
    """
    copy = Painter(opt, build_generator(opt), VAEEncoder(opt) if painter.encoder else None)
    kept = {name: value for name, value in opt.as_dict().items() if name not in PLACES}
    with contextlib.ExitStack() as finished:
        def begun(name):
            return finished.enter_context(writing(os.path.join(out, name)))
        for file, network in FILES.items():
            if getattr(painter, network) is None:
                continue
            path, state = begun(file), as_arrays(getattr(painter, network).state_dict())
            with np.errstate(over='ignore'):    # load_weights refuses what is infinite
                save_weights({name: value.astype(np.float16) if half and value.ndim > 1 else value
                              for name, value in state.items()}, path)
            load_weights(getattr(copy, network), path)
        OPT(**kept, dataroot=opt.dataroot).save(begun('opt.json'))
        for name in BESIDE:
            if os.path.exists(source := os.path.join(folder, name)):
                shutil.copyfile(source, begun(name))
        mean, most = differences(painter, copy)
        if most > MOST_LEVELS:
            raise InputError(f'{out}: float16 changes pictures by up to {most} grey levels (allowed: {MOST_LEVELS}): '
                             'omit --half')
    size = sum(os.path.getsize(os.path.join(out, file)) for file in FILES if os.path.exists(os.path.join(out, file)))
    print(f'{out}: pictures differ from the checkpoint\'s by {mean:.3g} grey levels in the mean, {most} at most')
    print(f'written: {out}, {size / 1e6:.1f} MB')


def differences(one, other):
    """(mean, largest) difference of two Painters' pictures in grey levels, on the maps of verify.maps.

    With a style encoder each paints in the style that its own finds in a photo of noise.
    """
    opt, levels = one.opt, []
    photo = np.random.default_rng(0).uniform(-1, 1, (1, opt.output_nc, *opt.picture_size)).astype(np.float32)
    for label, instance in zip(*verify.maps(opt)):
        semantics = SemanticMap(label[None], None if opt.no_instance else instance[None], opt)
        shown = [np.rint((painter.paint(semantics, photo).numpy() + 1) * 127.5) for painter in (one, other)]
        levels.append(np.abs(shown[0] - shown[1]))
    return float(np.mean(levels)), int(np.max(levels))
