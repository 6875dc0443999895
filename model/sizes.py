"""Picture sizes: what is wrong with those of an OPT, and the nearest flags that work, for messages."""
import math

UNCROPPED = 'scale_width', 'scale_shortside'   # modes that read load_size and never crop
ROOM = 286 / 256   # load_size / crop_size of the official defaults: the room for the random crop


def wrong(opt, load_size=True):
    """All problems of the sizes of `opt`, with flags that work; '' without any.

    load_size=False: leave load_size unchecked, which painting does not read.
    """
    (height, width), multiple, problems = opt.picture_size, opt.size_multiple, []
    if height % multiple or width % multiple or min(height, width) < opt.least_side:
        reason = f'num_upsampling_layers {opt.num_upsampling_layers!r}' if opt.netG == 'spade' else \
            f'netG pix2pixhd with resnet_n_downsample {opt.resnet_n_downsample}, resnet_kernel_size ' \
            f'{opt.resnet_kernel_size} and resnet_initial_kernel_size {opt.resnet_initial_kernel_size}'
        least = f', at least {opt.least_side}' if opt.least_side > multiple else ''
        problems.append(f'{reason} needs both to be multiples of {multiple}{least}')
    least = least_load_size(opt, width, height)
    if load_size and _misfits(opt, least):
        found = f'not {least}' if opt.preprocess_mode in UNCROPPED else 'too small for them'
        problems.append(f'load_size {opt.load_size} is {found} with preprocess_mode {opt.preprocess_mode}')
    if not problems:
        return ''
    return (f'crop_size {opt.crop_size} with aspect_ratio {opt.aspect_ratio:g} makes pictures {width} wide and '
            f'{height} high; {" and ".join(problems)}: nearest that works: '
            f'{flags(opt, *nearest(width, max(1, height), multiple, opt.least_side), load_size)}')


def nearest(width, height, multiple, least=0):
    """(width, height) nearest to these, both multiples of `multiple` and not below `least`, which is one of them.

    A change of shape counts twice as much as one of size.
    """
    def distance(size):
        return abs(math.log(size[0] / width)) + 2 * abs(math.log(size[0] * height / (size[1] * width)))

    least = max(least, multiple)
    wide = range(least, 2 * max(width, least) + 1, multiple)
    high = {w: w * height / width / multiple for w in wide}
    return min(((w, max(least, multiple * round_(high[w]))) for round_ in (math.floor, math.ceil)
                for w in wide), key=distance)


def flags(opt, width, height, load_size=True):
    """Command-line flags for pictures of that size, with --load_size if that of `opt` is too small."""
    ratio, least = short_ratio(width, height), least_load_size(opt, width, height)
    shown = [f'--crop_size {width}'] + [f'--aspect_ratio {ratio}'] * ({ratio, opt.aspect_ratio} != {1.0})
    room = 1 if opt.preprocess_mode in UNCROPPED else ROOM
    return ' '.join(shown + [f'--load_size {round(least * room)}'] * (load_size and _misfits(opt, least)))


def short_ratio(width, height):
    """The aspect_ratio with the fewest digits that gives a picture of this width this height."""
    ratios = (round(width / height, digits) for digits in range(1, 17))
    return next((ratio for ratio in ratios if ratio and round(width / ratio) == height), width / height)


def least_load_size(opt, width, height):
    """load_size below which no photo of any shape could fill a picture width x height; UNCROPPED modes need just it.
    0 where the mode does not read it.
    """
    return {'resize_and_crop': max(height, width), 'scale_width_and_crop': width, 'scale_width': width,
            'scale_shortside_and_crop': min(height, width), 'scale_shortside': min(height, width)
            }.get(opt.preprocess_mode, 0)


def _misfits(opt, least):
    return opt.load_size != least if opt.preprocess_mode in UNCROPPED else opt.load_size < least
