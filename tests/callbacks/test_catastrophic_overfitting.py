"""Catastrophic overfitting: what is one, what is not, and the weights that come back."""

import keras
import numpy as np
import pytest

from keras_mmc.attacks import FGSM, PGD
from keras_mmc.callbacks import StopOnCatastrophicOverfitting
from keras_mmc.defenses import AdversarialTraining
from keras_mmc.training import AdversarialModel

X, Y = np.random.default_rng(0).uniform(size=(40, 6)).astype("float32"), np.arange(40) % 10


def scripted_run(validation, training, ema=False, **options):
    """A real training with accuracies from a script; its model, weights by epoch and callback."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5, use_ema=ema), loss)
    weights = []

    def write(epoch, logs):
        weights.append(model.get_weights()[0])
        logs["robust_accuracy"] = training[epoch]
        if validation[epoch] is not None:
            logs["val_robust_accuracy"] = validation[epoch]

    stop = StopOnCatastrophicOverfitting(**options)
    script = keras.callbacks.LambdaCallback(on_epoch_end=write)
    model.fit(X, Y, epochs=len(validation), verbose=0, callbacks=[script, stop])
    return model, weights, stop


@pytest.mark.parametrize(
    ("validation", "training", "options", "best"),
    [
        ([0.3, 0.5, 0.4, 0.2, 0.6], [0.3, 0.5, 0.55, 0.9, 0.9], {}, 1),
        ([0.3, 0.5, None, 0.0, 0.6], [0.3, 0.5, 0.55, 0.5, 0.9], {}, 1),
        ([0.5, 0.4, 0.44, 0.43, 0.6], [0.3, 0.2, 0.2, 0.5, 0.9], {"fraction": 0.9}, 0),
    ],
)
def test_collapse_stops_and_restores_the_best_epoch(validation, training, options, best):
    """Fails if the collapse of epoch 4 is overlooked, or other weights come back."""
    named = rf"in epoch 4: .*fell to {validation[3]:.4f}, from {validation[best]:.4f} in epoch "
    with pytest.warns(UserWarning, match=rf"Catastrophic overfitting {named}{best + 1}\..*back"):
        model, weights, _ = scripted_run(validation, training, **options)
    assert len(weights) == 4
    np.testing.assert_array_equal(model.get_weights()[0], weights[best])


def test_averaged_weights_do_not_take_the_place_of_the_best():
    """Fails if Keras' moving average, set at the end of training, overwrites what came back."""
    with pytest.warns(UserWarning, match="Catastrophic overfitting"):
        model, weights, _ = scripted_run([0.5, 0.1], [0.5, 0.9], ema=True)
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


@pytest.mark.parametrize(
    ("validation", "training"),
    [
        pytest.param([0.5, 0.25, 0.25], [0.5, 0.9, 0.9], id="half of the best is not below it"),
        pytest.param([0.5, 0.2, 0.1], [0.5, 0.4, 0.49], id="training gets worse too"),
        pytest.param([0.15, 0.02, 0.05], [0.1, 0.2, 0.3], id="nothing was learned yet"),
        pytest.param([0.5, float("nan"), None], [0.5, 0.9, 0.9], id="nothing was measured"),
        pytest.param([0.5, 0.1, 0.1], [0.5, float("nan"), float("nan")], id="no training value"),
    ],
)
def test_other_declines_are_left_alone(validation, training):
    """Fails if a run that is no catastrophic overfitting is stopped or set back."""
    model, weights, _ = scripted_run(validation, training)
    assert len(weights) == 3
    np.testing.assert_array_equal(model.get_weights()[0], weights[-1])


def test_a_second_training_starts_afresh():
    """Fails if the best of an earlier network stops another one or gives it its weights."""
    model, _, stop = scripted_run([0.8], [0.5])
    script = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(robust_accuracy=0.6, val_robust_accuracy=0.3)
    )
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[script, stop])
    assert (stop.best, stop.best_epoch) == (0.3, 0)


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_a_fraction_out_of_range_is_refused(fraction):
    """Fails if a fraction that never or always stops is accepted."""
    with pytest.raises(ValueError, match=f"`fraction` must be .* > 0 and < 1; received {fraction}"):
        StopOnCatastrophicOverfitting(fraction=fraction)


def test_training_without_an_attack_is_refused():
    """Fails if the callback sleeps where there is no accuracy under a training attack."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(10)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    stop = StopOnCatastrophicOverfitting(monitor="loss")
    with pytest.raises(ValueError, match="no value 'robust_accuracy', only"):
        model.fit(X, Y, verbose=0, callbacks=[stop])


def test_a_real_collapse(digits):
    """Fails if a network that learned to withstand one long step alone is trained on.

    The step grows from 0.1 to 0.5, without a random start, and the network ends up robust to it
    but not to ten steps within 0.1.
    """
    x, y = digits
    dense = [keras.layers.Dense(256, activation="relu") for _ in range(2)]
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), *dense, keras.layers.Dense(10)]
    defense = AdversarialTraining(
        FGSM(0.1),
        objective="training_loss",
        eps_schedule=keras.optimizers.schedules.PolynomialDecay(0.1, 5, 0.5),
    )
    attack = PGD(0.1, steps=10)
    robust = AdversarialModel(keras.Sequential(layers), defense, validation_attack=attack)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    robust.compile(keras.optimizers.Adam(3e-3), loss)
    held_out = (x[:150], y[:150])
    with pytest.warns(UserWarning, match="Catastrophic overfitting"):
        history = robust.fit(
            x[150:],
            y[150:],
            batch_size=32,
            epochs=40,
            validation_data=held_out,
            verbose=0,
            callbacks=[StopOnCatastrophicOverfitting()],
        ).history
    validation, training = history["val_robust_accuracy"], history["robust_accuracy"]
    best = int(np.argmax(validation))
    assert validation[best] > 0.5
    assert validation[-1] < validation[best] / 2 and training[-1] >= training[best]
    again = robust.evaluate(*held_out, verbose=0, return_dict=True)["robust_accuracy"]
    np.testing.assert_allclose(again, validation[best], atol=1e-6)
