"""Diagnostics: figures that are measured, limits at which they fire, and models that hide."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import MIM, PGD, Ball, Runner, Square, Transfer
from keras_mmc.evaluation import checks, diagnostics, zero_gradient_fraction
from keras_mmc.evaluation.rows import MASKED, WEAK
from keras_mmc.evaluation.suites import NAIVE, TRANSFER


@keras.saving.register_keras_serializable("diagnostics_tests")
class Rounded(keras.layers.Layer):
    """Rounds to steps of 0.05: the gradient is 0 everywhere."""

    def call(self, x):
        return tf.round(20 * x) / 20 + 0 * x


def diagnosed(model, x, y, attacks, norm="linf", eps=0.1, runner=None):
    """The diagnostics of a suite of attacks."""
    runner = runner or Runner(model, batch_size=64)
    scores = runner.scores(x)
    result = runner.in_turn(attacks, x, y, scores)
    after = runner.scores(result.x_adv)
    ball = Ball(eps, norm)
    return diagnostics.diagnose(runner, ball, x, y, scores, after, attacks, result), result


@pytest.fixture(scope="module")
def masked(mmc_model, held_out):
    """Diagnostics of a network whose gradients are all 0, under PGD alone."""
    model = keras.Sequential([keras.Input((8, 8, 1)), Rounded(), mmc_model])
    naive = {NAIVE: PGD(0.1, steps=3, objective="cross_entropy", random_start=False)}
    x, y = held_out[0][:40], held_out[1][:40]
    return diagnosed(model, x, y, naive)


def test_a_network_without_gradients_is_exposed(masked):
    """Fails if the white-box attack, which cannot move, is believed."""
    found, result = masked
    assert result.robust_accuracy == result.accuracy["clean"]
    assert found["zero_gradients"].figures == {"fraction": 1.0, "at_random_start": 1.0}
    assert found["black_box: spsa"].figures["fraction_broken"] > 0.1
    assert found["whole_box"].figures["accuracy"] > 0.1
    fired = {name for name, check in found.items() if check.fired}
    assert fired >= {"zero_gradients", "black_box: spsa", "whole_box"}
    assert "naive_minus_best" not in fired


def test_the_curve_starts_at_the_clean_accuracy(masked):
    """Fails if radii or accuracies are shifted against each other."""
    found, result = masked
    figures = found["accuracy_against_eps"].figures
    assert figures["eps"] == [0.0, 0.05, 0.1, 0.2, 1.0]
    assert figures["accuracy"][0] == pytest.approx(result.accuracy["clean"])
    assert figures["accuracy"][-1] == found["whole_box"].figures["accuracy"]


def test_an_honest_network_passes_in_both_norms(mmc_model, held_out):
    """Fails if the diagnostics cry wolf on soft scores, or mistake the L2 ball."""
    soft = keras.Model(mmc_model.input, keras.layers.Rescaling(0.001)(mmc_model.output))
    attacks = {
        NAIVE: PGD(0.5, steps=20, norm="l2", objective="cross_entropy"),
        "square": Square(0.5, norm="l2", queries=20),
        TRANSFER: Transfer(MIM(0.5, norm="l2"), mmc_model),
    }
    found, result = diagnosed(soft, held_out[0][:40], held_out[1][:40], attacks, "l2", 0.5)
    transferred = found.pop(f"black_box: {TRANSFER}").figures["fraction_broken"]
    expected = result.accuracy["square"] - result.accuracy[TRANSFER]
    assert transferred == pytest.approx(expected)
    assert [name for name, check in found.items() if check.fired] == []
    assert found["accuracy_against_eps"].figures["eps"] == [0.0, 0.25, 0.5, 1.0, 8.0]
    assert "black_box: square" in found and "black_box: spsa" not in found


class Plateau(keras.layers.Layer):
    """Scores of two classes that depend on the image, except right at images of 0.5 alone."""

    def call(self, x):
        mean = tf.reduce_mean(x, axis=[1, 2, 3])
        flat = tf.reduce_all(tf.abs(x - 0.5) < 1e-3, axis=[1, 2, 3])
        return tf.stack([tf.where(flat, 200.0, 10 * mean), 0 * mean], axis=1)


def test_probes_in_the_l2_ball():
    """Fails if SPSA, which knows L-inf balls, leaves the ball, or starts are the images."""
    probes = {}

    class Watched(Runner):
        def run(self, attack, *arguments, name, **options):
            probes[name] = attack
            return super().run(attack, *arguments, name=name, **options)

    model = keras.Sequential([keras.Input((8, 8, 1)), Plateau()])
    x, y = np.full((4, 8, 8, 1), 0.5, "float32"), np.zeros(4, "int32")
    naive = {NAIVE: PGD(0.4, steps=2, norm="l2", objective="cross_entropy")}
    found, _ = diagnosed(model, x, y, naive, "l2", 0.4, Watched(model))
    assert probes["check: spsa"].eps == pytest.approx(0.4 / 8)
    assert found["zero_gradients"].figures == {"fraction": 1.0, "at_random_start": 0.0}


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
        (
            checks.naive_minus_best,
            (0.5, 0.45),
            (0.5, 0.44),
            "is 50.0 % under PGD .* 44.0 % under the suite",
        ),
        (checks.zero_gradients, (0.01, 0.01), (0.02, 0.0), "2.0 % of the images"),
        (checks.zero_gradients, (0.0, 0.01), (0.0, 0.02), "2.0 % of random starts"),
        (checks.more_steps, (0.5, 0.51, 9), (0.5, 0.52, 9), "9 images.*50.0 %.*52.0 %"),
        (checks.whole_box_breaks, (0.01,), (0.02,), "is still 2.0 %"),
        (
            checks.black_box,
            ("square", 1, 50, 0.5),
            ("square", 2, 50, 0.5),
            "takes no gradients of the model, breaks 2 of the 50 images",
        ),
        (
            checks.black_box,
            ("transfer (mim)", 4, 30, 0.03),
            ("transfer (mim)", 5, 30, 0.03),
            "takes no gradients of the model, breaks 5 of the 30 images",
        ),
        (
            checks.depends_on_batch,
            (np.full((2, 2), 8.0), np.full((2, 2), 8.0), np.full((2, 2), 8.008)),
            (np.full((2, 2), 8.0), np.full((2, 2), 8.0), np.full((2, 2), 8.009)),
            "depend on the images beside it",
        ),
        (
            checks.probabilities,
            (np.array([[0.0, 1.1]]),),
            (np.array([[0.0, 1.0], [0.7, 0.9]]),),
            "ended in a sigmoid",
        ),
        (
            checks.falls_with_eps,
            ([0.0, 0.1, 0.2], [0.9, 0.5, 0.52], 50),
            ([0.0, 0.1, 0.2], [0.9, 0.5, 0.53], 50),
            "50.0 % at 0.1, 53.0 % at 0.2",
        ),
        (
            checks.random_at_inference,
            (np.ones((2, 2)), np.ones((2, 2))),
            (np.ones((2, 2)), np.array([[1.0, 1.0], [1.0, 1.5]])),
            "random at inference",
        ),
        (
            checks.nan_scores,
            (np.ones((2, 2)),),
            (np.array([[1.0, np.nan], [1.0, 1.0]]),),
            "^1 attacked images give NaN",
        ),
        (
            checks.confirmed,
            (np.eye(3), np.array([1, 1, 2]), np.array([True, False, False])),
            (np.eye(3), np.array([0, 2, 0]), np.ones(3, bool)),
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
    assert checks.naive_minus_best(0.5, 0.25).figures == {
        "naive": 0.5,
        "best": 0.25,
        "difference": 0.25,
    }
    first, again = np.zeros((1, 3)), np.array([[0.0, -0.5, 0.25]])
    assert checks.random_at_inference(first, again).figures == {"largest_difference": 0.5}
    broken = checks.confirmed(np.eye(3), np.array([0, 2, 0]), np.ones(3, bool))
    assert broken.figures["fraction"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("check", "weak", "masked"),
    [
        # The audit of a LeNet-5 trained adversarially (MNIST, eps 0.22): 77.5 against 69.0 %.
        (checks.naive_minus_best, (0.775, 0.69, False), (0.775, 0.69, True)),
        # The same at L2 2.0, where Square breaks 8 of 94; Wilson's lower bound of 25 of 94 is
        # 0.187, of 16 of 94 it is 0.107, of 15 of 94 it is 0.099.
        (checks.black_box, ("square", 8, 94, 0.47), ("square", 25, 94, 0.47)),
        (checks.black_box, ("square", 15, 94, 0.47), ("square", 16, 94, 0.47)),
        # 7 of 7 images that only one step breaks: p = 1/128; 6 of 6: p = 1/64.
        (checks.more_steps, (0.5, 0.56, 100, 6, 0), (0.5, 0.57, 100, 7, 0)),
    ],
)
def test_grades(check, weak, masked):
    """Fails if a figure that falls with effort is called masked, or evidence is called weak."""
    assert check(*weak).grade == WEAK
    assert check(*masked).grade == MASKED


def test_what_did_not_fire_has_no_grade():
    """Fails if a check that found nothing counts as evidence."""
    assert checks.black_box("square", 0, 94, 0.47).grade is None
    assert checks.zero_gradients(0.0, 0.0).grade is None


@pytest.mark.parametrize(
    ("images", "labels"),
    [(np.full((2, 2), np.nan, "float32"), [0, 1]), (np.zeros((2, 2), "float32"), [0, 2])],
)
def test_zero_gradients_of_nothing_are_no_evidence(images, labels):
    """Fails if NaN images, or labels that no class has, pass for vanished gradients."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"finite|\[0, 2\)"):
        zero_gradient_fraction(model, images, np.array(labels))
