"""One table over all attacks of the gradient family, and what each must do besides."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mmc.attacks import BIM, FGSM, MIM, PGD, MultiTargeted, NearestWrongCenter, score_function

SEED = tf.constant([3, 4])
TABLE = {
    "fgsm": FGSM(0.1),
    "bim": BIM(0.1, steps=4),
    "pgd": PGD(0.1, steps=4, restarts=2),
    "pgd_targeted": PGD(0.1, steps=4, targeted=True),
    "mim": MIM(0.1, steps=4),
    "nearest_wrong": NearestWrongCenter(0.1, steps=4, step_size=0.04),
    "multi_targeted": MultiTargeted(0.1, steps=4),
}
all_attacks = pytest.mark.parametrize("name", TABLE)


def accuracy(model, x, y):
    return float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == y))


def norm_of(delta, norm):
    flat = np.asarray(delta, "float64").reshape(len(delta), -1)
    return np.linalg.norm(flat, ord={"linf": np.inf, "l2": 2}[norm], axis=1)


def toy_scores(x):
    """Four scores of images of any shape: fixed random waves."""
    flat = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
    weights = np.random.default_rng(0).normal(size=(flat.shape[1], 4)).astype("float32")
    return tf.sin(3 * flat @ weights)


@all_attacks
@given(
    view=st.sampled_from(["generate", "search"]),
    eps=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    norm=st.sampled_from(["linf", "l2"]),
    box=st.sampled_from([(0.0, 1.0), (-1.0, 0.5)]),
    shape=st.sampled_from([(1, 3), (4, 2, 3), (3, 3, 2, 1)]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=10)
def test_stays_in_ball_and_box(name, view, eps, norm, box, shape, seed):
    """Fails if an image leaves ball or box, is not finite, or differs from run to run."""
    attack = dataclasses.replace(TABLE[name], eps=eps, norm=norm, box=box)
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.uniform(*box, size=shape), tf.float32)
    y = tf.constant(rng.integers(4, size=shape[0]), tf.int32)
    first, again = (
        getattr(attack, view)(toy_scores, x, y, tf.constant([seed, 0])).numpy() for _ in range(2)
    )
    assert first.shape == x.shape and first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.min() >= box[0] and first.max() <= box[1]
    assert (norm_of(first - x, norm) <= eps + 1e-6).all()
    np.testing.assert_array_equal(first, again)
    if eps == 0:
        np.testing.assert_array_equal(first, x)


@all_attacks
def test_call_leaves_fewer_correct_and_repeats_by_seed(name, mmc_model, digits):
    """Fails if the evaluation view is not wired to the call, or a seed does not fix the bits."""
    x, y = digits[0][:100], digits[1][:100]
    attack = dataclasses.replace(TABLE[name], eps=0.2)
    adversarial = attack(mmc_model, x, y, batch_size=32)
    np.testing.assert_array_equal(attack(mmc_model, x, y, batch_size=32), adversarial)
    assert accuracy(mmc_model, adversarial, y) < accuracy(mmc_model, x, y) - 0.3


def cleverhans_equal(model, images, norm, attack):
    """Ours and cleverhans' images after the attack, without random start, on cross-entropy."""
    x, y = tf.constant(images), tf.constant(np.arange(len(images)) % 5, tf.int64)
    order = {"linf": np.inf, "l2": 2}[norm]
    limits = {"clip_min": 0.0, "clip_max": 1.0, "y": y, "targeted": attack.targeted}
    if isinstance(attack, FGSM):
        theirs = fast_gradient_method(model, x, attack.eps, order, **limits)
    else:
        function = {PGD: projected_gradient_descent, MIM: momentum_iterative_method}[type(attack)]
        theirs = function(
            model,
            x,
            eps=attack.eps,
            eps_iter=attack.step_size,
            nb_iter=attack.steps,
            norm=order,
            sanity_checks=False,
            **limits,
        )
    y = tf.cast(y, tf.int32)
    return attack.generate(score_function(model), x, y, SEED, y), theirs


@pytest.mark.parametrize(("norm", "eps", "step"), [("linf", 0.1, 0.03), ("l2", 1.5, 0.4)])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("kind", ["fgsm", "pgd", "mim"])
def test_equals_cleverhans(kind, targeted, norm, eps, step, conv_model, digits):
    """Fails if a step, a clip, the momentum or the sign of a target differs from cleverhans."""
    common = {"norm": norm, "objective": "cross_entropy", "targeted": targeted}
    if kind == "fgsm":
        attack = FGSM(eps, **common)
    elif kind == "pgd":
        attack = PGD(eps, 6, step, random_start=False, **common)
    else:
        attack = MIM(eps, 6, step, **common)
    ours, theirs = cleverhans_equal(conv_model, digits[0][:16], norm, attack)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(ours - digits[0][:16]).max() > 0.05


def test_bim_is_pgd_without_random_start(conv_model, digits):
    """Fails if BIM drops or swaps a parameter on its way."""
    x, y = tf.constant(digits[0][:8]), tf.constant(digits[1][:8] % 5)
    arguments = {"steps": 3, "step_size": 0.3, "norm": "l2", "objective": "dlr", "targeted": True}
    bim = BIM(0.7, box=(-0.1, 1.1), **arguments)
    pgd = PGD(0.7, box=(-0.1, 1.1), random_start=False, **arguments)
    score_fn = score_function(conv_model)
    for view in ("generate", "search"):
        ours, expected = (getattr(a, view)(score_fn, x, y, SEED) for a in (bim, pgd))
        np.testing.assert_array_equal(ours, expected)


