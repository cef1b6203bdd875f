"""Loops of attacks with a state of their own: fixed for training, or shrinking."""

from collections.abc import Callable

import tensorflow as tf

from keras_mmc.attacks.ascent import open_batch, rows_of, write_rows

_SHARE = 0.125


def repeat(count: int, step: Callable, state, outcome: Callable, compact: bool):
    """Repeats a step, on the whole batch or on the samples that are not done.

    One `tf.while_loop`: neither graph nor memory grows with the number of steps.

    Args:
        count: number of steps.
        step: `(i, state) -> (state, done)`, with `done` boolean `(n,)`; a sample that is done
            must keep its outcome in further steps.
        state: any structure of tensors with one row per sample.
        outcome: `state -> tensors`, one row per sample: what is kept of a sample.
        compact: whether samples that are done leave the batch. Without it shapes are fixed, as
            XLA needs.

    Returns:
        The outcome of every sample, in the order of the batch.
    """
    if compact:
        return while_standing(count, step, state, outcome, share=_SHARE)
    _, state = tf.while_loop(
        lambda i, state: True,
        lambda i, state: (i + 1, step(i, state)[0]),
        (0, state),
        maximum_iterations=count,
    )
    return outcome(state)


def while_standing(count: int, step: Callable, state, outcome: Callable, share: float):
    """Repeats a step on a batch that shrinks as its samples are done.

    One `tf.while_loop`: nothing returns to Python between steps and memory does not grow.

    Args:
        count: number of steps.
        step: `(i, state) -> (state, done)`, with `done` boolean `(n,)`; a sample that is done
            must stay so in further steps.
        state: any structure of tensors with one row per sample.
        outcome: `state -> tensors`, one row per sample: what is kept of a sample.
        share: samples that are done leave once they are more than this share of the batch;
            leaving copies the others.

    Returns:
        The outcome of every sample, in the order of the batch.
    """
    rows = tf.range(tf.shape(tf.nest.flatten(state)[0])[0])

    def body(i, rows, state, kept):
        state, done = step(i, state)

        def leave():
            going = tf.where(~done)[:, 0]
            return *rows_of((rows, state), going), write_rows(kept, rows, outcome(state))

        number = tf.reduce_sum(tf.cast(done, tf.float32))
        crowd = number > share * tf.cast(tf.size(rows), tf.float32)
        return i + 1, *tf.cond(crowd, leave, lambda: (rows, state, kept))

    loop = (tf.constant(0), rows, state, outcome(state))
    _, rows, state, kept = tf.while_loop(
        lambda i, rows, *_: (i < count) & (tf.size(rows) > 0),
        body,
        loop,
        shape_invariants=tf.nest.map_structure(open_batch, loop),
    )
    return write_rows(kept, rows, outcome(state))
