"""RayS: the schedule of its blocks, its radii in closed form, and that labels are all it needs."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import RayS, misclassified
from keras_mmc.attacks.rays import _in_block, _next_block

WIDE = (-4.0, 4.0)


def labels_only(weights, bias):
    """A linear classifier of two classes that answers with the class and nothing else."""

    def score_fn(x):
        value = tf.reshape(x, [-1, len(weights)]) @ weights[:, None] + bias
        return tf.one_hot(tf.cast(value[:, 0] > 0, tf.int32), 2)

    return score_fn


def in_graph(view, score_fn, x, y, **budget):
    return tf.function(lambda: view(score_fn, x, y, 0, **budget), autograph=False)().numpy()


@pytest.mark.parametrize("dim", [1, 2, 5, 16, 27])
def test_blocks_longhand(dim):
    """Fails if a block begins or ends elsewhere, is skipped, or comes in another order."""
    expected = []
    for level in (*range(math.ceil(math.log2(dim)) + 1), 20):  # the last: single numbers again
        size = math.ceil(dim / 2**level)
        expected += [set(range(first, min(first + size, dim))) for first in range(0, dim, size)]
    x, level, block = tf.zeros([1, dim]), tf.constant([0]), tf.constant([0])
    for numbers in expected:
        inside = np.flatnonzero(_in_block(x, tf.constant(dim), level, block)[0])
        assert set(inside) == numbers
        level, block = _next_block(tf.constant(dim), level, block)


def rays_longhand(predict, x, y, queries, tolerance, low, high):
    """Algorithms 2 and 3 for one image, query by query; the smallest radius found."""
    signs, radius, asked = np.ones(x.size), np.inf, 0

    def adversarial(direction, r):
        nonlocal asked
        asked += 1
        return predict(np.clip(x + r * direction, low, high)) != y

    level = 0
    while True:
        size = math.ceil(x.size / 2**level)
        for first in range(0, x.size, size):
            if asked >= queries:
                return radius
            turned = signs.copy()
            turned[first : first + size] *= -1
            if not adversarial(turned, min(radius, high - low)):
                continue
            signs, radius, safe = turned, min(radius, high - low), 0.0
            while radius - safe > tolerance:
                if asked >= queries:
                    return radius
                middle = (safe + radius) / 2
                if adversarial(turned, middle):
                    radius = middle
                else:
                    safe = middle
        level += 1


def test_the_search_longhand(rng):
    """Fails if a query is spent elsewhere than in the paper: every radius after every budget."""
    weights = rng.normal(size=6)
    x = rng.uniform(-1, 1, (5, 6)).astype("float32")
    y = (x @ weights > 0).astype("int32")

    def predict(image):
        return int(image.astype("float32") @ weights.astype("float32") > 0)

    for queries in (1, 2, 7, 20, 45, 90):
        attack = RayS(8.0, queries=queries, box=WIDE)
        found = attack.generate(labels_only(weights.astype("float32"), 0.0), x, y, 0).numpy()
        for image, label, adversarial in zip(x, y, found, strict=True):
            radius = rays_longhand(predict, image, label, queries, 8e-3 / math.sqrt(6), *WIDE)
            moved = abs(adversarial - image)
            if np.isinf(radius):
                assert not moved.any()
            else:
                inside = (adversarial > WIDE[0]) & (adversarial < WIDE[1])
                np.testing.assert_allclose(moved[inside], radius, rtol=1e-4)


def test_the_radius_of_a_linear_classifier(rng):
    """Fails if the search ends elsewhere than at |w x + b| / ||w||_1, the smallest L-inf radius."""
    weights, bias = rng.normal(size=48).astype("float32"), 0.3
    x = rng.uniform(-0.5, 0.5, (10, 4, 4, 3)).astype("float32")
    values = x.reshape(10, -1) @ weights + bias
    smallest = abs(values) / abs(weights).sum()
    score_fn, y = labels_only(weights, bias), (values > 0).astype("int32")
    found = in_graph(RayS(8.0, queries=800, box=WIDE).generate, score_fn, x, y)
    assert misclassified(score_fn(found), y).numpy().all()
    radii = abs(found - x).reshape(10, -1).max(axis=1)
    # Every block that is turned may leave the tolerance of its binary search behind.
    tolerance = 1e-3 * 8 / math.sqrt(48)
    assert (radii >= smallest - 1e-5).all() and (radii <= smallest + 4 * tolerance).all()
    for factor, breaks in ((0.98, False), (1.25, True)):
        attack = RayS(1.0, queries=800, box=WIDE)
        adversarial = in_graph(attack.search, score_fn, x, y, eps=tf.constant(factor * smallest))
        assert (misclassified(score_fn(adversarial), y).numpy() == breaks).all()


@given(
    view=st.sampled_from(["generate", "search"]),
    eps=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5), (0.0, 255.0)]),
    shape=st.sampled_from([(1, 1), (3, 7), (2, 4, 3, 2)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=12)
def test_stays_in_ball_and_box_and_changes_only_what_it_breaks(view, eps, box, shape, seed):
    """Fails if an image leaves ball or box, or one that is not broken does not stay clean."""
    rng, width = np.random.default_rng(seed), box[1] - box[0]
    kernel = rng.normal(size=(int(np.prod(shape[1:])), 3)).astype("float32")

    def score_fn(x):
        return tf.sin(6 / width * tf.reshape(x, [len(x), -1]) @ kernel)

    x = rng.uniform(*box, shape).astype("float32")
    y = score_fn(x).numpy().argmax(axis=1).astype("int32")
    attack = RayS(eps * width, queries=25, box=box)
    found = getattr(attack, view)(score_fn, x, y, 0).numpy()
    assert attack.ball.holds(found, x).all()
    broken = misclassified(score_fn(found), y).numpy()
    np.testing.assert_array_equal((found != x).reshape(len(x), -1).any(axis=1), broken)


def test_asks_for_labels_once_a_query():
    """Fails if a query is counted twice, or an image that is done is asked about again."""
    sizes = []

    def score_fn(x):
        sizes.append(len(x))
        return tf.one_hot(tf.cast(x[:, 0] > 0.5, tf.int32), 2)

    x = tf.constant([[0.0, 0.5], [0.45, 0.5], [0.0, 0.5], [0.2, 0.5]])
    # Both numbers down, the first one, the second one: there class 1 is. Then the radii 1 / 2,
    # 1 / 4 and 1 / 8, at which the second image is broken; the others need 0.5 and 0.3.
    found = RayS(0.15, queries=7).search(score_fn, x, tf.zeros(4, tf.int32), 0).numpy()
    assert sizes == [4, 4, 4, 4, 4, 4, 3]
    np.testing.assert_allclose(found, [[0, 0.5], [0.575, 0.375], [0, 0.5], [0.2, 0.5]])


@pytest.mark.parametrize(
    "fields, words", [({"eps": -0.1}, "eps"), ({"queries": 0}, "queries"), ({"box": (1, 0)}, "box")]
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(RayS(0.1), **fields)
