"""JSMA: its pairs by brute force, its path on a linear model, and its limits."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import reached
from keras_mmc.attacks.jsma import JSMA, best_pair

SEED = tf.constant([3, 4])
WEIGHTS = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")


def linear(x):
    return tf.reshape(x, [-1, 8]) @ WEIGHTS


def run(attack, score_fn, x, y, targets, view="search", jit_compile=False):
    """One view of the attack, in a graph."""
    x, y, targets = tf.constant(x), tf.constant(y, tf.int32), tf.constant(targets, tf.int32)
    view = getattr(attack, view)
    graph = tf.function(
        lambda: view(score_fn, x, y, SEED, targets), autograph=False, jit_compile=jit_compile
    )
    return graph().numpy()


def longhand_pair(rise, fall, usable):
    """The two pixels of the largest saliency, or none."""
    best, pair = 0.0, ()
    for p, q in itertools.combinations(np.flatnonzero(usable), 2):
        a, b = rise[p] + rise[q], fall[p] + fall[q]
        if a > 0 and b < 0 and -a * b > best:
            best, pair = -a * b, (p, q)
    return pair


def longhand_path(x, target, theta, pairs, box):
    """All points of the attack on the linear model, the clean one first."""
    rise = np.sign(theta) * WEIGHTS[:, target]
    fall = np.sign(theta) * np.delete(WEIGHTS, target, axis=1).sum(axis=1)
    points = [x]
    while len(points) <= pairs and (points[-1] @ WEIGHTS).argmax() != target:
        usable = points[-1] < box[1] if theta > 0 else points[-1] > box[0]
        pair = longhand_pair(rise, fall, usable)
        if not pair:
            break
        point = points[-1].copy()
        point[list(pair)] = np.clip(point[list(pair)] + theta, *box)
        points.append(point)
    return points


def samples(count=20):
    """Points, labels and targets; the model does not answer with a target yet."""
    x = np.random.default_rng(1).uniform(size=(count, 8)).astype("float32")
    y = (x @ WEIGHTS).argmax(axis=1)
    return x, y, (y + 1 + np.arange(count) % 2) % 3


@given(
    scale=st.sampled_from([1e-25, 1.0, 1e25]),
    usable=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=15)
def test_best_pair_by_brute_force(scale, usable, seed):
    """Fails if a pair with a larger saliency exists, or a condition is missed, at any scale."""
    rng = np.random.default_rng(seed)
    rise, fall = rng.normal(size=(2, 4, 6)).astype("float32")
    rise[0], fall[1] = -abs(rise[0]), 0.0
    usable = rng.uniform(size=(4, 6)) < usable
    chosen, found = best_pair(
        tf.constant(rise * np.float32(scale)), tf.constant(fall * np.float32(scale)), usable
    )
    for i in range(4):
        pair = longhand_pair(rise[i], fall[i], usable[i])
        assert tuple(np.flatnonzero(chosen[i])) == pair
        assert found[i] == bool(pair)


@pytest.mark.parametrize("theta", [1.0, 0.3, -1.0])
@pytest.mark.parametrize("gamma", [0.25, 1.0])
def test_path_on_a_linear_model(theta, gamma):
    """Fails if another pair, sign, change, end or number of pairs is taken."""
    x, y, targets = samples()
    attack, pairs = JSMA(theta, gamma), int(8 * gamma / 2)
    paths = [longhand_path(a, t, theta, pairs, (0, 1)) for a, t in zip(x, targets, strict=True)]
    expected = [path[-1] for path in paths]
    assert max(map(len, paths)) > 1
    for view in ("search", "generate"):
        found = run(attack, linear, x, y, targets, view)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_at_most_gamma_of_the_pixels_change():
    """Fails if more pixels change than gamma allows, or none of an easy target is reached."""
    x, y, targets = samples(60)
    for gamma in (0.25, 1.0):
        found = run(JSMA(gamma=gamma), linear, x, y, targets)
        assert ((found != x).sum(axis=1) <= 8 * gamma).all()
    assert reached(linear(found), targets).numpy().mean() > 0.3


def test_saturated_scores_hide_nothing():
    """Fails if anything that saturates is looked at."""
    x, y, targets = samples()
    plain = run(JSMA(), linear, x, y, targets)
    np.testing.assert_array_equal(run(JSMA(), lambda x: 1024 * linear(x), x, y, targets), plain)


@given(
    view=st.sampled_from(["generate", "search"]),
    theta=st.sampled_from([0.2, 5.0, -0.7]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    shape=st.sampled_from([(1, 8), (4, 2, 4), (3, 2, 2, 2)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=8)
def test_stays_in_the_box(view, theta, box, shape, seed):
    """Fails if an image leaves the box, is not finite, or differs from run to run."""
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.uniform(*box, size=shape), tf.float32)
    y = tf.constant(rng.integers(3, size=shape[0]), tf.int32)
    attack = JSMA(theta, gamma=0.5, box=box)
    first, again = (
        getattr(attack, view)(lambda x: tf.sin(3 * linear(x)), x, y, SEED, (y + 1) % 3).numpy()
        for _ in range(2)
    )
    assert first.shape == x.shape and np.isfinite(first).all()
    assert first.min() >= box[0] and first.max() <= box[1]
    np.testing.assert_array_equal(first, again)


def test_samples_that_are_done_leave_the_batch():
    """Fails if samples at their target, or without a pair left, go on costing gradients."""
    sizes = []

    def score_fn(x):
        sizes.append(len(x))
        return linear(x)

    x, y, targets = samples(8)
    paths = [longhand_path(a, t, 1.0, 4, (0, 1)) for a, t in zip(x, targets, strict=True)]
    JSMA(gamma=1.0).search(
        score_fn, tf.constant(x), tf.constant(y, tf.int32), SEED, tf.constant(targets, tf.int32)
    )
    # Two passes a step; in step i those still have something to do whose path is longer than i.
    going = [sum(len(path) >= i for path in paths) for i in range(1, 6)]
    assert sizes == [size for size in going if size for _ in range(2)]


def test_refuses_a_gamma_that_leaves_no_pair():
    """Fails if an attack that can do nothing runs in silence."""
    x, y, targets = samples(2)
    with pytest.raises(ValueError, match=r"8 pixels leaves no pair.*gamma=0.25"):
        run(JSMA(gamma=0.2), linear, x, y, targets)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"theta": 0.0}, "theta.*other than 0"),
        ({"theta": float("nan")}, "theta"),
        ({"gamma": 0.0}, r"gamma.*\(0, 1\]"),
        ({"gamma": 1.5}, "gamma"),
        ({"box": (1.0, 0.0)}, "box"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(JSMA(), **fields)
