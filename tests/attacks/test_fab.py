"""FAB: its projection, and smallest perturbations that are known in closed form."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from keras_mmc.attacks import misclassified, score_function
from keras_mmc.attacks.fab import FAB, step_to_plane

SEED = tf.constant([3, 4])
WIDE = (-10.0, 10.0)
ORDER = {"linf": np.inf, "l2": 2}
both_norms = pytest.mark.parametrize("norm", ["linf", "l2"])
both_versions = pytest.mark.parametrize("num_targets", [9, None])


def norm_of(delta, norm):
    flat = np.asarray(delta, "float64").reshape(len(delta), -1)
    return np.linalg.norm(flat, ord=ORDER[norm], axis=1)


def search(attack, score_fn, x, y):
    """`attack.search` in a graph."""
    x, y = tf.constant(x), tf.constant(y, tf.int32)
    return tf.function(lambda: attack.search(score_fn, x, y, SEED), autograph=False)().numpy()


def linear_model(num_classes, features, seed=0):
    """Weights `(D, K)` and a score function of inputs `(N, ...)`."""
    weights = np.random.default_rng(seed).normal(size=(features, num_classes)).astype("float32")
    return weights, lambda x: tf.reshape(x, [-1, features]) @ weights


def longhand_step(x, normal, rise, norm, box):
    """The smallest step with `<normal, d> = rise` in the box, by bisection; else to the corner."""
    normal, rise = (-normal, -rise) if rise < 0 else (normal, rise)
    room = np.where(normal > 0, box[1] - x, x - box[0])
    speed = (normal != 0) * 1.0 if norm == "linf" else abs(normal)
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        gained = np.sum(abs(normal) * np.minimum(middle * speed, room))
        low, high = (middle, high) if gained < rise else (low, middle)
    return np.sign(normal) * np.minimum(high * speed, room)


def smallest_step(x, normal, rise, norm, box):
    """The norm of that step, for `"linf"` by linear programming; inf if there is none."""
    normal, rise = (-normal, -rise) if rise < 0 else (normal, rise)
    if np.sum(abs(normal) * np.where(normal > 0, box[1] - x, x - box[0])) < rise:
        return np.inf
    if norm == "l2":
        return np.linalg.norm(longhand_step(x, normal, rise, norm, box))
    # Variables d_1..d_D and the radius r, which is minimized: |d_i| <= r.
    d = len(x)
    sides = np.block([[np.eye(d), -np.ones((d, 1))], [-np.eye(d), -np.ones((d, 1))]])
    bounds = [*zip(box[0] - x, box[1] - x, strict=True), (0, None)]
    equal, cost = np.append(normal, 0.0)[None], np.append(np.zeros(d), 1.0)
    return linprog(cost, sides, np.zeros(2 * d), equal, [rise], bounds).fun


def smallest_perturbations(x, y, weights, norm, box):
    """Per sample the distance to the nearest boundary of a linear model inside the box."""
    x, weights = x.astype("float64"), weights.astype("float64")
    scores = x @ weights
    return np.array(
        [
            min(
                smallest_step(row, weights[:, k] - weights[:, label], s[label] - s[k], norm, box)
                for k in range(len(s))
                if k != label
            )
            for row, label, s in zip(x, y, scores, strict=True)
        ]
    )


@both_norms
@given(
    data=st.data(),
    box=st.sampled_from([(0.0, 1.0), (-2.0, 0.5)]),
    share=st.sampled_from([0.0, 0.01, 0.3, 0.9, 0.999]),
    sign=st.sampled_from([-1.0, 1.0]),
    scale=st.sampled_from([1e-20, 1.0, 1e6]),
)
@settings(deadline=None, max_examples=30)
def test_step_to_plane_is_the_smallest(norm, data, box, share, sign, scale):
    """Fails if the step misses the plane, leaves the box, or a smaller one exists."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    x = rng.uniform(*box, size=(3, 5)).astype("float32")
    normal = rng.normal(size=(3, 5)).astype("float32")
    normal[rng.uniform(size=normal.shape) < 0.2] = 0.0
    room = np.where(sign * normal > 0, box[1] - x, x - box[0])
    rise = (sign * share * np.sum(abs(normal) * room, axis=1)).astype("float32")
    scale = np.float32(scale)
    step = step_to_plane(
        tf.constant(x), tf.constant(scale * normal), tf.constant(scale * rise), norm, box
    ).numpy()
    np.testing.assert_allclose(np.sum(normal * step, axis=1), rise, atol=2e-5)
    assert (x + step >= box[0] - 1e-6).all() and (x + step <= box[1] + 1e-6).all()
    expected = [smallest_step(*row, norm, box) for row in zip(x, normal, rise, strict=True)]
    np.testing.assert_allclose(norm_of(step, norm), expected, rtol=1e-3, atol=1e-5)


