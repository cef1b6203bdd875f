"""APGD: its schedule, its steps, and what it must break on models whose margins are known."""

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import misclassified, score_function
from keras_mmc.attacks._engine.projections import random_start
from keras_mmc.attacks._engine.random import fold_in, image_seeds
from keras_mmc.attacks.apgd import APGD, APGDState, checkpoints

SEED = tf.constant([3, 4])
WIDE = (-10.0, 10.0)
ORDER = {"linf": np.inf, "l2": 2}


def norm_of(delta, norm):
    flat = np.asarray(delta, "float64").reshape(len(delta), -1)
    return np.linalg.norm(flat, ord=ORDER[norm], axis=1)


def linear_model(num_classes, features, seed=0):
    """Weights `(D, K)` and a score function of inputs `(N, D)`."""
    weights = np.random.default_rng(seed).normal(size=(features, num_classes)).astype("float32")
    return weights, lambda x: tf.reshape(x, [-1, features]) @ weights


def linear_distances(x, y, weights, norm):
    """Smallest perturbation that reaches the boundary of a linear model, without a box."""
    scores = x @ weights
    distances = np.full(scores.shape, np.inf)
    for i, label in enumerate(y):
        for k in set(range(scores.shape[1])) - {label}:
            normal = weights[:, label] - weights[:, k]
            dual = np.abs(normal).sum() if norm == "linf" else np.linalg.norm(normal)
            distances[i, k] = (scores[i, label] - scores[i, k]) / dual
    return distances.min(axis=1)


@pytest.mark.parametrize("steps", [1, 5, 10, 50, 100, 237, 1000])
def test_checkpoints_are_those_of_the_paper(steps):
    """Fails if a constant of the schedule or its rounding is wrong."""
    fractions = [Fraction(0), Fraction(22, 100)]
    while True:
        gap = max(fractions[-1] - fractions[-2] - Fraction(3, 100), Fraction(6, 100))
        if fractions[-1] + gap > 1:
            break
        fractions.append(fractions[-1] + gap)
    assert checkpoints(steps) == sorted({math.ceil(p * steps) for p in fractions[1:]})


def test_checkpoints_of_100_steps():
    """Fails if both the schedule and its longhand above are wrong in the same way."""
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


def apgd_longhand(value, gradient, x0, start, eps, steps, norm):
    """Algorithm 1 for one sample in a box that does not bind."""

    def project(x):
        delta = x - x0
        if norm == "linf":
            return x0 + np.clip(delta, -eps, eps)
        return x0 + delta * min(1, eps / max(np.linalg.norm(delta), 1e-12))

    def ascend(x, size):
        g = gradient(x)
        return x + size * (np.sign(g) if norm == "linf" else g / np.linalg.norm(g))

    size, x, previous = 2 * eps, start, start
    best, best_value = start, value(start)
    values, judged_value, judged_size, last = [value(start)], best_value, size, 0
    for step in range(1, steps + 1):
        ahead = project(ascend(x, size))
        if step > 1:
            ahead = project(x + 0.75 * (ahead - x) + 0.25 * (x - previous))
        previous, x = x, ahead
        values.append(value(x))
        if values[-1] > best_value:
            best, best_value = x, values[-1]
        if step in checkpoints(steps):
            span = values[last : step + 1]
            rises = sum(b > a for a, b in itertools.pairwise(span))
            stuck = last > 0 and size == judged_size and best_value == judged_value
            judged_value, judged_size, last = best_value, size, step
            if rises < 0.75 * (len(span) - 1) or stuck:
                size, x, values[-1] = size / 2, best, best_value
    return best


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [3, 25, 60])
def test_generate_is_algorithm_1(norm, steps):
    """Fails if momentum, first step, halving, going back or the best point differ."""
    rng = np.random.default_rng(0)
    waves = rng.uniform(1, 9, size=(5, 6)).astype("float32")
    shift = rng.uniform(0, 6, size=(5, 6)).astype("float32")

    def score_fn(x):
        hill = tf.reduce_sum(tf.sin(x[:, None, :] * waves + shift), axis=[1, 2])
        return tf.stack([tf.zeros_like(hill), hill], axis=1)

    def value(x):
        return np.sin(x * waves + shift).sum()

    def gradient(x):
        return (waves * np.cos(x * waves + shift)).sum(axis=0)

    x0 = rng.uniform(size=(8, 6)).astype("float32")
    attack = APGD(0.7, steps=steps, norm=norm, objective="margin", box=WIDE)
    seeds = fold_in(image_seeds(SEED, range(8)), 0)
    start = random_start(tf.constant(x0), 0.7, norm, WIDE, seeds).numpy()
    expected = [
        apgd_longhand(value, gradient, *map(np.float64, points), 0.7, steps, norm)
        for points in zip(x0, start, strict=True)
    ]
    labels = tf.zeros(8, tf.int32)
    run = tf.function(
        lambda: attack.generate(score_fn, tf.constant(x0), labels, SEED), autograph=False
    )
    found = run().numpy()
    values = [[value(x) for x in points] for points in (found, expected)]
    np.testing.assert_allclose(values[0], values[1], atol=1e-3)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(
    "rises, halved_before, improved, halved",
    [
        (74, True, True, True),  # fewer than 75 % of 100 steps rose
        (75, True, True, False),  # 75 % are enough
        (100, False, False, True),  # neither step nor best value changed
        (100, True, False, False),  # the step did
        (100, False, True, False),  # the best value did
    ],
)
def test_a_checkpoint_halves_for_two_reasons(rises, halved_before, improved, halved):
    """Fails if a step is halved that pays, or one is kept that does not, or it is forgotten."""
    run = APGDState(
        x=tf.constant([[1.0]]),
        previous_x=tf.constant([[0.0]]),
        value=tf.constant([3.0]),
        best_x=tf.constant([[2.0]]),
        best_value=tf.constant([5.0]),
        best_gradient=tf.constant([[-1.0]]),
        step_size=tf.constant([0.4]),
        rises=tf.constant([float(rises)]),
        checked_value=tf.constant([4.0 if improved else 5.0]),
        halved=tf.constant([halved_before]),
    )
    judged, gradient = run.judge(tf.constant([[7.0]]), 100.0)
    expected = run._replace(
        rises=tf.zeros(1), checked_value=run.best_value, halved=tf.constant([halved])
    )
    if halved:
        expected = expected._replace(
            x=run.best_x, value=run.best_value, step_size=run.step_size / 2
        )
    for name, value in judged._asdict().items():
        np.testing.assert_array_equal(value, getattr(expected, name), err_msg=name)
    assert gradient == (-1.0 if halved else 7.0)


