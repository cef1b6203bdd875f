"""Mistakes of those who ask for an audit: each is named, and honest use is not."""

import keras
import numpy as np
import pytest
from scipy.stats import binom

import keras_mmc
from keras_mmc.attacks import Ball
from keras_mmc.evaluation import mistakes


@pytest.mark.parametrize(
    ("eps", "box", "fired"),
    [
        (8 / 255, (0.0, 255.0), True),
        (8.0, (0.0, 255.0), False),
        (8 / 255, (0.0, 1.0), False),
        (0.0009, (0.0, 1.0), True),
        (0.0011, (-0.5, 0.5), False),
        (0.0019, (-1.0, 1.0), True),
    ],
)
def test_a_radius_in_other_units(eps, box, fired):
    """Fails if 8 / 255 in a box of 255 goes unnoticed, or a usual radius is complained about."""
    found = mistakes.tiny_ball(Ball(eps, box=box))
    assert found.fired == fired
    assert found.figures["fraction"] == pytest.approx(eps / (box[1] - box[0]))


def test_accuracy_of_chance():
    """Fails unless it is the binomial tail of the most frequent class, at one in a hundred."""
    labels = np.repeat([0, 1, 2, 3], [40, 20, 20, 20])
    for hits in range(101):
        found = mistakes.near_chance(np.arange(100) < hits, labels)
        assert found.fired == (binom.sf(hits - 1, 100, 0.4) > 0.01)
    assert "labels in its order?" in mistakes.near_chance(np.arange(100) < 41, labels).finding
    assert not mistakes.near_chance(np.ones(9, bool), np.zeros(9, int)).fired  # one class alone


def linear(cls=keras.Model):
    inputs = keras.Input((4,))
    return cls(inputs, keras.layers.Dense(3, kernel_initializer="normal")(inputs))


class Scaling(keras.Model):
    """Does in `predict` what a call does not."""

    def predict(self, x, **options):
        return super().predict(-x, **options)


def test_predict_that_does_more(rng):
    """Fails if a step that only `predict` takes is missed, or a plain model is asked to predict."""
    keras.utils.set_random_seed(0)
    x, model = rng.normal(size=(30, 4)).astype("float32"), linear(Scaling)
    called = np.asarray(model(x)).argmax(axis=1)
    found = mistakes.predict_disagrees(model, x, called)
    other = np.mean(np.asarray(model(-x)).argmax(axis=1) != called)
    assert found.fired and found.figures["fraction"] == other > 0.5
    assert not mistakes.predict_disagrees(linear(), x, 1 - called).fired


class Inverting(keras.Model):
    """Does in `evaluate` what a call does not."""

    def test_step(self, data):
        x, y = data
        return super().test_step((-x, y))


@pytest.mark.parametrize("one_hot", [False, True])
def test_evaluate_that_does_more(one_hot, rng):
    """Fails if a step that only `evaluate` takes is missed, or one that fails stops an audit."""
    keras.utils.set_random_seed(0)
    x, model = rng.normal(size=(60, 4)).astype("float32"), linear(Inverting)
    labels = np.asarray(model(-x)).argmax(axis=1)
    called = np.asarray(model(x)).argmax(axis=1)
    assert not mistakes.evaluate_disagrees(model, x, labels, called).fired  # not compiled
    loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=["accuracy"])
    found = mistakes.evaluate_disagrees(model, x, labels, called)
    assert found.fired and found.figures["evaluate"] == 1 > found.figures["clean"] + 0.2
    assert "accuracy of 100.0 %" in found.finding
    assert not mistakes.evaluate_disagrees(linear(), x, labels, called).fired


@pytest.mark.parametrize(
    ("trained_on", "given", "fired"),
    [
        ((0.0, 255.0), (0.0, 1.0), True),
        ((0.0, 1.0), (0.0, 255.0), True),
        ((0.0, 1.0), (0.0, 1.0), False),
        ((0.0, 255.0), (0.0, 255.0), False),
        ((-0.5, 0.5), (-0.5, 0.5), False),
    ],
)
def test_pixels_of_another_range(trained_on, given, fired, rng):
    """Fails if a model on images of another range is reported on without a word."""
    unit, labels = rng.random((300, 6)), rng.integers(0, 3, 300)
    unit[np.arange(300), labels] = 1.0

    def into(box):
        return (box[0] + (box[1] - box[0]) * unit).astype("float32")

    def scores_of(x):  # sure within its range, and of one class outside
        low, high = trained_on
        z = (x - low) / (high - low)
        near = (np.abs(z - 0.5).max(axis=1, keepdims=True) <= 0.6) & (np.ptp(z) > 0.1)
        return np.where(near, z[:, :3], [[1.0, 0.0, 0.0]])

    found = mistakes.pixel_range(scores_of, into(given), labels, given)
    assert found.fired == fired
    assert found.figures["moved"] > 0.9 or not fired
    if fired:
        assert f"to [{trained_on[0]:g}, {trained_on[1]:g}]" in found.finding


def test_images_of_one_in_a_box_of_255(rng):
    """Fails if images that were divided by 255 pass in the box of pixels."""
    x, labels = rng.random((200, 4)).astype("float32"), rng.integers(0, 2, 200)
    x[np.arange(200), labels] = 1.0

    def scores_of(images):
        return images[:, :2] if images.max() > 200 else np.tile([1.0, 0.0], (len(images), 1))

    found = mistakes.pixel_range(scores_of, x, labels, (0.0, 255.0))
    assert found.fired and "from [0, 1] to [0, 255]" in found.finding


def test_weights_that_a_relu_hides():
    """Fails if a network that has diverged is reported on without a word."""
    hidden = keras.layers.Dense(6, activation="relu")
    flat, last = keras.layers.Flatten(), keras.layers.Dense(10)
    model = keras.Sequential([keras.Input((8, 8, 1)), flat, hidden, last])
    assert not mistakes.broken_weights(model).fired
    kernel = hidden.get_weights()[0]
    kernel[0, 0] = np.inf
    hidden.set_weights([kernel, np.zeros(6)])
    found = mistakes.broken_weights(model)
    assert found.figures == {"weights": 1} and "1 of 4 weights" in found.finding


def test_an_audit_names_them(held_out):
    """Fails if the report of an audit in the wrong units says nothing."""
    keras.utils.set_random_seed(0)
    x, y = 255 * held_out[0][:40], held_out[1][:40]
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    report = keras_mmc.audit(model, x, y, 8 / 255, "quick", box=(0.0, 255.0), verbose=0)
    fired = {name for name, check in report.diagnostics.items() if check.fired}
    assert {"tiny_ball", "near_chance"} <= fired
    assert not {"predict_disagrees", "broken_weights"} & fired
    assert "Finding (settings): eps=0.03137" in str(report)


def test_infinite_scores_are_refused(held_out):
    """Fails if scores without a difference between them are attacked."""
    x, y = held_out[0][:8], held_out[1][:8]
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, bias_initializer="zeros")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    bias = np.zeros(10)
    bias[3] = -np.inf
    layers[1].set_weights([layers[1].get_weights()[0], bias])
    with pytest.raises(ValueError, match=r"infinite scores on 8 of 8.*low finite score"):
        keras_mmc.audit(model, x, y, 0.1, "quick", verbose=0)
