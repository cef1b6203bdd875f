"""The loop of iterative gradient attacks, once for training and once for evaluation.

Both are single `tf.while_loop`s: neither graph nor memory grows with the number of steps, and
nothing returns to Python between steps.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from keras_mmc._gradients import value_gradient_aux

_CHUNK = 5


@dataclasses.dataclass(frozen=True)
class Ascent:
    """Gradient ascent on an objective of the scores.

    `samples` is `(x0, y, targets)`: clean images, labels and targets of the batch. `memory` is a
    tuple of tensors with one row per sample that a move carries on, such as momentum.

    Attributes:
        score_fn: maps images to scores `(N, K)`.
        objective: values `(N,)` of `(scores, y, targets)`, to be maximised.
        success: boolean `(N,)` of `(scores, y, targets)`: the sample is fooled.
        move: `(x, gradient, memory, x0) -> (x, memory)`, one step and its projection.
        steps: number of steps.
    """

    score_fn: Callable
    objective: Callable
    success: Callable
    move: Callable
    steps: int

    def last(self, x, memory, samples) -> tf.Tensor:
        """The point after all steps, for every sample; traceable under XLA."""

        def step(x, memory):
            _, gradient = self._look(x, samples)
            return self.move(x, gradient, memory, samples[0])

        x, _ = tf.while_loop(lambda *state: True, step, (x, memory), maximum_iterations=self.steps)
        return tf.stop_gradient(x)

    def first_success(self, x, memory, samples) -> tuple[tf.Tensor, tf.Tensor]:
        """Per sample the first point that fools the model, else the last, and whether it does.

        Between chunks of a few steps, samples that cannot change any more leave the batch: those
        fooled and, where a step is a function of the point alone, those whose iterate repeats.
        They go in a circle of points all seen before, so the outcome is that of the full run
        (Doldo et al., arXiv 2503.19347).
        """
        rows = tf.range(tf.shape(x)[0])
        fooled = tf.zeros_like(rows, tf.bool)

        def chunk(done, rows, x, memory, points, fooled):
            here = rows_of(samples, rows)
            steps = tf.minimum(_CHUNK, self.steps - done)
            x, memory, won, circling = self._chunk(x, memory, here, steps)
            points, fooled = write_rows((points, fooled), rows, (x, won))
            going = tf.where(~(won | circling))[:, 0]
            rows, x, memory = rows_of((rows, x, memory), going)
            return done + steps, rows, x, memory, points, fooled

        _, rows, _, _, points, fooled = tf.while_loop(
            lambda done, rows, *_: (done < self.steps) & (tf.size(rows) > 0),
            chunk,
            (0, rows, x, memory, x, fooled),
            shape_invariants=tf.nest.map_structure(
                open_batch, (tf.constant(0), rows, x, memory, x, fooled)
            ),
        )

        def look_once_more():
            here, (_, y, targets) = rows_of((points, samples), rows)
            won = self.success(self.score_fn(here), y, targets)
            return write_rows(fooled, rows, won)

        fooled = tf.cond(tf.size(rows) > 0, look_once_more, lambda: fooled)
        points = tf.ensure_shape(points, x.shape)
        return tf.stop_gradient(points), fooled

    def _chunk(self, x, memory, samples, steps):
        """Some steps on one batch, in which samples that are done stay where they are."""
        anchor = x
        undecided = tf.zeros(tf.shape(x)[:1], tf.bool)

        def step(x, memory, won, circling):
            scores, gradient = self._look(x, samples)
            won |= self.success(scores, *samples[1:])
            moved, memory = self.move(x, gradient, memory, samples[0])
            if not memory:
                axes = list(range(1, x.shape.rank))
                circling |= tf.reduce_all(moved == anchor, axes)
            x = tf.where(per_sample(won | circling, x), x, moved)
            return x, memory, won, circling

        return tf.while_loop(
            lambda *state: True,
            step,
            (x, memory, undecided, undecided),
            maximum_iterations=steps,
        )

    def _look(self, x, samples):
        """Scores at `x` and the gradient of the objective, from one forward pass."""

        def objective(x):
            scores = self.score_fn(x)
            return self.objective(scores, *samples[1:]), scores

        _, gradient, scores = value_gradient_aux(objective, x)
        return scores, gradient


def in_turn(count, attempt: Callable, x, samples) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes several attempts, each on the samples that no earlier one fooled.

    Args:
        count: number of attempts.
        attempt: `(i, samples) -> (points, fooled)` for attempt `i` on the rows still standing.
        x: points `(N, ...)`, returned if there is no attempt.
        samples: any structure of tensors with one row per sample.

    Returns:
        Points `(N, ...)`, per sample those of the attempt that fooled it or of the last one, and
        booleans `(N,)`: fooled by some attempt.
    """
    rows = tf.range(tf.shape(x)[0])
    fooled = tf.zeros_like(rows, tf.bool)

    def body(i, rows, points, fooled):
        tried, won = attempt(i, rows_of(samples, rows))
        points, fooled = write_rows((points, fooled), rows, (tried, won))
        return i + 1, tf.boolean_mask(rows, ~won), points, fooled

    _, _, points, fooled = tf.while_loop(
        lambda i, rows, *_: (i < count) & (tf.size(rows) > 0),
        body,
        (0, rows, x, fooled),
        shape_invariants=tf.nest.map_structure(open_batch, (tf.constant(0), rows, x, fooled)),
    )
    return tf.ensure_shape(points, x.shape), fooled


def rows_of(tensors, rows):
    """The given rows of every tensor of a structure."""
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)


def write_rows(tensors, rows, values):
    """Every tensor of a structure with the given rows replaced."""
    return tf.nest.map_structure(
        lambda old, new: tf.tensor_scatter_nd_update(old, rows[:, None], new), tensors, values
    )


def open_batch(tensor) -> tf.TensorShape:
    """The static shape of a tensor with the batch dimension left open, for loops that compact."""
    if tensor.shape.rank == 0:
        return tensor.shape
    return tf.TensorShape([None]).concatenate(tensor.shape[1:])


def per_sample(mask, x):
    """A mask `(N,)` in a shape that broadcasts against `x` of shape `(N, ...)`."""
    return tf.reshape(mask, [-1] + [1] * (x.shape.rank - 1))
