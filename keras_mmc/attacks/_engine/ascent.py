"""The loop of iterative gradient attacks, once for training and once for evaluation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_mmc._gradients import value_gradient_aux
from keras_mmc.attacks._engine.loops import open_batch, per_image, rows_of, write_rows

_CHUNK = 5


@dataclasses.dataclass(frozen=True)
class Ascent:
    """Gradient ascent on an objective of the scores.

    `samples` is `(x0, y, targets, eps)`: clean images, labels, targets, and the radius of all balls
    or of each. `memory` is a tuple of tensors with one row per image that a move carries on, such
    as momentum.

    Attributes:
        score_fn: maps images to scores `(N, K)`.
        objective: values `(N,)` of `(scores, y, targets)`, to be maximized.
        success: boolean `(N,)` of `(scores, y, targets)`: the model is fooled.
        move: `(x, gradient, memory, x0, eps) -> (x, memory)`, one step and its projection.
        steps: number of steps.
    """

    score_fn: Callable
    objective: Callable
    success: Callable
    move: Callable
    steps: Any

    def last(self, x: tf.Tensor, memory: tuple, samples: tuple) -> tf.Tensor:
        """The iterate after all steps, for every image; traceable under XLA."""

        def step(x, memory):
            _, gradient = self._scores_and_gradient(x, samples)
            return self.move(x, gradient, memory, samples[0], samples[3])

        return tf.while_loop(lambda *state: True, step, (x, memory), maximum_iterations=self.steps)[
            0
        ]

    def first_success(
        self, x: tf.Tensor, memory: tuple, samples: tuple
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Per image the first iterate that fools the model, else the last, and whether it does.

        Between chunks of a few steps, images that cannot change any more leave the batch: those
        fooled and, where a step is a function of the iterate alone, those whose iterate repeats.
        They go in a circle of iterates all seen before, so the outcome is that of the full run
        (Doldo et al., arXiv 2503.19347).
        """
        rows = tf.range(tf.shape(x)[0])
        fooled = tf.zeros_like(rows, tf.bool)

        def chunk(done, rows, x, memory, found, fooled):
            here = rows_of(samples, rows)
            steps = tf.minimum(_CHUNK, self.steps - done)
            x, memory, won, circling = self._chunk(x, memory, here, steps)
            found, fooled = write_rows((found, fooled), rows, (x, won))
            going = tf.where(~(won | circling))[:, 0]
            rows, x, memory = rows_of((rows, x, memory), going)
            return done + steps, rows, x, memory, found, fooled

        loop = (tf.constant(0), rows, x, memory, x, fooled)
        _, rows, _, _, found, fooled = tf.while_loop(
            lambda done, rows, *_: (done < self.steps) & (tf.size(rows) > 0),
            chunk,
            loop,
            shape_invariants=tf.nest.map_structure(open_batch, loop),
        )

        def judge_last():
            here, (_, y, targets, _) = rows_of((found, samples), rows)
            return write_rows(fooled, rows, self.success(self.score_fn(here), y, targets))

        return found, tf.cond(tf.size(rows) > 0, judge_last, lambda: fooled)

    def _chunk(self, x, memory, samples, steps):
        """Some steps on one batch, in which images that are done stay where they are."""
        anchor = x
        x0, y, targets, eps = samples
        undecided = tf.zeros(tf.shape(x)[:1], tf.bool)

        def step(x, memory, won, circling):
            scores, gradient = self._scores_and_gradient(x, samples)
            won |= self.success(scores, y, targets)
            moved, memory = self.move(x, gradient, memory, x0, eps)
            if not memory:
                axes = list(range(1, x.shape.rank))
                circling |= tf.reduce_all(moved == anchor, axes)
            x = tf.where(per_image(won | circling, x), x, moved)
            return x, memory, won, circling

        return tf.while_loop(
            lambda *state: True,
            step,
            (x, memory, undecided, undecided),
            maximum_iterations=steps,
        )

    def _scores_and_gradient(self, x, samples):
        """Scores at `x` and the gradient of the objective, from one forward pass."""

        def objective(x):
            scores = self.score_fn(x)
            return self.objective(scores, *samples[1:3]), scores

        _, gradient, scores = value_gradient_aux(objective, x)
        return scores, gradient