@both_norms
def test_step_to_plane_out_of_reach_goes_to_the_corner(norm):
    """Fails if a plane outside the box, or no plane at all, gives NaN or half a step."""
    x = tf.constant([[0.2, 0.7, 0.5], [0.2, 0.7, 0.5]])
    normal = tf.constant([[1.0, -2.0, 0.0], [0.0, 0.0, 0.0]])
    step = step_to_plane(x, normal, tf.constant([50.0, 50.0]), norm, (0.0, 1.0))
    np.testing.assert_allclose(step, [[0.8, -0.7, 0.0], [0.0, 0.0, 0.0]], atol=1e-6)


@both_norms
@pytest.mark.parametrize("num_targets, box", [(9, WIDE), (9, (0.0, 1.0)), (None, WIDE)])
def test_reaches_the_smallest_perturbation_of_a_linear_model(norm, num_targets, box):
    """Fails if FAB ends more than 1 % beyond the known smallest perturbation of any sample."""
    weights, score_fn = linear_model(4, 8)
    x = np.random.default_rng(1).uniform(size=(20, 8)).astype("float32")
    y = (x @ weights).argmax(axis=1)
    expected = smallest_perturbations(x, y, weights, norm, box)
    attack = FAB(eps=None, steps=40, norm=norm, num_targets=num_targets, box=box)
    found = search(attack, score_fn, x, y)
    assert ((found @ weights).argmax(axis=1) != y).all()
    lengths = norm_of(found - x, norm)
    assert (lengths <= 1.01 * expected).all() and (lengths >= (1 - 1e-3) * expected).all()


def fab_longhand(scores, gradients, x0, steps, norm, box):
    """Algorithm 1 for one sample of class 0: the nearest adversarial point."""
    x, best, best_length = x0, x0, np.inf
    order = {"linf": np.inf, "l2": 2}[norm]
    dual = {"linf": 1, "l2": 2}[norm]
    for _ in range(steps):
        values = scores(x)[1:] - scores(x)[0]
        normals = gradients(x)[1:] - gradients(x)[0]
        k = np.argmin(abs(values) / np.linalg.norm(normals, ord=dual, axis=1))
        ahead = longhand_step(x, normals[k], -values[k], norm, box)
        from_clean = longhand_step(x0, normals[k], -values[k] - normals[k] @ (x0 - x), norm, box)
        far, near = np.linalg.norm(ahead, ord=order), np.linalg.norm(from_clean, ord=order)
        alpha = min(far / (far + near), 0.1)
        x = np.clip((1 - alpha) * (x + 1.05 * ahead) + alpha * (x0 + 1.05 * from_clean), *box)
        if scores(x).argmax() != 0:
            if np.linalg.norm(x - x0, ord=order) < best_length:
                best, best_length = x, np.linalg.norm(x - x0, ord=order)
            x = x0 + 0.9 * (x - x0)
    return best


