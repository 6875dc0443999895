"""An exponential moving average of the generator's weights, which paints better pictures than its last state.

Not in the paper. Yazici et al., The Unusual Effectiveness of Averaging in GAN Training (ICLR 2019).
"""
import paddle

from model.fast import in_use, operators
from model.generator import SPADEGenerator
from model.weights import as_arrays, set_weights

COPIED = 'weight_u', 'weight_v'     # of the spectral norm: the singular vectors that the last power iteration has found


class AveragedGenerator:
    """`network`, a generator of its own, holds the average of another's weights; at first a copy of them.

    Running statistics of batch norm are averaged like weights. u and v of the spectral norm are copied: sigma = u . W v of the
    averaged W is then its singular value up to the square of how far W is from the last one.
    """

    def __init__(self, opt, generator):
        self.opt, self.generator, self.network = opt, generator, SPADEGenerator(opt)
        for parameter in self.network.parameters():
            parameter.stop_gradient = True
        state, averages = generator.state_dict(), self.network.state_dict()
        self.averages, self.values = [averages[name] for name in state], list(state.values())
        self.shares = [1 if name.endswith(COPIED) else 1 - opt.ema_decay for name in state]
        self.restart()

    def restart(self):
        """Begin with the generator as it is now."""
        set_weights(self.network, as_arrays(self.generator.state_dict()), 'the generator')

    @paddle.no_grad()
    def update(self):
        """Each average m follows its value w: m + (1 - opt.ema_decay) * (w - m)."""
        if in_use(self.opt, self.values[0]):
            operators.follow(self.averages, self.values, self.shares)
            return
        for average, value, share in zip(self.averages, self.values, self.shares):
            if share == 1:
                paddle.assign(value, output=average)
            else:
                average.lerp_(value, share)
