"""Ours on the present device against stored values of the official implementation: `python -m tests.device_check`.

The rows of tests.alignment, in float32 and float64; on a GPU in float32 once without TF32 and once with it, each in a
process of its own, since CUDA's libraries read NVIDIA_TF32_OVERRIDE once. Ends with status 1 if a quantity is beyond
its tolerance.
"""
import argparse
import os
import platform
import subprocess
import sys

from runtime import device  # first: sets the threads, then imports numpy and Paddle in the order that works

# isort: split

import paddle

from model.version import __version__
from tests.alignment import CASES, GOLDEN, measure

# A product of TF32 has 11 significant bits where float32 has 24. Set from that, not from a run. The rows of later steps
# differ with any rounding, since Adam's first step only takes the sign of a gradient: they are shown and not judged.
TF32 = {'first losses': 5e-2, 'all log rows': float('inf')}
TF32_OTHERS = 2e-2


def rows(case, dtype, tf32):
    """List of (quantity, error, tolerance)."""
    return [(quantity, error, TF32.get(quantity, TF32_OTHERS) if tf32 else tolerance)
            for quantity, error, tolerance in measure(os.path.join(GOLDEN, case), dtype)]


def show(cases, dtypes, tf32):
    """Print the rows; the number of them beyond their tolerance."""
    failed = 0
    for case in cases:
        for dtype in dtypes:
            for quantity, error, tolerance in rows(case, dtype, tf32):
                beyond = not error <= tolerance
                failed += beyond
                named = dtype + (' TF32' if tf32 else '')
                print(f'{case:14} {named:12} {quantity:24} {error:9.1e} {tolerance:9.0e}{"  FAILED" if beyond else ""}',
                      flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=('gpu', 'cpu'), help='[the GPU if there is one]')
    parser.add_argument('--cases', nargs='+', choices=CASES, default=CASES)
    parser.add_argument('--tf32', choices=('off', 'on'), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    paddle.set_device('cpu') if arguments.device == 'cpu' else device.use_best_device()
    on_gpu = paddle.get_device().startswith('gpu')
    if arguments.device == 'gpu' and not on_gpu:
        sys.exit('error: --device gpu: there is none that this Paddle can use')
    if arguments.tf32:
        failed = show(arguments.cases, ['float32', 'float64'] if arguments.tf32 == 'off' else ['float32'],
                      arguments.tf32 == 'on')
        sys.exit(bool(failed))
    print(f'SPADE-Paddle {__version__}, Paddle {paddle.__version__}, {paddle.get_device()}, {platform.platform()}, '
          f'Python {platform.python_version()}\n'
          f'{"file":14} {"precision":12} {"quantity":24} {"error":>9} {"tolerance":>9}', flush=True)
    if not on_gpu:
        print('no TF32 on a CPU', flush=True)
        sys.exit('some quantities are beyond their tolerance' if show(arguments.cases, ['float32', 'float64'], False)
                 else 0)
    failed = 0
    for tf32 in ('off', 'on'):
        environment = {**os.environ, 'NVIDIA_TF32_OVERRIDE': str(int(tf32 == 'on'))}
        child = [sys.executable, '-m', 'tests.device_check', '--device', 'gpu', '--tf32', tf32, '--cases',
                 *arguments.cases]
        failed += subprocess.run(child, env=environment).returncode != 0
    sys.exit('some quantities are beyond their tolerance' if failed else 0)


if __name__ == '__main__':
    main()
