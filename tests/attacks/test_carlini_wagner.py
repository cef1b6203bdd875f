"""Carlini-Wagner: distances known in closed form, Adam by hand, and what a search must keep."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import misclassified, reached
from keras_mmc.attacks._engine.adam import adam_step
from keras_mmc.attacks.carlini_wagner import CarliniWagner, from_tanh, to_tanh

SEED = tf.constant([3, 4])
WIDE = (-1.0, 2.0)
QUICK = CarliniWagner(100, learning_rate=0.02, binary_search_steps=8, initial_const=0.1, box=WIDE)


def linear_model(num_classes=3, features=6, seed=0):
    """Weights `(D, K)` and a score function of inputs `(N, ...)`."""
    weights = np.random.default_rng(seed).normal(size=(features, num_classes)).astype("float32")
    return weights, lambda x: tf.reshape(x, [-1, features]) @ weights


def samples(weights, count, seed=1):
    x = np.random.default_rng(seed).uniform(size=(count, len(weights))).astype("float32")
    return x, (x @ weights).argmax(axis=1).astype("int32")


def distances_to(x, y, weights, k, confidence=0.0):
    """The L2 distance of each sample to the boundary `s_k = s_y + confidence`, longhand."""
    values = x.astype("float64") @ weights.astype("float64")
    rows = np.arange(len(x))
    normals = weights[:, k] - weights[:, y]
    return (values[rows, y] - values[rows, k] + confidence) / np.linalg.norm(normals, axis=0)


def search(attack, score_fn, x, y, targets=None, view="search", jit_compile=False):
    """One view of the attack, in a graph."""
    x, y = tf.constant(x), tf.constant(y, tf.int32)
    targets = None if targets is None else tf.constant(targets, tf.int32)
    run = getattr(attack, view)
    graph = tf.function(
        lambda: run(score_fn, x, y, SEED, targets), autograph=False, jit_compile=jit_compile
    )
    return graph().numpy()


def norms(delta):
    return np.linalg.norm(np.asarray(delta, "float64").reshape(len(delta), -1), axis=1)


def test_adam_longhand():
    """Fails if a decay, the correction of the bias or its count of steps is off."""
    gradients = np.random.default_rng(0).normal(size=(4, 2, 3))
    mean = square = np.zeros((2, 3))
    memory = (tf.zeros([2, 3], tf.float64), tf.zeros([2, 3], tf.float64))
    for i, gradient in enumerate(gradients):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        expected = 0.02 * mean / (1 - 0.9 ** (i + 1))
        expected /= np.sqrt(square / (1 - 0.999 ** (i + 1))) + 1e-8
        step, memory = adam_step(tf.constant(gradient), memory, i, 0.02)
        np.testing.assert_allclose(step, expected, rtol=1e-9)


def test_adam_survives_gradients_of_any_size():
    """Fails if the square of a large gradient overflows to a NaN step."""
    huge = tf.constant([[tf.float32.max, -1e25, 0.0]])
    step, memory = adam_step(huge, (tf.zeros([1, 3]), tf.zeros([1, 3])), 0, 0.1)
    step, _ = adam_step(huge, memory, 1, 0.1)
    np.testing.assert_allclose(step, [[0.1, -0.1, 0.0]], rtol=1e-4)


@pytest.mark.parametrize("box", [(0.0, 1.0), (-2.0, 0.5)])
def test_tanh_space_is_the_box(box):
    """Fails if the change of variables is not its own inverse, corners included."""
    x = tf.constant([np.linspace(*box, 9, dtype="float32")])
    w = to_tanh(x, box)
    assert np.isfinite(w).all()
    np.testing.assert_allclose(from_tanh(w, box), x, atol=2e-6 * (box[1] - box[0]))
    far = from_tanh(tf.constant([[-50.0, 0.0, 50.0]]), box)
    np.testing.assert_allclose(far, [[box[0], sum(box) / 2, box[1]]], atol=1e-6)


def test_reaches_the_smallest_distance_of_a_linear_model():
    """Fails if a point is more than 3 % and 0.002 beyond the boundary, or not across."""
    weights, score_fn = linear_model()
    x, y = samples(weights, 12)
    with np.errstate(invalid="ignore"):
        all_distances = [distances_to(x, y, weights, np.full(12, k)) for k in range(3)]
    expected = np.nanmin(all_distances, axis=0)
    found = search(QUICK, score_fn, x, y)
    assert misclassified(score_fn(found), y).numpy().all()
    lengths = norms(found - x)
    assert (lengths >= expected * (1 - 1e-4)).all() and (lengths <= 1.03 * expected + 2e-3).all()


@pytest.mark.parametrize("confidence", [0.0, 0.5])
def test_reaches_the_smallest_distance_to_a_target(confidence):
    """Fails if the target or the confidence is missed by more than 3 % and 0.002."""
    # Two classes: the way to the target crosses no third one.
    weights, score_fn = linear_model(num_classes=2)
    x, y = samples(weights, 8)
    targets = 1 - y
    attack = dataclasses.replace(QUICK, targeted=True, confidence=confidence)
    found = search(attack, score_fn, x, y, targets)
    scores = found @ weights
    ahead = scores[np.arange(8), targets] - scores[np.arange(8), y]
    assert (ahead >= confidence - 1e-5).all()
    expected = distances_to(x, y, weights, targets, confidence)
    np.testing.assert_allclose(norms(found - x), expected, rtol=0.03, atol=2e-3)


def test_untargeted_confidence_is_a_margin():
    """Fails if images count that fool the model by less than the confidence."""
    weights, score_fn = linear_model()
    x, y = samples(weights, 8)
    found = search(dataclasses.replace(QUICK, confidence=1.0), score_fn, x, y)
    scores = found @ weights
    label_scores = scores[np.arange(8), y].copy()
    scores[np.arange(8), y] = -np.inf
    assert (scores.max(axis=1) - label_scores >= 1.0 - 1e-5).all()


def test_a_target_among_three_is_reached():
    """Fails if another wrong class is taken for the target."""
    weights, score_fn = linear_model()
    x, y = samples(weights, 8)
    targets = (y + 1) % 3
    found = search(dataclasses.replace(QUICK, targeted=True), score_fn, x, y, targets)
    assert reached(score_fn(found), targets).numpy().all()


def test_each_sample_finds_its_own_constant():
    """Fails if a sample that needs a constant 10,000 times larger spoils or misses its own."""
    slopes = tf.constant([1.0, 1e-4, 1.0])

    def score_fn(x):
        rise = slopes * (x[:, 0] - 0.5)
        return tf.stack([tf.zeros_like(rise), rise], axis=1)

    x = np.array([[0.4], [0.4], [0.2]], "float32")
    attack = CarliniWagner(100, learning_rate=0.05, binary_search_steps=9, initial_const=1.0)
    # Without compaction, so that rows keep their slopes.
    found = search(attack, score_fn, x, np.zeros(3), view="generate")
    np.testing.assert_allclose(norms(found - x), [0.1, 0.1, 0.3], rtol=0.03)


def test_returns_the_original_where_nothing_fools():
    """Fails if a failure comes back changed, or costs its neighbor the success."""

    def score_fn(x):
        ahead = tf.tanh(x[:, 0] - 0.5) + tf.where(x[:, 1] > 0.5, -9.0, 0.0) + 0.0 * x[:, 1]
        return tf.stack([tf.zeros_like(ahead), ahead], axis=1)

    x = np.array([[0.4, 0.9], [0.4, 0.1], [0.3, 0.95]], "float32")
    attack = CarliniWagner(60, learning_rate=0.05, binary_search_steps=4, initial_const=0.3)
    found = search(attack, score_fn, x, np.zeros(3))
    np.testing.assert_array_equal(found[[0, 2]], x[[0, 2]])
    assert 0.5 < found[1, 0] < 0.6


def test_stalled_samples_leave_the_round_and_lose_nothing():
    """Fails if abort_early does not save forward passes, or changes who is fooled."""
    weights, score_fn = linear_model()
    x, y = samples(weights, 6)
    attack = dataclasses.replace(QUICK, steps=100, binary_search_steps=3)
    patient = dataclasses.replace(attack, abort_early=False)
    np.testing.assert_allclose(
        norms(search(attack, score_fn, x, y) - x),
        norms(search(patient, score_fn, x, y) - x),
        rtol=0.03,
    )
    counts = []
    for tried in (attack, patient):
        sizes = []

        def counting(x, sizes=sizes):
            sizes.append(len(x))
            return score_fn(x)

        tried.search(counting, tf.constant(x), tf.constant(y), SEED)
        counts.append(sum(sizes))
    assert counts[1] == 3 * 101 * 6 and counts[0] < 0.9 * counts[1]


def test_generate_is_search_without_compaction():
    """Fails if the two views keep different images."""
    weights, score_fn = linear_model()
    x, y = samples(weights, 6)
    attack = dataclasses.replace(QUICK, steps=30, binary_search_steps=4)
    generated = search(attack, score_fn, x, y, view="generate")
    np.testing.assert_allclose(generated, search(attack, score_fn, x, y), atol=1e-6)


def test_nan_scores_count_as_fooled_and_pixels_stay_finite():
    """Fails if a model can hide by answering NaN, or NaN pixels come back."""

    def score_fn(x):
        low = tf.where(x[:, 0] > 0.55, float("nan"), x[:, 0] - 0.6)
        return tf.stack([tf.zeros_like(low), low], axis=1)

    attack = CarliniWagner(50, learning_rate=0.05, binary_search_steps=5)
    found = search(attack, score_fn, np.full((3, 1), 0.5, "float32"), np.zeros(3))
    assert np.isfinite(found).all() and (found > 0.55).all()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0.0}, "learning_rate.*> 0"),
        ({"binary_search_steps": 2.5}, "binary_search_steps"),
        ({"initial_const": -1.0}, "initial_const"),
        ({"confidence": float("nan")}, "confidence.*>= 0"),
        ({"abort_early": 1}, "abort_early.*True or False"),
        ({"targeted": None}, "targeted"),
        ({"box": (1.0, 0.0)}, "box"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(QUICK, **fields)
