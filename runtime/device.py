"""Device and threads. Entry scripts import this before anything that imports Paddle.

Paddle reads OMP_NUM_THREADS once, at import, and takes 1 where it is unset, which makes two cores twice as slow. Numpy
goes first because Paddle 2.6.2 otherwise crashes when zlib reads a PNG.
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
    """Processes that paddle.distributed.launch runs on this machine."""
    hosts = [endpoint.rsplit(':', 1)[0] for endpoint in os.environ.get('PADDLE_TRAINER_ENDPOINTS', '').split(',')]
    return max(1, hosts.count(os.environ.get('PADDLE_CURRENT_ENDPOINT', '').rsplit(':', 1)[0]))


def _threads_chosen():
    """Whether the user has set OMP_NUM_THREADS: under launch it is set anyway, since launch imports Paddle itself."""
    if 'OMP_NUM_THREADS' not in os.environ or 'PADDLE_TRAINER_ID' not in os.environ:
        return 'OMP_NUM_THREADS' in os.environ
    try:
        with open(f'/proc/{os.getppid()}/environ', 'rb') as file:   # as launch was started
            return b'OMP_NUM_THREADS=' in file.read()
    except OSError:
        return True


def _processor():
    """What Linux tells of the first core; '' elsewhere."""
    try:
        with open('/proc/cpuinfo') as file:
            return file.read().split('\n\n')[0]
    except OSError:
        return ''


@contextlib.contextmanager
def _sigterm_kept():
    """Around Paddle's import, which takes SIGTERM for itself, to report a crash:
    it comes afterwards, to whom it was meant for.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _import_paddle():
    """Import Paddle without its advice against more than one thread, which does not hold for its released wheels."""
    if not _threads_chosen():
        os.environ['OMP_NUM_THREADS'] = str(max(1, cores() // _processes_here()))
    # Two OpenMP runtimes share the cores (Paddle's and oneDNN's):
    # one whose threads spin while they wait starves the other.
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    # Paddle's MKL takes its SSE code on an AMD processor, from the first large Adam update on: three times slower.
    # 5 is AVX2.
    if 'AuthenticAMD' in _processor() and ' avx2 ' in _processor():
        os.environ.setdefault('MKL_DEBUG_CPU_TYPE', '5')
    if not shutil.which('nvidia-smi'):
        os.environ.setdefault('GLOG_minloglevel', '2')  # else the GPU wheel misses cuDNN aloud where there is no GPU
    said = io.StringIO()
    with contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='No ccache found')
        # use_best_device says so in its way
        warnings.filterwarnings('ignore', message='You are using GPU version Paddle')
        with _sigterm_kept():
            import paddle
    # 2.6.2 without a GPU says so in three lines at the first tensor; use_best_device says it in one.
    warnings.filterwarnings('ignore', message='You are using GPU version Paddle')
    # 3.3.1's BatchNorm2D, which the scoring networks hold, tells in training what it has always done.
    warnings.filterwarnings('ignore', message='When training, we now always track global mean and variance')
    for line in said.getvalue().splitlines():
        if 'OMP_NUM_THREADS' not in line:
            print(line, file=sys.stderr)
    return paddle


streams.keep_going()    # before Paddle opens files
paddle = _import_paddle()


def use_best_device():
    """Select the GPU if this Paddle can use it, else the CPU;
    print what was taken, and what to install for a GPU left idle.
    """
    gpu, capability = _nvidia_gpu()
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() and _has_code_for(capability):
        given = os.environ.get('FLAGS_selected_gpus') or '0'  # by launch, to each process its own
        paddle.set_device(f'gpu:{given.split(",")[0]}')
        print(f'device: GPU {paddle.device.cuda.get_device_name()}, Paddle {paddle.__version__}')
        return
    paddle.set_device('cpu')
    if gpu:
        print(f'{gpu} (compute capability {capability}) stays idle: Paddle {paddle.__version__} '
              f'({"built for CUDA " + paddle.version.cuda() if paddle.is_compiled_with_cuda() else "a CPU build"}) '
              f'cannot use it; install: {GPU_WHEEL}')
    print(f'device: CPU, {os.environ["OMP_NUM_THREADS"]} threads (OMP_NUM_THREADS), Paddle {paddle.__version__}')


def choose_algorithms(opt):
    """On a GPU, with option cudnn deterministic:
    convolutions and look-ups whose sums come in the same order in every run.

    A CPU build of Paddle does not know these flags, and computes so anyway.
    """
    if opt.cudnn == 'deterministic' and paddle.is_compiled_with_cuda():
        paddle.set_flags({'FLAGS_cudnn_deterministic': True, 'FLAGS_embedding_deterministic': 1})


def _has_code_for(capability):
    """Whether the wheel holds code for the GPU: 2.6.2 (CUDA 11.8) ends at compute capability 8.x."""
    return not (paddle.__version__.startswith('2.') and capability and float(capability) >= 9)


def _nvidia_gpu():
    """(name, compute capability) of the first NVIDIA GPU, as its driver tells; ('', '') if there is none."""
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
