"""Adam (Kingma and Ba, ICLR 2015) with its state from the start; on the CPU kernels one call updates all parameters."""
import paddle
from paddle.base.layer_helper import LayerHelper

from model.fast import in_use, operators


class Adam(paddle.optimizer.Adam):
    """paddle.optimizer.Adam, bit for bit; its checkpoints are the same."""

    def __init__(self, opt, parameters):
        super().__init__(beta1=opt.beta1, beta2=opt.beta2, epsilon=1e-8, parameters=parameters)
        self.compiled = in_use(opt)
        # Paddle creates the state in the first step; until then state_dict() lacks what set_state_dict() was given.
        self.helper = LayerHelper(type(self).__name__)
        self._create_accumulators(paddle.static.default_main_program().global_block(), parameters)
        # set_state_dict() writes into these tensors.
        self.states = [(parameter, *(self._get_accumulator(name, parameter) for name in (
            self._moment1_acc_str, self._moment2_acc_str, self._beta1_pow_acc_str, self._beta2_pow_acc_str)))
            for parameter in parameters]

    def step(self):
        if not self.compiled:
            return super().step()
        moved = [state for state in self.states if not state[0].stop_gradient and state[0].grad is not None]
        operators.adam(*zip(*moved), self.get_lr(), self._epsilon, self._beta1, self._beta2)
