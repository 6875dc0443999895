"""Exponential moving average of the generator's weights. It paints better pictures than the last weights.

Not in the paper. Yazici et al., The Unusual Effectiveness of Averaging in GAN Training (ICLR 2019).
"""
import paddle

from model.fast import in_use, operators
from model.generator import build_generator
from model.weights import as_arrays, set_weights

COPIED = 'weight_u', 'weight_v'     # spectral norm: the singular vectors of the last power iteration


class AveragedGenerator:
    """`network` is a second generator that holds the average; it starts as a copy of the first.

    Running statistics of batch norm are averaged like weights. The spectral norm's u and v are copied.
    For the averaged W, sigma = u . W v is then the singular value, but for an error of the order of the squared
    distance between averaged and last W.
    """

    def __init__(self, opt, generator):
        self.opt, self.generator, self.network = opt, generator, build_generator(opt)
        for parameter in self.network.parameters():
            parameter.stop_gradient = True
        state, averages = generator.state_dict(), self.network.state_dict()
        self.averages, self.values = [averages[name] for name in state], list(state.values())
        self.shares = [1 if name.endswith(COPIED) else 1 - opt.ema_decay for name in state]
        self.restart()

    def restart(self):
        """Restart the average from the generator's present weights."""
        set_weights(self.network, as_arrays(self.generator.state_dict()), 'the generator')

    @paddle.no_grad()
    def update(self):
        """Update each average m from its value w: m + (1 - opt.ema_decay) * (w - m)."""
        if in_use(self.opt, self.values[0]):
            operators.follow(self.averages, self.values, self.shares)
            return
        for average, value, share in zip(self.averages, self.values, self.shares):
            if share == 1:
                paddle.assign(value, output=average)
            else:
                average.lerp_(value, share)
