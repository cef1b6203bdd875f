"""A loss that is no longer a number stops the training with advice."""

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc.callbacks import StopOnNonFinite


def diverging_model(rate):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model.add(keras_mmc.MaxMahalanobisCenters(3))
    model.compile(keras.optimizers.SGD(rate), keras_mmc.MMCLoss())
    return model


def test_divergence_names_the_batch_and_what_to_change(rng):
    """Fails if training goes on with a NaN loss, or the message gives no way out."""
    x, y = rng.normal(size=(400, 8)), np.arange(400) % 3
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch \d+.*below the present 1e\+06"):
        diverging_model(1e6).fit(x, y, batch_size=10, verbose=0, callbacks=[StopOnNonFinite()])


def test_unknown_label_is_caught_in_the_first_batch(rng):
    """Fails if a label outside the classes trains on silently."""
    x, y = rng.normal(size=(10, 8)), np.full(10, 3)
    with pytest.raises(FloatingPointError, match=r"batch 1\..*label outside"):
        diverging_model(1e-3).fit(x, y, verbose=0, callbacks=[StopOnNonFinite()])


def test_finite_training_is_left_alone(rng):
    """Fails if the callback stops a healthy run."""
    x, y = rng.normal(size=(30, 8)), np.arange(30) % 3
    history = diverging_model(1e-3).fit(x, y, verbose=0, callbacks=[StopOnNonFinite()])
    assert np.isfinite(history.history["loss"][0])


def test_a_loss_scaling_optimizer_names_the_rate_that_counts(rng):
    """Fails if the rate of the outer optimizer, 0, appears in the advice."""
    x, y = rng.normal(size=(400, 8)), np.arange(400) % 3
    model = diverging_model(1e6)
    outer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e6))
    model.compile(outer, keras_mmc.MMCLoss())
    with pytest.raises(FloatingPointError, match=r"below the present 1e\+06"):
        model.fit(x, y, batch_size=10, verbose=0, callbacks=[StopOnNonFinite()])


class Blind(keras.losses.Loss):
    """A loss to which NaN scores look perfect."""

    def call(self, y_true, y_pred):
        return keras.ops.max(keras.ops.nan_to_num(y_pred) ** 2, axis=-1)


def test_weights_that_the_loss_does_not_show(rng):
    """Fails if NaN weights train on because loss and metrics are numbers."""
    model = diverging_model(1e-3)
    model.compile("sgd", Blind(), metrics=["accuracy"])

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                self.model.layers[0].bias.assign(np.full(4, np.nan))

    x, y = rng.normal(size=(50, 8)), np.arange(50) % 3
    callbacks = [Spoil(), StopOnNonFinite()]
    with pytest.raises(FloatingPointError, match=r"weight .*bias is not finite in .*batch 3\."):
        model.fit(x, y, batch_size=10, verbose=0, callbacks=callbacks)


def test_a_metric_that_the_loss_does_not_show(rng):
    """Fails if only the loss is looked at."""

    def broken(y_true, y_pred):
        return keras.ops.mean(y_pred) * np.nan

    model = diverging_model(1e-3)
    model.compile("sgd", Blind(), metrics=[broken])
    x, y = rng.normal(size=(10, 8)), np.arange(10) % 3
    with pytest.raises(FloatingPointError, match="The broken is nan in epoch 1, batch 1"):
        model.fit(x, y, verbose=0, callbacks=[StopOnNonFinite()])


@pytest.mark.parametrize("loss_scaling", [False, True])
def test_an_adversarial_model_that_diverges_is_stopped(loss_scaling, rng):
    """Fails if gradients that are skipped hide a loss that is no longer a number."""
    x, y = rng.uniform(size=(400, 8)).astype("float32"), np.arange(400) % 3
    robust = keras_mmc.AdversarialModel(diverging_model(1e-3))
    optimizer = keras.optimizers.SGD(1e6)
    if loss_scaling:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    robust.compile(optimizer, keras_mmc.MMCLoss())
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch \d+.*below the present 1e\+06"):
        robust.fit(x, y, batch_size=10, verbose=0, callbacks=[StopOnNonFinite()])
