"""EAD: its shrinkage and steps longhand, and the sparse optimum of a linear model."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import misclassified, reached
from keras_mmc.attacks.ead import EAD, shrink

SEED = tf.constant([3, 4])
WIDE = (-2.0, 3.0)
QUICK = EAD(100, binary_search_steps=6, initial_const=1.0, beta=0.01, box=WIDE)
SLOPES = np.array([0.5, -1.0, 3.0, 0.8, -0.2], "float32")


def two_classes(x):
    """Class 1 is ahead of class 0 by `<SLOPES, x> - 2`."""
    ahead = tf.linalg.matvec(x, SLOPES) - 2.0
    return tf.stack([tf.zeros_like(ahead), ahead], axis=1)


def samples(count=6):
    """Points of class 0, between 0.1 and 0.4 of the third coordinate from the boundary."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0.3, 0.7, size=(count, 5)).astype("float32")
    x[:, 2] += (2.0 - x @ SLOPES) / 3.0 - rng.uniform(0.1, 0.4, size=count).astype("float32")
    return x, np.zeros(count, "int32")


def run(attack, score_fn, x, y, targets=None, view="search", jit_compile=False):
    """One view of the attack, in a graph."""
    x, y = tf.constant(x), tf.constant(y, tf.int32)
    targets = None if targets is None else tf.constant(targets, tf.int32)
    view = getattr(attack, view)
    graph = tf.function(
        lambda: view(score_fn, x, y, SEED, targets), autograph=False, jit_compile=jit_compile
    )
    return graph().numpy()


@given(
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    beta=st.sampled_from([0.0, 0.01, 0.3]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=15)
def test_shrink_longhand(box, beta, seed):
    """Fails if a case of the shrinkage is off, or the box is left."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(*box, size=(3, 7))
    z = x + rng.normal(scale=0.5, size=x.shape) * rng.integers(2, size=x.shape)
    found = shrink(tf.constant(z), tf.constant(x), beta, box).numpy()
    for value, clean, after in zip(z.ravel(), x.ravel(), found.ravel(), strict=True):
        if value - clean > beta:
            expected = min(value - beta, box[1])
        elif value - clean < -beta:
            expected = max(value + beta, box[0])
        else:
            expected = clean
        assert abs(after - expected) < 1e-12


def test_steps_longhand():
    """Fails if the rate, its decay, the momentum or the threshold of a step is off."""
    points = []

    def score_fn(x):
        points.append(x.numpy())
        return two_classes(x)

    x, y = samples(1)
    attack = EAD(
        4,
        learning_rate=0.02,
        binary_search_steps=1,
        initial_const=3.0,
        beta=0.005,
        abort_early=False,
        box=WIDE,
    )
    attack.generate(score_fn, tf.constant(x), tf.constant(y), SEED)
    clean = x.astype("float64")
    point = ahead = clean
    for i in range(5):
        # Each step looks at its point, then takes the gradient at the point ahead.
        np.testing.assert_allclose(points[2 * i], point, atol=1e-5)
        np.testing.assert_allclose(points[2 * i + 1], ahead, atol=1e-5)
        below = 2.0 - ahead @ SLOPES > 0
        gradient = 2 * (ahead - clean) - 3.0 * SLOPES * below[:, None]
        delta = ahead - 0.02 * np.sqrt(1 - i / 4) * gradient - clean
        delta = np.sign(delta) * np.maximum(abs(delta) - 0.005, 0.0)
        ahead = clean + delta + i / (i + 3) * (clean + delta - point)
        point = clean + delta
    assert len(points) == 10


def test_a_linear_model_loses_its_largest_weight():
    """Fails if EAD moves other pixels than the one that pays most, or farther than it must."""
    x, y = samples()
    found = run(dataclasses.replace(QUICK, beta=0.05, decision_rule="l1"), two_classes, x, y)
    assert misclassified(two_classes(found), y).numpy().all()
    np.testing.assert_array_equal(found[:, [0, 1, 3, 4]], x[:, [0, 1, 3, 4]])
    expected = (2.0 - x @ SLOPES) / 3.0
    np.testing.assert_allclose(found[:, 2] - x[:, 2], expected, rtol=0.05, atol=3e-3)


def test_without_an_l1_term_it_is_the_l2_distance():
    """Fails if beta = 0 does not find the nearest point of the boundary in L2."""
    x, y = samples()
    found = run(dataclasses.replace(QUICK, beta=0.0), two_classes, x, y)
    assert misclassified(two_classes(found), y).numpy().all()
    expected = (2.0 - x @ SLOPES) / np.linalg.norm(SLOPES)
    np.testing.assert_allclose(np.linalg.norm(found - x, axis=1), expected, rtol=0.03, atol=2e-3)


def test_decision_rules_rank_by_what_they_say():
    """Fails if a rule does not return the smallest by its own measure of all points seen."""
    x, y = samples(1)
    for rule in ("en", "l1"):
        seen = []

        def score_fn(x, seen=seen):
            seen.append(x.numpy()[0])
            return two_classes(x)

        attack = dataclasses.replace(
            QUICK, steps=30, binary_search_steps=2, decision_rule=rule, initial_const=0.5, beta=0.02
        )
        found = attack.search(score_fn, tf.constant(x), tf.constant(y), SEED).numpy()[0]
        looked = np.array(seen)[::2]
        delta = (looked - x)[looked @ SLOPES > 2.0]
        sizes = abs(delta).sum(axis=1)
        if rule == "en":
            sizes = (delta**2).sum(axis=1) + 0.02 * sizes
        np.testing.assert_allclose(found, x[0] + delta[sizes.argmin()], atol=1e-6)


def test_a_target_among_three_is_reached():
    """Fails if another wrong class is taken for the target."""
    weights = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    x = np.random.default_rng(1).uniform(size=(6, 6)).astype("float32")
    y = (x @ weights).argmax(axis=1)
    targets = (y + 1) % 3
    attack = dataclasses.replace(QUICK, targeted=True, confidence=0.2)
    found = run(attack, lambda x: x @ weights, x, y, targets)
    assert reached(found @ weights, targets).numpy().all()
    others = (found @ weights).copy()
    ahead = others[np.arange(6), targets]
    others[np.arange(6), targets] = -np.inf
    assert (ahead - others.max(axis=1) >= 0.2 - 1e-5).all()


def test_returns_the_original_where_nothing_fools():
    """Fails if a failure comes back changed, or a box of the attack is left."""
    x, y = samples()
    box = (float(x.min()), float(x.max()) + 1e-3)
    attack = dataclasses.replace(QUICK, steps=20, binary_search_steps=3, box=box)

    def score_fn(x):
        return two_classes(x) + tf.constant([[100.0, 0.0]])

    np.testing.assert_array_equal(run(attack, score_fn, x, y), x)
    free = run(attack, two_classes, x, y)
    assert free.min() >= box[0] and free.max() <= box[1] and np.isfinite(free).all()


def test_training_view_is_search():
    """Fails if the two views keep different images."""
    x, y = samples(3)
    attack = dataclasses.replace(QUICK, steps=30, binary_search_steps=3)
    searched = run(attack, two_classes, x, y)
    np.testing.assert_allclose(run(attack, two_classes, x, y, view="generate"), searched, atol=1e-5)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"steps": 0}, "steps"),
        ({"learning_rate": -1.0}, "learning_rate.*> 0"),
        ({"beta": -0.1}, "beta.*>= 0"),
        ({"decision_rule": "l2"}, "'en' or 'l1'"),
        ({"binary_search_steps": 0}, "binary_search_steps"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(QUICK, **fields)
