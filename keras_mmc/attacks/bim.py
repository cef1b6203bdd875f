"""The basic iterative method (BIM)."""

import dataclasses

import keras

from keras_mmc.attacks._engine.fields import fixed
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class BIM(PGD):
    """Basic iterative method: projected gradient descent that starts at the image itself.

    Args:
        eps: radius of the ball, in input units.
        steps: number of steps.
        step_size: length of a step, in input units; `None` takes `2.5 * eps / steps`.
        norm: `"linf"` or `"l2"`.
        objective: name of an objective, or a function of `(scores, labels)`, with `targeted` of
            `(scores, labels, targets)`.
        targeted: whether to reach a target instead of leaving the label.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit; in a call, see `Attack`.

    Source: Kurakin et al., ICLR 2017 workshop, arXiv 1607.02533.

    Example:
    >>> x_adv = keras_mmc.attacks.BIM(eps=8 / 255, steps=10)(model, x_test, y_test)
    """

    steps: int = 10
    random_start: bool | float = fixed(False)
    restarts: int = fixed(1)
