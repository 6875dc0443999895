"""The work of a GPU in a training step, counted on a CPU over the operators that a GPU would run:
`python -m tests.device_cost`.

For the networks of the paper (COCO-Stuff, 256x256, ngf 64, no encoder, no VGG), cpu_kernels false, in the second step:
operators launched, reads from the device with their places, arrays sent to it, collectives, and bytes kept for backward
by kind of layer. Counts, not timings. The operators are the profiler's kernel launches but for VIEWS; the profiler of
2.6 wheels for GPUs needs a driver, so elsewhere they are None there, and the wheel for CPUs counts. Ends in one line of
JSON.
"""
import argparse
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
import weakref

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import paddle
from paddle import profiler

from model.init import OPT
from model.semantics import prepared
from model.train_step import TrainStep
from runtime import distributed
from tests.benchmark import BASE, batches

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATHS = {'dense': dict(modulation='dense'), 'windows': dict(modulation='windows'),
         'recompute': dict(modulation='dense', recompute=True)}
# These give another look at the same memory (FLAGS_use_stride_kernel, Paddle's default) and launch nothing on a GPU.
VIEWS = {'reshape', 'flatten', 'squeeze', 'unsqueeze', 'transpose', 'slice', 'split', 'split_with_num', 'unbind',
         'view_shape'}
LAUNCHED = re.compile(r'(\w+?)_? (kernel launch|compute)')   # the profiler's events in Paddle 3 and 2.6
READS = ('numpy', 'item', 'tolist', '__int__', '__float__', '__bool__', '__index__', '__array__')
HOST_COPIES = ('set_value',)    # through the host with a Tensor, on Paddle 2.6


@contextlib.contextmanager
def replaced(owner, **functions):
    """Attributes of `owner`, each replaced by function(original, *arguments) meanwhile."""
    originals = {name: getattr(owner, name) for name in functions}
    for name, function in functions.items():
        def call(*arguments, _name=name, _function=function, **options):
            return _function(originals[_name], *arguments, **options)
        setattr(owner, name, call)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(owner, name, original)


def _place():
    """file:line of the innermost caller inside this repository, but for this file."""
    for frame in reversed(traceback.extract_stack()[:-2]):
        if frame.filename.startswith(REPOSITORY + os.sep) and os.path.abspath(__file__) != frame.filename:
            return f'{os.path.relpath(frame.filename, REPOSITORY)}:{frame.lineno}'
    return '?'


class Transfers:
    """Reads from the device and arrays sent to it while `counted` is open: dicts of file:line -> times."""

    def __init__(self):
        self.reads, self.sent, self.collectives = (collections.Counter() for _ in range(3))
        self._inside = False

    @contextlib.contextmanager
    def counted(self):
        def read(original, tensor, *arguments, **options):
            # tolist() and int() call numpy(): one wait.
            if self._inside:
                return original(tensor, *arguments, **options)
            self._inside = True
            try:
                self.reads[_place()] += 1
                return original(tensor, *arguments, **options)
            finally:
                self._inside = False

        def send(original, data, *arguments, **options):
            if not isinstance(data, paddle.Tensor):
                self.sent[_place()] += 1
            return original(data, *arguments, **options)

        def collective(original, *arguments, **options):
            self.collectives[_place()] += 1
            return original(*arguments, **options)

        with replaced(paddle.Tensor, **dict.fromkeys(READS + HOST_COPIES, read)), replaced(paddle, to_tensor=send), \
                replaced(distributed.distributed, all_reduce=collective):
            yield


def operators(work):
    """Counter of (part, kernel) that work() launches, views left out; None where the profiler cannot run.

    Parts: forward, backward, optimizer.
    """
    recorder = profiler.Profiler(targets=[profiler.ProfilerTarget.CPU], on_trace_ready=lambda _: None)
    try:
        recorder.start()
    except OSError:     # a 2.6 wheel for GPUs without a driver
        work()
        return None
    work()
    recorder.stop()
    launched = collections.Counter()

    def visit(node, part):
        for child in node.children_node:
            launch = LAUNCHED.fullmatch(child.name)
            if launch and launch[1].removesuffix('_grad') not in VIEWS:
                launched['optimizer' if 'adam' in launch[1] else part, launch[1]] += 1
            visit(child, 'backward' if 'GradNode' in child.name else part)
    for root in recorder.profiler_result.get_data().values():
        visit(root, 'forward')
    return launched


def kept_bytes(networks, work):
    """Counter: kind of layer -> bytes that work() keeps for backward, each memory once, weights left out."""
    weights = {parameter.data_ptr() for network in networks for parameter in network.parameters()}
    kept, inside = [], ['outside']

    def keep(tensor):
        holder = Kept(tensor, inside[-1])
        kept.append(weakref.ref(holder))
        return holder

    hooks = []
    for layer in (layer for network in networks for layer in network.sublayers(include_self=True)):
        hooks.append(layer.register_forward_pre_hook(lambda layer, inputs: inside.append(type(layer).__name__)))
        hooks.append(layer.register_forward_post_hook(lambda layer, inputs, output: inside.pop() and None))
    with paddle.autograd.saved_tensors_hooks(keep, lambda holder: holder.tensor):
        result = work()
    for hook in hooks:
        hook.remove()
    largest = {}
    # a graph that work() itself has dropped keeps nothing
    for holder in filter(None, (reference() for reference in kept)):
        address, size = holder.tensor.data_ptr(), holder.tensor.size * holder.tensor.element_size()
        if address not in weights and size > largest.get(address, (0,))[0]:
            largest[address] = size, holder.kind
    del result
    total = collections.Counter()
    for size, kind in largest.values():
        total[kind] += size
    return total


