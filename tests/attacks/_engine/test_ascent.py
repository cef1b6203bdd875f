"""The evaluation loop against the full run, and what it pays for."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import PGD, misclassified, score_function
from keras_mmc.attacks._engine.ascent import Ascent
from keras_mmc.attacks._engine.loops import in_turn, rows_of, write_rows

SEED = tf.constant([3, 4])


def outcome_of_full_run(score_fn, x, y, eps, steps, step):
    """L-inf PGD written out, no early stop: fooled at the start or after any step."""
    fooled, point = np.zeros(len(x), bool), tf.constant(x)
    for _ in range(steps + 1):
        with tf.GradientTape() as tape:
            tape.watch(point)
            scores = score_fn(point)
            own = tf.gather(scores, y, axis=1, batch_dims=1)
            hidden = tf.one_hot(y, scores.shape[1], on_value=1e9, off_value=0.0)
            margin = tf.reduce_max(scores - hidden, axis=1) - own
        fooled |= scores.numpy().argmax(axis=1) != y
        point = tf.clip_by_value(point + step * tf.sign(tape.gradient(margin, point)), 0.0, 1.0)
        point = tf.clip_by_value(point, x - eps, x + eps)
    return fooled


@pytest.mark.parametrize(("steps", "step"), [(12, 0.01), (60, 0.02)])
def test_early_stop_has_the_outcome_of_the_full_run(steps, step, mmc_model, digits):
    """Fails if a sample is dropped before its fate is decided, or a later success is missed."""
    x, y = digits[0][:200], digits[1][:200]
    score_fn = score_function(mmc_model)
    expected = outcome_of_full_run(score_fn, x, y, 0.05, steps, step)
    attack = PGD(0.05, steps, step, random_start=False)
    found = attack.search(score_fn, tf.constant(x), tf.constant(y), SEED)
    np.testing.assert_array_equal(score_fn(found).numpy().argmax(axis=1) != y, expected)
    assert 0.05 < expected.mean() < 0.95


def test_search_stops_paying_for_decided_samples():
    """Fails if fooled samples, or samples whose iterate repeats, stay in the batch."""
    sizes = []

    def score_fn(x):  # one pixel: class 1 above 0.6, and nothing else
        sizes.append(int(x.shape[0]))
        return tf.concat([tf.fill(tf.shape(x), 0.6), x], axis=1)

    x = tf.constant([[0.5], [0.59], [0.1], [0.2]])
    attack = PGD(0.3, steps=50, step_size=0.1, random_start=False)
    found = attack.search(score_fn, x, tf.zeros([4], tf.int32), SEED)
    np.testing.assert_allclose(found, [[0.7], [0.69], [0.4], [0.5]], atol=1e-6)
    assert sizes == 5 * [4] + 5 * [2]


def test_a_repeated_point_with_memory_is_not_a_circle():
    """Fails if a sample whose next move depends on more than its point is dropped."""

    def move(x, gradient, memory, x0, eps):  # to and fro three times, then away
        (count,) = memory
        stride = tf.gather([0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.3, 0.0], count)
        return x + stride[:, None], (count + 1,)

    def score_fn(x):
        return tf.concat([tf.fill(tf.shape(x), 0.75), x], axis=1)

    x, y = tf.constant([[0.5]]), tf.constant([0])
    ascent = Ascent(score_fn, lambda s, y, t: s[:, 1], lambda s, y, t: misclassified(s, y), move, 8)
    points, fooled = ascent.first_success(x, (tf.constant([0]),), (x, y, y, 1.0))
    np.testing.assert_allclose(points, [[0.8]], atol=1e-6)
    np.testing.assert_array_equal(fooled, [True])


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
