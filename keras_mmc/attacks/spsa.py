"""SPSA: gradients guessed from scores alone."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_count, check_number
from keras_mmc.attacks._engine.adam import adam_step
from keras_mmc.attacks._engine.fields import of_width
from keras_mmc.attacks._engine.loops import per_image, repeat
from keras_mmc.attacks._engine.projections import project, shape_of
from keras_mmc.attacks._engine.random import fold_in, signs
from keras_mmc.attacks.base import BallAttack


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class SPSA(BallAttack):
    """Simultaneous perturbation stochastic approximation: climbs along a guessed gradient.

    Each step asks the model for scores of pairs of images, `delta` to either side in random
    directions, takes the slopes for a gradient and makes a step of Adam inside the L-inf ball. No
    gradient of the model is taken, so it notices when gradients lie. All images of a batch are
    attacked at once, each with directions of its own.

    Args:
        eps: radius of the L-inf ball, in input units.
        steps: number of steps.
        learning_rate: of Adam, in input units; default: 0.01 of the width of the box.
        delta: distance of the images asked for, in input units and in every pixel; default: 0.01
            of the width of the box. They may leave the box by as much.
        samples: number of images asked for per image and step, even: half as many directions.
        objective: name of an objective, or a function of `(scores, labels)`, with `targeted` of
            `(scores, labels, targets)`.
        targeted: whether to reach a target instead of leaving the label.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit.

    Source: Uesato et al., ICML 2018, arXiv 1802.05666. It starts at the clean image.

    Example:
    >>> x_adv = keras_mmc.attacks.SPSA(eps=8 / 255, steps=100)(model, x_test, y_test)
    """

    steps: int = 10
    learning_rate: float | None = None
    delta: float | None = None
    samples: int = 128
    objective: str | Callable = "margin"
    targeted: bool = False
    box: tuple[float, float] = (0.0, 1.0)

    uses_gradients = False
    fixed_steps = False

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "learning_rate", self.learning_rate, above=0, optional=True)
        check_number(self, "delta", self.delta, above=0, optional=True)
        check_count(self, "samples", self.samples, least=2)
        if self.samples % 2:
            raise ValueError(
                f"SPSA: `samples` must be even, since images are asked for in pairs; received "
                f"{self.samples!r}. Pass {self.samples + 1}."
            )

    def run(self, score_fn, x, y, seed, targets, early_stop, eps, steps):
        """Per image the first iterate that fools the model, in training the last one."""
        objective = objectives.for_goal(self.objective, self.aims)
        delta = of_width(self.delta, 0.01, self.box)
        learning_rate = of_width(self.learning_rate, 0.01, self.box)

        def step(i, state):
            clean, x, memory, fooled = state
            x0, y, targets, seed, eps = clean
            gradient = estimate_gradient(
                lambda x: objective(score_fn(x), y, targets),
                x,
                delta,
                self.samples,
                fold_in(seed, i),
            )
            move, memory = adam_step(gradient, memory, i, learning_rate)
            moved = project(x + move, x0, eps, "linf", self.box)
            x = tf.where(per_image(fooled, x), x, moved)
            if early_stop:
                fooled |= self.succeeded(score_fn(x), y, targets)
            return (clean, x, memory, fooled), fooled

        memory = (tf.zeros_like(x), tf.zeros_like(x))
        begin = ((x, y, targets, seed, eps), tf.identity(x), memory, tf.zeros_like(y, tf.bool))
        return repeat(steps, step, begin, lambda state: state[1], early_stop)


def estimate_gradient(
    fn: Callable, x: tf.Tensor, delta: float, samples: int, seed: tf.Tensor
) -> tf.Tensor:
    """Guesses the gradient of per-sample values from the values alone.

    The mean over directions `v` of random signs of `(f(x + delta v) - f(x - delta v)) / (2 delta)
    * v`. On a linear function its expectation is the gradient. Directions come one after the
    other, so that memory does not grow with `samples`.

    Args:
        fn: maps `x` to values `(N,)`.
        x: tensor `(N, ...)`.
        delta: distance of the images asked for, in input units.
        samples: number of images asked for per sample, even.
        seed: `int64` `(N,)`, one per image; the same seed asks for the same scores.

    Returns:
        Tensor like `x`; a direction whose slope is not finite counts as flat.

    Source: Spall, IEEE Transactions on Automatic Control 37(3), 1992.
    """
    directions = samples // 2

    def add(i, total):
        direction = signs(fold_in(seed, i), shape_of(x), x.dtype)
        rise = fn(x + delta * direction) - fn(x - delta * direction)
        slope = tf.where(tf.math.is_finite(rise), rise, 0.0) / (2 * delta)
        return i + 1, total + per_image(tf.cast(slope, x.dtype), x) * direction

    _, total = tf.while_loop(
        lambda *state: True, add, (0, tf.zeros_like(x)), maximum_iterations=directions
    )
    return total / directions
