"""Diagnostics: figures that are measured, limits at which they fire, and models that hide."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_mmc.attacks.judged import attack_rows

from keras_mmc.attacks import MIM, PGD, Square, Transfer
from keras_mmc.attacks.auto_attack import run_in_turn
from keras_mmc.attacks.base import scores_of
from keras_mmc.evaluation import diagnostics, zero_gradient_fraction
from keras_mmc.evaluation.suites import NAIVE, TRANSFER

OPTIONS = {"batch_size": 64, "seed": 0, "verbose": 0}


@keras.saving.register_keras_serializable("diagnostics_tests")
class Rounded(keras.layers.Layer):
    """Rounds to steps of 0.05: the gradient is 0 everywhere."""

    def call(self, x):
        return tf.round(20 * x) / 20 + 0 * x


def diagnosed(model, x, y, attacks, norm="linf", eps=0.1):
    """The diagnostics of a suite of attacks."""
    scores = scores_of(model, x, 64)
    result = run_in_turn(attacks, (), model, x, y, scores, **OPTIONS)
    after = scores_of(model, result.x_adv, 64)
    ball = {"eps": eps, "norm": norm, "box": (0.0, 1.0)}
    forwards = dict.fromkeys(("first", "again", "reversed"), scores)
    checks = diagnostics.diagnose(model, x, y, forwards, after, result, **ball, options=OPTIONS)
    return checks, result


@pytest.fixture(scope="module")
def masked(mmc_model, held_out):
    """Diagnostics of a network whose gradients are all 0, under PGD alone."""
    model = keras.Sequential([keras.Input((8, 8, 1)), Rounded(), mmc_model])
    naive = {NAIVE: PGD(0.1, steps=3, objective="cross_entropy", random_start=False)}
    x, y = held_out[0][:40], held_out[1][:40]
    return diagnosed(model, x, y, naive)


def test_a_network_without_gradients_is_exposed(masked):
    """Fails if the white-box attack, which cannot move, is believed."""
    checks, result = masked
    assert result.robust_accuracy == result.accuracy["clean"]
    assert checks["zero_gradients"].figures == {"fraction": 1.0, "at_random_start": 1.0}
    assert checks["black_box: spsa"].figures["share_broken"] > 0.1
    assert checks["whole_box"].figures["accuracy"] > 0.1
    fired = {name for name, check in checks.items() if check.fired}
    assert fired >= {"zero_gradients", "black_box: spsa", "whole_box"}
    assert "naive_minus_best" not in fired


def test_the_curve_starts_at_the_clean_accuracy(masked):
    """Fails if radii or accuracies are shifted against each other."""
    checks, result = masked
    figures = checks["accuracy_against_eps"].figures
    assert figures["eps"] == [0.0, 0.05, 0.1, 0.2, 1.0]
    assert figures["accuracy"][0] == pytest.approx(result.accuracy["clean"])
    assert figures["accuracy"][-1] == checks["whole_box"].figures["accuracy"]


def test_an_honest_network_passes_in_both_norms(mmc_model, held_out):
    """Fails if the diagnostics cry wolf on soft scores, or mistake the L2 ball."""
    soft = keras.Model(mmc_model.input, keras.layers.Rescaling(0.001)(mmc_model.output))
    attacks = {
        NAIVE: PGD(0.5, steps=20, norm="l2", objective="cross_entropy"),
        "square": Square(0.5, norm="l2", queries=20),
        TRANSFER: Transfer(MIM(0.5, norm="l2"), mmc_model),
    }
    checks, result = diagnosed(soft, held_out[0][:40], held_out[1][:40], attacks, "l2", 0.5)
    transferred = checks.pop(f"black_box: {TRANSFER}").figures["share_broken"]
    expected = result.accuracy["square"] - result.accuracy[TRANSFER]
    assert transferred == pytest.approx(expected)
    assert [name for name, check in checks.items() if check.fired] == []
    assert checks["accuracy_against_eps"].figures["eps"] == [0.0, 0.25, 0.5, 1.0, 8.0]
    assert "black_box: square" in checks and "black_box: spsa" not in checks


class Plateau(keras.layers.Layer):
    """Scores of two classes that depend on the image, except right at images of 0.5 alone."""

    def call(self, x):
        mean = tf.reduce_mean(x, axis=[1, 2, 3])
        flat = tf.reduce_all(tf.abs(x - 0.5) < 1e-3, axis=[1, 2, 3])
        return tf.stack([tf.where(flat, 200.0, 10 * mean), 0 * mean], axis=1)


def test_probes_in_the_l2_ball(monkeypatch):
    """Fails if SPSA, which knows L-inf balls, leaves the ball, or starts are the images."""
    probes = {}

    def watched(name, attack, *arguments, **options):
        probes[name] = attack
        return attack_rows(name, attack, *arguments, **options)

    monkeypatch.setattr(diagnostics, "attack_rows", watched)
    model = keras.Sequential([keras.Input((8, 8, 1)), Plateau()])
    x, y = np.full((4, 8, 8, 1), 0.5, "float32"), np.zeros(4, "int32")
    naive = {NAIVE: PGD(0.4, steps=2, norm="l2", objective="cross_entropy")}
    checks, _ = diagnosed(model, x, y, naive, "l2", 0.4)
    assert probes["check: spsa"].eps == pytest.approx(0.4 / 8)
    assert checks["zero_gradients"].figures == {"fraction": 1.0, "at_random_start": 0.0}


def test_zero_gradient_fraction_counts_saturated_images():
    """Fails if images with a gradient count, or vanished ones do not."""
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")]
    )
    # Softmax of a gap of 200 is 1 to the last bit of float32, of a gap of 1 it is not.
    x = np.array([[200, 0], [1, 0], [0, 200], [0, 0.5]], "float32")
    assert zero_gradient_fraction(model, x, np.array([0, 0, 1, 1]), batch_size=3) == 0.5
    assert zero_gradient_fraction(model, x, np.array([1, 0, 1, 1]), batch_size=3) == 0.25


@pytest.mark.parametrize(
    ("check", "quiet", "loud", "words"),
    [
        (diagnostics.naive_minus_best, (0.5, 0.45), (0.5, 0.44), "50.0 %, the suite 44.0 %"),
        (diagnostics.zero_gradients, (0.01, 0.01), (0.02, 0.0), "2.0 % of the images"),
        (diagnostics.zero_gradients, (0.0, 0.01), (0.0, 0.02), "2.0 % of random starts"),
        (diagnostics.more_steps, (0.5, 0.51, 9), (0.5, 0.52, 9), "9 images.*50.0 %.*52.0 %"),
        (diagnostics.whole_box_breaks, (0.01,), (0.02,), "still leaves 2.0 %"),
        (
            diagnostics.black_box,
            ("square", 1, 50, 0.5),
            ("square", 2, 50, 0.5),
            "no gradients, breaks 2 of the 50 images",
        ),
        (
            diagnostics.black_box,
            ("transfer (mim)", 4, 30, 0.03),
            ("transfer (mim)", 5, 30, 0.03),
            "points of another model, breaks 5 of the 30 images",
        ),
        (
            diagnostics.depends_on_batch,
            (np.full((2, 2), 8.0), np.full((2, 2), 8.0), np.full((2, 2), 8.008)),
            (np.full((2, 2), 8.0), np.full((2, 2), 8.0), np.full((2, 2), 8.009)),
            "depend on the images beside it",
        ),
        (
            diagnostics.probabilities,
            (np.array([[0.0, 1.1]]),),
            (np.array([[0.0, 1.0], [0.7, 0.9]]),),
            "ended in a sigmoid",
        ),
        (
            diagnostics.falls_with_eps,
            ([0.0, 0.1, 0.2], [0.9, 0.5, 0.52]),
            ([0.0, 0.1, 0.2], [0.9, 0.5, 0.53]),
            "50.0 % at 0.1, 53.0 % at 0.2",
        ),
        (
            diagnostics.random_at_inference,
            (np.ones((2, 2)), np.ones((2, 2))),
            (np.ones((2, 2)), np.array([[1.0, 1.0], [1.0, 1.5]])),
            "random at inference",
        ),
        (
            diagnostics.nan_scores,
            (np.ones((2, 2)),),
            (np.array([[1.0, np.nan], [1.0, 1.0]]),),
            "^1 attacked images give NaN",
        ),
        (
            diagnostics.confirmed,
            (np.eye(3), np.array([1, 1, 2]), ("pgd", None, None)),
            (np.eye(3), np.array([0, 2, 0]), ("pgd", "pgd", "pgd")),
            "^1 of 3 broken images",
        ),
    ],
)
def test_limits(check, quiet, loud, words):
    """Fails if a check fires at its limit, is silent above it, or does not give the figure."""
    assert not check(*quiet).fired
    fired = check(*loud)
    assert fired.fired
    assert re.search(words, fired.finding)


def test_figures_are_what_was_given():
    """Fails if a figure in the report differs from the one measured."""
    assert diagnostics.naive_minus_best(0.5, 0.25).figures == {
        "naive": 0.5,
        "best": 0.25,
        "difference": 0.25,
    }
    first, again = np.zeros((1, 3)), np.array([[0.0, -0.5, 0.25]])
    assert diagnostics.random_at_inference(first, again).figures == {"largest_difference": 0.5}
    broken = diagnostics.confirmed(np.eye(3), np.array([0, 2, 0]), ("a", "a", "a"))
    assert broken.figures["share"] == pytest.approx(2 / 3)
