"""Device and threads. Entry scripts import this module before anything that imports Paddle.

Paddle reads OMP_NUM_THREADS once, at import, and uses 1 where it is unset, which is twice as slow on two cores. Numpy
is imported first because Paddle 2.6.2 otherwise crashes when zlib reads a PNG.
"""
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np  # noqa: F401

from runtime import streams
from runtime.cores import cores

GPU_WHEEL = 'pip install paddlepaddle-gpu==3.2.0 -i https://www.paddlepaddle.org.cn/packages/stable/cu126/'


def _processes_here():
    """Number of processes that paddle.distributed.launch runs on this machine."""
    hosts = [endpoint.rsplit(':', 1)[0] for endpoint in os.environ.get('PADDLE_TRAINER_ENDPOINTS', '').split(',')]
    return max(1, hosts.count(os.environ.get('PADDLE_CURRENT_ENDPOINT', '').rsplit(':', 1)[0]))


def _threads_chosen():
    """Whether the user has set OMP_NUM_THREADS. Under launch it is always set, since launch imports Paddle."""
    if 'OMP_NUM_THREADS' not in os.environ or 'PADDLE_TRAINER_ID' not in os.environ:
        return 'OMP_NUM_THREADS' in os.environ
    try:
        with open(f'/proc/{os.getppid()}/environ', 'rb') as file:   # launch's environment before it imported Paddle
            return b'OMP_NUM_THREADS=' in file.read()
    except OSError:
        return True


def _processor():
    """Linux's description of the first core; '' on other systems."""
    try:
        with open('/proc/cpuinfo') as file:
            return file.read().split('\n\n')[0]
    except OSError:
        return ''


@contextlib.contextmanager
def _signals_of_the_import():
    """Hold SIGTERM back during Paddle's import, which replaces its handler; our handler gets it afterwards.

    Ctrl-C ends the process: nothing has begun, and Paddle would make an ImportError of a KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before, interrupt = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL, signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if interrupt is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _import_paddle():
    """Import Paddle without its advice against more than one thread, which is wrong for its released wheels."""
    if not _threads_chosen():
        os.environ['OMP_NUM_THREADS'] = str(max(1, cores() // _processes_here()))
    # How long idle threads of libiomp5 spin, in milliseconds: the next kernel of a step finds them awake, and other
    # programs find their core free. Its default is 200.
    os.environ.setdefault('KMP_BLOCKTIME', '1')
    # On AMD processors Paddle's MKL changes to SSE code, 3x slower, at the first large Adam update. 5 selects AVX2.
    if 'AuthenticAMD' in _processor() and ' avx2 ' in _processor():
        os.environ.setdefault('MKL_DEBUG_CPU_TYPE', '5')
    if not shutil.which('nvidia-smi'):
        os.environ.setdefault('GLOG_minloglevel', '2')  # no warning about cuDNN from the GPU wheel without a GPU
    printed = io.StringIO()
    # At import and at the first tensor 2.6.2 warns of a missing GPU in three lines; use_best_device does it in one.
    warnings.filterwarnings('ignore', message='You are using GPU version Paddle')
    with contextlib.redirect_stderr(printed), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='No ccache found')
        try:
            with _signals_of_the_import():
                import paddle
        except OSError as error:    # the import makes ~/.cache/paddle in any case
            sys.exit(f'error: {error.filename}: {error.strerror or error}: Paddle cannot be imported without this '
                     'folder: set HOME to a writable one')
    # 3.3.1's BatchNorm2D (of scoring networks) warns in training that it does what it always did.
    warnings.filterwarnings('ignore', message='When training, we now always track global mean and variance')
    for line in printed.getvalue().splitlines():
        if 'OMP_NUM_THREADS' not in line:
            print(line, file=sys.stderr)
    return paddle


streams.keep_going()    # before Paddle opens files
paddle = _import_paddle()


def use_best_device():
    """Select the GPU if this Paddle can use it, else the CPU; print the choice, and what to install for an idle GPU."""
    gpu, capability = _nvidia_gpu()
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() and _has_code_for(capability):
        given = os.environ.get('FLAGS_selected_gpus') or '0'  # set by launch for each process
        paddle.set_device(f'gpu:{given.split(",")[0]}')
        print(f'device: GPU {paddle.device.cuda.get_device_name()}, Paddle {paddle.__version__}')
        return
    paddle.set_device('cpu')
    if gpu:
        build = f'built for CUDA {paddle.version.cuda()}' if paddle.is_compiled_with_cuda() else 'a CPU build'
        print(f'{gpu} (compute capability {capability}) stays idle: Paddle {paddle.__version__} ({build}) cannot use '
              f'it; install: {GPU_WHEEL}')
    print(f'device: CPU, {os.environ["OMP_NUM_THREADS"]} threads (OMP_NUM_THREADS), Paddle {paddle.__version__}')


def choose_algorithms(opt):
    """With option cudnn deterministic, a GPU's convolutions and look-ups sum in the same order in every run.

    A CPU build of Paddle lacks these flags; it is deterministic.
    """
    if opt.cudnn == 'deterministic' and paddle.is_compiled_with_cuda():
        paddle.set_flags({'FLAGS_cudnn_deterministic': True, 'FLAGS_embedding_deterministic': 1})


def _has_code_for(capability):
    """Whether the wheel has code for the GPU; the wheel of 2.6.2 (CUDA 11.8) ends at compute capability 8.x."""
    return not (paddle.__version__.startswith('2.') and capability and float(capability) >= 9)


def _nvidia_gpu():
    """(name, compute capability) of the first NVIDIA GPU, from its driver; ('', '') without one."""
    if not shutil.which('nvidia-smi'):
        return '', ''
    query = ['nvidia-smi', '--query-gpu=name,compute_cap', '--format=csv,noheader']
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return '', ''
    if answer.returncode or ',' not in answer.stdout:
        return '', ''
    name, capability = answer.stdout.splitlines()[0].rsplit(',', 1)
    return name.strip(), capability.strip()
