"""The effective margin penalty against longhand NumPy, finite differences and its two limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.regularizers import EffectiveMarginRegularizer, effective_weight_penalty


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.fixture
def network(rng):
    """A two-layer tanh network: its weights, and images `(5, 2, 2, 1)`."""
    weights = [rng.normal(size=shape) for shape in [(4, 6), (6,), (6, 3), (3,)]]
    return [w.astype("float32") for w in weights], rng.uniform(size=(5, 2, 2, 1)).astype("float32")


def scores_of(x, weights):
    """Scores of flat images."""
    first, first_bias, second, second_bias = (np.asarray(w, "float64") for w in weights)
    return np.tanh(x @ first + first_bias) @ second + second_bias


def penalty_by_differences(weights, x, p):
    """`||sum_k p_k grad_x s_k||^2` by central differences in x, with fixed `p`."""
    x, step = x.reshape(5, 4).astype("float64"), 1e-6
    gradient = np.empty_like(x)
    for j in range(4):
        shift = step * np.eye(4)[j]
        rise = scores_of(x + shift, weights) - scores_of(x - shift, weights)
        gradient[:, j] = (p * rise).sum(axis=1) / (2 * step)
    return (gradient**2).sum(axis=1)


def score_fn(variables):
    first, first_bias, second, second_bias = variables

    def scores(x):
        flat = tf.reshape(x, [-1, 4])
        return tf.tanh(flat @ first + first_bias) @ second + second_bias

    return scores


@pytest.mark.parametrize("temperature", [0.5, 1.0, 40.0])
def test_value_equals_finite_differences(temperature, network):
    """Fails if the mixture, the temperature or the sum over pixels is off."""
    weights, x = network
    p = softmax(scores_of(x.reshape(5, 4), weights) / temperature)
    values = effective_weight_penalty(score_fn(weights), x, temperature)
    np.testing.assert_allclose(values, penalty_by_differences(weights, x, p), rtol=1e-4)


def test_gradient_in_the_weights_holds_the_mixture_fixed(network):
    """Fails if the gradient flows through p, or does not flow through the input gradient."""
    weights, x = network
    p = softmax(scores_of(x.reshape(5, 4), weights) / 2.0)
    variables = [tf.Variable(w) for w in weights]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(effective_weight_penalty(score_fn(variables), x, 2.0))
    *gradients, last = tape.gradient(total, variables)
    assert last is None  # scores depend on the last bias, their gradient does not
    for i, gradient in enumerate(gradients):
        expected = np.empty(weights[i].shape)
        for index in np.ndindex(expected.shape):
            values = []
            for sign in (1, -1):
                moved = [w.astype("float64") for w in weights]
                moved[i][index] += sign * 1e-3
                values.append(penalty_by_differences(moved, x, p).sum())
            expected[index] = (values[0] - values[1]) / 2e-3
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
        )


@pytest.mark.parametrize(
    ("temperature", "mixture"),
    [
        (1e6, lambda scores: np.full_like(scores, 1 / 3)),
        (1e-3, lambda scores: np.eye(3)[scores.argmax(axis=1)]),
    ],
    ids=["mean_score", "largest_score"],
)
def test_limits_of_the_temperature(temperature, mixture, network):
    """Fails if a large T is not the mean score, or a small one not the largest."""
    weights, x = network
    p = mixture(scores_of(x.reshape(5, 4), weights))
    values = effective_weight_penalty(score_fn(weights), x, temperature)
    np.testing.assert_allclose(values, penalty_by_differences(weights, x, p), rtol=1e-4)


def test_published_weights_hold_for_the_batch_they_were_used_with():
    """Fails if lambda = 3 at a batch of 128 is not `3 / 128` per sample, or N matters today."""
    regularizer = EffectiveMarginRegularizer(3.0, temperature=1.0)
    half = EffectiveMarginRegularizer(3.0, temperature=1.0, reference_batch=64)
    slope = tf.constant([[3.0, 3.0], [4.0, 4.0]])
    for count in (1, 7):
        x, y = tf.zeros([count, 2]), tf.zeros([count], tf.int32)
        expected = np.full(count, 3 / 128 * 25)
        np.testing.assert_allclose(regularizer.penalty(lambda x: x @ slope, x, y), expected)
        np.testing.assert_allclose(half.penalty(lambda x: x @ slope, x, y), 2 * expected)


def test_inference_mode_keeps_batch_statistics(one_step):
    """Fails if the pass of the penalty moves running statistics: one update a step, not two."""
    moved = []
    for regularizer in (None, EffectiveMarginRegularizer(3.0, temperature=1.0)):
        batch_norm = keras.layers.BatchNormalization()
        one_step(regularizer, layers=[batch_norm])
        moved.append(batch_norm.moving_variance.numpy())
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-6)
    assert np.all((moved[0] > 0.985) & (moved[0] < 0.995))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight": 0.0}, "`weight` must be a finite number > 0; received 0.0"),
        ({"weight": float("nan")}, "`weight` must be a finite number > 0; received nan"),
        ({"temperature": -1.0}, "`temperature` must be a finite number > 0; received -1.0"),
        ({"reference_batch": 0}, "`reference_batch` must be an integer >= 1; received 0"),
        ({"reference_batch": 12.5}, "`reference_batch` must be an integer >= 1; received 12.5"),
    ],
)
def test_refusals(fields, message):
    """Fails if a field without meaning trains silently."""
    with pytest.raises(ValueError, match=f"EffectiveMarginRegularizer: {message}"):
        EffectiveMarginRegularizer(**({"weight": 1.0, "temperature": 1.0} | fields))
