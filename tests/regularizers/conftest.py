"""A linear classifier whose training steps can be computed by hand."""

import keras
import numpy as np
import pytest

import keras_mmc

EPS, RATE = 0.1, 0.5


def problem():
    """Kernel `(6, 3)`, bias, images `(8, 2, 3, 1)` and labels, in float32."""
    rng = np.random.default_rng(7)
    kernel, bias = rng.normal(size=(6, 3)), rng.normal(size=3)
    x, y = rng.uniform(0.05, 0.95, size=(8, 2, 3, 1)), np.array([0, 1, 2, 0, 1, 2, 0, 1])
    return kernel.astype("float32"), bias.astype("float32"), x.astype("float32"), y


def one_step(regularizer, optimizer=None, layers=(), dense=None, callbacks=None, **options):
    """The `AdversarialModel` of that problem after one step on the adversarial examples of FGSM.

    Args:
        regularizer: a regularizer or `None`.
        optimizer: `None` takes SGD with a learning rate of 0.5.
        layers: layers before the dense one.
        dense: options of the dense layer.
        callbacks: of `fit`.
        **options: of `compile`.
    """
    kernel, bias, x, y = problem()
    head = keras.layers.Dense(3, **(dense or {}))
    model = keras.Sequential([keras.Input((2, 3, 1)), keras.layers.Flatten(), *layers, head])
    head.set_weights([kernel, bias])
    attack = keras_mmc.attacks.FGSM(EPS, objective="cross_entropy")
    defense = keras_mmc.defenses.AdversarialTraining(attack)
    robust = keras_mmc.AdversarialModel(model, defense, regularizer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    robust.compile(optimizer or keras.optimizers.SGD(RATE), loss, **options)
    robust.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=callbacks)
    return robust


class Longhand:
    """The same problem in float64 NumPy."""

    def __init__(self):
        kernel, bias, x, y = problem()
        self.kernel, self.bias = kernel.astype("float64"), bias.astype("float64")
        self.x, self.y = x.reshape(8, 6).astype("float64"), np.eye(3)[y]
        gradient = self.residual(self.x, self.kernel, self.bias) @ self.kernel.T
        assert np.abs(gradient).min() > 1e-4, "a sign may be lost to rounding"
        self.x_adv = np.clip(self.x + EPS * np.sign(gradient), 0, 1)

    @staticmethod
    def softmax(scores):
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def residual(self, x, kernel, bias):
        """Gradient of the cross-entropy of every sample in its scores."""
        return self.softmax(x @ kernel + bias) - self.y

    def gradients(self, kernel, bias):
        """Gradient of the mean cross-entropy at the adversarial examples in kernel and bias."""
        residual = self.residual(self.x_adv, kernel, bias)
        return self.x_adv.T @ residual / 8, residual.mean(axis=0)

    def step(self, gradients):
        """Kernel and bias after plain gradient descent."""
        return [w - RATE * g for w, g in zip((self.kernel, self.bias), gradients, strict=True)]

    def perturbed(self, gamma):
        """The kernel that AWP takes the gradient at; biases are not perturbed."""
        gradient, _ = self.gradients(self.kernel, self.bias)
        length = gamma * np.sqrt((self.kernel**2).sum()) / np.sqrt((gradient**2).sum())
        return self.kernel + length * gradient


@pytest.fixture
def longhand():
    """The problem in NumPy."""
    return Longhand()


@pytest.fixture(name="one_step")
def _one_step():
    return one_step
