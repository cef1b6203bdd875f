"""The momentum iterative method (MIM)."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._validation import check_number
from keras_mmc.attacks._engine.projections import project, steepest_step
from keras_mmc.attacks.bim import BIM


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MIM(BIM):
    """Momentum iterative method: steps along a running sum of normalized gradients.

    Each gradient is divided by its mean absolute value, cleverhans' convention (the paper's
    1-norm differs from it by a constant that the step removes), and added to `decay` times the
    sum so far. The momentum carries over flat stretches, which helps attacks transfer.

    Arguments and errors are those of `BIM`, and one more.

    Args:
        decay: weight of the gradients so far, at least 0.

    Source: Dong et al., CVPR 2018, arXiv 1710.06081, algorithm 1.

    Example:
    >>> x_adv = keras_mmc.attacks.MIM(eps=8 / 255, steps=10)(model, x_test, y_test)
    """

    decay: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "decay", self.decay, at_least=0)

    def memory(self, x):
        """The sum of the gradients so far."""
        return (tf.zeros_like(x),)

    def move(self, x, gradient, memory, x0, eps, size):
        axes = list(range(1, x.shape.rank))
        mean = tf.reduce_mean(tf.abs(gradient), axes, keepdims=True)
        momentum = self.decay * memory[0] + tf.math.divide_no_nan(gradient, mean)
        stepped = x + steepest_step(momentum, size, self.norm)
        return project(stepped, x0, eps, self.norm, self.box), (momentum,)
