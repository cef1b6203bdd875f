"""The momentum iterative method (MIM)."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.attacks._engine.projections import project, steepest_step
from keras_mmc.attacks.ascent import Ascent
from keras_mmc.attacks.base import Attack, misclassified, reached, targets_or_drawn
from keras_mmc.attacks.pgd import step_length


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MIM(Attack):
    """Momentum iterative method: steps along a running sum of normalised gradients.

    Each gradient is divided by its mean absolute value, cleverhans' convention (the paper's
    1-norm differs from it by a constant that the step removes), and added to `decay` times the
    sum so far. The momentum carries over flat stretches, which helps attacks transfer.

    Args:
        eps: radius of the ball, in input units.
        steps: number of steps.
        step_size: length of a step, in input units; `None` takes `2.5 * eps / steps`.
        norm: `"linf"` or `"l2"`.
        objective: name of an objective, or a function of `(scores, labels)`, with `targeted` of
            `(scores, labels, targets)`.
        targeted: whether to reach a target instead of leaving the label.
        box: `(low, high)`, where images live.
        decay: weight of the gradients so far, at least 0.

    Raises:
        ValueError: if `decay` is negative, or another field does not fit.

    Source: Dong et al., CVPR 2018, arXiv 1710.06081, algorithm 1.

    Example:
    >>> x_adv = keras_mmc.attacks.MIM(eps=8 / 255, steps=10)(model, x_test, y_test)
    """

    eps: float
    steps: int = 10
    step_size: float | None = None
    norm: str = "linf"
    objective: str | Callable = "margin"
    targeted: bool = False
    box: tuple[float, float] = (0.0, 1.0)
    decay: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.decay < float("inf"):
            raise ValueError(f"MIM: `decay` must be a finite number >= 0; received {self.decay!r}.")

    def generate(self, score_fn, x, y, seed, targets=None):
        """The last iterate."""
        targets = targets_or_drawn(self, score_fn, x, y, seed, targets)
        return self._ascent(score_fn).last(tf.identity(x), (tf.zeros_like(x),), (x, y, targets))

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the first iterate that fools the model, else the last one."""
        targets = targets_or_drawn(self, score_fn, x, y, seed, targets)
        momentum = (tf.zeros_like(x),)
        return self._ascent(score_fn).first_success(x, momentum, (x, y, targets))[0]

    def _ascent(self, score_fn):
        return Ascent(
            score_fn,
            objective=objectives.for_goal(self.objective, self.targeted),
            success=reached if self.targeted else misclassified,
            move=self._move,
            steps=self.steps,
        )

    def _move(self, x, gradient, memory, x0):
        axes = list(range(1, x.shape.rank))
        size = tf.reduce_mean(tf.abs(gradient), axes, keepdims=True)
        momentum = self.decay * memory[0] + tf.math.divide_no_nan(gradient, size)
        stepped = x + steepest_step(momentum, step_length(self), self.norm)
        return project(stepped, x0, self.eps, self.norm, self.box), (momentum,)