@both_norms
@both_versions
def test_generate_is_algorithm_1(norm, num_targets):
    """Fails if a constant, the choice of the boundary, the pull or the way back differ."""
    rng = np.random.default_rng(3)
    num_classes = 2 if num_targets else 4
    # In float64: in float32 a point next to a boundary may fall on either side of it.
    waves = rng.normal(size=(5, num_classes))
    shift = rng.uniform(0, 6, size=num_classes)

    def score_fn(x):
        return tf.sin(x @ waves + shift) + 0.3 * tf.one_hot(0, num_classes, dtype=tf.float64)

    def scores(x):
        return np.sin(x @ waves + shift) + 0.3 * np.eye(num_classes)[0]

    def gradients(x):
        return (np.cos(x @ waves + shift) * waves).T

    x0 = rng.uniform(size=(80, 5))
    x0 = x0[[scores(x).argmax() == 0 for x in x0]]
    attack = FAB(None, steps=5, norm=norm, num_targets=num_targets)
    labels = tf.zeros(len(x0), tf.int32)
    found = attack.generate(score_fn, tf.constant(x0), labels, SEED)
    expected = [fab_longhand(scores, gradients, x, 5, norm, (0.0, 1.0)) for x in x0]
    assert (expected != x0).any(axis=1).sum() > 10
    np.testing.assert_allclose(found, expected, atol=1e-4)


@both_versions
def test_reaches_the_smallest_perturbation_of_a_sphere(num_targets):
    """Fails if the steps do not follow a curved boundary to its nearest point."""
    center = np.full(6, 0.4, "float32")

    def score_fn(x):
        outside = tf.reduce_sum((x - center) ** 2, axis=1) - 0.3**2
        return tf.stack([tf.zeros_like(outside), outside], axis=1)

    rng = np.random.default_rng(2)
    direction = rng.normal(size=(10, 6))
    radii = rng.uniform(0.05, 0.28, size=10)
    x = center + direction * (radii / np.linalg.norm(direction, axis=1))[:, None]
    attack = FAB(eps=None, norm="l2", num_targets=num_targets, box=WIDE)
    found = search(attack, score_fn, x.astype("float32"), np.zeros(10))
    np.testing.assert_allclose(norm_of(found - x, "l2"), 0.3 - radii, rtol=0.01)


@both_norms
def test_with_eps_breaks_what_lies_within_and_returns_the_rest(norm):
    """Fails if a sample within eps is not broken, or one beyond it comes back changed."""
    weights, score_fn = linear_model(4, 8)
    x = np.random.default_rng(1).uniform(size=(40, 8)).astype("float32")
    y = (x @ weights).argmax(axis=1)
    distances = smallest_perturbations(x, y, weights, norm, WIDE)
    eps = float(np.median(distances))
    found = search(FAB(eps, steps=40, norm=norm, box=WIDE), score_fn, x, y)
    broken = (found @ weights).argmax(axis=1) != y
    assert broken[distances < 0.99 * eps].all() and not broken[distances > eps].any()
    np.testing.assert_array_equal(found[~broken], x[~broken])
    assert (norm_of(found - x, norm) <= eps + 1e-6).all()


@both_norms
def test_scale_of_the_scores_changes_nothing(norm, mmc_model, digits):
    """Fails if large scores, whose softmax saturates, save a single image."""
    x, y = digits[0][:40], digits[1][:40]
    plain = score_function(mmc_model)
    attack = FAB({"linf": 0.08, "l2": 0.5}[norm], steps=20, norm=norm, num_targets=2)
    broken = []
    for scale in (1.0, 200.0):
        found = search(attack, lambda x, scale=scale: scale * plain(x), x, y)
        broken.append(misclassified(plain(found), y).numpy())
    assert broken[0].mean() > 0.2
    np.testing.assert_array_equal(*broken)


def test_restarts_find_what_the_first_run_misses():
    """Fails if restarts begin at the clean image again, where this model has no slope."""

    def score_fn(x):
        hill = tf.nn.relu(tf.reduce_sum(x, axis=1) - 1.0) - 0.05
        return tf.stack([tf.zeros_like(hill), hill], axis=1)

    x, y = np.full((20, 2), 0.48, "float32"), np.zeros(20)
    once = search(FAB(0.2, steps=10), score_fn, x, y)
    np.testing.assert_array_equal(once, x)
    again = search(FAB(0.2, steps=10, restarts=8), score_fn, x, y)
    assert misclassified(score_fn(again), y).numpy().mean() > 0.8
    assert (norm_of(again - x, "linf") <= 0.2).all()


