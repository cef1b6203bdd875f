"""Early stopping of PGD against the full run, and what it pays for."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import PGD, score_function

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
    assert sizes == [4, 4, 3, 2, 2, 2]


@dataclasses.dataclass(frozen=True)
class ToAndFro(PGD):
    """Moves to and fro three times, then away: a move depends on more than the iterate."""

    def memory(self, x):
        return (tf.zeros(tf.shape(x)[:1], tf.int32),)

    def move(self, x, gradient, memory, x0, eps, size):
        (count,) = memory
        stride = tf.gather([0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.3, 0.0], count)
        return x + stride[:, None], (count + 1,)


def test_a_repeated_iterate_with_memory_is_not_a_circle():
    """Fails if an image whose next move depends on more than its iterate is dropped."""

    def score_fn(x):
        return tf.concat([tf.fill(tf.shape(x), 0.75), x], axis=1)

    attack = ToAndFro(1.0, steps=8, random_start=False)
    found = attack.search(score_fn, tf.constant([[0.5]]), tf.constant([0]), SEED)
    np.testing.assert_allclose(found, [[0.8]], atol=1e-6)
