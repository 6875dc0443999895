"""SemanticMap: label and instance maps as the networks read them, one-hot only on demand."""
import numpy as np
import paddle
import paddle.nn.functional as F

from model.edges import instance_edges
from model.fast import in_use
from model.fast.windows import Windows, distinct_double_windows, distinct_windows
from model.init import DONTCARE, UPSAMPLINGS, SpadeNorm
from runtime.errors import InputError

FIRST_CONVOLUTION = 4, 2, 2  # of the discriminator: kernel size, stride, padding


def mirrored_convolution(opt):
    """The first convolution of pix2pixHD: kernel size, stride, padding, which mirrors the map at its border."""
    return opt.resnet_initial_kernel_size, 1, opt.resnet_initial_kernel_size // 2


class SemanticMap:
    """Labels and instance edges of a batch (official models/pix2pix_model.py, preprocess_input and get_edges).

    label, instance: integer arrays or tensors, (N, H, W) or (N, 1, H, W); instance is None with no_instance.
    label holds 0 .. label_nc - 1; with contain_dontcare_label also label_nc, and 255 becomes label_nc; else InputError.
    round_up: maps grow to whole places of the generator's first feature map, by repeating the last row and column;
    `shown` is their size before, to which Painter cuts the picture.
    """

    def __init__(self, label, instance, opt, round_up=False):
        self.channels = opt.semantic_nc
        self.modulation = modulation_of(opt)    # 'dense', 'windows', or 'auto' (by the share of distinct windows)
        label = _batch_of_maps(label, 'label')
        self.shown = label.shape[1:]
        grown = [(0, max(-side % opt.size_multiple, opt.least_side - side))
                 for side in self.shown] if round_up else []
        self.label = _grown(_checked_label(label, opt), grown)    # (N, H, W) int64
        # (N, H, W) bool: whether a neighbour belongs to another instance
        self.edge = None
        if opt.no_instance:
            if instance is not None:
                raise InputError('instance maps given, but no_instance is true: pass None, or set --no_instance false')
        elif instance is None:
            raise InputError('instance maps are missing: pass them, or set --no_instance true')
        else:
            instance = _batch_of_maps(instance, 'instance')
            if instance.shape != label.shape:
                raise InputError(f'label {label.shape} and instance {instance.shape} differ in shape')
            self.edge = instance_edges(_grown(instance, grown))
        self.label_channels = opt.semantic_nc - (self.edge is not None)
        self._kept = {}

    def __len__(self):
        return len(self.label)

    @property
    def size(self):
        """(height, width) in pixels."""
        return self.label.shape[1:]

    def codes(self, size):
        """int64 (N, *size): 2 * label + edge, resized by nearest pixel."""
        codes = 2 * nearest(self.label, size)
        return codes if self.edge is None else codes + nearest(self.edge, size)

    def double_windows(self, size, k):
        """Distinct double windows of the codes at `size` under SPADE's two k x k convolutions; cached."""
        return self._once(('double windows', tuple(size), k), lambda: distinct_double_windows(self.codes(size), k))

    def windows(self, k, stride, padding, size=None, mirrored=False):
        """Distinct windows of the codes at `size` (None: full) under one convolution; cached.

        mirrored: padded with the codes inside, reflected at the border, instead of 'outside'.
        """
        size = tuple(size or self.size)

        def find():
            codes = self.codes(size)
            if not mirrored:
                return distinct_windows(codes, k, stride, padding)
            sides = (padding, padding)
            return distinct_windows(np.pad(codes, ((0, 0), sides, sides), mode='reflect'), k, stride, 0)
        return self._once(('windows', k, stride, padding, size, mirrored), find)

    def present(self):
        """Channels of the one-hot map that may be non-zero, int64 (P,): the occurring classes and the edge."""
        classes = np.unique(self.label)
        return classes if self.edge is None else np.append(classes, self.label_channels)

    def pooled(self, times):
        """The one-hot map's present() channels after `times` 3x3 average poolings of stride 2, (N, P, h, w)."""
        def pool():
            if times:
                return F.avg_pool2d(self.pooled(times - 1), 3, stride=2, padding=1, exclusive=True)
            planes = self.label[:, None] == self.present()[None, :, None, None]
            if self.edge is not None:
                planes[:, -1] = self.edge
            return paddle.to_tensor(planes).astype(paddle.get_default_dtype())
        return self._once(('pooled', times, paddle.get_default_dtype()), pool)

    def one_hot(self, size=None):
        """(N, semantic_nc, height, width) in the default dtype: classes, then the edge; resized by nearest pixel.

        Cached: all SPADE layers of one resolution share it.
        """
        size = tuple(size or self.size)

        def expand():
            classes = paddle.arange(self.label_channels, dtype='int64').reshape([1, -1, 1, 1])
            planes = self._on_device('label', size).unsqueeze(1) == classes
            if self.edge is not None:
                planes = paddle.concat([planes, self._on_device('edge', size).unsqueeze(1)], axis=1)
            return planes.astype(paddle.get_default_dtype())
        return self._once(('one hot', size, paddle.get_default_dtype()), expand)

    def release(self):
        """Drop the cached tensors. The windows stay cached, since finding them takes longer."""
        windows = {key: value for key, value in self._kept.items() if isinstance(value, Windows)}
        for value in windows.values():
            value.on_device.clear()
        self._kept = windows

    def _on_device(self, name, size):
        """Tensor of the array `name`, resized by nearest pixel; sent to the device once if `size` divides its size.
        """
        maps, steps = getattr(self, name), [whole // part for whole, part in zip(self.size, size)]
        if any(whole != step * part for whole, step, part in zip(self.size, steps, size)):
            return paddle.to_tensor(nearest(maps, size))
        return self._once(('on device', name), lambda: paddle.to_tensor(maps))[:, ::steps[0], ::steps[1]]

    def _once(self, key, make):
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def prepared(arrays, opt):
    """Add 'semantics', the SemanticMap with its windows, to a batch; runs in the loader's worker.

    arrays: dict with 'label' and, without no_instance, 'instance'.
    """
    semantics = SemanticMap(arrays['label'], arrays.get('instance'), opt, round_up=True)
    if semantics.modulation != 'dense':
        height, width = opt.places(semantics.size)
        if opt.netG == 'pix2pixhd':
            semantics.windows(*mirrored_convolution(opt), mirrored=True)
        else:
            for doubling in range(UPSAMPLINGS[opt.num_upsampling_layers] + 1):
                size = height << doubling, width << doubling
                if isinstance(opt.generator_norm, SpadeNorm):
                    semantics.double_windows(size, opt.generator_norm.kernel_size)
                else:   # the convolutions of a block, and its shortcut's
                    semantics.windows(3, 1, 1, size)
                    semantics.windows(1, 1, 0, size)
        semantics.windows(*FIRST_CONVOLUTION)
    return {**arrays, 'semantics': semantics}


def modulation_of(opt):
    """Option modulation; 'auto' means 'dense' without the CPU kernels."""
    return 'dense' if opt.modulation == 'auto' and not in_use(opt) else opt.modulation


def nearest(maps, size):
    """(N, H, W) -> (N, *size): row i is row floor(i * H / height), as in torch's and Paddle's nearest interpolation."""
    (height, width), (old_height, old_width) = size, maps.shape[1:]
    rows, columns = np.arange(height) * old_height // height, np.arange(width) * old_width // width
    return maps[:, rows[:, None], columns]


def _batch_of_maps(maps, name):
    maps = maps.numpy() if isinstance(maps, paddle.Tensor) else np.asarray(maps)
    if maps.ndim == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    if maps.ndim != 3 or maps.dtype.kind not in 'iu':
        raise InputError(f'{name}: found shape {maps.shape} of {maps.dtype}, expected integers (N, H, W) or (N, 1, H, '
                         'W)')
    return maps


def _grown(maps, sides):
    """Maps (N, H, W), grown by (before, behind) rows and columns like the nearest ones."""
    return np.pad(maps, [(0, 0), *sides], mode='edge') if np.any(sides) else maps


def _checked_label(label, opt):
    label = label.astype(np.int64)
    if opt.contain_dontcare_label:
        label[label == DONTCARE] = opt.label_nc
    wrong = label[(label < 0) | (label > opt.highest_label)]
    if wrong.size:
        hint = '; for unlabelled pixels set --contain_dontcare_label true' if wrong[0] == DONTCARE else ''
        raise InputError(f'label: found {wrong[0]} in {np.sum(label == wrong[0])} pixels, allowed are 0 .. '
                         f'{opt.highest_label}{" and 255" if opt.contain_dontcare_label else ""}{hint}')
    return label
