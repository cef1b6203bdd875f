"""A small network that audits are tested on."""

import keras
import pytest

import keras_mmc


@pytest.fixture(scope="session")
def mmc_model(digits):
    """An MMC network trained without any defense on all but the first 200 digits."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(64, activation="relu")(x)
    x = keras.layers.Dense(16)(x)
    model = keras.Model(inputs, keras_mmc.MaxMahalanobisCenters(10, scale=40.0)(x))
    model.compile(keras.optimizers.Adam(3e-3), keras_mmc.MMCLoss())
    model.fit(digits[0][200:], digits[1][200:], epochs=20, batch_size=64, verbose=0)
    return model


@pytest.fixture(scope="session")
def held_out(digits):
    """The 200 images and labels that the network was not trained on."""
    return digits[0][:200], digits[1][:200]
