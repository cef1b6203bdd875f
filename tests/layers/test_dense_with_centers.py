"""The head of center loss: dense scores, pulls to its centers, and how these move."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import DenseWithCenters

K, D, RATE = 4, 3, 0.4


@pytest.fixture
def head(rng):
    head = DenseWithCenters(K, RATE)
    head.build((None, D))
    head.kernel.assign(rng.normal(size=(D, K)))
    head.bias.assign(rng.normal(size=K))
    head.centers.assign(rng.normal(size=(K, D)))
    return head


def test_scores_are_those_of_a_dense_layer(head, rng):
    """Fails if the centers take part in the scores, or the bias is lost."""
    z = rng.normal(size=(5, D)).astype("float32")
    dense = keras.layers.Dense(K)
    dense.build((None, D))
    dense.set_weights([head.kernel, head.bias])
    np.testing.assert_allclose(head(z), dense(z), rtol=1e-6)
    assert [w.name for w in head.trainable_weights] == ["kernel", "bias"]
    assert [w.name for w in head.non_trainable_weights] == ["centers"]
    fresh = DenseWithCenters(K)
    fresh.build((None, D))
    np.testing.assert_array_equal(fresh.centers, np.zeros((K, D)))
    assert fresh.rate == 0.5


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_pulls(dtype, head, rng):
    """Fails if a pull is not half the squared distance, in float32, with the gradient `z - c`."""
    z = tf.cast(rng.normal(size=(5, D)), dtype)
    centers, wide = head.centers.numpy(), tf.cast(z, tf.float64).numpy()
    with tf.GradientTape() as tape:
        tape.watch(z)
        pulls = head.pull(z)
        own = tf.reduce_sum(pulls[:, 1])
    assert pulls.dtype == tf.float32
    expected = [[((a - c) ** 2).sum() / 2 for c in centers] for a in wide]
    np.testing.assert_allclose(pulls, expected, rtol=1e-4)
    tolerance = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    gradient = tf.cast(tape.gradient(own, z), tf.float64)
    np.testing.assert_allclose(gradient, wide - centers[1], rtol=tolerance, atol=tolerance)


def test_centers_move_to_their_features(head, rng):
    """Fails unless `c <- c - rate * sum (c - z) / (1 + n)`, and a class without features stays."""
    features, labels = rng.normal(size=(6, D)), [0, 2, 2, 0, 2, 3]
    before = head.centers.numpy().astype("float64")
    sums, counts = np.zeros((K, D)), np.zeros(K)
    expected = before.copy()
    for k in (0, 2, 3):
        own = [z for z, label in zip(features, labels, strict=True) if label == k]
        sums[k], counts[k] = sum(own), len(own)
        expected[k] -= RATE * sum(before[k] - z for z in own) / (1 + len(own))
    head.move_centers(tf.constant(sums, tf.float32), tf.constant(counts, tf.float32))
    np.testing.assert_allclose(head.centers, expected, atol=1e-6)
    np.testing.assert_array_equal(head.centers.numpy()[1], before[1].astype("float32"))
