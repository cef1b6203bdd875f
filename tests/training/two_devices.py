"""Run in a process of its own: `AdversarialModel` on two devices beside the same on one.

It prints one line of JSON for each case: the largest differences of weights and of the figures that
`fit` and `evaluate` report, how far the weights moved, and the warnings of both.
"""

import contextlib
import json
import warnings

import keras
import numpy as np
import tensorflow as tf

import keras_mmc
from keras_mmc import attacks, defenses, regularizers

CLASSES, BATCH, EPOCHS = 4, 8, 2
PGD = attacks.PGD(0.1, steps=2)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class WithoutGradient(keras.losses.Loss):
    """Cross-entropy whose gradient is NaN for a batch with class 3 in it."""

    def call(self, y_true, y_pred):
        labels = tf.cast(tf.reshape(y_true, [-1]), tf.int32)
        values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y_pred)
        return values + tf.where(labels == 3, tf.sqrt(0 * y_pred[:, 0]), 0.0)


CASES = {
    # One batch of each epoch is lost on both devices.
    "adversarial training": (defenses.AdversarialTraining(PGD), WithoutGradient(), None),
    "means over the batch": (
        defenses.MAIL(defenses.AdversarialTraining(PGD), normalization="batch"),
        CROSS_ENTROPY,
        keras_mmc.EffectiveMarginRegularizer(100.0, temperature=1.0),
    ),
    "pairs": (defenses.DifferentialTraining(), keras_mmc.DifferentialLoss(), None),
    "centers of features": (
        defenses.TRADES(PGD, beta=2.0),
        keras_mmc.CenterLoss(),
        regularizers.AdversarialWeightPerturbation(0.05),
    ),
    "batch statistics": (None, CROSS_ENTROPY, None),
}


def two_devices():
    """A strategy of two logical devices of this machine."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def classifier(name):
    """A small network with a weight penalty, and what the case needs."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(6, "tanh", kernel_regularizer="l2")]
    if name == "batch statistics":
        layers.append(keras.layers.BatchNormalization(synchronized=True))
    if name == "centers of features":
        layers.append(keras_mmc.layers.DenseWithCenters(CLASSES))
    else:
        layers.append(keras.layers.Dense(CLASSES))
    return keras.Sequential([keras.Input((3, 3, 1)), *layers])


class Trained:
    """One network of a case, trained again and again from the same weights."""

    def __init__(self, name, strategy=None):
        defense, loss, regularizer = CASES[name]
        keras.utils.set_random_seed(0)
        with strategy.scope() if strategy else contextlib.nullcontext():
            self.robust = keras_mmc.AdversarialModel(
                classifier(name), defense, regularizer, validation_attack=PGD, seed=1
            )
            optimizer = keras.optimizers.SGD(0.3, momentum=0.9)
            self.robust.compile(optimizer, loss, metrics=["accuracy"])
            optimizer.build(self.robust.model.trainable_variables)
        self._variables = self.robust.model.variables + optimizer.variables
        self._begin = [variable.numpy() for variable in self._variables]

    def run(self, x, y, weight, valid):
        """Weights, figures and warnings of a training on these images."""
        for variable, value in zip(self._variables, self._begin, strict=True):
            variable.assign(value)
        self.robust.batches.assign(0)
        train = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(BATCH)
        validation = tf.data.Dataset.from_tensor_slices(valid).batch(BATCH)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            figures = self.robust.fit(
                train, epochs=EPOCHS, verbose=0, validation_data=validation
            ).history
            figures["evaluated"] = list(self.robust.evaluate(validation, verbose=0))
        said = [str(w.message) for w in caught if "not trained on" in str(w.message)]
        weights = [variable.numpy() for variable in self.robust.model.variables]
        return weights, figures, said


def images(count, name):
    """Images, labels and sample weights, of which some cannot be trained on, and sound ones."""
    rng = np.random.default_rng(count)
    x = rng.uniform(0.2, 0.8, (count, 3, 3, 1)).astype("float32")
    y, weight = np.arange(count) % 3, np.linspace(0.5, 1.5, count).astype("float32")
    valid = x.copy(), y.copy(), weight.copy()
    if name != "pairs":
        x[1, 0, 0, 0], y[2], weight[5] = np.nan, CLASSES + 3, np.inf
    if name == "adversarial training":
        y[BATCH + 1] = 3
    return x, y, weight, valid


def compared(name, strategy, counts):
    """The case on these numbers of images, on one device and on two."""
    one, two = Trained(name), Trained(name, strategy)
    for count in counts:
        expected, found = (trained.run(*images(count, name)) for trained in (one, two))
        gaps = [np.abs(a - b).max() for a, b in zip(expected[0], found[0], strict=True)]
        figures = [
            np.abs(np.subtract(expected[1][key], found[1][key])).max() for key in expected[1]
        ]
        print(
            json.dumps(
                {
                    "case": name,
                    "images": count,
                    "weights": float(max(gaps)),
                    "figures": float(max(figures)),
                    "reported": [sorted(expected[1]), sorted(found[1])],
                    "moved": float(np.abs(expected[0][0] - one._begin[0]).max()),
                    "warnings": [expected[2], found[2]],
                }
            ),
            flush=True,
        )


def main():
    """Every remainder of the last batch for adversarial training, three for all others."""
    strategy = two_devices()
    for name in CASES:
        every = name == "adversarial training"
        counts = range(3 * BATCH, 4 * BATCH) if every else (3 * BATCH + 1, 3 * BATCH + 5)
        compared(name, strategy, counts)
