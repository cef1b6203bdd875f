"""The weight of the penalty follows the learning rate, whoever changes that."""

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc.callbacks import DecayRegularizer

EMR = keras_mmc.EffectiveMarginRegularizer(3.0, temperature=1.0)


class Scales(keras.callbacks.Callback):
    """Keeps the scale that each epoch trained with, and the learning rate at its start."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(float(self.model.regularizer_scale.numpy()))


def trained(optimizer, callbacks, policy="float32", robust=None, epochs=4, initial_epoch=0):
    """Trains two batches an epoch and returns the model and the scales by epoch."""
    keras.config.set_dtype_policy(policy)
    if robust is None:
        layers = [keras.Input((4,)), keras.layers.Dense(3)]
        robust = keras_mmc.AdversarialModel(keras.Sequential(layers), regularizer=EMR)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        robust.compile(optimizer, loss)
    x, y = np.linspace(0, 1, 32, dtype="float32").reshape(8, 4), np.arange(8) % 3
    scales = Scales()
    options = {"epochs": epochs, "initial_epoch": initial_epoch, "batch_size": 4, "verbose": 0}
    robust.fit(x, y, callbacks=[*callbacks, scales], **options)
    return robust, scales.seen


DROPS = [0.2, 0.2, 0.02, 0.002]
EXPECTED = [1.0, 1.0, 0.1, 0.01]


def drops(epoch, rate):
    return DROPS[epoch]


def test_a_callback_listed_after_it():
    """Fails if the rate of the optimizer before training, or of the epoch before, is taken."""
    scheduler = keras.callbacks.LearningRateScheduler(drops)
    optimizer = keras.optimizers.SGD(0.5)
    _, scales = trained(optimizer, [DecayRegularizer(), scheduler])
    np.testing.assert_allclose(scales, EXPECTED, rtol=1e-5)


def schedule():
    return keras.optimizers.schedules.PiecewiseConstantDecay([3, 5], [0.2, 0.02, 0.002])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_schedule_of_the_optimizer(policy):
    """Fails if a schedule is not read at its step, or not through a loss-scaling optimizer."""
    robust, scales = trained(keras.optimizers.SGD(schedule()), [DecayRegularizer()], policy)
    wrapped = isinstance(robust.optimizer, keras.optimizers.LossScaleOptimizer)
    assert wrapped == (policy == "mixed_float16")
    np.testing.assert_allclose(scales, EXPECTED, rtol=1e-5)


def test_a_rate_that_falls_on_a_plateau():
    """Fails if a rate changed at the end of an epoch does not count in the next."""
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9)
    _, scales = trained(keras.optimizers.SGD(0.2), [plateau, DecayRegularizer()])
    np.testing.assert_allclose(scales, [1.0, 1.0, 0.1, 0.01], rtol=1e-5)


@pytest.mark.parametrize(("initial", "rate", "expected"), [(None, 0.02, 0.1), (0.2, 0.002, 0.01)])
def test_resumes_from_a_saved_model(initial, rate, expected, tmp_path):
    """Fails if the reduced rate of a resumed training is taken for the initial one."""
    callbacks = [DecayRegularizer(initial), keras.callbacks.LearningRateScheduler(drops)]
    robust, scales = trained(keras.optimizers.SGD(0.5), callbacks, epochs=3)
    np.testing.assert_allclose(scales, EXPECTED[:3], rtol=1e-5)
    robust.save(tmp_path / "robust.keras")
    again = keras.models.load_model(tmp_path / "robust.keras")
    resumed = keras.callbacks.LearningRateScheduler(lambda epoch, _: rate)
    callbacks = [DecayRegularizer(initial), resumed]
    _, scales = trained(None, callbacks, robust=again, epochs=4, initial_epoch=3)
    np.testing.assert_allclose(scales, [expected], rtol=1e-5)


def test_refusals():
    """Fails if there is nothing to scale, or a division by 0 makes the penalty NaN."""
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    unregularized = keras_mmc.AdversarialModel(plain)
    for model in (plain, unregularized):
        model.compile("sgd", loss)
        with pytest.raises(ValueError, match="needs an AdversarialModel with a regularizer"):
            model.fit(np.zeros((4, 4)), np.zeros(4), verbose=0, callbacks=[DecayRegularizer()])
    with pytest.raises(ValueError, match="rate of the first batch, which is 0"):
        trained(keras.optimizers.SGD(0.0), [DecayRegularizer()])
    with pytest.raises(ValueError, match="`initial_learning_rate` must be a finite number > 0"):
        DecayRegularizer(0.0)
