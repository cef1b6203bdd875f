"""Auto-PGD (APGD): projected gradient ascent that chooses its own step size."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_gradient_aux
from keras_mmc.attacks._engine.loops import in_turn, per_image, repeat
from keras_mmc.attacks._engine.predictions import likely_wrong, misclassified
from keras_mmc.attacks._engine.projections import project, random_start, steepest_step
from keras_mmc.attacks._engine.random import fold_in
from keras_mmc.attacks.base import BallAttack

_MOMENTUM = 0.75
_RISES = 0.75


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class APGD(BallAttack):
    """Auto-PGD: momentum, a first step of `2 * eps`, and steps halved where they stop paying.

    At the steps given by `checkpoints` an image halves its step and goes back to its best iterate
    if fewer than 75 % of the steps since the last checkpoint raised the objective, or if neither
    its step nor its best value has changed since then.

    With a targeted objective the attack runs towards the most likely wrong classes in turn. It
    succeeds, with every objective, when the image is misclassified, as whatever class.

    Args:
        eps: radius of the ball, in input units.
        steps: number of steps of one run.
        norm: `"linf"` or `"l2"`.
        objective: name of an objective, targeted or not, or a function of `(scores, labels)`.
            `"dlr"` needs 3 classes, `"targeted_dlr"` 4.
        restarts: number of runs in `search` and in a call, for each target if the objective has
            one, each on the images that no run before it broke.
        box: `(low, high)`, where images live.
        num_targets: number of wrong classes a targeted objective runs towards in `search` and in
            a call, the most likely first; at most all of them are tried.

    Raises:
        ValueError: if a field does not fit, and when traced if there are too few classes.

    Source: Croce & Hein, ICML 2020, arXiv 2003.01690, algorithm 1.

    Example:
    >>> attack = keras_mmc.attacks.APGD(eps=8 / 255, objective="targeted_dlr")
    >>> x_adv = attack(model, x_test, y_test)
    """

    steps: int = 100
    norm: str = "linf"
    objective: str | Callable = "margin"
    restarts: int = 1
    box: tuple[float, float] = (0.0, 1.0)
    num_targets: int = 9

    starts_at_random = True

    @property
    def aims(self) -> bool:
        return self.objective in objectives.TARGETED

    def run(self, score_fn, x, y, seed, targets, early_stop, eps):
        """In training the best iterate of one run, towards the most likely wrong class."""
        order = likely_wrong(score_fn(x), y, self.num_targets) if self.aims else y[:, None]
        step = self._step(score_fn, early_stop)

        def outcome(state):
            run, fooled, _ = state
            return tf.where(per_image(fooled, run.x), run.x, run.best_x), fooled

        def attempt(i, samples):
            x, y, order, seed, eps = samples
            clean = (x, y, tf.gather(order, i // self.restarts, axis=1), eps)
            begin = self._begin(clean, fold_in(seed, i))
            return repeat(self.steps + 1, step, begin, outcome, early_stop)

        samples = (x, y, order, seed, eps)
        if early_stop:
            return in_turn(order.shape[1] * self.restarts, attempt, x, samples)
        return attempt(0, samples)[0]

    def _begin(self, clean, seed):
        """The state of a run at its start: the run, who is fooled, and the clean images."""
        x = random_start(clean[0], clean[3], self.norm, self.box, seed)
        none = tf.zeros(tf.shape(x)[:1], tf.bool)
        zero = tf.zeros(tf.shape(x)[:1])
        radius = tf.cast(clean[3], tf.float32)
        run = APGDState(
            x=x,
            previous_x=x,
            value=zero + tf.float32.max,
            best_x=x,
            best_value=zero + tf.float32.min,
            best_gradient=tf.zeros_like(x),
            step_size=zero + 2 * (tf.reshape(radius, [-1]) if radius.shape.rank else radius),
            rises=zero,
            checked_value=zero + tf.float32.min,
            halved=~none,
        )
        return run, none, clean

    def _step(self, score_fn, early_stop):
        """One step of a run, `(i, state) -> (state, fooled)`: evaluate, judge, move.

        Step `i` evaluates iterate `i`, so the last iterate is seen by one step more than there are
        moves. With `early_stop`, an image that is fooled stays where it is.
        """
        objective, spans = objectives.for_goal(self.objective, self.aims), _spans(self.steps)

        def step(i, state):
            run, fooled, clean = state
            x0, y, targets, eps = clean

            def values_and_scores(x):
                scores = score_fn(x)
                return objective(scores, y, targets), scores

            value, gradient, scores = value_gradient_aux(values_and_scores, run.x)
            if early_stop:
                fooled |= misclassified(scores, y)
            run = run.record(value, gradient)
            span = tf.gather(spans, i)
            run, gradient = tf.cond(
                span > 0, lambda: run.judge(gradient, span), lambda: (run, gradient)
            )
            moved = self._move(run, gradient, x0, eps, tf.where(i > 0, _MOMENTUM, 1.0))
            stay = per_image(fooled, moved)
            run = run._replace(x=tf.where(stay, state[0].x, moved), previous_x=run.x)
            return (run, fooled, clean), fooled

        return step

    def _move(self, run, gradient, x0, eps, momentum):
        x = run.x
        momentum = tf.cast(momentum, x.dtype)
        size = per_image(tf.cast(run.step_size, x.dtype), x)
        ahead = x + steepest_step(gradient, size, self.norm)
        ahead = project(ahead, x0, eps, self.norm, self.box)
        ahead = x + momentum * (ahead - x) + (1 - momentum) * (x - run.previous_x)
        return project(ahead, x0, eps, self.norm, self.box)


class APGDState(NamedTuple):
    """The state of a run of APGD; every tensor has one row per image."""

    x: tf.Tensor
    previous_x: tf.Tensor
    value: tf.Tensor
    best_x: tf.Tensor
    best_value: tf.Tensor
    best_gradient: tf.Tensor
    step_size: tf.Tensor
    rises: tf.Tensor
    """Number of steps since the last checkpoint that raised the objective."""
    checked_value: tf.Tensor
    """The best value at the last checkpoint."""
    halved: tf.Tensor
    """Whether the step was halved at the last checkpoint; true before the first one."""

    def record(self, value: tf.Tensor, gradient: tf.Tensor) -> "APGDState":
        """Notes the value and gradient found at `x`."""
        better = value > self.best_value
        here = per_image(better, self.x)
        return self._replace(
            value=value,
            rises=self.rises + tf.cast(value > self.value, tf.float32),
            best_x=tf.where(here, self.x, self.best_x),
            best_value=tf.where(better, value, self.best_value),
            best_gradient=tf.where(here, gradient, self.best_gradient),
        )

    def judge(self, gradient: tf.Tensor, span: Any) -> tuple["APGDState", tf.Tensor]:
        """A checkpoint after `span` steps: halves steps that do not pay, back at the best iterate.

        Returns:
            The state and the gradient at its `x`.
        """
        oscillates = self.rises < _RISES * span
        stuck = ~self.halved & (self.best_value <= self.checked_value)
        halve = oscillates | stuck
        back = per_image(halve, self.x)
        run = self._replace(
            x=tf.where(back, self.best_x, self.x),
            value=tf.where(halve, self.best_value, self.value),
            step_size=tf.where(halve, self.step_size / 2, self.step_size),
            rises=tf.zeros_like(self.rises),
            checked_value=self.best_value,
            halved=halve,
        )
        return run, tf.where(back, self.best_gradient, gradient)


def checkpoints(steps: int) -> list[int]:
    """The steps after which APGD judges its step size.

    `ceil(p_j * steps)` with `p_0 = 0`, `p_1 = 0.22` and
    `p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)`, for all `p_j <= 1`.

    Args:
        steps: number of steps of a run.

    Returns:
        Increasing integers in `[1, steps]`.

    Source: Croce & Hein, ICML 2020, arXiv 2003.01690, algorithm 1.

    Example:
    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    percent, gap = 22, 22
    found = set()
    while percent <= 100:
        found.add(-(-percent * steps // 100))
        gap = max(gap - 3, 6)
        percent += gap
    return sorted(found)


def _spans(steps):
    """For every step the number of steps since the last checkpoint if it is one, else 0."""
    spans, last = [0.0] * (steps + 1), 0
    for point in checkpoints(steps):
        spans[point], last = float(point - last), point
    return tf.constant(spans)