class Kept:
    """A tensor that the graph keeps, and the kind of layer it was kept in."""

    def __init__(self, tensor, kind):
        self.tensor, self.kind = tensor, kind


def cost(options, count):
    """dict of operators by part, reads, sent, collectives, kept_bytes_g and kept_bytes_d by kind of layer."""
    train_step = TrainStep(OPT(**{**BASE, 'cpu_kernels': False, **options}))
    source, opt = batches(train_step.opt, count), train_step.opt

    def arrays():
        batch = next(source)
        return prepared(batch, opt)['semantics'], None, batch['image']

    train_step.step(*arrays())
    batch, transfers = arrays(), Transfers()

    def work():
        with transfers.counted():
            train_step.step(*batch)
    launched = operators(work)
    parts = None
    if launched is not None:
        parts = collections.Counter()
        for (part, _), times in launched.items():
            parts[part] += times
    kept_g, kept_d = kept_by_updates(train_step, batch)
    return dict(operators=parts, kernels=launched, reads=transfers.reads, sent=transfers.sent,
                collectives=transfers.collectives, kept_g=kept_g, kept_d=kept_d)


def kept_by_updates(train_step, batch):
    """kept_bytes of the G update and of the D update."""
    micro_batch, networks = train_step._micro_batch(*batch), [train_step.generator, train_step.discriminator]
    for parameter in train_step.parameters_d:
        parameter.stop_gradient = True
    kept_g = kept_bytes(networks, lambda: train_step._losses_g(*micro_batch, None))
    for parameter in train_step.parameters_d:
        parameter.stop_gradient = False
    return kept_g, kept_bytes(networks, lambda: train_step._losses_d(*micro_batch, None))


def summary(found):
    """The numbers of cost() for the line of JSON."""
    return {'operators': sum(found['operators'].values()) if found['operators'] is not None else None,
            'reads': sum(found['reads'].values()), 'sent': sum(found['sent'].values()),
            'collectives': sum(found['collectives'].values()),
            'kept_bytes_g': sum(found['kept_g'].values()), 'kept_bytes_d': sum(found['kept_d'].values())}


def show(title, found, longest=12):
    """Print cost() as a table."""
    numbers = summary(found)
    parts = ', '.join(f'{name} {times}' for name, times in sorted((found['operators'] or {}).items()))
    print(f'\n{title}: {numbers["operators"]} operators ({parts}), {numbers["reads"]} reads, {numbers["sent"]} arrays '
          f'sent, {numbers["collectives"]} collectives; kept for backward: G update '
          f'{numbers["kept_bytes_g"] / 1e9:.3f} GB, D update {numbers["kept_bytes_d"] / 1e9:.3f} GB')
    names = collections.Counter()
    for (_, name), times in (found['kernels'] or {}).items():
        names[name] += times
    print('  kernels: ' + ', '.join(f'{name} {times}' for name, times in names.most_common(longest)))
    for what in ('reads', 'sent', 'collectives'):
        if found[what]:
            print(f'  {what}: ' + ', '.join(f'{name} {times}' for name, times in found[what].most_common(longest)))
    for what in ('kept_g', 'kept_d'):
        print(f'  {what}: ' + ', '.join(f'{name} {size / 1e6:.0f} MB'
                                        for name, size in found[what].most_common(longest)))


def work_of_a_rank(options, count):
    """In a launched process: print cost() as rank 0 finds it, and its summary in a line of JSON."""
    distributed.only_rank_0_prints()
    with distributed.joined():
        found = cost(options, count)
        show(f'two ranks, batch {count} each', found)
        print('found:', json.dumps(summary(found)), flush=True)


def of_two_ranks(flags):
    """summary() of rank 0 of two over gloo."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'paddle.distributed.launch', '--nproc_per_node', '2', '--backend', 'gloo',
                   '--log_dir', folder, '--', os.path.abspath(__file__), '--work', *flags]
        environment = {**os.environ, 'OMP_NUM_THREADS': '1',
                       'PYTHONPATH': os.pathsep.join([REPOSITORY, os.environ.get('PYTHONPATH', '')])}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f'two ranks: launch ended with status {done.returncode}: {done.stdout[-2000:]}')
        with open(os.path.join(folder, 'workerlog.0')) as said:
            lines = said.read().splitlines()
    print('\n'.join(line for line in lines if line.startswith(('two ranks', '  '))))
    return json.loads(next(line for line in lines if line.startswith('found:'))[len('found:'):])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 4], help='batch sizes [1 4]')
    parser.add_argument('--crop_size', type=int, default=256,
                        help='bytes grow with its square, counts of dense do not [256]')
    parser.add_argument('--ngf', type=int, default=64)
    parser.add_argument('--paths', nargs='+', choices=[*PATHS, 'two_ranks'], default=[*PATHS, 'two_ranks'])
    parser.add_argument('--work', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    paddle.set_device('cpu')
    options = dict(crop_size=arguments.crop_size, ngf=arguments.ngf, load_size=arguments.crop_size)
    if arguments.work:
        return work_of_a_rank({**options, **PATHS['dense']}, arguments.batches[0])
    results = {}
    for path in arguments.paths:
        if path == 'two_ranks':
            results[path] = of_two_ranks(['--batches', str(arguments.batches[0]), '--crop_size',
                                          str(arguments.crop_size), '--ngf', str(arguments.ngf)])
            continue
        results[path] = {}
        for count in arguments.batches:
            found = cost({**options, **PATHS[path]}, count)
            show(f'{path}, batch {count}', found)
            results[path][count] = summary(found)
    print(json.dumps(results))


if __name__ == '__main__':
    main()
