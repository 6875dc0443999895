"""Collectives between the ranks of one run (python -m paddle.distributed.launch train.py); a single process skips them.

Every rank calls them in the same order. Over gloo they fail after 30 seconds: call `barrier` first where rank 0 has
worked alone (saving, drawing, scoring).
"""
import contextlib
import os
import secrets
import socket
import sys

import paddle
from paddle import distributed

from runtime.errors import InputError
from runtime.watch import Watch

_watch = None
_gradients = None   # the group that begin_all_reduce uses on GPUs


def rank():
    """Index of this process, from 0."""
    return distributed.get_rank()


def ranks():
    """Number of processes in this run."""
    return distributed.get_world_size()


def is_main():
    """Whether this is rank 0, the one that prints, logs, draws and saves."""
    return rank() == 0


def only_rank_0_prints():
    """Silence the standard output of the other ranks."""
    if not is_main():
        sys.stdout = open(os.devnull, 'w')


@contextlib.contextmanager
def joined(watch_port=0):
    """Connect the processes of `launch` for a script's work, and end them together. The device is chosen before.

    watch_port: where rank 0 listens (runtime/watch.py); 0: any free port. InputError if a rank cannot be reached.
    """
    global _watch, _gradients
    if ranks() == 1:
        yield
        return
    if paddle.get_device() == 'cpu':
        os.environ['PADDLE_DISTRI_BACKEND'] = 'gloo'
    try:
        distributed.init_parallel_env()
        if paddle.get_device() != 'cpu':
            _gradients = distributed.new_group()
        _watch = _linked(watch_port)
    except InputError:
        raise
    except (RuntimeError, OSError) as error:
        raise InputError(f'rank {rank()} of {ranks()} cannot reach the others: {error}: check --master, --nnodes and '
                         f'firewalls; the addresses are {os.environ.get("PADDLE_TRAINER_ENDPOINTS")}') from None
    try:
        yield
    except SystemExit:  # all stop together, after a signal
        _watch.close()
        raise
    except BaseException as error:
        _watch.close(f'{type(error).__name__}: {error}' if not isinstance(error, InputError) else str(error))
        raise
    else:
        _watch.close()
    finally:
        _watch = None


def _linked(port):
    """The Watch of this rank. If rank 0 cannot listen, it tells the others, which would wait for gloo's timeout."""
    host, mine, listener = os.environ['PADDLE_TRAINER_ENDPOINTS'].split(',')[0].rsplit(':', 1)[0], None, None
    if is_main():
        try:
            listener = socket.create_server(('', port))
            mine = (host, listener.getsockname()[1]), secrets.token_hex()
        except (OSError, OverflowError) as error:
            mine = (f'--watch_port {port}: rank 0 on {socket.gethostname()} cannot listen there ({error}): '
                    'choose another port')
    of_rank_0 = gathered(mine)[0]
    if isinstance(of_rank_0, str):
        raise InputError(of_rank_0)
    address, token = of_rank_0
    return Watch(rank(), ranks(), tuple(address), token, listener)


def barrier():
    """Wait for all ranks without a time limit; a collective would fail after 30 seconds."""
    if _watch is not None:
        _watch.barrier()


def gathered(value):
    """list of every rank's `value`, any object that can be pickled. Waits for all ranks without a time limit."""
    if ranks() == 1:
        return [value]
    barrier()
    values = []
    with _explained():
        distributed.all_gather_object(values, value)
    return values


def all_reduce(tensor):
    """Replace `tensor` by its sum over the ranks; return it."""
    if ranks() > 1:
        with _explained():
            distributed.all_reduce(tensor)
    return tensor


def begin_all_reduce(tensor):
    """Start to replace `tensor` by its sum over the ranks -> a function that waits for the sum.

    GPUs compute these sums in the order of the calls, in a group of their own, independent of all_reduce(). Over gloo
    the sums are computed during the wait: Paddle's all_reduce blocks there. A thread would need a second group, whose
    connections are too often refused (in 7 of 18 starts of four processes on one machine).
    """
    if paddle.get_device() == 'cpu':
        return lambda: all_reduce(tensor)
    task = distributed.all_reduce(tensor, group=_gradients, sync_op=False)

    def wait():
        with _explained():
            task.wait()
    return wait


@contextlib.contextmanager
def _explained():
    """Around a collective: if it fails because a rank has died, the watch names that rank and ends this process."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        if _watch is not None:
            _watch.wait_for_the_end()
        raise InputError(f'rank {rank()} has lost the others: {error}') from None
