"""A linear classifier whose training step can be computed by hand."""

import keras
import numpy as np
import pytest

import keras_mmc

IMAGES = np.array(
    [[0.2, 0.7, 0.4, 0.9], [0.8, 0.1, 0.6, 0.3], [0.5, 0.4, 0.9, 0.2], [0.3, 0.6, 0.1, 0.8]]
)
LABELS = np.array([0, 2, 1, 1])
WEIGHTS = np.array([[0.9, -0.4, 0.1], [-0.7, 0.8, 0.3], [0.2, 0.6, -0.5], [0.4, -0.3, 0.7]])
BIAS = np.array([0.1, -0.2, 0.05])
RATE = 0.5


@pytest.fixture
def trained_step():
    """A function `(defense, regularizer, **compile) -> weights and bias after one SGD step`."""

    def step(defense, regularizer=None, loss=None, **options):
        robust = keras_mmc.AdversarialModel(linear_model(), defense, regularizer)
        loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        robust.compile(keras.optimizers.SGD(RATE), loss, metrics=["accuracy"], **options)
        robust.fit(IMAGES, LABELS, batch_size=4, epochs=1, shuffle=False, verbose=0)
        return robust.model.get_weights()

    return step


def linear_model():
    """Scores `x W + b` of three classes."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.set_weights([WEIGHTS, BIAS])
    return model


def softmax(scores):
    """Softmax along the last axis, in float64."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sgd_step(loss, weights=WEIGHTS, bias=BIAS, rate=RATE):
    """Weights after one step down the central-difference gradient of `loss(weights, bias)`."""
    parameters = np.concatenate([weights.ravel(), bias])

    def value(parameters):
        return loss(parameters[: weights.size].reshape(weights.shape), parameters[weights.size :])

    gradient = np.empty_like(parameters)
    for i in range(len(parameters)):
        step = np.zeros_like(parameters)
        step[i] = 1e-5
        gradient[i] = (value(parameters + step) - value(parameters - step)) / 2e-5
    after = parameters - rate * gradient
    return after[: weights.size].reshape(weights.shape), after[weights.size :]
