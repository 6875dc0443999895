"""What an exported file says of itself, and how it is shown: where its weights come from, inputs, outputs, an example.
"""
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
LICENCE_FILE = 'licence.txt'    # model/weights.py writes it beside converted weights that have one


def metadata_of(interface, opt, folder, constants, half, weights):
    """dict of strings; folder: of the checkpoint; weights: one of model.weights.WEIGHTS.

    class_names and class_colours only if the folder holds classes.json.
    """
    epoch = epoch_of(folder)
    entries = dict(project='SPADE-Paddle', version=__version__, network=interface.network,
                   float=json.dumps(interface.as_float),
                   half=json.dumps(half), options=json.dumps(opt.as_dict()), epoch=UNKNOWN if epoch is None
                   else str(epoch), licence=_licence(folder), weights=weights, weights_sha256=digest(constants))
    with contextlib.suppress(FileNotFoundError):
        found = json_file.read(os.path.join(folder, 'classes.json'), CLASSES, 'mend it or remove it', largest=1 << 26)
        entries.update(class_names=json.dumps(found['names']), class_colours=json.dumps(found['colours']))
    return entries


def _read(path):
    try:
        with open(path, encoding='utf-8') as file:
            return file.read().strip()
    except FileNotFoundError:
        return ''
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path}: cannot be read: {error}') from None


def _licence(folder):
    return _read(os.path.join(folder, LICENCE_FILE)) or 'none recorded: ask who trained the weights'


def description(path, interface, entries, opt):
    """Lines of --describe: what the file takes and gives, and an example that runs where label.png is."""
    meanings = {
        'label': f'class ids 0 .. {opt.label_nc - 1}' +
        (', 255 for unlabelled pixels' if opt['contain_dontcare_label'] else '')
                 + '; any other number counts as no class',
        'instance': 'instance ids of any range; only where neighbours differ matters',
        'z': 'style: standard normal numbers, or mu of the style encoder', 'photo': 'RGB, resized to this size',
        'picture': 'RGB in [-1, 1]' if interface.as_float else 'RGB',
        'mu': 'mean of the style', 'logvar': 'logarithm of its variance'}
    lines = [f'{path}: {interface.network} of {entries["project"]} {entries["version"]}, epoch {entries["epoch"]}',
             f'licence of the weights: {entries["licence"]}']
    for title, values in (('input', interface.inputs), ('output', interface.outputs)):
        lines += [f'{title} {name}: {kind} (N, {", ".join(map(str, shape))}), {meanings[name]}'
                  for name, (kind, shape) in values.items()]
    return lines + ['example:', '', *example(path, interface, opt.seed)]


def example(path, interface, seed):
    """Lines of Python that paint label.png (and instance.png), or encode photo.png; numpy, Pillow and the runtime only.
    """
    of_onnx = path.endswith('.onnx')
    lines = ['import numpy as np', 'from PIL import Image', 'import onnxruntime' if of_onnx
             else 'from paddle import inference', '']
    feeds = []
    for name, (_, shape) in interface.inputs.items():
        if name == 'z':
            feeds.append(f"'z': np.random.default_rng([{seed}]).standard_normal((1, {shape[0]})).astype(np.float32)")
        elif name == 'photo':
            lines += [f"photo = Image.open('photo.png').convert('RGB').resize({(shape[1], shape[0])}, "
                      "Image.Resampling.BICUBIC)"]
            feeds.append("'photo': np.array(photo)[None]")
        else:
            lines += [f"{name} = Image.open('{name}.png').resize({(shape[1], shape[0])}, Image.Resampling.NEAREST)"]
            feeds.append(f"'{name}': np.array({name}, np.int32)[None]")
    lines.append('inputs = {' + ',\n          '.join(feeds) + '}')
    if of_onnx:
        lines += [f"session = onnxruntime.InferenceSession({path!r}, providers=['CPUExecutionProvider'])",
                  'outputs = session.run(None, inputs)']
    else:
        program = 'PROGRAM'     # its ending depends on the Paddle that wrote it
        lines += [f'config = inference.Config({program!r}, {os.path.join(path, interface.network + ".pdiparams")!r})',
                  'predictor = inference.create_predictor(config)',
                  'for name, values in inputs.items():',
                  '    predictor.get_input_handle(name).copy_from_cpu(values)',
                  'predictor.run()',
                  'outputs = [predictor.get_output_handle(name).copy_to_cpu() for name in '
                  'predictor.get_output_names()]']
    if interface.network == 'encoder':
        return lines + ['mu, logvar = outputs', 'print(mu)']
    picture = 'outputs[0][0]'
    if interface.as_float:
        lines.append('levels = np.clip(np.rint((outputs[0][0].transpose(1, 2, 0) + 1) * 127.5), 0, '
                     '255).astype(np.uint8)')
        picture = 'levels'
    return lines + [f"Image.fromarray({picture}).save('picture.png')"]
