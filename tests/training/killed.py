"""A training of a tiny network that kills its process, for tests that start it again and again."""

import os
import pathlib
import signal
import sys

import keras
import numpy as np

import keras_mmc
from keras_mmc import _files, attacks, datasets, defenses, training

EPOCHS, STEPS = 3, 4


class Killed(keras.callbacks.Callback):
    """Kills the process at an event: the begin or end of a batch, of an epoch, or of a write."""

    def __init__(self, at):
        super().__init__()
        self._left = iter(range(at))  # no plain data, which a state would bring back
        written = _files._sync

        def sync(path):
            self.count()
            written(path)

        _files._sync = sync

    def count(self):
        """One more event."""
        if next(self._left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_begin(self, batch, logs=None):
        self.count()

    def on_train_batch_end(self, batch, logs=None):
        self.count()

    def on_epoch_end(self, epoch, logs=None):
        self.count()


def trained(directory, callbacks=(), seconds=0.0, epochs=EPOCHS, eager=False):
    """The weights and the history of the training in a directory, and a callback with a state."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(4 * 8 - 3, 3, 3, 1)).astype("float32"), np.arange(29) % 3
    layers = [keras.layers.Flatten(), keras.layers.Dense(5, "relu")]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((3, 3, 1)), *layers])
    attack = attacks.PGD(0.1, steps=2)
    robust = keras_mmc.AdversarialModel(model, defenses.AdversarialTraining(attack), seed=1)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    robust.compile(keras.optimizers.Adam(rate), loss, run_eagerly=eager)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    history = training.resumable_fit(
        robust,
        datasets.shuffled_epochs(x, y, 3, 8, augment=False, seed=2),
        directory,
        epochs=epochs,
        callbacks=[stop, *callbacks],
        seconds=seconds,
        validation_data=(x, y),
        verbose=0,
    ).history
    return model.get_weights(), history, stop


def main():
    """Train in the directory of the first argument; the second is when it is killed."""
    directory, at = sys.argv[1:]
    # Eagerly, since every process would trace the same graph.
    weights, _, _ = trained(directory, [Killed(int(at))], eager=True)
    np.savez(pathlib.Path(directory) / "weights.npz", *weights)
