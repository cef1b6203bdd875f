"""SPSA: its guess of the gradient, and an attack that needs scores only."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import image_seeds, misclassified, reached
from keras_mmc.attacks.spsa import SPSA, estimate_gradient

SEED = tf.constant([3, 4])


def seeds(x, seed=SEED):
    """One seed per image."""
    return image_seeds(seed, range(len(x)))


def linear_model(num_classes=3, features=6, seed=0):
    """Weights `(D, K)` and a score function of inputs `(N, ...)`."""
    weights = np.random.default_rng(seed).normal(size=(features, num_classes)).astype("float32")
    return weights, lambda x: tf.reshape(x, [-1, features]) @ weights


def run(attack, score_fn, x, y, view="search", targets=None, jit_compile=False):
    """One view of the attack, in a graph."""
    view = getattr(attack, view)
    graph = tf.function(
        lambda: view(score_fn, x, y, SEED, targets), autograph=False, jit_compile=jit_compile
    )
    return graph().numpy()


def test_gradient_longhand():
    """Fails if a slope is not the difference over twice delta, or belongs to another sample."""
    asked = []

    def fn(x):
        asked.append(x.numpy())
        return tf.reduce_sum(x**3, axis=1) * [1.0, -2.0]

    x = tf.constant([[0.1, 0.7, 0.4], [0.9, 0.2, 0.5]], tf.float64)
    found = estimate_gradient(lambda x: tf.cast(fn(x), tf.float64), x, 0.1, 6, seeds(x))
    assert len(asked) == 6
    expected = np.zeros((2, 3))
    for ahead, behind in zip(asked[::2], asked[1::2], strict=True):
        np.testing.assert_allclose(ahead - x, x - behind, atol=1e-12)
        np.testing.assert_allclose(abs(ahead - x), 0.1, atol=1e-12)
        slope = ((ahead**3).sum(axis=1) - (behind**3).sum(axis=1)) * [1, -2] / 0.2
        expected += slope[:, None] * np.sign(ahead - x) / 3
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_gradient_of_a_linear_function_in_expectation():
    """Fails if the guess has a bias: its mean over 40,000 points must be the gradient.

    The error of a component has the variance `sum_{j != i} g_j^2 / directions`: five standard
    deviations are allowed.
    """
    slopes = np.array([[1.0, -2.0, 0.5, 0.0], [0.1, 0.2, -0.3, 3.0]], "float32")
    x = tf.constant(np.random.default_rng(0).uniform(size=(2, 4)), tf.float32)
    graph = tf.function(
        lambda: estimate_gradient(
            lambda x: tf.reduce_sum(slopes * x, axis=1), x, 0.5, 40_000, seeds(x)
        )
    )
    bound = 5 * np.linalg.norm(slopes, axis=1, keepdims=True) / np.sqrt(20_000)
    assert (abs(graph().numpy() - slopes) < bound).all()


def test_directions_differ_between_samples_steps_and_seeds():
    """Fails if two samples share directions, or the seed does not reach them."""
    x = tf.fill([2, 64], 0.5)

    def guess(seed):
        return estimate_gradient(
            lambda x: tf.reduce_sum(x, axis=1), x, 0.1, 2, seeds(x, seed)
        ).numpy()

    first = guess(SEED)
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, guess(SEED))
    assert (first != guess(tf.constant([3, 5]))).any()


def test_a_slope_that_is_not_finite_counts_as_flat():
    """Fails if one NaN score turns a whole image into NaN."""
    x = tf.constant([[0.5, 0.5], [0.5, 0.5]])

    def fn(x):
        return tf.reduce_sum(x, axis=1) + tf.constant([float("nan"), 0.0])

    found = estimate_gradient(fn, x, 0.1, 8, seeds(x)).numpy()
    np.testing.assert_array_equal(found[0], [0.0, 0.0])
    assert (found[1] != 0).any()


@pytest.mark.parametrize("targeted", [False, True])
def test_needs_no_gradient_and_breaks_what_lies_within(targeted):
    """Fails if a gradient is taken, or a sample well within eps of the boundary is not broken."""
    weights, linear = linear_model(num_classes=2)
    x = np.random.default_rng(1).uniform(0.3, 0.7, size=(30, 6)).astype("float32")
    scores = x @ weights
    y = scores.argmax(axis=1).astype("int32")
    normal = abs(weights[:, 0] - weights[:, 1]).sum()
    distances = abs(scores[:, 0] - scores[:, 1]) / normal
    eps = float(np.quantile(distances, 0.6))
    attack = SPSA(eps, steps=40, learning_rate=0.02, samples=16, targeted=targeted)
    targets = tf.constant(1 - y) if targeted else None
    found = run(
        attack,
        lambda x: tf.stop_gradient(linear(x)),
        tf.constant(x),
        tf.constant(y),
        "search",
        targets,
    )
    scores = linear(found)
    goal = reached(scores, targets) if targeted else misclassified(scores, y)
    broken = goal.numpy()
    assert broken[distances < 0.9 * eps].all() and not broken[distances > 1.001 * eps].any()
    assert abs(found - x).max() <= eps + 1e-6


def test_the_first_step_has_the_length_of_the_learning_rate():
    """Fails if Adam, its sign or its learning rate is off, or the ball is not kept."""
    weights, score_fn = linear_model(num_classes=2)
    x, y = tf.fill([1, 6], 0.5), tf.constant([0])
    step = run(SPSA(0.2, steps=1, learning_rate=0.03, samples=4096), score_fn, x, y, "generate")
    signs = np.sign(weights[:, 1] - weights[:, 0])
    np.testing.assert_allclose(step - 0.5, 0.03 * signs[None], atol=1e-5)
    kept = run(SPSA(0.01, steps=2, learning_rate=0.03, samples=512), score_fn, x, y, "generate")
    np.testing.assert_allclose(kept - 0.5, 0.01 * signs[None], atol=1e-6)


@given(
    view=st.sampled_from(["generate", "search"]),
    eps=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    shape=st.sampled_from([(1, 3), (4, 2, 3), (3, 2, 2, 1)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=10)
def test_stays_in_ball_and_box(view, eps, box, shape, seed):
    """Fails if an image leaves ball or box, is not finite, or differs from run to run."""
    _, linear = linear_model(features=int(np.prod(shape[1:])))
    attack = SPSA(eps, steps=2, learning_rate=0.2, samples=4, box=box)
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.uniform(*box, size=shape), tf.float32)
    y = tf.constant(rng.integers(3, size=shape[0]), tf.int32)
    first, again = (
        getattr(attack, view)(lambda x: tf.sin(3 * linear(x)), x, y, tf.constant([seed, 0])).numpy()
        for _ in range(2)
    )
    assert first.shape == x.shape and np.isfinite(first).all()
    assert first.min() >= box[0] and first.max() <= box[1]
    assert abs(first - x.numpy()).max() <= eps + 1e-6
    np.testing.assert_array_equal(first, again)


def test_broken_samples_leave_the_batch_and_stay_where_they_are():
    """Fails if fooled samples go on costing queries, or are moved on, or rows are swapped."""
    sizes = []

    def score_fn(x):
        sizes.append(len(x))
        return tf.stack([tf.zeros_like(x[:, 0]), x[:, 0] - 0.5], axis=1)

    x = tf.constant([[0.45], [0.0], [0.46], [0.1], [0.47], [0.48], [0.49], [0.2]])
    attack = SPSA(0.1, steps=8, learning_rate=0.03, samples=2)
    found = attack.search(score_fn, x, tf.zeros(8, tf.int32), SEED).numpy()
    assert sizes[0] == 8 and sizes[-1] == 3
    assert ((found > 0.5) == (x.numpy() > 0.4)).all()
    assert (found[x.numpy() > 0.4] < 0.54).all()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"eps": -0.1}, "eps"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0.0}, "learning_rate.*> 0"),
        ({"delta": float("inf")}, "delta.*finite"),
        ({"samples": 0}, "samples.*>= 2"),
        ({"samples": 7}, "even.*Pass 8"),
        ({"objective": "targeted_margin"}, "targeted=True"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SPSA(0.1), **fields)
