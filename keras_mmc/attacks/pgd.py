"""Projected gradient descent (PGD)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import value_gradient_aux
from keras_mmc.attacks._engine.loops import (
    in_turn,
    per_image,
    repeat,
    rows_of,
    whole,
    write_rows,
)
from keras_mmc.attacks._engine.projections import clip_to_box, project, shape_of, steepest_step
from keras_mmc.attacks._engine.random import fold_in, normal
from keras_mmc.attacks.base import BallAttack

_LONGEST_CIRCLE = 5


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class PGD(BallAttack):
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
        restarts: number of runs in `search` and in a call, each on the images that no run before
            it broke.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit; in a call, see `Attack`.

    Source: Madry et al., ICLR 2018, arXiv 1706.06083.

    Example:
    >>> attack = keras_mmc.attacks.PGD(eps=8 / 255, steps=50, restarts=5)
    >>> x_adv = attack(model, x_test, y_test)
    """

    steps: int = 20
    step_size: float | None = None
    norm: str = "linf"
    objective: str | Callable = "margin"
    targeted: bool = False
    random_start: bool | float = True
    restarts: int = 1
    box: tuple[float, float] = (0.0, 1.0)

    fixed_steps = False

    @property
    def starts_at_random(self) -> bool:
        return self.random_start is not False

    def starting_near(self, deviation: float) -> "PGD":
        if self.random_start is not True:
            return self
        return dataclasses.replace(self, random_start=deviation)

    def run(self, score_fn, x, y, seed, targets, early_stop, eps, steps):
        if not early_stop:
            start = self.start(x, seed, eps)
            return self.ascend(score_fn, start, (x, y, targets, eps), steps, False)[0]

        def restart(i, images):
            seed, *clean = images
            start = self.start(clean[0], fold_in(seed, i), clean[3])
            return self.ascend(score_fn, start, tuple(clean), steps, True)

        return in_turn(self.restarts, restart, x, (seed, x, y, targets, eps))

    def ascend(
        self, score_fn: Callable, start: tf.Tensor, clean: tuple, steps: Any, early_stop: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One run: the last iterates, or the first that fool the model, and who is fooled.

        With `early_stop` images leave the batch that cannot change any more: those fooled and,
        where a step depends on the iterate alone, those whose iterate repeats. They go in a circle
        of iterates all seen before, so the outcome is that of the full run (Doldo et al., arXiv
        2503.19347).

        Args:
            score_fn: maps images to scores `(N, K)`.
            start: where the run begins, `(N, ...)`.
            clean: clean images, labels, targets, and the radius of all balls or of each.
            steps: number of steps.
            early_stop: whether to stop at the first success; without it nobody is fooled.
        """
        objective = objectives.for_goal(self.objective, self.aims)
        nobody = tf.zeros(tf.shape(start)[:1], tf.bool)

        def step(i, state):
            x, memory, anchor, fooled, circling, (x0, y, targets, eps) = state

            def values_and_scores(x):
                scores = score_fn(x)
                return objective(scores, y, targets), scores

            _, gradient, scores = value_gradient_aux(values_and_scores, x)
            size = self.step_length(eps, steps)
            moved, memory = self.move(x, gradient, memory, x0, eps, size)
            if early_stop:
                fooled |= self.succeeded(scores, y, targets)
                anchor = tf.where(i % _LONGEST_CIRCLE == 0, x, anchor)
                if not memory:
                    circling |= tf.reduce_all(moved == anchor, list(range(1, x.shape.rank)))
                moved = tf.where(per_image(fooled | circling, x), x, moved)
            return (moved, memory, anchor, fooled, circling, state[5]), fooled | circling

        begin = (start, self.memory(start), start, nobody, nobody, clean)
        x, fooled, circling = repeat(
            steps, step, begin, lambda state: (state[0], state[3], state[4]), early_stop
        )
        if not early_stop:
            return x, fooled
        # Nobody has looked at the iterates of the last step.
        unseen = tf.where(~(fooled | circling))[:, 0]

        def judge_last():
            rows = whole(unseen)
            last, (_, y, targets, _) = rows_of((x, clean), rows)
            return write_rows(fooled, rows, self.succeeded(score_fn(last), y, targets))

        return x, tf.cond(tf.size(unseen) > 0, judge_last, lambda: fooled)

    def start(self, x: tf.Tensor, seed: tf.Tensor, eps: Any) -> tf.Tensor:
        """Where a run begins: the images, or by `seed` a random point of their balls."""
        if self.random_start is False:
            return tf.identity(x)
        if self.random_start is True:
            return self.ball.random_start(x, seed, eps)
        noise = normal(seed, shape_of(x), x.dtype)
        return project(x + self.random_start * noise, x, eps, self.norm, self.box)

    def memory(self, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What `move` carries on from step to step, as it is at the start."""
        return ()

    def step_length(self, eps: Any, steps: Any) -> Any:
        """The length of a step: `step_size`, or `2.5 * eps / steps` if it is `None`."""
        if self.step_size is not None:
            return self.step_size
        return 2.5 * eps / (tf.cast(steps, tf.float32) if tf.is_tensor(steps) else steps)

    def move(
        self, x: tf.Tensor, gradient: tf.Tensor, memory: tuple, x0: tf.Tensor, eps: Any, size: Any
    ) -> tuple[tf.Tensor, tuple]:
        """One step of length `size` along the gradient, back into the ball about `x0`."""
        x = clip_to_box(x + steepest_step(gradient, size, self.norm), self.box)
        return project(x, x0, eps, self.norm, self.box), memory
