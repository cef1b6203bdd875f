"""The fast gradient sign method (FGSM)."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient
from keras_mmc.attacks._engine.projections import clip_to_box, steepest_step
from keras_mmc.attacks.base import Attack, targets_or_drawn


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class FGSM(Attack):
    """Fast gradient sign method: one step of full length along the gradient.

    Args:
        eps: length of the step, in input units.
        norm: `"linf"` or `"l2"`.
        objective: name of an objective, or a function of `(scores, labels)`, with `targeted` of
            `(scores, labels, targets)`.
        targeted: whether to reach a target instead of leaving the label.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit; in a call, see `Attack`.

    Source: Goodfellow et al., ICLR 2015, arXiv 1412.6572.

    Example:
    >>> x_adv = keras_mmc.attacks.FGSM(eps=8 / 255)(model, x_test, y_test)
    """

    eps: float
    norm: str = "linf"
    objective: str | Callable = "margin"
    targeted: bool = False
    box: tuple[float, float] = (0.0, 1.0)

    def generate(self, score_fn, x, y, seed, targets=None):
        """The images after the step."""
        targets = targets_or_drawn(self, score_fn, x, y, seed, targets)
        objective = objectives.for_goal(self.objective, self.targeted)
        _, gradient = value_and_gradient(lambda x: objective(score_fn(x), y, targets), x)
        stepped = x + steepest_step(gradient, self.eps, self.norm)
        return tf.stop_gradient(clip_to_box(stepped, self.box))
