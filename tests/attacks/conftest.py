"""Small networks that attacks are tested on."""

import keras
import numpy as np
import pytest
from keras import ops


@keras.saving.register_keras_serializable("attack_tests")
class Centers(keras.layers.Layer):
    """Scores -1/2 ||z - mu_k||^2 against ten fixed centers, a simplex of radius 10."""

    def build(self, input_shape):
        simplex = np.eye(10, input_shape[-1]) - np.eye(10, input_shape[-1]).mean(axis=0)
        self.centers = 10 * simplex / np.linalg.norm(simplex, axis=1, keepdims=True)

    def call(self, z):
        difference = z[:, None, :] - ops.cast(self.centers, z.dtype)
        return -0.5 * ops.sum(ops.square(difference), axis=-1)


@pytest.fixture(scope="session")
def mmc_model(digits):
    """A Max-Mahalanobis network, trained without any defense on all but the first 200 digits."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(16),
            Centers(),
        ]
    )
    images, labels = digits

    def mmc(y, scores):
        return -ops.take_along_axis(scores, ops.cast(y, "int32"), axis=1)[:, 0]

    model.compile(keras.optimizers.Adam(3e-3), loss=mmc)
    model.fit(images[200:], labels[200:, None], epochs=20, batch_size=64, verbose=0)
    return model


@pytest.fixture(scope="session")
def conv_model():
    """An untrained convolutional network with smooth activations, 5 classes."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(6, 3, activation="tanh"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, kernel_initializer="random_normal"),
        ]
    )


@pytest.fixture
def window():
    """Class 1 wins only for a first pixel within 0.05 of 0.7, and nothing points there."""

    def score_fn(x):
        inside = ops.cast(ops.abs(x[:, :1] - 0.7) < 0.05, "float32")
        return ops.concatenate([ops.zeros_like(inside) + 0.5, inside + 0.0 * x[:, :1]], axis=1)

    return score_fn
