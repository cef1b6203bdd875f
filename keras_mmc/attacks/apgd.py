"""Auto-PGD (APGD): projected gradient ascent that chooses its own step size."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_gradient_aux
from keras_mmc.attacks import checks
from keras_mmc.attacks._engine.projections import project, random_start, steepest_step
from keras_mmc.attacks.ascent import in_turn, per_sample
from keras_mmc.attacks.base import Attack, likely_wrong, misclassified
from keras_mmc.attacks.loops import while_standing

_MOMENTUM = 0.75
_RISES = 0.75


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD: momentum, a first step of `2 * eps`, and steps halved where they stop paying.

    At the steps given by `checkpoints` a sample halves its step and goes back to its best point
    if fewer than 75 % of the steps since the last checkpoint raised the objective, or if neither
    its step nor its best value has changed since then.

    With a targeted objective the attack runs towards the most likely wrong classes in turn. It
    succeeds, with every objective, when a sample is misclassified, as whatever class.

    Args:
        eps: radius of the ball, in input units.
        steps: number of steps of one run.
        norm: `"linf"` or `"l2"`.
        objective: name of an objective, targeted or not, or a function of `(scores, labels)`.
            `"dlr"` needs 3 classes, `"targeted_dlr"` 4.
        restarts: number of runs in `search` and in a call, for each target if the objective has
            one, each on the samples still standing.
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

    eps: float
    steps: int = 100
    norm: str = "linf"
    objective: str | Callable = "margin"
    restarts: int = 1
    box: tuple[float, float] = (0.0, 1.0)
    num_targets: int = 9

    def __post_init__(self):
        checks.check_fields(self)
        objectives.for_goal(self.objective, self._aims)
        if not isinstance(self.num_targets, int) or self.num_targets < 1:
            raise ValueError(
                f"APGD: `num_targets` must be a positive integer; received {self.num_targets!r}."
            )

    def generate(self, score_fn, x, y, seed, targets=None):
        """The best point of one run, towards the most likely wrong class if the objective aims."""
        clean = (x, y, self._order(score_fn, x, y)[:, 0])
        step = self._step(score_fn, stop=False)
        _, climb, _, _ = tf.while_loop(
            lambda *state: True,
            lambda i, *state: (i + 1, *step(i, state)[0]),
            (0, *self._begin(clean, seed)),
            maximum_iterations=self.steps + 1,
        )
        return tf.stop_gradient(climb.best_x)

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the first point of any run that is misclassified, else the best of the last.

        Samples already fooled leave the batch.
        """
        order = self._order(score_fn, x, y)
        step = self._step(score_fn, stop=True)

        def outcome(state):
            climb, fooled, _ = state
            return tf.where(per_sample(fooled, climb.x), climb.x, climb.best_x), fooled

        def run(i, samples):
            x, y, order = samples
            clean = (x, y, tf.gather(order, i // self.restarts, axis=1))
            begin = self._begin(clean, tf.random.experimental.stateless_fold_in(seed, i))
            return while_standing(self.steps + 1, step, begin, outcome, share=0.125)

        return tf.stop_gradient(in_turn(order.shape[1] * self.restarts, run, x, (x, y, order))[0])

    @property
    def _aims(self):
        return self.objective in objectives.TARGETED

    def _order(self, score_fn, x, y):
        """The targets of the runs, `(N, runs)`; the labels, unused, without a target."""
        return likely_wrong(score_fn(x), y, self.num_targets) if self._aims else y[:, None]

    def _begin(self, clean, seed):
        """The state of a run at its start: the climb, who is fooled, and the clean samples."""
        x = random_start(clean[0], self.eps, self.norm, self.box, seed)
        none = tf.zeros(tf.shape(x)[:1], tf.bool)
        zero = tf.zeros(tf.shape(x)[:1])
        climb = Climb(
            x=x,
            previous_x=x,
            value=zero + tf.float32.max,
            best_x=x,
            best_value=zero + tf.float32.min,
            best_gradient=tf.zeros_like(x),
            step_size=tf.cast(2 * self.eps, tf.float32) + zero,
            rises=zero,
            checked_value=zero + tf.float32.min,
            halved=~none,
        )
        return climb, none, clean

    def _step(self, score_fn, stop):
        """One step of a run, `(i, state) -> (state, fooled)`: look, judge, move.

        Step `i` looks at iterate `i`, so the last iterate is seen by one look more than there are
        steps. With `stop`, a sample that is fooled stays where it is.
        """
        objective = objectives.for_goal(self.objective, self._aims)
        spans = _spans(self.steps)

        def step(i, state):
            climb, fooled, clean = state
            x0, y, targets = clean

            def values_and_scores(x):
                scores = score_fn(x)
                return objective(scores, y, targets), scores

            value, gradient, scores = value_gradient_aux(values_and_scores, climb.x)
            if stop:
                fooled |= misclassified(scores, y)
            climb = climb.record(value, gradient)
            span = tf.gather(spans, i)
            climb, gradient = tf.cond(
                span > 0, lambda: climb.judge(gradient, span), lambda: (climb, gradient)
            )
            moved = self._move(climb, gradient, x0, tf.where(i > 0, _MOMENTUM, 1.0))
            stay = per_sample(fooled, moved)
            climb = climb._replace(x=tf.where(stay, state[0].x, moved), previous_x=climb.x)
            return (climb, fooled, clean), fooled

        return step

    def _move(self, climb, gradient, x0, momentum):
        x = climb.x
        momentum = tf.cast(momentum, x.dtype)
        size = per_sample(tf.cast(climb.step_size, x.dtype), x)
        ahead = x + steepest_step(gradient, size, self.norm)
        ahead = project(ahead, x0, self.eps, self.norm, self.box)
        ahead = x + momentum * (ahead - x) + (1 - momentum) * (x - climb.previous_x)
        return project(ahead, x0, self.eps, self.norm, self.box)


class Climb(NamedTuple):
    """Where each sample of a run of APGD stands; every tensor has one row per sample."""

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

    def record(self, value, gradient) -> "Climb":
        """Notes the value and gradient found at `x`."""
        better = value > self.best_value
        here = per_sample(better, self.x)
        return self._replace(
            value=value,
            rises=self.rises + tf.cast(value > self.value, tf.float32),
            best_x=tf.where(here, self.x, self.best_x),
            best_value=tf.where(better, value, self.best_value),
            best_gradient=tf.where(here, gradient, self.best_gradient),
        )

    def judge(self, gradient, span) -> tuple["Climb", tf.Tensor]:
        """A checkpoint after `span` steps: halves steps that do not pay, back at the best point.

        Returns:
            The climb and the gradient at its `x`.
        """
        oscillates = self.rises < _RISES * span
        stuck = ~self.halved & (self.best_value <= self.checked_value)
        halve = oscillates | stuck
        back = per_sample(halve, self.x)
        climb = self._replace(
            x=tf.where(back, self.best_x, self.x),
            value=tf.where(halve, self.best_value, self.value),
            step_size=tf.where(halve, self.step_size / 2, self.step_size),
            rises=tf.zeros_like(self.rises),
            checked_value=self.best_value,
            halved=halve,
        )
        return climb, tf.where(back, self.best_gradient, gradient)


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
    >>> keras_mmc.attacks.apgd.checkpoints(100)
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
