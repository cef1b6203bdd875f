"""The differential head, its threshold, and the margin it reaches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.svm import SVC

from keras_mmc import DifferentialHead, DifferentialLoss
from keras_mmc.layers import best_threshold, fit_threshold
from keras_mmc.losses import differential


def test_scores_are_threshold_and_projection(rng):
    """Fails if the head gets a bias or swaps the classes."""
    head = DifferentialHead()
    phi = rng.normal(size=(5, 3)).astype("float32")
    scores = np.asarray(head(phi))
    head.threshold.assign(0.25)
    np.testing.assert_allclose(scores[:, 1], (phi @ np.asarray(head.kernel))[:, 0], rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(head(phi))[:, 0], 0.25)
    assert len(head.trainable_weights) == 1


def test_midpoint_threshold():
    """Fails if the threshold is not halfway between the classes."""
    assert best_threshold([-2.0, 1.0, 3.0, -5.0], [0, 1, 1, 0]) == -0.5


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.5])
def test_traded_threshold_is_the_lowest_within_the_rate(rate, rng):
    """Fails if more negatives pass than allowed, or if fewer pass than could."""
    values, labels = rng.normal(size=200), np.repeat([0, 1], 100)
    values[100:] += 1
    threshold = best_threshold(values, labels, max_false_positive_rate=rate)
    negative = values[:100]
    assert np.mean(negative > threshold) <= rate
    assert np.mean(negative > np.nextafter(threshold, -np.inf)) > rate


@pytest.mark.parametrize(
    ("values", "labels", "rate", "message"),
    [
        ([1.0, 2.0], [1, 1], None, "both classes; received 0 of class 0"),
        ([1.0, np.nan], [0, 1], None, "1 not finite"),
        ([1.0], [0, 1], None, "1 projections.*2 labels"),
        ([1.0, 2.0], [0, 1], 1.0, r"\[0, 1\); received 1.0"),
        ([1.0, 2.0], [0, 2], None, r"\[0, 2\)"),
    ],
)
def test_threshold_refusals(values, labels, rate, message):
    """Fails if a threshold is made up from data that do not determine one."""
    with pytest.raises(ValueError, match=message):
        best_threshold(values, labels, rate)


def test_fit_threshold_sets_the_head_of_a_model(rng):
    """Fails if the threshold is not that of the model's own projections."""
    model = keras.Sequential([keras.Input((2,)), DifferentialHead()])
    x = np.concatenate([rng.normal(size=(20, 2)) - 4, rng.normal(size=(20, 2)) + 4])
    y = np.repeat([0, 1], 20)
    model.layers[-1].kernel.assign([[1.0], [1.0]])
    projection = x.sum(axis=1)
    expected = (projection[:20].max() + projection[20:].min()) / 2
    assert fit_threshold(model, x, y) == pytest.approx(expected, abs=1e-5)
    assert np.mean(model.predict(x, verbose=0).argmax(axis=1) == y) == 1.0
    with pytest.raises(ValueError, match=r"ends in a DifferentialHead.*Dense"):
        fit_threshold(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]), x, y)


def line_data():
    """20 + 20 points on the line y = 10 + 20 x."""
    x = np.random.default_rng(0).uniform(0.1, 1.0, size=40)
    x[:20] *= -1
    return np.stack([x, 10 + 20 * x], axis=-1), np.repeat([0, 1], 20)


def gaussian_data():
    """10 points about (2, 12) against 10 about (40, 50), standard deviation 5."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal((2, 12), 5, (10, 2)), rng.normal((40, 50), 5, (10, 2))])
    return x, np.repeat([0, 1], 10)


def margin(w, x, y):
    """Distance of the nearest point to the plane orthogonal to w with the midpoint threshold."""
    s = x @ w
    return np.min((s - best_threshold(s, y)) * np.where(y == 1, 1, -1)) / np.linalg.norm(w)


@pytest.mark.parametrize("data", [line_data, gaussian_data])
def test_differential_training_reaches_the_margin_of_the_svm(data):
    """Fails if the loss does not tend to the hard-margin direction: within 0.1 % of the SVM."""
    x, y = data()
    svm = SVC(kernel="linear", C=1e6, tol=1e-8).fit(x, y)
    best = margin(svm.coef_[0], x, y)
    w = trained_direction(x, y)
    assert margin(w, x, y) == pytest.approx(best, rel=1e-3)


def trained_direction(x, y, steps=20_000, step_size=5e-4):
    """Full-batch descent on the loss of the package along the normalized gradient, in float64."""
    inputs = tf.constant(x)
    w = tf.Variable(np.zeros(x.shape[1]))

    @tf.function
    def train():
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                projection = tf.linalg.matvec(inputs, w)
                scores = tf.stack([tf.zeros_like(projection), projection], axis=-1)
                loss = tf.reduce_mean(differential(y, scores))
            gradient = tape.gradient(loss, w)
            gradient /= tf.reduce_max(tf.abs(gradient))  # its square would underflow
            w.assign_sub(step_size * tf.linalg.normalize(gradient)[0])

    train()
    return w.numpy()


def test_training_with_keras_separates_the_line():
    """Fails if head, loss and threshold do not work together in `fit`."""
    x, y = line_data()
    model = keras.Sequential([keras.Input((2,)), DifferentialHead()])
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss=DifferentialLoss())
    model.fit(x, y, batch_size=40, epochs=30, verbose=0)
    fit_threshold(model, x, y)
    assert np.mean(model.predict(x, verbose=0).argmax(axis=1) == y) == 1.0
