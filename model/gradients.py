"""Averages gradients over the ranks, in buckets, while backward still runs."""
import collections
import functools

import paddle

from runtime import distributed

# elements of a bucket: larger gradients are exchanged alone, without a copy; smaller ones share a bucket
LARGE = 1 << 20


class Exchange:
    """Averages the gradients of `parameters`, listed in the order of a forward pass.

        exchange.expect(2); first.backward(); second.backward(); exchange.finish()

    A bucket is sent once its gradients are complete and all earlier buckets are sent, so every rank has the same order.
    Sums equal those of an exchange after backward, bit for bit. A single process exchanges nothing.
    """

    def __init__(self, parameters):
        self.buckets = buckets(parameters)
        self.expect(0)
        if distributed.ranks() > 1:
            for number, bucket in enumerate(self.buckets):
                for parameter in bucket:
                    parameter._register_backward_hook(functools.partial(self._arrived, number, parameter.name))

    def expect(self, backwards):
        """Expect this number of backward() calls before finish()."""
        self.backwards, self.arrivals = backwards, collections.Counter()
        self.missing = [backwards * len(bucket) for bucket in self.buckets]
        self.sent = []  # (gradients, the tensor that is summed, a function that waits for it) of the first buckets

    @paddle.no_grad()
    def finish(self):
        """Send the remaining buckets, with gradients that no backward reached, and wait for all."""
        if distributed.ranks() == 1:
            return
        distributed.barrier()   # gloo gives up on a rank that is 30 seconds behind
        while len(self.sent) < len(self.buckets):
            self._send()
        late = [name for name, times in self.arrivals.items() if times > self.backwards]
        if late:
            raise RuntimeError(f'the gradient of {late[0]} changed after it was sent: backward reaches it more than '
                               'once')
        for gradients, total, wait in self.sent:
            wait()
            _spread(total.scale_(1 / distributed.ranks()), gradients)
        self.expect(0)

    def _arrived(self, number, name):
        """Backward hook: the parameter `name` of bucket `number` has received a gradient."""
        if not self.backwards:
            return
        self.arrivals[name] += 1
        self.missing[number] -= 1
        while len(self.sent) < len(self.buckets) and self.missing[len(self.sent)] == 0:
            self._send()

    @paddle.no_grad()
    def _send(self):
        gradients = [parameter.grad for parameter in self.buckets[len(self.sent)] if parameter.grad is not None]
        total = gradients[0] if len(gradients) == 1 else paddle.concat([gradient.flatten() for gradient in gradients])
        self.sent.append((gradients, total, distributed.begin_all_reduce(total)))


def buckets(parameters):
    """Lists of parameters whose gradients are exchanged together, in the order in which backward finishes them."""
    found, small = [], []
    for parameter in reversed(parameters):
        if parameter.size >= LARGE:
            found.append([parameter])
            continue
        small.append(parameter)
        if sum(member.size for member in small) >= LARGE:
            found.append(small)
            small = []
    return found + [small] * bool(small)


def _spread(total, gradients):
    """Copy the parts of `total` to the gradients that were joined in it."""
    if len(gradients) == 1:
        return
    for gradient, part in zip(gradients, paddle.split(total, [gradient.size for gradient in gradients])):
        paddle.assign(part.reshape(gradient.shape), gradient)
