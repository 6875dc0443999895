"""Metadata of an exported file (origin of the weights, inputs, outputs) and their description with an example."""
import contextlib
import json
import os

from model.export.folding import digest
from model.version import __version__
from model.weights import epoch_of
from runtime import json_file
from runtime.errors import InputError
from runtime.json_file import anything, listing, record, text, whole

CLASSES = record({'names': listing(text()), 'colours': listing(listing(whole(0, 255), 3, 3))}, others=anything)
UNKNOWN = 'unknown: not trained here'



def metadata_of(interface, opt, folder, constants, half, weights):
    """dict of strings; folder: of the checkpoint; weights: one of model.weights.WEIGHTS.

    With class_names and class_colours if the folder has a classes.json.
    """
    epoch = epoch_of(folder)
    entries = dict(project='SPADE-Paddle', version=__version__, network=interface.network,
                   float=json.dumps(interface.as_float), half=json.dumps(half), options=json.dumps(opt.as_dict()),
                   epoch=UNKNOWN if epoch is None else str(epoch), licence=_licence(folder), weights=weights,
                   weights_sha256=digest(constants))
    with contextlib.suppress(FileNotFoundError):
        classes = json_file.read(os.path.join(folder, 'classes.json'), CLASSES, 'repair or remove it', largest=1 << 26)
        entries.update(class_names=json.dumps(classes['names']), class_colours=json.dumps(classes['colours']))
    return entries


def _licence(folder):
    path, text = os.path.join(folder, 'licence.txt'), ''    # model/weights.py writes it beside converted weights
    try:
        with open(path, encoding='utf-8') as file:
            text = file.read().strip()
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path}: cannot be read: {error}') from None
    return text or 'none recorded: ask who trained the weights'


def description(path, interface, entries, opt):
    """Lines of --describe: inputs, outputs, and an example that runs in the folder of label.png."""
    unlabelled = ', 255 for unlabelled pixels' * opt.contain_dontcare_label
    meanings = {
        'label': f'class ids 0 .. {opt.label_nc - 1}{unlabelled}; any other number counts as no class',
        'instance': 'instance ids of any range; only differences between neighbours matter',
        'z': 'style: standard normal numbers, or mu of the style encoder' if opt.use_vae else 'standard normal numbers',
        'photo': 'RGB, resized to this size',
        'picture': 'RGB in [-1, 1]' if interface.as_float else 'RGB',
        'mu': 'mean of the style', 'logvar': 'logarithm of its variance'}
    lines = [f'{path}: {interface.network} of {entries["project"]} {entries["version"]}, epoch {entries["epoch"]}',
             f'licence of the weights: {entries["licence"]}']
    for title, values in (('input', interface.inputs), ('output', interface.outputs)):
        lines += [f'{title} {name}: {kind} (N, {", ".join(map(str, shape))}), {meanings[name]}'
                  for name, (kind, shape) in values.items()]
    return lines + ['example:', '', *example(path, interface, opt.seed)]


def example(path, interface, seed):
    """Lines of Python that paint label.png (and instance.png) or encode photo.png; need numpy, Pillow, the runtime."""
    of_onnx = path.endswith('.onnx')
    runtime = 'import onnxruntime' if of_onnx else 'from paddle import inference'
    lines = ['import numpy as np', 'from PIL import Image', runtime, '']
    feeds = []
    for name, (_, shape) in interface.inputs.items():
        if name == 'z':
            if len(shape) == 1:
                lines.append(f"z = np.random.default_rng([{seed}]).standard_normal({shape[0]})")
            else:   # as model.styles.drawn
                lines += [f'rows = [np.random.default_rng([{seed}, row]).standard_normal(({shape[2]}, {shape[0]}))',
                          f'        for row in range({shape[1]})]', 'z = np.transpose(rows, (2, 0, 1))']
            feeds.append("'z': z[None].astype(np.float32)")
        elif name == 'photo':
            lines += ["photo = Image.open('photo.png').convert('RGB')",
                      f"photo = photo.resize({(shape[1], shape[0])}, Image.Resampling.BICUBIC)"]
            feeds.append("'photo': np.array(photo)[None]")
        else:
            lines += [f"{name} = Image.open('{name}.png').resize({(shape[1], shape[0])}, Image.Resampling.NEAREST)"]
            feeds.append(f"'{name}': np.array({name}, np.int32)[None]")
    lines.append('inputs = {' + ',\n          '.join(feeds) + '}')
    if of_onnx:
        lines += [f"session = onnxruntime.InferenceSession({path!r}, providers=['CPUExecutionProvider'])",
                  'outputs = session.run(None, inputs)']
    else:
        weights = os.path.join(path, f'{interface.network}.pdiparams')
        lines += [f"config = inference.Config('PROGRAM', {weights!r})",     # its ending depends on Paddle's version
                  'predictor = inference.create_predictor(config)',
                  'for name, values in inputs.items():',
                  '    predictor.get_input_handle(name).copy_from_cpu(values)',
                  'predictor.run()',
                  'names = predictor.get_output_names()',
                  'outputs = [predictor.get_output_handle(name).copy_to_cpu() for name in names]']
    if interface.network == 'encoder':
        return lines + ['mu, logvar = outputs', 'print(mu)']
    picture = 'outputs[0][0]'
    if interface.as_float:
        lines += ['levels = np.rint((outputs[0][0].transpose(1, 2, 0) + 1) * 127.5)',
                  'levels = np.clip(levels, 0, 255).astype(np.uint8)']
        picture = 'levels'
    return lines + [f"Image.fromarray({picture}).save('picture.png')"]
