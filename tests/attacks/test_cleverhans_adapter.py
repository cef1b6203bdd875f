"""cleverhans' functions through the adapter, against the functions themselves and our attacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.basic_iterative_method import basic_iterative_method
from cleverhans.tf2.attacks.carlini_wagner_l2 import carlini_wagner_l2
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.madry_et_al import madry_et_al
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent
from cleverhans.tf2.attacks.spsa import spsa

from keras_mmc.attacks import BIM, FGSM, MIM, CleverHans, Runner, score_function

SEED = tf.constant([0, 1])
STEPS = {"eps": 0.1, "eps_iter": 0.03, "nb_iter": 4, "norm": np.inf}


@pytest.fixture
def batch(digits):
    return tf.constant(digits[0][:8]), tf.constant(digits[1][:8] % 5)


@pytest.mark.parametrize(
    ("function", "arguments", "ours"),
    [
        (fast_gradient_method, {"eps": 0.1, "norm": np.inf}, FGSM(0.1, objective="cross_entropy")),
        (projected_gradient_descent, STEPS, BIM(0.1, 4, 0.03, objective="cross_entropy")),
        (momentum_iterative_method, STEPS, MIM(0.1, 4, 0.03, objective="cross_entropy")),
    ],
)
def test_own_loss(function, arguments, ours, conv_model, batch):
    """Fails if labels, the box or an argument do not reach the function."""
    score_fn = score_function(conv_model)
    found = CleverHans(function, **arguments).generate(score_fn, *batch, SEED)
    np.testing.assert_allclose(found, ours.generate(score_fn, *batch, SEED), atol=1e-6)


@pytest.mark.parametrize("objective", ["margin", "nearest_wrong", "distance"])
def test_objectives_of_this_package(objective, conv_model, batch):
    """Fails if the objective is minimized, reduced or given swapped arguments."""
    score_fn = score_function(conv_model)
    attack = CleverHans(projected_gradient_descent, objective=objective, **STEPS)
    ours = BIM(0.1, 4, 0.03, objective=objective)
    expected = ours.generate(score_fn, *batch, SEED)
    np.testing.assert_allclose(attack.generate(score_fn, *batch, SEED), expected, atol=1e-6)


def test_keras_loss_as_objective(mmc_model, digits):
    """Fails if a Keras loss reaches cleverhans without the adapter for its arguments."""

    class CenterLoss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return -keras.ops.take_along_axis(y_pred, y_true[:, None], axis=1)[:, 0]

    batch = tf.constant(digits[0][:8]), tf.constant(digits[1][:8])
    score_fn = score_function(mmc_model)
    attack = CleverHans(projected_gradient_descent, objective=CenterLoss(), **STEPS)
    expected = BIM(0.1, 4, 0.03, objective="distance").generate(score_fn, *batch, SEED)
    np.testing.assert_allclose(attack.generate(score_fn, *batch, SEED), expected, atol=1e-6)


def test_targeted(conv_model, batch):
    """Fails if the target is left instead of approached."""
    score_fn = score_function(conv_model)
    x, y = batch
    targets = (y + 1) % 5
    attack = CleverHans(projected_gradient_descent, targeted=True, **STEPS)
    ours = BIM(0.1, 4, 0.03, objective="cross_entropy", targeted=True)
    expected = ours.generate(score_fn, x, y, SEED, targets)
    np.testing.assert_allclose(attack.generate(score_fn, x, y, SEED, targets), expected, atol=1e-6)


def test_call_on_a_model(mmc_model, digits):
    """Fails if the adapter lacks what other attacks have: batches, seeds, one trace."""
    x, y = digits[0][:50], digits[1][:50]
    attack = CleverHans(
        projected_gradient_descent,
        objective="margin",
        eps=0.2,
        eps_iter=0.05,
        nb_iter=8,
        norm=np.inf,
    )
    found = attack(mmc_model, x, y, batch_size=16)
    assert np.abs(found - x).max() <= 0.2 + 1e-6 and found.min() >= 0 and found.max() <= 1
    assert np.mean(mmc_model.predict(found, verbose=0).argmax(axis=1) == y) < 0.5


def test_inside_a_compiled_function(conv_model, batch):
    """Fails if the adapter cannot be traced, as a train step needs it."""
    score_fn = score_function(conv_model)
    attack = CleverHans(projected_gradient_descent, objective="margin", **STEPS)
    traced = tf.function(lambda x, y: attack.generate(score_fn, x, y, SEED))
    expected = attack.generate(score_fn, *batch, SEED)
    np.testing.assert_allclose(traced(*batch), expected, atol=1e-6)


def test_repeated_calls_do_not_trace_again(digits, counting):
    """Fails if cleverhans sees a new model or loss function, and traces anew, at every call."""
    model = keras.Sequential([keras.Input((8, 8, 1)), counting, keras.layers.Flatten()])
    x = digits[0][:12]
    attack = CleverHans(fast_gradient_method, objective="margin", eps=0.1, norm=np.inf)
    score_fn = score_function(model)
    eager = tf.constant(x), tf.zeros([12], tf.int32), SEED
    attack.generate(score_fn, *eager)
    traced = counting.traces
    attack.generate(score_fn, *eager)
    assert counting.traces == traced
    runner = Runner(model, batch_size=5)
    runner.attack(attack, x)
    traced = counting.traces
    runner.attack(attack, x[:7])
    assert counting.traces == traced


def test_lengths_of_the_function_follow_the_box(conv_model, batch):
    """Fails if the function's own eps and step stay those of images in [0, 1], or are not known."""
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), conv_model])
    x, y = batch
    attack = CleverHans(momentum_iterative_method, box=(0.0, 255.0))
    found = attack.generate(score_function(model), 255 * x, y, SEED) / 255
    expected = CleverHans(momentum_iterative_method).generate(score_function(conv_model), *batch, 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert attack.ball.eps == pytest.approx(0.3 * 255)


def test_is_a_value():
    """Fails if the adapter cannot be a key, be compared, or be read in a report."""
    one, same = (
        CleverHans(fast_gradient_method, eps=0.1, norm=2, objective="margin") for _ in range(2)
    )
    assert one == same and hash(one) == hash(same)
    assert one != CleverHans(fast_gradient_method, eps=0.2, norm=2, objective="margin")
    assert "fast_gradient_method" in repr(one) and "('eps', 0.1)" in repr(one)
    with pytest.raises(AttributeError):
        one.targeted = True


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (carlini_wagner_l2, {}, "does not run in a graph on Keras 3. Use the Carlini-Wagner"),
        (spsa, {}, "spsa does not run.*SPSA attack"),
        (basic_iterative_method, STEPS, "Use keras_mmc.attacks.BIM"),
        (madry_et_al, STEPS, "Use keras_mmc.attacks.PGD"),
        (momentum_iterative_method, {"objective": "margin"}, "takes no loss.*must be None"),
        (fast_gradient_method, {"eps": 0.1}, "missing a required argument: 'norm'.*takes"),
        (fast_gradient_method, {"eps": 0.1, "norm": 2, "steps": 3}, "unexpected keyword.*'steps'"),
        (fast_gradient_method, {"eps": 0.1, "norm": 2, "y": 3}, "sets `y` itself: labels come"),
        (fast_gradient_method, {"clip_min": 0.0}, "sets `clip_min` itself: pass `box"),
        (fast_gradient_method, {"loss_fn": print}, "sets `loss_fn` itself: pass `objective`"),
        (fast_gradient_method, {"eps": [0.1], "norm": 2}, "`eps` must be a plain value"),
        (fast_gradient_method, {"eps": 0.1, "norm": 2, "box": (1, 0)}, "`box` must be a tuple"),
        (
            fast_gradient_method,
            {"eps": 0.1, "norm": 2, "objective": "targeted_margin"},
            "'targeted_margin' needs targets",
        ),
        (fast_gradient_method, {"eps": 0.1, "norm": 2, "objective": "hinge"}, "Unknown objective"),
    ],
)
def test_refuses(function, arguments, message):
    """Fails if a function that cannot run, or an argument that is ignored, is accepted."""
    with pytest.raises(ValueError, match=message):
        CleverHans(function, **arguments)
