"""The fast adaptive boundary attack (FAB)."""

import dataclasses
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_and_gradient
from keras_mmc.attacks._engine.loops import per_image, repeat
from keras_mmc.attacks._engine.planes import length_of, rows_sum, step_to_plane
from keras_mmc.attacks._engine.predictions import likely_wrong, misclassified
from keras_mmc.attacks._engine.projections import clip_to_box, random_start
from keras_mmc.attacks._engine.random import fold_in
from keras_mmc.attacks.ball import Ball
from keras_mmc.attacks.base import Attack

# The constants of the paper: largest pull towards the clean image, overshoot of the boundary, and
# the fraction of the perturbation that is kept once across.
_ALPHA_MAX = 0.1
_ETA = 1.05
_BETA = 0.9
_DUAL = {"linf": "l1", "l2": "l2"}


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class FAB(Attack):
    """Fast adaptive boundary attack: looks for the smallest perturbation that fools the model.

    Each step replaces the boundary of the model by its tangent at the current image, goes to the
    nearest image on it inside the box, with a pull towards the clean image, and comes back by a
    tenth once across. Only the boundary matters to it, not the size of the scores, so it works
    where gradients of saturating losses vanish.

    Args:
        eps: radius of the ball, in input units: an image that is broken within it is done, one
            that is not comes back unchanged. `None` looks for the smallest perturbation of every
            image, whatever its size.
        steps: number of steps of one run.
        norm: `"linf"` or `"l2"`, the norm of the perturbation that is minimized.
        restarts: number of runs in `search` and in a call, for each target if there are any; all
            but the first start at a random point.
        box: `(low, high)`, where images live.
        num_targets: number of boundaries, those to the most likely wrong classes, that are tried
            in turn in `search` and in a call (FAB-T). `None` takes the nearest boundary of all
            classes at every step; a step then costs `K` gradients.

    Raises:
        ValueError: if a field does not fit.

    Source: Croce & Hein, ICML 2020, arXiv 1907.02044, algorithm 1; with targets Croce & Hein,
    ICML 2020, arXiv 2003.01690.

    Example:
    >>> x_adv = keras_mmc.attacks.FAB(eps=None, norm="l2")(model, x_test, y_test)
    >>> smallest = np.linalg.norm((x_adv - x_test).reshape(len(x_test), -1), axis=1)
    """

    eps: float | None
    steps: int = 100
    norm: str = "linf"
    restarts: int = 1
    box: tuple[float, float] = (0.0, 1.0)
    num_targets: int | None = 9

    optional_fields: ClassVar = ("eps", "num_targets")

    @property
    def ball(self) -> Ball | None:
        return None if self.eps is None else Ball(self.eps, self.norm, self.box)

    @property
    def fixed_eps(self) -> bool:
        return self.eps is None

    def run(self, score_fn, x, y, seed, targets, early_stop, eps=None):
        """Per image the nearest misclassified image found, else the clean one.

        With `eps`, images leave the batch at the first one inside the ball. In training one run,
        towards the most likely wrong class if there are targets.
        """
        scores = score_fn(x)
        order = y[:, None]
        if self.num_targets is not None:
            order = likely_wrong(scores, y, self.num_targets)
        radius = 0.0 if eps is None else eps
        step = self._step(score_fn, early_stop)

        def attempt(i, state):
            x, y, order, radius, seed, best, distance = state
            clean = (x, y, tf.gather(order, i // self.restarts, axis=1), radius)
            start = self._start(x, radius, distance, fold_in(seed, i))
            begin = (clean, tf.where(i % self.restarts > 0, start, x), best, distance)
            best, distance = repeat(self.steps, step, begin, lambda run: run[2:], early_stop)
            return (x, y, order, radius, seed, best, distance), within(distance, radius)

        nearest = tf.where(misclassified(scores, y), 0.0, float("inf"))
        begin = (x, y, order, radius, seed, tf.identity(x), nearest)
        runs = order.shape[1] * self.restarts if early_stop else 1
        best, distance = repeat(runs, attempt, begin, lambda s: s[5:], early_stop, crowd=0.0)
        if eps is None:
            return best
        return tf.where(per_image(within(distance, eps), x), best, x)

    def _start(self, x, radius, distance, seed):
        """A random point at half the radius: that of the ball, or the distance known so far."""
        widest = self.box[1] - self.box[0] if self.eps is None else flat(radius)
        radius = per_image(tf.cast(tf.minimum(distance, widest), x.dtype), x)
        return random_start(x, radius / 2, self.norm, self.box, seed)

    def _step(self, score_fn, early_stop):
        """One step of a run, `(i, state) -> (state, done)`."""

        def step(i, state):
            clean, x, best, distance = state
            x0, y, targets, radius = clean
            value, normal = self._boundary(score_fn, x, y, targets)
            gap = tf.cast(rows_sum(normal * (x0 - x)), tf.float32)
            ahead = step_to_plane(x, normal, -value, self.norm, self.box)
            from_clean = step_to_plane(x0, normal, -value - gap, self.norm, self.box)
            far, near = length_of(ahead, self.norm), length_of(from_clean, self.norm)
            alpha = tf.minimum(tf.math.divide_no_nan(far, far + near), _ALPHA_MAX)
            alpha = per_image(alpha, x)
            moved = (1 - alpha) * (x + _ETA * ahead) + alpha * (x0 + _ETA * from_clean)
            moved = clip_to_box(moved, self.box)

            crossed = misclassified(score_fn(moved), y)
            length = tf.cast(length_of(moved - x0, self.norm), tf.float32)
            nearer = crossed & (length < distance)
            if early_stop:  # the first image inside the ball is kept
                nearer &= ~within(distance, radius)
            best = tf.where(per_image(nearer, x), moved, best)
            distance = tf.where(nearer, length, distance)
            back = x0 + _BETA * (moved - x0)
            x = tf.where(per_image(crossed, x), back, moved)
            return (clean, x, best, distance), within(distance, radius)

        return step

    def _boundary(self, score_fn, x, y, targets):
        """The objective whose zero is the boundary, `s_k - s_y`, and its gradient at `x`."""

        def towards(classes):
            return value_and_gradient(
                lambda x: objectives.targeted_margin(score_fn(x), y, classes), x
            )

        if self.num_targets is not None:
            return towards(targets)

        def nearer(k, value, normal, distance):
            other, gradient = towards(tf.fill(tf.shape(y), k))
            dual = tf.cast(length_of(gradient, _DUAL[self.norm]), tf.float32)
            far = tf.abs(other) / (dual + 1e-12)
            better = (far < distance) & (y != k)
            normal = tf.where(per_image(better, x), gradient, normal)
            return k + 1, tf.where(better, other, value), normal, tf.where(better, far, distance)

        zero = tf.zeros(tf.shape(y))
        _, value, normal, _ = tf.while_loop(
            lambda *state: True,
            nearer,
            (0, zero, tf.zeros_like(x), zero + float("inf")),
            maximum_iterations=score_fn(x).shape[-1],
        )
        return value, normal


def flat(radius: Any) -> tf.Tensor:
    """A radius, or one per image `(N, 1, ...)`, that compares with distances `(N,)`."""
    radius = tf.convert_to_tensor(radius)
    return tf.reshape(radius, [-1]) if radius.shape.rank else radius


def within(distance: tf.Tensor, radius: Any) -> tf.Tensor:
    """Boolean `(N,)`: the distance, `(N,)`, is at most the radius."""
    return distance <= flat(radius)