def test_broken_samples_leave_the_batch():
    """Fails if samples found within eps go on costing forward passes, or rows are swapped."""
    sizes = []

    def score_fn(x):
        sizes.append(len(x))
        return tf.stack([tf.zeros_like(x[:, 0]), x[:, 0] - 0.5], axis=1)

    x = tf.constant([[0.45], [0.0], [0.46], [0.1], [0.47], [0.48], [0.49], [0.2]])
    found = FAB(0.1, steps=10).search(score_fn, x, tf.zeros(8, tf.int32), SEED).numpy()
    assert sizes[0] == 8 and sizes[4:] == [3] * len(sizes[4:])
    assert ((found > 0.5)[:, 0] == (x.numpy() > 0.4)[:, 0]).all()


@both_versions
@given(
    view=st.sampled_from(["generate", "search"]),
    eps=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    norm=st.sampled_from(["linf", "l2"]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    shape=st.sampled_from([(1, 3), (4, 2, 3), (3, 3, 2, 1)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=10)
def test_stays_in_ball_and_box(num_targets, view, eps, norm, box, shape, seed):
    """Fails if an image leaves ball or box, is not finite, or differs from run to run."""
    _, linear = linear_model(5, int(np.prod(shape[1:])))
    attack = FAB(eps, steps=3, norm=norm, box=box, restarts=2, num_targets=num_targets)
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.uniform(*box, size=shape), tf.float32)
    y = tf.constant(rng.integers(5, size=shape[0]), tf.int32)
    first, again = (
        getattr(attack, view)(lambda x: tf.sin(3 * linear(x)), x, y, tf.constant([seed, 0])).numpy()
        for _ in range(2)
    )
    assert first.shape == x.shape and np.isfinite(first).all()
    assert first.min() >= box[0] and first.max() <= box[1]
    assert (norm_of(first - x, norm) <= eps + 1e-6).all()
    np.testing.assert_array_equal(first, again)


@both_norms
def test_generate_is_the_first_run(norm):
    """Fails if the training view does other steps than the evaluation view."""
    weights, score_fn = linear_model(4, 8)
    x = np.random.default_rng(1).uniform(size=(20, 8)).astype("float32")
    y = (x @ weights).argmax(axis=1)
    attack = FAB(None, steps=15, norm=norm, num_targets=1)
    generated = attack.generate(score_fn, tf.constant(x), tf.constant(y, tf.int32), SEED)
    np.testing.assert_allclose(generated, search(attack, score_fn, x, y), atol=1e-6)


def test_nan_scores_under_attack_count_as_broken():
    """Fails if a model can hide from the attack by answering NaN, or NaN pixels come back."""

    def score_fn(x):
        low = tf.where(x[:, 0] > 0.55, float("nan"), x[:, 0] - 0.56)
        return tf.stack([tf.zeros_like(low), low], axis=1)

    found = search(FAB(0.1, steps=5), score_fn, np.full((4, 1), 0.5, "float32"), np.zeros(4))
    assert (found > 0.55).all() and np.isfinite(found).all()


@pytest.mark.parametrize("eps", [0.1, None])
def test_samples_misclassified_as_they_are_stay(eps):
    """Fails if the smallest perturbation of a misclassified sample is not none."""
    weights, score_fn = linear_model(3, 4)
    x = np.random.default_rng(1).uniform(size=(6, 4)).astype("float32")
    y = ((x @ weights).argmax(axis=1) + 1) % 3
    np.testing.assert_array_equal(search(FAB(eps, steps=3), score_fn, x, y), x)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"eps": -0.1}, "eps"),
        ({"eps": None, "steps": 0}, "steps"),
        ({"norm": "l1"}, "linf"),
        ({"num_targets": 0}, "num_targets"),
        ({"restarts": 0}, "restarts"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(FAB(0.1), **fields)
