"""CPU kernels in C++: convolutions, by Winograd's algorithm or oneDNN from Paddle's wheel, and SPADE on label windows.

They are compiled on first use, with the machine's g++, into the user's cache folder, and called through ctypes. Without
Paddle's headers a build takes ten seconds and fits every Paddle version. If it fails, plain Paddle computes.
"""
import atexit
import contextlib
import ctypes
import functools
import glob
import hashlib
import os
import platform
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time

import paddle

FLAGS = ['-O3', '-march=native', '-fno-math-errno', '-fno-trapping-math', '-std=c++17', '-fopenmp', '-shared', '-fPIC']
# Paddle's oneDNN runs on Paddle's libiomp5; kernels on libgomp would add a second set of threads on the same cores.
LIBRARIES = ['-l:libdnnl.so.3', '-Wl,--as-needed', '-l:libiomp5.so']
DIGEST = 32     # bytes of the SHA-256 at the end of a library's file


@functools.lru_cache(maxsize=None)
def kernels():
    """The compiled library, a ctypes.CDLL; None, after one line of warning, if it cannot be built."""
    try:
        library = ctypes.CDLL(_built())
    except (OSError, subprocess.SubprocessError, _Unavailable) as error:
        print(f'CPU kernels: not available ({error}); plain Paddle computes the same results, to rounding, several '
              'times slower', file=sys.stderr, flush=True)
        return None
    library.spade_convolution.restype = ctypes.c_int
    library.spade_distinct.restype = library.spade_kept_bytes.restype = ctypes.c_int64
    library.spade_singular_value.restype = library.spade_l1.restype = ctypes.c_double
    return library


def digest():
    """Digest of what the kernels' bits depend on: their sources, this processor and its oneDNN."""
    return os.path.basename(kernels()._name).partition('-')[2].partition('.')[0]


def in_use(opt, x=None):
    """Whether the kernels compute, for networks of these options (None: of any options) on the tensor x.

    Without x: on new tensors of the default device and dtype, which determines a run's bits.
    """
    if opt is not None and not opt.cpu_kernels:
        return False
    if x is None:
        fits = paddle.get_device() == 'cpu' and paddle.get_default_dtype() == 'float32'
    else:
        fits = x.place.is_cpu_place() and x.dtype == paddle.float32
    return fits and kernels() is not None


def return_free_memory():
    """Return free pages to the system. Otherwise one phase's peak adds to the pages that the last one left.

    Only if the process holds SLACK pages more than after any earlier return, since getting pages back costs time.
    """
    global _needed
    if _resident_pages() > _needed + SLACK:
        kernels().spade_release_scratch()
        kernels().malloc_trim(ctypes.c_size_t(0))
        _needed = max(_needed, _resident_pages())


SLACK = (32 << 20) // resource.getpagesize()  # pages; without this, half of the calls in a steady run would return some
_needed = 0  # pages


def _resident_pages():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1])


@functools.lru_cache(maxsize=None)
def has_bfloat16():
    """Whether this processor has bfloat16 units; if not, one line of warning."""
    found = any(flag in _processor_flags().split() for flag in ('avx512_bf16', 'amx_bf16'))
    if not found:
        print('cpu_precision bfloat16: this processor has no units for it; computing in float32', file=sys.stderr,
              flush=True)
    return found


class _Unavailable(Exception):
    """Why the kernels cannot be built here."""


def _built():
    """Path of the library for these sources, this processor and this oneDNN; compiled now if it is not in the cache."""
    onednn = os.path.join(os.path.dirname(paddle.__file__), 'libs', 'libdnnl.so.3')
    if platform.machine() != 'x86_64' or not os.path.exists(onednn):
        raise _Unavailable(f'this Paddle for {platform.system()} {platform.machine()} brings no oneDNN 3')
    here = os.path.dirname(os.path.abspath(__file__))
    sources = sorted(glob.glob(os.path.join(here, '*.cpp')))
    digest = hashlib.sha256(f'{FLAGS} {LIBRARIES} {_processor_flags()} {onednn} {os.path.getsize(onednn)}'.encode())
    for path in sources + sorted(glob.glob(os.path.join(here, '*.h'))):
        with open(path, 'rb') as file:
            digest.update(file.read())
    path = os.path.join(_cache_folder(), f'kernels-{digest.hexdigest()[:16]}.so')
    if not _is_whole(path):
        _compile(sources, onednn, path)
    return path


def _is_whole(path):
    """Whether the library is as `_compile` wrote it; damaged code would end the process with a signal."""
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError:
        return False
    return content[-DIGEST:] == hashlib.sha256(content[:-DIGEST]).digest()


def _compile(sources, onednn, path):
    """Build into a new file and rename it, so that processes that start at once do not disturb each other."""
    compiler = shutil.which(os.environ.get('CXX', 'g++'))
    if compiler is None:
        raise _Unavailable(f'no {os.environ.get("CXX", "g++")} on PATH')
    began = time.perf_counter()
    descriptor, unfinished = tempfile.mkstemp(suffix='.so', dir=os.path.dirname(path))
    os.close(descriptor)
    try:
        libraries = os.path.dirname(onednn)
        command = [compiler, *FLAGS, *sources, '-o', unfinished, f'-L{libraries}', *LIBRARIES,
                   f'-Wl,-rpath,{libraries}']
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if result.returncode:
            errors = [line for line in result.stderr.splitlines() if 'error' in line] or \
                result.stderr.splitlines() or ['?']
            raise _Unavailable(f'{compiler}: {errors[0]}')
        with open(unfinished, 'r+b') as file:
            file.write(hashlib.sha256(file.read()).digest())    # after the code, where the loader ignores it
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)
    print(f'CPU kernels: built in {time.perf_counter() - began:.1f} s, stored in {os.path.dirname(path)}', flush=True)


def _cache_folder():
    """A folder that only the user can write to: in the cache or the temporary folder, or for this process alone."""
    for folder in (os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'spade-paddle'),
                   os.path.join(tempfile.gettempdir(), f'spade-paddle-{os.geteuid()}')):
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            found = os.lstat(folder)    # of the folder itself: a link may lead to another user's
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and os.access(folder, os.W_OK):
                if found.st_mode & 0o022:   # others could write until now
                    os.chmod(folder, 0o700)
                    for path in glob.glob(os.path.join(folder, 'kernels-*.so')):
                        os.remove(path)
                return folder
    try:
        folder = tempfile.mkdtemp(prefix='spade-paddle-')
    except OSError:
        raise _Unavailable('no folder for them can be written') from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.lru_cache(maxsize=None)
def _processor_flags():
    try:
        with open('/proc/cpuinfo') as file:
            return next((line.split(':')[1].strip() for line in file if line.startswith('flags')), '')
    except OSError:
        return ''
