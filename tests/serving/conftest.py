"""A classifier of digits behind HTTP."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc

SHAPE = (8, 8, 1)
NAMES = [f"digit {i}" for i in range(10)]
BOX = (-1.0, 1.0)


@pytest.fixture(scope="session")
def exported(digits, tmp_path_factory):
    """A directory of a network that knows digits, with a threshold, in a box of its own."""
    x, y = 2 * digits[0] - 1, digits[1]
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(32, "relu"), keras.layers.Dense(16)]
    head = keras_mmc.MaxMahalanobisCenters(10)
    model = keras.Sequential([keras.Input(SHAPE), *layers, head])
    model.compile(keras.optimizers.Adam(3e-3), keras_mmc.MMCLoss())
    model.fit(x[:1000], y[:1000], epochs=10, verbose=0)
    rejection = keras_mmc.calibrate_rejection(model, x[1000:], y[1000:], 0.1, box=BOX)
    path = tmp_path_factory.mktemp("served") / "1"
    return keras_mmc.export_saved_model(model, path, NAMES, box=BOX, rejection=rejection)


@pytest.fixture(scope="session")
def pixels(digits):
    """Images `(5, 8, 8, 1)`, uint8."""
    return np.round(255 * digits[0][1200:1205]).astype("uint8")


@pytest.fixture(scope="session")
def files(pixels):
    """The same images as PNG files."""
    return [tf.io.encode_png(image).numpy() for image in pixels]
