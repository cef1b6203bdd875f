"""DeepFool: distances known in closed form, and its steps by hand."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import misclassified
from keras_mmc.attacks.deepfool import DeepFool, step_to_boundary

SEED = tf.constant([3, 4])
WIDE = (-10.0, 10.0)
both_norms = pytest.mark.parametrize("norm", ["l2", "linf"])


def linear_model(num_classes=4, features=6, seed=0):
    """Weights `(D, K)` and a score function of inputs `(N, ...)`."""
    weights = np.random.default_rng(seed).normal(size=(features, num_classes)).astype("float32")
    return weights, lambda x: tf.reshape(x, [-1, features]) @ weights


def samples(weights, count, seed=1):
    x = np.random.default_rng(seed).uniform(size=(count, len(weights))).astype("float32")
    return x, (x @ weights).argmax(axis=1).astype("int32")


def search(attack, score_fn, x, y, view="search", jit_compile=False):
    """One view of the attack, in a graph."""
    x, y = tf.constant(x), tf.constant(y, tf.int32)
    run = getattr(attack, view)
    graph = tf.function(lambda: run(score_fn, x, y, SEED), autograph=False, jit_compile=jit_compile)
    return graph().numpy()


def norms(delta, norm):
    flat = np.asarray(delta, "float64").reshape(len(delta), -1)
    return np.linalg.norm(flat, ord={"l2": 2, "linf": np.inf}[norm], axis=1)


def boundary_distances(x, y, weights, norm):
    """The distance of each sample to each wrong class of a linear model, longhand; inf to `y`."""
    scores = x.astype("float64") @ weights
    found = np.full(scores.shape, np.inf)
    for i, label in enumerate(y):
        for k in set(range(scores.shape[1])) - {label}:
            normal = weights[:, k] - weights[:, label]
            dual = np.linalg.norm(normal, ord={"l2": 2, "linf": 1}[norm])
            found[i, k] = (scores[i, label] - scores[i, k]) / dual
    return found


@both_norms
@pytest.mark.parametrize("overshoot", [0.02, 0.3])
def test_one_step_reaches_the_boundary_of_a_linear_model(norm, overshoot):
    """Fails if the step is not the nearest one, or overshoots by another fraction of its length."""
    weights, score_fn = linear_model()
    x, y = samples(weights, 20)
    found = search(DeepFool(1, overshoot, norm=norm, box=WIDE), score_fn, x, y)
    assert misclassified(score_fn(found), y).numpy().all()
    distances = boundary_distances(x, y, weights, norm).min(axis=1)
    expected = (1 + overshoot) * (distances + 1e-4 * (WIDE[1] - WIDE[0]))
    np.testing.assert_allclose(norms(found - x, norm), expected, rtol=1e-4, atol=1e-6)


@both_norms
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e10])
def test_step_to_boundary_longhand(norm, scale):
    """Fails if a formula of the step is off, or scores of any scale change it."""
    weights, score_fn = linear_model()
    x, y = samples(weights, 10)
    others = np.array([[k for k in range(4) if k != label] for label in y])
    step = step_to_boundary(
        lambda x: scale * score_fn(x), *map(tf.constant, (x, y, others)), norm, 2e-4
    )
    nearest = boundary_distances(x, y, weights, norm).argmin(axis=1)
    scores = x @ weights
    for row, label, k, s, found in zip(range(10), y, nearest, scores, step.numpy(), strict=True):
        normal, gap = weights[:, k] - weights[:, label], s[label] - s[k]
        if norm == "l2":
            expected = (gap / np.linalg.norm(normal) + 2e-4) * normal / np.linalg.norm(normal)
        else:
            expected = (gap / abs(normal).sum() + 2e-4) * np.sign(normal)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6, err_msg=str(row))


def test_two_candidates_are_the_label_and_the_likeliest():
    """Fails if the number of candidates does not count the label, or they are not the likeliest."""
    # Class 1 has the second score, but class 2 is nearer, since it rises faster.
    weights = np.array([[0.0, 0.5, 4.0]], "float32")

    def score_fn(x):
        return x @ weights + tf.constant([1.0, 0.6, -1.0])

    x = np.array([[0.3]], "float32")
    crossed = [
        search(DeepFool(1, num_candidates=n, box=WIDE), score_fn, x, [0])[0, 0] for n in (2, 3)
    ]
    np.testing.assert_allclose(crossed, [0.3 + 1.02 * 0.502, 0.3 + 1.02 * 0.202], rtol=1e-5)


def test_follows_a_curved_boundary_by_hand():
    """Fails if steps do not add up, or the overshoot is not that of the whole perturbation."""

    def score_fn(x):
        return tf.concat([tf.fill(tf.shape(x), 0.25), x**2], axis=1)

    x = np.array([[0.1]], "float32")
    point, delta = 0.1, 0.0
    while point**2 <= 0.25:
        delta += (0.25 - point**2) / (2 * point) + 2e-3  # 1e-4 of the width of the box
        point = 0.1 + 1.02 * delta
    found = search(DeepFool(box=WIDE), score_fn, x, [0])
    np.testing.assert_allclose(found, [[point]], rtol=1e-5)


def test_box_ends_the_way_and_the_original_comes_back():
    """Fails if the box is left, or a failure comes back changed."""
    weights = np.array([[0.0, 1.0], [0.0, 0.5]], "float32")
    x = np.array([[0.9, 0.0], [0.2, 0.7]], "float32")
    for label_score, reachable in ((1.3, True), (1.6, False)):

        def score_fn(x, label_score=label_score):
            return x @ weights + tf.constant([label_score, 0.0])

        found = search(DeepFool(), score_fn, x, [0, 0])
        np.testing.assert_array_equal(misclassified(score_fn(found), [0, 0]), [reachable] * 2)
        assert found.max() <= 1.0
        np.testing.assert_array_equal((found == x).all(axis=1), [not reachable] * 2)


def test_a_point_on_the_boundary_crosses_it():
    """Fails if a tie of scores, where the distance is 0, stops the attack."""

    def score_fn(x):
        return tf.concat([tf.fill(tf.shape(x), 0.5), x], axis=1)

    found = search(DeepFool(2), score_fn, np.full((1, 1), 0.5, "float32"), [0])
    assert 0.5 < found[0, 0] < 0.501


@given(
    view=st.sampled_from(["generate", "search"]),
    norm=st.sampled_from(["l2", "linf"]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    shape=st.sampled_from([(1, 3), (4, 2, 3), (3, 2, 2, 1)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=10)
def test_stays_in_the_box_and_changes_only_what_it_breaks(view, norm, box, shape, seed):
    """Fails if an image leaves the box, is not finite, differs between runs, or fools nobody."""
    _, linear = linear_model(features=int(np.prod(shape[1:])))

    def score_fn(x):
        return tf.sin(3 * linear(x))

    rng = np.random.default_rng(seed)
    x = tf.constant(rng.uniform(*box, size=shape), tf.float32)
    y = tf.constant(rng.integers(4, size=shape[0]), tf.int32)
    attack = DeepFool(3, norm=norm, box=box)
    first, again = (getattr(attack, view)(score_fn, x, y, SEED).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == x.shape and np.isfinite(first).all()
    assert first.min() >= box[0] and first.max() <= box[1]
    changed = (first != x.numpy()).reshape(len(first), -1).any(axis=1)
    assert misclassified(score_fn(first), y).numpy()[changed].all()


def test_flat_scores_leave_the_image_alone():
    """Fails if a gradient of 0 gives NaN."""
    x = np.full((2, 3), 0.5, "float32")

    def score_fn(x):
        return 0.0 * x[:, :2] + tf.constant([1.0, 0.0])

    np.testing.assert_array_equal(search(DeepFool(3), score_fn, x, [0, 0]), x)


def test_broken_samples_leave_the_batch():
    """Fails if fooled samples go on costing gradients, or rows are swapped."""
    sizes = []

    def score_fn(x):
        sizes.append(len(x))
        hill = tf.where(x[:, 0] > 0.3, x[:, 0] - 0.5, -0.01 * x[:, 0] - 0.5)
        return tf.stack([tf.zeros_like(hill), hill], axis=1)

    x = tf.constant([[0.45], [0.0], [0.46], [0.1], [0.47], [0.48], [0.49], [0.2]])
    found = DeepFool(steps=2).search(score_fn, x, tf.zeros(8, tf.int32), SEED).numpy()
    assert sizes[:3] == [8, 8, 8] and max(sizes[3:]) == 3
    np.testing.assert_allclose(found[0], 0.45 + 1.02 * 0.0501, rtol=1e-5)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"steps": 0}, "steps"),
        ({"overshoot": -0.1}, "overshoot.*>= 0"),
        ({"num_candidates": 1}, "num_candidates.*>= 2"),
        ({"norm": "l1"}, "linf"),
        ({"box": (1.0, 0.0)}, "box"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(DeepFool(), **fields)
