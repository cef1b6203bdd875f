"""Fixed centers on a trained network."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_mmc
from keras_mmc import MaxMahalanobisCenters, replace_head

SHAPE = (8, 8, 1)


def inner(activation="softmax"):
    last = layers.Dense(5, activation=activation)
    hidden = [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(), layers.Flatten()]
    return keras.Sequential([keras.Input(SHAPE), *hidden, last])


def functional():
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, inner()(layers.Rescaling(2.0)(inputs)))


def with_a_convolution_last():
    inputs = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(6, 3)(inputs))
    return keras.Model(inputs, layers.Softmax()(layers.Flatten()(layers.Conv2D(5, 1)(x))))


MODELS = {
    "sequential": inner,
    "logits": lambda: inner(None),
    "nested": functional,
    "nested in sequential": lambda: keras.Sequential([keras.Input(SHAPE), functional()]),
    "convolution": with_a_convolution_last,
    "other centers": lambda: replace_head(inner(), MaxMahalanobisCenters(3), 4),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_network_stays_and_the_classifier_goes(name, rng):
    """Fails unless new linear features see what the old classifier saw, on copied weights."""
    model, head = MODELS[name](), MaxMahalanobisCenters(7)
    if name == "nested":  # not what a fresh copy would start from
        model.layers[-1].layers[1].set_weights(rng.random((4, 4)))
    copied = replace_head(model, head, feature_dim=9)
    trained = [w for layer in model.layers for w in layer.get_weights()]
    kept = len(trained) - (1 if name == "other centers" else 2)
    for ours, theirs in zip(copied.get_weights()[:kept], trained[:kept], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    images = rng.random((6, *SHAPE), "float32")
    dense = copied.layers[-2]
    to_features = keras.Model(copied.input, dense.input)
    kernel = rng.normal(scale=10, size=(to_features.output_shape[-1], 9)).astype("float32")
    dense.set_weights([kernel, np.ones(9, "float32")])
    scores = copied(images)
    features = np.asarray(to_features(images)) @ kernel + 1
    apart = features[:, None] - keras.ops.convert_to_numpy(head.centers)[None]
    np.testing.assert_allclose(scores, -np.square(apart).sum(axis=2) / 2, rtol=1e-3, atol=1e-3)
    assert features.min() < 0
    assert not any(a is b for a in copied.weights for b in model.weights)


def test_training_leaves_the_old_model_alone(rng):
    """Fails if the copy shares what it trains."""
    model = functional()
    before = model.get_weights()
    copied = replace_head(model, MaxMahalanobisCenters(5), 8)
    copied.compile(keras.optimizers.SGD(0.01), keras_mmc.MMCLoss())
    copied.fit(rng.random((8, *SHAPE), "float32"), np.arange(8) % 5, verbose=0)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


class Subclassed(keras.Model):
    """Has no graph."""

    def call(self, inputs):
        return keras.ops.reshape(inputs, (-1, 64))


class Unsure(Subclassed):
    """Returns probabilities."""

    def call(self, inputs):
        return keras.ops.softmax(super().call(inputs))


@pytest.mark.parametrize(
    ("make", "feature_dim", "message"),
    [
        (Subclassed, 8, "cannot be told apart"),
        (Unsure, 8, "cannot be told apart"),
        (inner, 0, "`feature_dim` must be an integer >= 1"),
        (lambda: keras.Sequential([keras.Input(SHAPE), layers.Flatten()]), 8, "has weights"),
    ],
)
def test_refuses(make, feature_dim, message):
    """Fails if half a network is made, or a raw error comes."""
    model = make()
    model(np.zeros((1, *SHAPE), "float32"))
    with pytest.raises(ValueError, match=message):
        replace_head(model, MaxMahalanobisCenters(5), feature_dim)
