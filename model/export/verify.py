"""Compares the outputs of an exported file with Painter's."""
import glob
import os

import numpy as np
import paddle
from PIL import Image

from model.init import DONTCARE
from model.semantics import SemanticMap
from runtime.bar import counted
from runtime.errors import InputError

TOLERANCE = 1e-4    # of the picture's scale, before rounding; both sides sum float32, in different orders
# Some networks amplify rounding, such as instance norm on features that a map of one class leaves constant. There a
# picture may differ by so many times as much as the checkpoint's own do between two orders of summation. Measured with
# random weights: at most 2.2 times in ONNX Runtime (198 pictures of 66 networks), 7.2 in Paddle Inference (pix2pixHD,
# instance norm).
AMPLIFIED = 10
BATCHES = 1, 3


def onnx_runner(path):
    """feeds -> outputs of an ONNX file in ONNX Runtime."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ['OMP_NUM_THREADS'])
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    except Exception as error:  # ONNX Runtime's errors share no class
        raise InputError(f'{path}: ONNX Runtime cannot load it: {" ".join(str(error).split())}') from None
    return lambda feeds: session.run(None, feeds)


def paddle_runner(program, onednn=True):
    """feeds -> outputs of a program (inference.program_of) in Paddle Inference."""
    from paddle import inference
    threads = int(os.environ['OMP_NUM_THREADS'])
    config = inference.Config(program, os.path.splitext(program)[0] + '.pdiparams')
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(threads)
    if onednn:
        config.enable_mkldnn()
    elif hasattr(config, 'disable_mkldnn'):     # off unless asked for in 2.6.2
        config.disable_mkldnn()
    try:
        predictor = inference.create_predictor(config)
    except Exception as error:
        raise InputError(f'{program}: Paddle Inference cannot load it: {" ".join(str(error).split())[-300:]}') from None

    def run(feeds):
        for name, values in feeds.items():
            predictor.get_input_handle(name).copy_from_cpu(values)
        predictor.run()
        paddle.base.core.set_num_threads(threads)    # a predictor sets the whole process to one thread
        return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]
    return run


def maps(opt):
    """(N, H, W) int32 label and instance maps: up to four of the validation set, then drawn ones, flat to random."""
    rng, (height, width) = np.random.default_rng(0), opt.picture_size
    pairs = _validation_maps(opt)
    for cells in (1, 5, max(height, width)):
        rows, columns = (np.arange(size) * cells // size for size in (height, width))
        label, instance = (rng.integers(0, count, (cells, cells))[rows[:, None], columns].astype(np.int32)
                           for count in (opt.label_nc, 40))
        if opt.contain_dontcare_label:
            label[:height // 8] = DONTCARE
        pairs.append((label, instance))
    return [np.stack(parts) for parts in zip(*pairs)]


def _validation_maps(opt):
    """Maps of dataroot's val_label and val_inst that fit these options; possibly none, since drawn ones follow."""
    pairs = []
    for path in sorted(glob.glob(os.path.join(opt.dataroot, 'val_label', '*.png')))[:4]:
        label, instance = (_ids(place, opt) for place in (path, path.replace('val_label', 'val_inst')))
        if label is not None and (opt.no_instance or instance is not None) and \
                ((label >= 0) & (label <= opt.highest_label) | opt.contain_dontcare_label & (label == DONTCARE)).all():
            pairs.append((label, label if instance is None else instance))
    return pairs


def _ids(path, opt):
    try:
        with Image.open(path, formats=('PNG',)) as image:
            ids = np.array(image.resize(opt.picture_size[::-1], Image.Resampling.NEAREST), np.int32)
        return ids if ids.ndim == 2 else None
    except (OSError, ValueError):
        return None


def compare_generator(run, interface, painter, source):
    """(mean, maximum) difference from Painter's pictures in grey levels; InputError if rounding does not explain it."""
    opt, rng, worst, total = painter.opt, np.random.default_rng(1), 0.0, 0.0
    label, instance = maps(opt)
    starts = [0]
    while starts[-1] < len(label):
        starts.append(starts[-1] + BATCHES[(len(starts) - 1) % 2])
    parts = list(map(slice, starts, starts[1:]))
    for part in counted(parts, len(parts), 'compare', 'part'):
        feeds = dict(label=label[part], instance=instance[part],
                     z=rng.standard_normal((len(label[part]), *opt.z_shape())).astype('f4'))
        feeds = {name: np.ascontiguousarray(feeds[name]) for name in interface.inputs}
        semantics = SemanticMap(feeds['label'], feeds.get('instance'), opt)
        expected = painter.paint(semantics, z=feeds.get('z')).numpy()
        picture, = run(feeds)
        if interface.as_float:
            difference, limit = np.abs(picture - expected) * 127.5, TOLERANCE * np.abs(expected).max() * 127.5
            if difference.max() > limit:
                limit = max(limit, AMPLIFIED * np.abs(_summed_otherwise(painter, feeds) - expected).max() * 127.5)
        else:
            levels = np.clip(np.rint((expected.transpose(0, 2, 3, 1) + 1) * 127.5), 0, 255)
            difference, limit = np.abs(picture - levels), 1.0
        mean = float(difference.mean())
        if not difference.max() <= limit or not (interface.as_float or mean <= 2 * 127.5 * TOLERANCE):
            raise InputError(f'{source}: gives other pictures than the checkpoint: {float(difference.max()):.4g} grey '
                             f'levels at most, {mean:.4g} in the mean; rounding explains {limit:.4g} and '
                             f'{2 * 127.5 * TOLERANCE:.4g}')
        worst, total = max(worst, float(difference.max())), total + mean
    return total / len(parts), worst


def _summed_otherwise(painter, feeds):
    """The same pictures by Paddle's own operators and dense convolutions: float32 sums in another order.

    Without compiled kernels and windows the order is the same, so that TOLERANCE alone decides.
    """
    opt = painter.opt
    before = opt.cpu_kernels, opt.modulation
    opt.cpu_kernels, opt.modulation = False, 'dense'
    try:
        return painter.paint(SemanticMap(feeds['label'], feeds.get('instance'), opt), z=feeds.get('z')).numpy()
    finally:
        opt.cpu_kernels, opt.modulation = before


@paddle.no_grad()
def compare_encoder(run, painter, source):
    """(mean, maximum) difference of mu and logvar from the encoder's, relative to their scale; InputError as above."""
    encoder, (height, width) = painter.encoder, painter.opt.picture_size
    photos = np.random.default_rng(2).integers(0, 256, (3, height, width, 3)).astype(np.uint8)
    encoder.eval()
    means, worst = [], 0.0
    for batch in (photos, photos[:1]):
        image = (batch.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)
        for got, expected in zip(run({'photo': batch}), encoder(paddle.to_tensor(image))):
            difference = np.abs(got - expected.numpy()) / np.abs(expected.numpy()).max()
            worst = max(worst, float(difference.max()))
            means.append(float(difference.mean()))
    if not worst <= TOLERANCE:
        raise InputError(f'{source}: gives other styles than the checkpoint: {worst:.4g} of their scale, allowed '
                         f'{TOLERANCE}')
    return float(np.mean(means)), worst
