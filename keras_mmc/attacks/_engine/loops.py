"""Loops over the steps of an attack: on the whole batch, or on the images that are not done.

Each is one `tf.while_loop`: neither graph nor memory grows with the number of steps, and nothing
returns to Python between steps. A state is any structure of tensors with one row per image;
scalars in it belong to all images.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_mmc._tracing import ROWS


def repeat(
    count: Any,
    step: Callable,
    state: Any,
    outcome: Callable,
    early_stop: bool,
    crowd: float = 0.125,
) -> Any:
    """Repeats a step of an attack.

    Args:
        count: number of steps.
        step: `(i, state) -> (state, done)`, with `done` boolean `(n,)`; an image that is done must
            stay so, and keep its outcome, in further steps.
        state: state at the start; its first tensor has one row per image.
        outcome: `state -> tensors`, one row per image: what is kept of it.
        early_stop: whether images that are done leave the batch. Without it shapes are fixed, as
            XLA needs.
        crowd: images that are done leave once they are more than this fraction of the batch;
            leaving copies the others. In a graph some stay, so that `whole` rows are left.

    Returns:
        The outcome of every image, in the order of the batch.
    """
    if not early_stop:
        _, state = tf.while_loop(
            lambda i, state: True,
            lambda i, state: (i + 1, step(i, state)[0]),
            (0, state),
            maximum_iterations=count,
        )
        return outcome(state)
    rows = tf.range(tf.shape(tf.nest.flatten(state)[0])[0])

    def body(i, rows, state, kept):
        state, done = step(i, state)

        left = tf.reduce_sum(tf.cast(~done, tf.int32))
        stay = tf.minimum(_up(left), tf.size(rows))

        def leave():
            idle = tf.where(done)[: stay - left, 0]
            going = tf.concat([tf.where(~done)[:, 0], idle], axis=0)
            return *rows_of((rows, state), going), write_rows(kept, rows, outcome(state))

        number = tf.cast(tf.size(rows) - left, tf.float32)
        crowded = (number > crowd * tf.cast(tf.size(rows), tf.float32)) & (stay < tf.size(rows))
        return i + 1, *tf.cond(crowded, leave, lambda: (rows, state, kept))

    _, rows, state, kept = _while_rows(count, body, (rows, state, outcome(state)))
    return write_rows(kept, rows, outcome(state))


def compiled(fn: Callable) -> Callable:
    """A function of tensors as one graph where an attack runs eagerly, as on a black box.

    Inside a graph it is the function itself. What lies between two queries of an attack is many
    small operations; one by one they take ten times as long.
    """
    graph = tf.function(fn, autograph=False, reduce_retracing=True)
    return lambda *args: (graph if tf.executing_eagerly() else fn)(*args)


def in_turn(count: Any, attempt: Callable, x: tf.Tensor, samples: Any) -> tf.Tensor:
    """Makes several attempts, each on the images that no earlier one succeeded on.

    Args:
        count: number of attempts.
        attempt: `(i, samples) -> (x_adv, fooled)` for attempt `i` on the rows that are left.
        x: images `(N, ...)`, returned if there is no attempt.
        samples: any structure of tensors with one row per image.

    Returns:
        Images `(N, ...)`, each that of the attempt that succeeded on it or of the last one.
    """

    def body(i, rows, found):
        tried, fooled = attempt(i, rows_of(samples, whole(rows)))
        tried, fooled = tried[: tf.size(rows)], fooled[: tf.size(rows)]
        return i + 1, tf.boolean_mask(rows, ~fooled), write_rows(found, rows, tried)

    return _while_rows(count, body, (tf.range(tf.shape(x)[0]), x))[2]


def whole(rows: tf.Tensor) -> tf.Tensor:
    """Numbers of rows `(n,)`, filled up to a multiple of `ROWS` with repeats of the last one.

    What is computed for a row then has the same bits whatever other rows there are. Eagerly, as a
    black box is asked, they stay as they are: no image is asked about for nothing.
    """
    return tf.concat([rows, tf.repeat(rows[-1:], _up(tf.size(rows)) - tf.size(rows))], axis=0)


def _up(count):
    """The next multiple of `ROWS`; eagerly the number itself."""
    return count if tf.executing_eagerly() else (count + ROWS - 1) // ROWS * ROWS


def _while_rows(count, body, state):
    """Runs `body(i, rows, ...)` while there are rows left, `count` times at most."""
    loop = (tf.constant(0), *state)
    return tf.while_loop(
        lambda i, rows, *_: (i < count) & (tf.size(rows) > 0),
        body,
        loop,
        shape_invariants=tf.nest.map_structure(open_batch, loop),
    )


def rows_of(tensors: Any, rows: tf.Tensor) -> Any:
    """The given rows of every tensor of a structure; scalars stay as they are."""

    def take(value):
        per_image = tf.is_tensor(value) and value.shape.rank > 0
        return tf.gather(value, rows) if per_image else value

    return tf.nest.map_structure(take, tensors)


def write_rows(tensors: Any, rows: tf.Tensor, values: Any) -> Any:
    """Every tensor of a structure with the given rows replaced."""
    return tf.nest.map_structure(
        lambda old, new: tf.tensor_scatter_nd_update(old, rows[:, None], new), tensors, values
    )


def open_batch(tensor: Any) -> tf.TensorShape:
    """The static shape of a tensor with the number of rows left open."""
    shape = tf.convert_to_tensor(tensor).shape
    return tf.TensorShape([None]).concatenate(shape[1:]) if shape.rank else shape


def per_image(values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Values `(N,)` in a shape that broadcasts against `x` of shape `(N, ...)`."""
    return tf.reshape(values, [-1] + [1] * (x.shape.rank - 1))