def test_default_step_size(conv_model, digits):
    """Fails if None is not 2.5 * eps / steps, as documented."""
    x, y = tf.constant(digits[0][:8]), tf.constant(digits[1][:8] % 5)
    score_fn = score_function(conv_model)
    for kind in (PGD, BIM, MIM, MultiTargeted):
        default, explicit = kind(0.2, 5), kind(0.2, 5, 2.5 * 0.2 / 5)
        found = [a.generate(score_fn, x, y, SEED) for a in (default, explicit)]
        np.testing.assert_array_equal(*found)


def test_restarts_start_elsewhere(window):
    """Fails if restarts repeat one start: each of 40 finds the window with probability 1/6."""
    x, y = tf.fill([1, 1], 0.5), tf.constant([0])
    found = [
        float(PGD(0.3, steps=1, step_size=1e-4, restarts=n).search(window, x, y, SEED)[0, 0])
        for n in (1, 40)
    ]
    assert abs(found[0] - 0.7) > 0.05 and abs(found[1] - 0.7) < 0.05


def test_restarts_run_on_what_is_left(window):
    """Fails if restarts attack samples already fooled, or lose their images."""
    sizes = []

    def score_fn(x):
        sizes.append(int(x.shape[0]))
        return window(x)

    x, y = tf.fill([60, 1], 0.5), tf.zeros([60], tf.int32)
    found = PGD(0.3, steps=1, step_size=1e-4, restarts=10).search(score_fn, x, y, SEED)
    assert np.mean(np.abs(found - 0.7) < 0.05) > 0.6  # expected: 1 - (5/6)^10 = 0.84
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 30


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_accuracy_falls_with_eps(norm, mmc_model, digits):
    """Fails if a larger ball leaves more correct, or any is correct with the whole box allowed."""
    x, y = digits[0][:100], digits[1][:100]
    radii = np.array([0.0, 0.03, 0.1, 1.0]) * (1 if norm == "linf" else 8)
    left = [
        accuracy(mmc_model, PGD(eps, 20, norm=norm, random_start=False)(mmc_model, x, y), y)
        for eps in radii
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > 0.85 and left[-1] == 0.0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_scaled_scores_fool_cross_entropy_only(norm, mmc_model, digits):
    """Fails if margin or nearest_wrong lose strength to scores times 200; the control must."""
    x, y = digits[0][:100], digits[1][:100]
    scaled = keras.Sequential([mmc_model, keras.layers.Rescaling(200.0)])
    eps, step = (0.15, 0.01) if norm == "linf" else (1.0, 0.1)

    def left(model, objective):
        attack = PGD(eps, 20, step, norm=norm, objective=objective)
        return accuracy(model, attack(model, x, y), y)

    for objective in ("margin", "nearest_wrong"):
        assert left(scaled, objective) == pytest.approx(left(mmc_model, objective), abs=0.011)
    assert left(scaled, "cross_entropy") > left(mmc_model, "cross_entropy") + 0.3
    assert left(scaled, "cross_entropy") > left(scaled, "margin") + 0.5


@all_attacks
def test_scheduled_eps(name):
    """Fails if an eps that is a tensor retraces a graph, or differs from the number."""
    x, y = tf.fill([3, 4], 0.5), tf.constant([0, 1, 2])

    def generate(eps):
        return TABLE[name].generate(toy_scores, x, y, SEED, eps=eps)

    scheduled = tf.function(generate, autograph=False)
    for eps in (0.05, 0.2):
        alone = dataclasses.replace(TABLE[name], eps=eps).generate(toy_scores, x, y, SEED)
        np.testing.assert_allclose(scheduled(tf.constant(eps)), alone, atol=1e-6)
        each = generate(tf.constant([eps, 0.0, eps]))
        np.testing.assert_allclose(each, tf.where([[True], [False], [True]], alone, x), atol=1e-6)
    assert scheduled.experimental_get_tracing_count() == 1


def test_targeted_search_reaches_the_targets(mmc_model, digits):
    """Fails if a targeted attack stops at any misclassification or climbs to another class."""
    x, y = digits[0][:60], digits[1][:60]
    targets = (y + 3) % 10
    found = PGD(0.5, 40, targeted=True)(mmc_model, x, y, targets=targets)
    predictions = mmc_model.predict(found, verbose=0).argmax(axis=1)
    assert np.mean(predictions == targets) > 0.9


@all_attacks
def test_mixed_bfloat16_model(name, digits):
    """Fails if an attack cannot take a model that computes in 16 bits, or gives 16-bit images."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(10, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), dense])
    x = digits[0][:20]
    y = model.predict(x, verbose=0).argmax(axis=1).astype("int32")
    found = dataclasses.replace(TABLE[name], eps=0.5)(model, x, y)
    assert found.dtype == np.float32
    assert np.abs(found - x).max() <= 0.5 + 1e-6
    assert np.mean(model.predict(found, verbose=0).argmax(axis=1) == y) < 0.5
