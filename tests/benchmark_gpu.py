"""What a GPU does: `python -m tests.benchmark --device gpu`. Writes a file that can be sent in; nobody here has a GPU.

The paper's networks (COCO-Stuff, 256x256, ngf 64, no encoder, no VGG): seconds of a generator forward in eval mode and
of a whole training step, images per second, and peak memory, for every way to compute (SETTINGS), each precision, and
batch sizes that double until the memory ends. Each setting has a process of its own. Maps: the folder named by
SPADE_COCO_SAMPLE, else demo scenes; their windows are found beforehand, as processes that load data do. --device cpu
does the same over the operators that a GPU would run.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import paddle

from model.init import OPT
from model.semantics import prepared
from model.train_step import TrainStep
from runtime.memory import lack_of
from tests.benchmark import BASE, batches

SETTINGS = {'dense': dict(modulation='dense'), 'windows': dict(modulation='windows'),
            'recompute': dict(modulation='dense', recompute=True),
            'deterministic': dict(modulation='dense', cudnn='deterministic')}
PRECISIONS = 'none', 'bfloat16', 'float16'
DOUBLINGS = [2 ** n for n in range(11)]
WARM_UP, TIMED = 3, 10


def synchronized_clock():
    """Seconds, when the device has finished what it was given."""
    if paddle.get_device().startswith('gpu'):
        paddle.device.cuda.synchronize()
    return time.perf_counter()


def measured(options, count, warm_up=WARM_UP, timed=TIMED):
    """dict of one row: batch, forward_s, step_s (medians), images_per_s, peak_gb."""
    train_step = TrainStep(OPT(**{**BASE, 'cpu_kernels': False, **options}))
    source, opt = batches(train_step.opt, count), train_step.opt
    on_gpu = paddle.get_device().startswith('gpu')
    if on_gpu:
        paddle.device.cuda.empty_cache()
        paddle.device.cuda.reset_max_memory_allocated()
    taken = {'forward': [], 'step': []}
    for what, seconds in taken.items():
        for _ in range(warm_up + timed):
            batch = next(source)
            semantics = prepared(batch, opt)['semantics']   # new ones: what has been sent to the device stays with them
            began = synchronized_clock()
            train_step.painter.paint(semantics) if what == 'forward' \
                else train_step.step(semantics, None, batch['image'])
            seconds.append(synchronized_clock() - began)
    forward, step = (statistics.median(seconds[warm_up:]) for seconds in taken.values())
    peak = paddle.device.cuda.max_memory_allocated() / 1e9 if on_gpu else _resident_peak()
    return dict(batch=count, forward_s=forward, step_s=step, images_per_s=count / step, peak_gb=peak)


def _resident_peak():
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) / 1e6 for line in status if line.startswith('VmHWM'))


def until_memory_ends(measure, counts):
    """Yield measure(count) for growing counts; last, where the memory has ended, dict(batch=count, ended=why)."""
    for count in counts:
        try:
            yield measure(count)
        except (RuntimeError, MemoryError) as error:
            if not lack_of(error):
                raise
            yield dict(batch=count, ended=lack_of(error))
            return


def work(arguments):
    """In a process of its own: print a row of each batch size in a line of JSON."""
    options = {**SETTINGS[arguments.work[0]], 'amp': arguments.work[1], **_sizes(arguments)}
    for row in until_memory_ends(lambda count: measured(options, count, arguments.warm_up, arguments.timed),
                                 arguments.batches):
        print('row:', json.dumps(row), flush=True)


def _sizes(arguments):
    return dict(crop_size=arguments.crop_size, load_size=arguments.crop_size, ngf=arguments.ngf, ndf=arguments.ngf)


def surroundings():
    """dict: what the numbers depend on."""
    found = dict(paddle=paddle.__version__, python=platform.python_version(), system=platform.platform(),
                 date=time.strftime('%F'))
    if paddle.get_device().startswith('gpu'):
        properties = paddle.device.cuda.get_device_properties()
        found.update(device=properties.name, memory_gb=properties.total_memory / 1e9, cuda=paddle.version.cuda(),
                     cudnn=paddle.version.cudnn())
    else:
        found.update(device=f'CPU, {os.environ["OMP_NUM_THREADS"]} threads')
    return found


def main(command=None):
    parser = argparse.ArgumentParser(prog='python -m tests.benchmark', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=('gpu', 'cpu'), required=True)
    parser.add_argument('--out', metavar='FILE', default='benchmark_gpu.json',
                        help='the file to send in [benchmark_gpu.json]')
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument('--precisions', nargs='+', choices=PRECISIONS, default=list(PRECISIONS),
                        help='on a GPU; a CPU has none but "none"')
    parser.add_argument('--batches', nargs='+', type=int, default=DOUBLINGS,
                        help='batch sizes, until the memory ends [1 2 4 .. 1024]')
    parser.add_argument('--crop_size', type=int, default=256)
    parser.add_argument('--ngf', type=int, default=64, help='and ndf [64]')
    parser.add_argument('--warm_up', type=int, default=WARM_UP, help=f'runs that are not timed [{WARM_UP}]')
    parser.add_argument('--timed', type=int, default=TIMED, help=f'runs that are [{TIMED}]')
    parser.add_argument('--work', nargs=2, help=argparse.SUPPRESS)
    command = sys.argv[1:] if command is None else command
    arguments = parser.parse_args(command)
    if arguments.device == 'cpu':
        paddle.set_device('cpu')
    else:
        device.use_best_device()
        if not paddle.get_device().startswith('gpu'):
            sys.exit('error: --device gpu: there is none that this Paddle can use')
    if arguments.work:
        return work(arguments)
    report = {**surroundings(), 'sizes': _sizes(arguments), 'maps': 'COCO-Stuff' if os.environ.get('SPADE_COCO_SAMPLE')
              else 'demo', 'rows': []}
    print(', '.join(f'{name} {value}' for name, value in report.items() if name != 'rows'))
    print(f'{"setting":14} {"amp":9} {"batch":>5} {"forward s":>10} {"step s":>8} {"images/s":>9} {"peak GB":>8}')
    for setting in arguments.settings:
        for precision in arguments.precisions if arguments.device == 'gpu' else ['none']:
            child = [sys.executable, '-m', 'tests.benchmark', *command, '--work', setting, precision]
            done = subprocess.run(child, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            rows = [json.loads(line[len('row:'):]) for line in done.stdout.splitlines() if line.startswith('row:')]
            # a driver that kills at the end of memory, a missing kernel: the rest is measured anyway
            if done.returncode:
                rows.append(dict(failed=done.stderr.strip().splitlines()[-1:]))
            for row in rows:
                report['rows'].append(dict(setting=setting, amp=precision, **row))
                print(_line(setting, precision, row), flush=True)
            with open(arguments.out, 'w') as file:
                json.dump(report, file, indent=2)
    print(f'{arguments.out}: please send it in, as an issue of this repository')


def _line(setting, precision, row):
    if 'step_s' not in row:
        return f'{setting:14} {precision:9} {row.get("batch", ""):>5} {row.get("ended") or row.get("failed")}'
    return (f'{setting:14} {precision:9} {row["batch"]:>5} {row["forward_s"]:>10.4f} {row["step_s"]:>8.4f} '
            f'{row["images_per_s"]:>9.2f} {row["peak_gb"]:>8.2f}')


if __name__ == '__main__':
    main()
