"""The head of g-SCE: its quadratic form, its members, its gradients, and how it is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import LearnedCenters, QuadraticHead
from keras_mmc.losses import MMLDALoss

N, K, D = 5, 3, 4
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def built(dtype="float64"):
    """A head for features of width D."""
    head = QuadraticHead(K, dtype=dtype)
    head.build((None, D))
    return head


def softmax(scores):
    exponentials = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture
def random_head(rng):
    """A head with weights far from where they start: centers, factors, biases."""
    head = built()
    head.set_weights([rng.normal(size=w.shape) for w in head.get_weights()])
    return head


def test_scores_equal_longhand(random_head, rng):
    """Fails if a transpose, a sign or a bias is not that of the formula."""
    z = rng.normal(size=(N, D))
    mu, a, b = random_head.get_weights()
    assert (mu.shape, a.shape, b.shape) == ((K, D), (K, D, D), (K,))
    expected = np.zeros((N, K))
    for i in range(N):
        for k in range(K):
            sigma, away = a[k].T @ a[k], z[i] - mu[k]
            form = sum(away[p] * sigma[p, q] * away[q] for p in range(D) for q in range(D))
            expected[i, k] = -form + b[k]
    np.testing.assert_allclose(random_head(z), expected, rtol=1e-10)


def test_it_starts_as_learned_centers(rng):
    """Fails if Sigma_k does not start at I/2, or B_k at 0, or another initializer is used."""
    initializer = keras.initializers.RandomNormal(seed=1)
    z = 3 * rng.normal(size=(N, D))
    ours = QuadraticHead(K, initializer, dtype="float64")
    theirs = LearnedCenters(K, initializer, dtype="float64")
    scores = theirs(z)
    np.testing.assert_allclose(ours(z), scores, rtol=1e-10)
    np.testing.assert_array_equal(ours.centers, theirs.centers)
    y = np.arange(N) % K
    np.testing.assert_allclose(CROSS_ENTROPY(y, ours(z)), MMLDALoss()(y, scores), rtol=1e-6)


def test_equal_forms_are_a_dense_layer(random_head, rng):
    """Fails if softmax of the scores with one Sigma for all classes is not linear in z."""
    mu, a, b = random_head.get_weights()
    random_head.factors.assign(np.stack([a[0]] * K))
    sigma = a[0].T @ a[0]
    z = rng.normal(size=(N, D))
    logits = z @ (2 * mu @ sigma).T + b - np.sum(mu @ sigma * mu, axis=1)
    np.testing.assert_allclose(softmax(random_head(z)), softmax(logits), rtol=1e-8)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_all_is_trained_with_finite_gradients(scale, rng):
    """Fails if a weight is not trained, or a gradient is NaN at a center or far from it."""
    head = built("float32")
    z = tf.constant(keras.ops.convert_to_numpy(head.centers) + scale, "float32")
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = CROSS_ENTROPY(np.arange(K), head(z))
    assert len(head.trainable_weights) == 3 and not head.non_trainable_weights
    gradients = tape.gradient(loss, [z, *(w.value for w in head.trainable_weights)])
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


def test_gradients_equal_the_closed_forms(random_head, rng):
    """Fails if the head trains with anything but the derivatives of the formula."""
    z = tf.constant(rng.normal(size=(1, D)))
    mu, a, _ = random_head.get_weights()
    with tf.GradientTape() as tape:
        tape.watch(z)
        score = random_head(z)[0, 1]
    weights = [w.value for w in random_head.trainable_weights]
    for_z, for_mu, for_a, for_b = tape.gradient(score, [z, *weights])
    away = z.numpy()[0] - mu[1]
    slope = -2 * a[1].T @ a[1] @ away
    np.testing.assert_allclose(for_z.numpy()[0], slope, rtol=1e-9)
    np.testing.assert_allclose(for_mu.numpy()[1], -slope, rtol=1e-9)
    np.testing.assert_allclose(for_a.numpy()[1], -2 * np.outer(a[1] @ away, away), rtol=1e-9)
    np.testing.assert_array_equal(for_b, [0, 1, 0])


def test_a_saved_model_has_the_same_scores(random_head, rng, tmp_path):
    """Fails if a weight is not saved, or starts anew after loading."""
    model = keras.Sequential([keras.Input((D,)), QuadraticHead(K)])
    model.layers[-1].set_weights(random_head.get_weights())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    z = rng.normal(size=(N, D)).astype("float32")
    np.testing.assert_array_equal(loaded(z), model(z))