def search(attack, score_fn, x, y):
    """`attack.search` in a graph."""
    run = tf.function(lambda: attack.search(score_fn, x, y, SEED), autograph=False)
    return run().numpy()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("objective", ["targeted_margin", "targeted_dlr"])
def test_targets_break_exactly_the_linear_samples_within_reach(norm, objective):
    """Fails if a sample within eps of a linear boundary is not broken, or one beyond all is."""
    weights, score_fn = linear_model(5, 12)
    x = np.random.default_rng(1).uniform(size=(60, 12)).astype("float32")
    y = (x @ weights).argmax(axis=1).astype("int32")
    distances = linear_distances(x, y, weights, norm)
    eps = float(np.median(distances))
    attack = APGD(eps, steps=40, norm=norm, objective=objective, box=WIDE)
    found = search(attack, score_fn, tf.constant(x), tf.constant(y))
    broken = (found @ weights).argmax(axis=1) != y
    clear = abs(distances - eps) > 0.01 * eps
    np.testing.assert_array_equal(broken[clear], distances[clear] < eps)
    assert (norm_of(found - x, norm) <= eps * (1 + 1e-5)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("objective", ["margin", "dlr", "cross_entropy"])
def test_breaks_exactly_the_samples_near_one_boundary(norm, objective):
    """Fails if a sample within eps of the only boundary is not broken, or one beyond it falls."""
    weights, linear = linear_model(2, 12)

    def score_fn(x):
        scores = linear(x)
        return tf.concat([scores, tf.fill([tf.shape(x)[0], 1], -30.0)], axis=1)

    x = np.random.default_rng(1).uniform(size=(60, 12)).astype("float32")
    y = (x @ weights).argmax(axis=1).astype("int32")
    distances = linear_distances(x, y, weights, norm)
    eps = float(np.median(distances))
    attack = APGD(eps, steps=40, norm=norm, objective=objective, box=WIDE)
    found = search(attack, score_fn, tf.constant(x), tf.constant(y))
    broken = (found @ weights).argmax(axis=1) != y
    clear = abs(distances - eps) > 0.01 * eps
    np.testing.assert_array_equal(broken[clear], distances[clear] < eps)


@pytest.mark.parametrize("objective", ["margin", "dlr", "targeted_dlr", "targeted_margin"])
def test_large_scores_hide_nothing(objective, mmc_model, digits):
    """Fails if an objective saturates: scores times 200 must not save a single image."""
    x, y = tf.constant(digits[0][:60]), tf.constant(digits[1][:60])
    attack = APGD(0.08, steps=30, objective=objective, num_targets=3)
    plain = score_function(mmc_model)
    broken = []
    for scale in (1.0, 200.0):
        found = search(attack, lambda x, scale=scale: scale * plain(x), x, y)
        broken.append(misclassified(plain(found), y).numpy())
    assert broken[0].mean() > 0.3
    np.testing.assert_array_equal(*broken)


def test_targets_are_tried_in_turn():
    """Fails if a targeted objective stops after its most likely class, or counts it wrongly."""

    def score_fn(x):
        zero = tf.zeros_like(x[:, 0])
        near = 0 * x[:, 0]
        return tf.stack([zero, near - 1, near - 1.5, 10 * x[:, 0] - 7], axis=1)

    x, y = tf.fill([3, 2], 0.5), tf.zeros(3, tf.int32)
    for targets, broken in [(1, False), (2, False), (3, True), (9, True)]:
        attack = APGD(0.3, steps=5, objective="targeted_margin", num_targets=targets)
        found = attack.search(score_fn, x, y, SEED)
        assert misclassified(score_fn(found), y).numpy().all() == broken


def test_broken_samples_leave_the_batch():
    """Fails if fooled samples go on costing forward passes, or rows are swapped on the way."""
    sizes = []

    def score_fn(x):
        sizes.append(len(x))
        return tf.stack([tf.zeros_like(x[:, 0]), x[:, 0] - 0.5], axis=1)

    x = tf.constant([[0.45], [0.0], [0.46], [0.1], [0.47], [0.48], [0.49], [0.2]])
    found = APGD(0.1, steps=20).search(score_fn, x, tf.zeros(8, tf.int32), SEED).numpy()
    assert sizes[0] == 8 and sizes[3:] == [3] * len(sizes[3:])
    assert ((found > 0.5)[:, 0] == (x.numpy() > 0.4)[:, 0]).all()
    assert (abs(found - x.numpy()) <= 0.1 + 1e-6).all()


@given(
    view=st.sampled_from(["generate", "search"]),
    objective=st.sampled_from(["margin", "cross_entropy", "targeted_dlr"]),
    eps=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    norm=st.sampled_from(["linf", "l2"]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    shape=st.sampled_from([(1, 3), (4, 2, 3), (3, 3, 2, 1)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=20)
def test_stays_in_ball_and_box(view, objective, eps, norm, box, shape, seed):
    """Fails if an image leaves ball or box, is not finite, or differs from run to run."""
    _, linear = linear_model(5, int(np.prod(shape[1:])))
    attack = APGD(eps, steps=6, norm=norm, objective=objective, box=box, restarts=2)
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


def test_restarts_start_elsewhere(window):
    """Fails if restarts repeat one start: each of 40 finds the window with probability 1/6."""
    x, y = tf.fill([1, 1], 0.5), tf.constant([0])
    found = [
        float(APGD(0.3, steps=1, restarts=count).search(window, x, y, SEED)[0, 0])
        for count in (1, 40)
    ]
    assert abs(found[0] - 0.7) > 0.05 and abs(found[1] - 0.7) < 0.05


def test_nan_scores_under_attack_count_as_broken():
    """Fails if a model can hide from the attack by answering NaN."""

    def score_fn(x):
        low = tf.where(x[:, 0] > 0.55, float("nan"), 0.1 * x[:, 0] - 1)
        return tf.stack([tf.zeros_like(low), low], axis=1)

    x, y = tf.fill([4, 1], 0.5), tf.zeros(4, tf.int32)
    found = APGD(0.1, steps=5).search(score_fn, x, y, SEED)
    assert (found.numpy() > 0.55).all() and np.isfinite(found).all()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"eps": -0.1}, "eps"),
        ({"steps": 0}, "steps"),
        ({"norm": "l1"}, "linf"),
        ({"objective": "dlrr"}, "targeted_dlr"),
        ({"num_targets": 0}, "num_targets"),
    ],
)
def test_refuses_at_the_door(fields, words):
    """Fails if a field that makes no sense is accepted or the message does not help."""
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(APGD(0.1), **fields)


@pytest.mark.parametrize("objective, num_classes", [("dlr", 2), ("targeted_dlr", 3)])
def test_dlr_with_too_few_classes_names_the_margin(objective, num_classes):
    """Fails if an undefined objective runs, or the message names no way out."""
    _, score_fn = linear_model(num_classes, 3)
    attack = APGD(0.1, steps=2, objective=objective)
    with pytest.raises(ValueError, match="margin"):
        attack.search(score_fn, tf.fill([2, 3], 0.5), tf.zeros(2, tf.int32), SEED)
