"""The basic iterative method (BIM)."""

import dataclasses
from collections.abc import Callable

import keras

from keras_mmc.attacks.base import Attack
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class BIM(Attack):
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

    eps: float
    steps: int = 10
    step_size: float | None = None
    norm: str = "linf"
    objective: str | Callable = "margin"
    targeted: bool = False
    box: tuple[float, float] = (0.0, 1.0)

    def generate(self, score_fn, x, y, seed, targets=None):
        """The last iterate."""
        return self._pgd().generate(score_fn, x, y, seed, targets)

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the first iterate that fools the model, else the last one."""
        return self._pgd().search(score_fn, x, y, seed, targets)

    def _pgd(self):
        return PGD(
            self.eps,
            steps=self.steps,
            step_size=self.step_size,
            norm=self.norm,
            objective=self.objective,
            targeted=self.targeted,
            random_start=False,
            box=self.box,
        )
