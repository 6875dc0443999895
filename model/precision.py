"""Mixed precision on GPUs (option amp): where Paddle may compute in 16 bits, and where not."""
import paddle

from runtime.errors import OptionError


def check(opt):
    """OptionError if amp is set on a device where Paddle's auto_cast silently does nothing."""
    if opt.amp != 'none' and not paddle.get_device().startswith('gpu'):
        raise OptionError(f'option amp: found {opt.amp!r} on the device {paddle.get_device()}, which ignores it; '
                          'on a CPU use --cpu_precision bfloat16, or leave --amp none')


def mixed(opt):
    """Context in which convolutions and matrix products run in opt.amp."""
    return paddle.amp.auto_cast(enable=opt.amp != 'none', dtype='bfloat16' if opt.amp == 'bfloat16' else 'float16')


def full():
    """Context inside `mixed` that computes in float32: spectral norms, tables of windows."""
    return paddle.amp.auto_cast(enable=False)


def restored(x):
    """x, cast to float32 if it has 16 bits, for statistics and losses."""
    return x.astype('float32') if x.dtype in (paddle.float16, paddle.bfloat16) else x
