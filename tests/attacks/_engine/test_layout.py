"""Attacks that see squares and angles find the same on images with their channels first."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mmc.attacks import RandomRotation, Rotation, Square
from keras_mmc.attacks._engine.layout import is_channels_first


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((None, 28, 28, 1), False),
        ((None, 1, 28, 28), True),
        ((5, 3, 32, 32), True),
        ((5, 32, 32, 3), False),
        ((5, 3, 3, 3), False),
        ((5, 16, 16, 4), False),
        ((5, 64), False),
    ],
)
def test_where_the_channels_are(shape, first):
    """Fails if a layout is taken for the other."""
    assert is_channels_first(shape) == first


@pytest.mark.parametrize(
    "attack", [Square(0.2, 30), Square(1.0, 30, norm="l2"), Rotation(30), RandomRotation(30)]
)
def test_both_layouts_give_the_same(attack, rng):
    """Fails if squares or angles run across channels, which finds less and says nothing."""
    keras.utils.set_random_seed(0)
    last = keras.Sequential(
        [keras.Input((8, 10, 3)), layers.Conv2D(6, 3, activation="relu"), layers.Flatten()]
    )
    last.add(layers.Dense(4))
    first = keras.Sequential([keras.Input((3, 8, 10)), layers.Permute((2, 3, 1)), last])
    x = rng.random((12, 8, 10, 3), "float32")
    y = last.predict(x, verbose=0).argmax(axis=1)
    found = attack(last, x, y)
    assert (found != x).any()
    turned = attack(first, x.transpose(0, 3, 1, 2), y)
    np.testing.assert_array_equal(turned.transpose(0, 2, 3, 1), found)
