"""Adversarial images in TensorBoard, read back from the event file."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_mmc.attacks import PGD
from keras_mmc.callbacks import AdversarialImages
from keras_mmc.callbacks.adversarial_images import image_rows

ATTACK = PGD(0.2, steps=5)


@pytest.fixture
def model():
    """An untrained convolutional classifier that the attack does make err."""
    layers = [keras.layers.Conv2D(4, 3, activation="tanh"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((5, 6, 3)), *layers, keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


@pytest.fixture
def images(rng, model):
    """Images and the labels of the model, but for the last, which is wrong."""
    x = rng.uniform(0.3, 0.7, size=(4, 5, 6, 3)).astype("float32")
    y = model(x).numpy().argmax(axis=-1)
    y[-1] = (y[-1] + 1) % 3
    return x, y


def written(directory):
    """The events of a run by tag: pairs of step and content."""
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0}).Reload()
    return {
        tag: [
            (event.step, tf.make_ndarray(event.tensor_proto).ravel())
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def test_the_picture_holds_clean_adversarial_and_difference(images, model, tmp_path):
    """Fails if a pixel is at another place, the columns are swapped or the scale is another."""
    x, y = images
    shown = AdversarialImages(tmp_path, x, y, ATTACK, every=2)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[shown])
    pictures = written(tmp_path / "adversarial")["images"]
    assert [step for step, _ in pictures] == [0, 2]
    width, height, png = pictures[0][1]
    assert (int(width), int(height)) == (3 * 7, 4 * 6)
    picture = tf.io.decode_png(png).numpy() / 255
    x_adv = ATTACK(model, x, y)
    change = x_adv.astype("float64") - x
    for i in range(4):
        rows = slice(6 * i, 6 * i + 5)
        np.testing.assert_allclose(picture[rows, 0:6], x[i], atol=1 / 255)
        np.testing.assert_allclose(picture[rows, 7:13], x_adv[i], atol=1 / 255)
        gray = 0.5 + 0.5 * change[i] / np.abs(change).max()
        np.testing.assert_allclose(picture[rows, 14:20], gray, atol=1 / 255)
    assert (picture[5::6] == 1).all() and (picture[:, 6::7] == 1).all()


def test_the_table_holds_labels_and_predictions(images, model, tmp_path):
    """Fails if predictions are those of other images, or the largest difference is missing."""
    x, y = images
    model.fit(x, y, verbose=0, callbacks=[AdversarialImages(tmp_path, x, y, ATTACK)])
    tags = written(tmp_path / "adversarial")
    assert set(tags) == {"images", "classes"}
    x_adv = ATTACK(model, x, y)
    clean, attacked = (model(images).numpy().argmax(axis=-1) for images in (x, x_adv))
    assert (clean != attacked).any() and clean[-1] != y[-1]
    [(step, (text,))] = tags["classes"]
    lines = text.decode().splitlines()
    assert step == 0
    assert lines[2:6] == [f"| {i} | {y[i]} | {clean[i]} | {attacked[i]} |" for i in range(4)]
    assert lines[-1].startswith(f"Largest difference: {np.abs(x_adv - x).max():.4g} in input")


def test_no_difference_is_gray(rng):
    """Fails if 0 / 0 blackens the picture, or a box other than [0, 1] is ignored."""
    x = rng.uniform(-1, 1, size=(2, 3, 3, 1))
    picture = image_rows(x, x, (-1.0, 1.0))
    np.testing.assert_array_equal(picture[:3, 8:11], 0.5)
    np.testing.assert_allclose(picture[4:7, 0:3], (x[1] + 1) / 2, atol=1e-12)
    np.testing.assert_array_equal(picture[4:7, 0:3], picture[4:7, 4:7])


@pytest.mark.parametrize("shape", [(2, 8), (2, 4, 4, 2), (65, 4, 4, 1)])
def test_what_is_no_picture_is_refused(shape, tmp_path):
    """Fails if TensorBoard only refuses it after the first epoch."""
    with pytest.raises(ValueError, match=r"at most 64 images \(N, H, W, C\).*received shape"):
        AdversarialImages(tmp_path, np.zeros(shape, "float32"), np.zeros(shape[0], int), ATTACK)
