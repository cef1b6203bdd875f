"""The loops of attacks."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc._tracing import ROWS
from keras_mmc.attacks._engine.loops import in_turn, repeat, rows_of, whole, write_rows


@given(
    done_at=st.lists(st.integers(0, 9), min_size=1, max_size=12), crowd=st.sampled_from([0, 0.4])
)
@settings(deadline=None, max_examples=20)
def test_early_stop_keeps_every_outcome(done_at, crowd):
    """Fails if a row is lost, swapped, or left to change after it leaves the batch."""
    begin = (tf.constant(done_at), tf.zeros(len(done_at), tf.int32))

    def step(i, state):
        limit, count = state
        count = tf.where(count < limit, count + 1, count)
        return (limit, count), count >= limit

    kept = repeat(6, step, begin, lambda state: state[1], True, crowd)
    np.testing.assert_array_equal(kept, np.minimum(done_at, 6))
    fixed = repeat(6, step, begin, lambda state: state[1], False)
    np.testing.assert_array_equal(fixed, kept)


def test_in_turn_keeps_the_attempt_that_succeeds():
    """Fails if a later attempt overwrites an earlier success, or rows are mixed up."""
    seen = []

    def attempt(i, samples):
        x, needed = samples
        seen.append(needed.numpy().tolist())
        return x + tf.cast(i + 1, tf.float32), needed == i

    x, needed = tf.zeros([4, 2]), tf.constant([2, 0, 7, 1])
    found = in_turn(3, attempt, x, (x, needed))
    np.testing.assert_array_equal(found[:, 0], [3.0, 1.0, 3.0, 2.0])
    assert seen == [[2, 0, 7, 1], [2, 7, 1], [2, 7]]


def test_in_turn_stops_when_nothing_is_left():
    """Fails if attempts are made on an empty batch."""
    calls = []

    def attempt(i, x):
        calls.append(1)
        return x, tf.ones(tf.shape(x)[:1], tf.bool)

    in_turn(5, attempt, tf.zeros([3, 2]), tf.zeros([3, 2]))
    assert len(calls) == 1


def test_rows_are_read_and_written_back():
    """Fails if a row goes to another place than it came from."""
    tensors = (tf.constant([[0.0], [1.0], [2.0]]), tf.constant([5, 6, 7]))
    rows = tf.constant([2, 0])
    images, labels = rows_of(tensors, rows)
    np.testing.assert_array_equal(images, [[2.0], [0.0]])
    images, labels = write_rows(tensors, rows, (images + 10, labels + 10))
    np.testing.assert_array_equal(images, [[10.0], [1.0], [12.0]])
    np.testing.assert_array_equal(labels, [15, 6, 17])


@given(done_at=st.lists(st.integers(0, 9), min_size=40, max_size=64))
@settings(deadline=None, max_examples=10)
def test_whole_rows_stay_in_a_graph(done_at):
    """Fails if a batch in a graph is no multiple of `ROWS`, or filling it up changes an outcome."""
    done_at, sizes = done_at[: len(done_at) // ROWS * ROWS], []

    def step(i, state):
        limit, count = state
        seen = tf.numpy_function(sizes.append, [tf.size(limit)], [])
        with tf.control_dependencies([seen]):
            count = tf.where(count < limit, count + 1, count)
        return (limit, count), count >= limit

    @tf.function(autograph=False)
    def run(limits):
        begin = (limits, tf.zeros_like(limits))
        kept = repeat(9, step, begin, lambda state: state[1], True, 0.0)
        return kept, whole(tf.range(21)), whole(tf.range(0))

    kept, filled, none = run(tf.constant(done_at))
    np.testing.assert_array_equal(kept, done_at)
    assert all(size % ROWS == 0 for size in sizes) and sizes == sorted(sizes, reverse=True)
    left = sum(limit > 5 for limit in done_at)
    assert len(sizes) < 7 or sizes[6] <= -(-left // ROWS) * ROWS
    np.testing.assert_array_equal(filled, [*range(21), *[20] * 11])
    assert not len(none)
    np.testing.assert_array_equal(whole(tf.range(5)), range(5))  # eagerly
