"""Projected gradient descent (PGD)."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.attacks._engine.projections import (
    clip_to_box,
    normal_noise,
    project,
    random_start,
    steepest_step,
)
from keras_mmc.attacks.ascent import Ascent, in_turn
from keras_mmc.attacks.base import Attack, misclassified, reached, targets_or_drawn


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient descent: steps along the gradient, each brought back into the ball.

    Args:
        eps: radius of the ball, in input units.
        steps: number of steps.
        step_size: length of a step, in input units; `None` takes `2.5 * eps / steps`.
        norm: `"linf"` or `"l2"`.
        objective: name of an objective, or a function of `(scores, labels)`, with `targeted` of
            `(scores, labels, targets)`.
        targeted: whether to reach a target instead of leaving the label.
        random_start: whether to start at a random point of the ball; a number starts at normal
            noise of that standard deviation instead, in input units.
        restarts: number of runs in `search` and in a call, each on the samples still standing.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit; in a call, see `Attack`.

    Source: Madry et al., ICLR 2018, arXiv 1706.06083.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=50, restarts=5)
    >>> x_adv = attack(model, x_test, y_test)
    """

    eps: float
    steps: int = 20
    step_size: float | None = None
    norm: str = "linf"
    objective: str | Callable = "margin"
    targeted: bool = False
    random_start: bool | float = True
    restarts: int = 1
    box: tuple[float, float] = (0.0, 1.0)

    def generate(self, score_fn, x, y, seed, targets=None):
        """The last iterate of one run."""
        targets = targets_or_drawn(self, score_fn, x, y, seed, targets)
        return self._ascent(score_fn).last(self.start(x, seed), (), (x, y, targets))

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the first point of any restart that fools the model, else the last one."""
        targets = targets_or_drawn(self, score_fn, x, y, seed, targets)
        ascent = self._ascent(score_fn)

        def restart(i, samples):
            start = self.start(samples[0], tf.random.experimental.stateless_fold_in(seed, i))
            return ascent.first_success(start, (), samples)

        return in_turn(self.restarts, restart, x, (x, y, targets))[0]

    def _ascent(self, score_fn):
        return Ascent(
            score_fn,
            objective=objectives.for_goal(self.objective, self.targeted),
            success=reached if self.targeted else misclassified,
            move=self.move,
            steps=self.steps,
        )

    def start(self, x, seed):
        """Where a run begins: the images, or by `seed` a random point of their balls."""
        if self.random_start is False:
            return tf.identity(x)
        if self.random_start is not True:
            noisy = x + self.random_start * normal_noise(tf.shape(x), seed, x.dtype)
            return project(noisy, x, self.eps, self.norm, self.box)
        return random_start(x, self.eps, self.norm, self.box, seed)

    def move(self, x, gradient, memory, x0):
        """One step along the gradient and back into the ball about `x0`; no memory is kept."""
        step = steepest_step(gradient, step_length(self), self.norm)
        x = clip_to_box(x + step, self.box)
        return project(x, x0, self.eps, self.norm, self.box), memory


def step_length(attack) -> float | tf.Tensor:
    """The `step_size` of an attack, `2.5 * eps / steps` if it is `None`."""
    if attack.step_size is not None:
        return attack.step_size
    steps = attack.steps
    return 2.5 * attack.eps / (tf.cast(steps, tf.float32) if tf.is_tensor(steps) else steps)
