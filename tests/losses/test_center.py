"""Center loss: its two terms, its gradients, and what it refuses."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc
from keras_mmc import losses
from keras_mmc.losses import center

N, K, D, WEIGHT = 7, 5, 6, 0.3


@pytest.fixture
def batch(rng):
    """Scores, features, centers and labels, float64."""
    scores, features = rng.normal(size=(N, K)) * 2, rng.normal(size=(N, D)) * 3
    return scores, features, rng.normal(size=(K, D)), np.arange(N) % K


def pulls_of(features, centers):
    """`1/2 ||z - c||^2` of every feature and center, longhand."""
    return np.array([[0.5 * sum((z - c) ** 2) for c in centers] for z in features])


def softmax(s):
    powers = np.exp(s - s.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def longhand(scores, features, centers, y):
    values = []
    for s, z, k in zip(scores, features, y, strict=True):
        cross_entropy = math.log(sum(math.exp(v) for v in s)) - s[k]
        values.append(cross_entropy + WEIGHT / 2 * sum((z - centers[k]) ** 2))
    return np.array(values)


@pytest.mark.parametrize("labels", ["(N,)", "(N, 1)", "(N, K)"])
def test_value(labels, batch):
    """Fails if the weight, the half, the square or the own center is off, in any form of labels."""
    scores, features, centers, y = batch
    given = {"(N,)": y, "(N, 1)": y[:, None], "(N, K)": np.eye(K)[y]}[labels]
    expected = longhand(scores, features, centers, y)
    pulls = pulls_of(features, centers)
    np.testing.assert_allclose(center(given, scores, pulls, WEIGHT), expected, rtol=1e-12)
    loss = losses.CenterLoss(WEIGHT)
    found = loss.call_with_pulls(given, tf.constant(scores, tf.float32), tf.cast(pulls, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradients(jit_compile, batch):
    """Fails unless they are `softmax - onehot` at scores and `weight * onehot` at pulls."""
    scores, features, centers, y = batch
    scores, pulls = tf.constant(scores), tf.constant(pulls_of(features, centers))

    @tf.function(jit_compile=jit_compile, autograph=False)
    def gradients(scores, pulls):
        with tf.GradientTape() as tape:
            tape.watch([scores, pulls])
            total = tf.reduce_sum(center(y, scores, pulls, WEIGHT))
        return tape.gradient(total, [scores, pulls])

    at_scores, at_pulls = gradients(scores, pulls)
    one_hot = np.eye(K)[y]
    np.testing.assert_allclose(at_scores, softmax(scores.numpy()) - one_hot, atol=1e-12)
    np.testing.assert_allclose(at_pulls, WEIGHT * one_hot, atol=1e-12)


def test_attacks_climb_the_cross_entropy(batch):
    """Fails if the part of the loss that scores determine is not the cross-entropy."""
    scores, _, _, y = batch
    expected = longhand(scores, np.zeros((N, D)), np.zeros((K, D)), y)
    for value in (
        losses.CenterLoss(WEIGHT).call(y, scores),
        keras_mmc.objectives.training_loss(losses.CenterLoss(WEIGHT))(scores, y),
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("part", ["scores", "pulls"])
def test_nan_comes_out_of_nan(part, batch):
    """Fails if a NaN score, or a NaN pull of another class, is a finite value."""
    scores, features, centers, y = batch
    parts = {"scores": scores, "pulls": pulls_of(features, centers)}
    parts[part][2, 0] = np.nan
    values = center(y, *parts.values(), WEIGHT)
    np.testing.assert_array_equal(np.isnan(values), np.arange(N) == 2)


def test_configuration_survives():
    """Fails if the weight or the reduction is lost on the way into a file."""
    loss = losses.CenterLoss(0.2, dtype="float64")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss) and copy.get_config() == loss.get_config()
    assert copy.weight == 0.2
    assert losses.CenterLoss().weight == 0.003


def test_a_loss_without_its_features_is_refused(digits):
    """Fails if a plain `fit` trains the cross-entropy and calls it center loss."""
    with pytest.raises(ValueError, match=r"AdversarialModel\(model\).*LGMLoss\(margin=0"):
        losses.CenterLoss()([0], [[0.0, 0.0]])
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.add(keras_mmc.DenseWithCenters(10))
    model.compile("sgd", losses.CenterLoss())
    x, y = digits[0][:8], digits[1][:8]
    for run in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"needs features.*AdversarialModel\(model\)"):
            run(x, y, verbose=0)
