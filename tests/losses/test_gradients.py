"""Closed-form gradients, and finite values and gradients where floating point is at its limits."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import losses
from keras_mmc._scores import center_scores
from keras_mmc.centers import max_mahalanobis_centers

N, K = 6, 5


def gradient(function, x):
    """Gradient of the sum of `function(x)`."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(function(x))
    return tape.gradient(value, x).numpy()


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.fixture
def batch(rng):
    return rng.normal(size=(N, K)) * 2, np.arange(N) % K


def gce_gradient(s, y, alpha=1 / 3):
    """The closed form of the stable GCE, with H the entropy of the complement distribution."""
    grad = np.zeros_like(s)
    for i, g in enumerate(y):
        p = softmax(s)[i]
        wrong = [j for j in range(K) if j != g]
        q = {j: p[j] / (1 - p[g]) for j in wrong}
        entropy = -sum(v * math.log(v) for v in q.values())
        grad[i, g] = -alpha * p[g] ** alpha * (1 - p[g]) * entropy
        for j in wrong:
            grad[i, j] = p[g] ** alpha * q[j] * (math.log(q[j]) + entropy)
            grad[i, j] += alpha * p[g] ** alpha * p[j] * entropy
    return grad / math.log(K - 1)


def complement_gradient(s, y):
    grad = np.zeros_like(s)
    for i, g in enumerate(y):
        p = softmax(s)[i]
        wrong = [j for j in range(K) if j != g]
        q = {j: p[j] / (1 - p[g]) for j in wrong}
        entropy = -sum(v * math.log(v) for v in q.values())
        for j in wrong:
            grad[i, j] = q[j] * (math.log(q[j]) + entropy)
    return grad


def lgm_gradient(s, y, margin, weight):
    target = np.eye(K)[y]
    grad = (softmax(s * (1 + margin * target)) - target) * (1 + margin * target)
    return grad - weight * target


def shell_gradient(s, y, radius):
    target = np.eye(K)[y]
    distance = np.sqrt(-2 * s[np.arange(N), y])
    return -target * ((distance - radius) / distance)[:, None]


CASES = {
    "mmc": (losses.mmc, lambda s, y: -np.eye(K)[y]),
    "shell": (
        lambda y, s: losses.shell_mmc(y, s, 1.5),
        lambda s, y: shell_gradient(s, y, 1.5),
    ),
    "mm_lda": (
        lambda y, s: losses.mm_lda(y, s, sigma=2.0),
        lambda s, y: (softmax(s / 4) - np.eye(K)[y]) / 4,
    ),
    "lgm without margin": (
        lambda y, s: losses.lgm(y, s, 0.0, 0.3),
        lambda s, y: softmax(s) - 1.3 * np.eye(K)[y],
    ),
    "lgm": (
        lambda y, s: losses.lgm(y, s, 0.1, 0.01),
        lambda s, y: lgm_gradient(s, y, 0.1, 0.01),
    ),
    "complement": (losses.complement_entropy, complement_gradient),
    "gce": (losses.guided_complement_entropy, gce_gradient),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_equals_closed_form(name, batch):
    """Fails if the derivative of any term is off: compared at 1e-10 in float64."""
    s, y = batch
    s = -np.abs(s)  # scores of a head with centers
    function, closed_form = CASES[name]
    actual = gradient(lambda x: function(y, x), s)
    np.testing.assert_allclose(actual, closed_form(s, y), rtol=1e-10, atol=1e-10)


def test_differential_gradient_equals_closed_form(rng):
    """Fails if a pair pulls the wrong way: binary scores, d/ds softplus(-(s_i - s_j))."""
    s, y = rng.normal(size=N), np.array([0, 1, 1, 0, 1, 0])
    pairs = [(i, j) for i in range(N) for j in range(N) if y[i] > y[j]]
    expected = np.zeros(N)
    for i, j in pairs:
        slope = -1 / (1 + math.exp(s[i] - s[j])) / len(pairs)
        expected[i] += slope
        expected[j] -= slope
    scores = np.stack([np.zeros(N), s], axis=-1)
    actual = gradient(lambda x: losses.differential(y, x) / N, scores)
    np.testing.assert_allclose(actual[:, 1], expected, rtol=1e-10, atol=1e-12)


def test_mmc_gradient_at_the_features_is_their_offset(rng):
    """Fails if a gradient at the features is not z - mu_y."""
    z, mu, y = rng.normal(size=(N, 8)), rng.normal(size=(K, 8)), np.arange(N) % K
    actual = gradient(lambda x: losses.mmc(y, center_scores(x, tf.constant(mu))), z)
    np.testing.assert_allclose(actual, z - mu[y], rtol=1e-12, atol=1e-12)


FINITE = [
    *(
        getattr(losses, name)
        for name in losses.__all__
        if name[0].isupper() and name not in ("ScoreLoss", "CenterLoss")
    ),
    lambda: losses.GuidedComplementEntropy(guard="released"),
]


@pytest.mark.parametrize("make", FINITE)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_finite_at_the_center_and_at_extreme_scores(make, policy):
    """Fails on 0 * inf, log 0, 0/0 or an overflow in value or gradient."""
    keras.config.set_dtype_policy(policy)
    loss, y = make(), np.array([1, 2])
    compute = keras.config.dtype_policy().compute_dtype
    centers = tf.constant(max_mahalanobis_centers(5, 8), "float32")
    at_center = tf.cast(tf.gather(centers, y), compute)
    extreme = 1e4 * np.array([[1, -1, 1, -1, 1], [-1, -1, 1, -1, -1]])

    def from_features(z):
        return loss(y, center_scores(tf.cast(z, "float32"), centers))

    for function, x in (
        (from_features, at_center),
        (lambda s: loss(y, s), tf.constant(extreme, compute)),
        (lambda s: loss(y, s), tf.constant(-extreme, compute)),
        (lambda s: loss(y, s), tf.zeros((2, 5), compute)),
    ):
        assert np.all(np.isfinite(np.asarray(function(x), "float64")))
        assert np.all(np.isfinite(gradient(function, x).astype("float64")))
