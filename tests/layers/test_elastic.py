"""Elastic centers: the joint density they score with, their gradients, and how they train."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import ElasticCenters, ElasticMMCLoss, MaxMahalanobisCenters, MMCLoss
from keras_mmc.centers import max_mahalanobis_centers

N, K, D, ALPHA, SCALE = 6, 4, 5, 0.3, 3.0
LABELS = np.array([0, 1, 1, 3, 0, 1])  # no sample of class 2


@pytest.fixture
def features(rng):
    return rng.normal(size=(N, D)) * 2


@pytest.fixture
def offsets(rng):
    return rng.normal(size=(K, D))


def head_with(offsets, dtype="float64"):
    head = ElasticCenters(K, scale=SCALE, alpha=ALPHA, dtype=dtype)
    head.build((None, D))
    head.offsets.assign(offsets)
    return head


def longhand(features, offsets):
    """Log densities of features and offsets, without the constants of the Gaussians."""
    mu = max_mahalanobis_centers(K, D, SCALE)
    scores = np.empty((len(features), K))
    for i, z in enumerate(features):
        for k in range(K):
            squared = sum((z - mu[k] - offsets[k]) ** 2)
            scores[i, k] = -squared / 2 - sum(offsets[k] ** 2) / (2 * ALPHA)
    return scores


def test_scores(features, offsets):
    """Fails if an offset, its price or a factor is off; at first they are those of the centers."""
    scores = head_with(offsets)(features)
    np.testing.assert_allclose(scores, longhand(features, offsets), rtol=1e-12)
    assert np.max(scores) <= 0
    plain = MaxMahalanobisCenters(K, scale=SCALE)(features)
    np.testing.assert_array_equal(ElasticCenters(K, scale=SCALE)(features), plain)


def test_centers_are_where_features_are_pulled_to(features, offsets):
    """Fails if `centers` leaves the offsets out, or the temperature follows them."""
    head = head_with(offsets)
    expected = max_mahalanobis_centers(K, D, SCALE) + offsets
    np.testing.assert_allclose(keras.ops.convert_to_numpy(head.centers), expected, rtol=1e-12)
    distances = np.linalg.norm(features[:, None] - expected, axis=-1)
    np.testing.assert_allclose(head.distances(head(features)), distances, rtol=1e-9)
    assert head.softmax_temperature == pytest.approx(head_with(0 * offsets).softmax_temperature)


@pytest.mark.parametrize("loss", [ElasticMMCLoss, MMCLoss])
@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_loss_and_gradients(loss, mode, features, offsets):
    """Fails unless the gradients are those of `1/2 |z - m - d|^2 + 1/(2 alpha) |d|^2`."""
    head, z = head_with(offsets), tf.constant(features)
    compiled = loss(dtype="float64", reduction="sum")

    def run(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = compiled(LABELS, head(z))
        return value, *tape.gradient(value, [z, head.offsets.value])

    if mode != "eager":
        run = tf.function(run, jit_compile=mode == "xla", autograph=False)
    value, at_features, at_offsets = run(z)
    mu = max_mahalanobis_centers(K, D, SCALE)
    gaps = features - mu[LABELS] - offsets[LABELS]
    expected = (gaps**2).sum() / 2
    expected += (offsets[LABELS] ** 2).sum() / (2 * ALPHA)
    assert float(value) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(at_features, gaps, rtol=1e-10, atol=1e-12)
    by_class = np.zeros((K, D))
    for gap, k in zip(gaps, LABELS, strict=True):
        by_class[k] += -gap + offsets[k] / ALPHA
    np.testing.assert_allclose(at_offsets, by_class, rtol=1e-10, atol=1e-12)


def test_offsets_settle_where_the_prior_balances_the_features(features):
    """Fails if descent ends elsewhere than at `alpha / (1 + alpha)` of the mean of a class."""
    model = keras.Sequential([keras.Input((D,)), ElasticCenters(K, scale=SCALE, alpha=ALPHA)])
    model.compile(keras.optimizers.SGD(0.2), ElasticMMCLoss())
    model.fit(features, LABELS, batch_size=N, epochs=120, shuffle=False, verbose=0)
    mu, head = max_mahalanobis_centers(K, D, SCALE), model.layers[-1]
    for k in (0, 1, 3):
        mean = np.mean([z for z, y in zip(features, LABELS, strict=True) if y == k], axis=0)
        expected = ALPHA / (1 + ALPHA) * (mean - mu[k])
        np.testing.assert_allclose(head.offsets.numpy()[k], expected, atol=1e-4)
    np.testing.assert_array_equal(head.offsets.numpy()[2], 0)
    np.testing.assert_allclose(head.fixed_centers.numpy(), mu, atol=1e-6)
    assert [weight.name for weight in head.trainable_weights] == ["offsets"]
