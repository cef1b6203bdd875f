"""The input gradient penalty against longhand NumPy, for every kind of objective."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mmc import losses, objectives
from keras_mmc.regularizers import InputGradientPenalty, input_gradient_penalty

Y = np.array([0, 2, 1, 2])


@pytest.fixture
def linear(rng):
    """Kernel `(5, 3)` and images `(4, 5)`."""
    return rng.normal(size=(5, 3)).astype("float32"), rng.uniform(size=(4, 5)).astype("float32")


def longhand(kernel, slopes):
    """`||W ds||^2` for the gradient `ds` of the objective in the scores."""
    return ((slopes @ kernel.T) ** 2).sum(axis=1)


def test_cross_entropy_by_default(linear):
    """Fails if the softmax, the true class or the sum over pixels is off."""
    kernel, x = linear
    powers = np.exp(x @ kernel)
    slopes = powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[Y]
    values = InputGradientPenalty(0.3).penalty(lambda x: x @ kernel, tf.constant(x), Y)
    np.testing.assert_allclose(values, 0.3 * longhand(kernel, slopes), rtol=1e-5)


def margin_slopes(scores):
    wrong = np.where(np.eye(3)[Y] > 0, -np.inf, scores).argmax(axis=1)
    return np.eye(3)[wrong] - np.eye(3)[Y]


@pytest.mark.parametrize(
    ("objective", "slopes"),
    [
        ("margin", margin_slopes),
        (objectives.distance, lambda scores: -np.eye(3)[Y]),
        (losses.MMCLoss(), lambda scores: -np.eye(3)[Y]),
    ],
    ids=["name", "function", "loss"],
)
def test_other_objectives(objective, slopes, linear):
    """Fails if a name, a function or a Keras loss is not taken, or is reduced over the batch."""
    kernel, x = linear
    values = input_gradient_penalty(lambda x: x @ kernel, x, Y, objective)
    np.testing.assert_allclose(values, longhand(kernel, slopes(x @ kernel)), rtol=1e-5)


def test_cross_entropy_has_no_gradient_where_mmc_has(linear):
    """Fails if the advice for heads with fixed centers is wrong."""
    kernel, x = linear
    score_fn = lambda x: 1e4 * (x @ kernel)  # noqa: E731
    answers = (x @ kernel).argmax(axis=1)
    assert np.all(input_gradient_penalty(score_fn, x, answers).numpy() == 0)
    assert np.all(input_gradient_penalty(score_fn, x, answers, losses.MMCLoss()).numpy() > 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight": -1.0}, "InputGradientPenalty: `weight` must be a finite number > 0"),
        ({"objective": "mse"}, "Unknown objective 'mse'"),
        ({"objective": "targeted_margin"}, "needs targets"),
    ],
)
def test_refusals(fields, message):
    """Fails if a penalty without meaning trains silently."""
    with pytest.raises(ValueError, match=message):
        InputGradientPenalty(**({"weight": 1.0} | fields))
