"""A model computes with perturbed weights, and no variable is perturbed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.training._step import perturbed_weights, reduced_gradients


@pytest.fixture
def model():
    """Dense, batch normalization and dropout."""
    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((4,)), *layers])


def state_of(model):
    return [np.copy(variable.numpy()) for variable in model.variables]


def test_the_model_computes_with_the_perturbed_weights(model, rng):
    """Fails if perturbations do not reach the layers, or stay behind."""
    x = rng.normal(size=(5, 4)).astype("float32")
    before = state_of(model)
    perturbations = [
        tf.constant(rng.normal(size=w.shape), "float32") for w in model.trainable_variables
    ]
    with perturbed_weights(model, perturbations):
        scores = model(x, training=False).numpy()
    kernel, bias, gamma, beta = (
        w.numpy() + o.numpy() for w, o in zip(model.trainable_variables, perturbations, strict=True)
    )
    expected = (x @ kernel + bias) / np.sqrt(1 + 1e-3) * gamma + beta
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    for value, old in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_gradients_are_those_of_the_perturbed_weights_only(model):
    """Fails if a gradient flows through the perturbation itself."""
    kernel = model.layers[0].kernel
    perturbations = [tf.zeros(w.shape) for w in model.trainable_variables]
    with tf.GradientTape() as tape:
        perturbations[0] = 2 * kernel.value  # perturbed to 3 w, of which the constant part is 2 w
        with perturbed_weights(model, perturbations):
            total = tf.reduce_sum(kernel.value**2)
    np.testing.assert_allclose(tape.gradient(total, kernel.value), 6 * kernel.numpy(), rtol=1e-5)


def test_statistics_and_random_states_move_as_in_one_call(model, rng):
    """Fails if both passes move them, none does, or the first pass draws another dropout mask."""
    x = tf.constant(rng.normal(size=(5, 4)), tf.float32)
    before = state_of(model)
    scores = [model(x, training=True).numpy()]
    expected = state_of(model)
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)

    def first_pass():
        scores.append(model(x, training=True).numpy())
        return tf.reduce_sum(model.layers[0].kernel.value ** 2)

    gradients = reduced_gradients(model, first_pass)
    np.testing.assert_allclose(gradients[0], 2 * model.layers[0].kernel.numpy(), rtol=1e-6)
    for gradient in gradients[1:]:
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))
    for value, old in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, old)
    with perturbed_weights(model, [tf.zeros(w.shape) for w in model.trainable_variables]):
        scores.append(model(x, training=True).numpy())
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])
    changed = 0
    for value, one_call, old in zip(state_of(model), expected, before, strict=True):
        np.testing.assert_allclose(value, one_call, rtol=1e-6)
        changed += not np.array_equal(one_call, old)
    assert changed == 3  # mean, variance and the state of the dropout


def test_nothing_moves_where_the_pass_fails(model):
    """Fails if an error leaves a weight perturbed or a statistic half updated."""
    before = state_of(model)
    perturbations = [tf.ones(w.shape) for w in model.trainable_variables]
    with pytest.raises(RuntimeError, match="in between"), perturbed_weights(model, perturbations):
        model(tf.ones([5, 4]), training=True)
        raise RuntimeError("in between")
    for value, old in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(value, old)
    assert not keras.src.backend.common.stateless_scope.in_stateless_scope()
