"""Robust accuracy in the logs: closed form, who sees it, one trace, and refusals."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_mmc
from keras_mmc.attacks import PGD
from keras_mmc.callbacks import RobustAccuracy

EPS = 0.03
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@keras.saving.register_keras_serializable("training_tests")
class Linear(keras.layers.Layer):
    """Two linear scores; counts how often it is traced into a graph."""

    traces = 0

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 2))

    def call(self, inputs):
        if not tf.executing_eagerly():
            type(self).traces += 1
        return inputs @ self.kernel


@pytest.fixture
def images(rng):
    """Images so far inside the box that no ball reaches it, and labels."""
    return rng.uniform(0.3, 0.7, size=(60, 8)).astype("float32"), np.arange(60) % 2


def compiled(adversarial=False):
    """A plain linear classifier, and what is fitted: itself, or an `AdversarialModel` of it."""
    plain = keras.Sequential([keras.Input((8,)), Linear()])
    fitted = keras_mmc.AdversarialModel(plain) if adversarial else plain
    fitted.compile(keras.optimizers.SGD(2.0), CROSS_ENTROPY)
    return plain, fitted


def in_closed_form(kernel, x, y):
    """Fraction of images whose lead is above eps times the L1 norm of the weight difference."""
    difference = kernel.astype("float64") @ [-1.0, 1.0]
    lead = np.where(y == 1, 1, -1) * (x @ difference)
    return np.mean(lead > EPS * np.abs(difference).sum())


@pytest.mark.parametrize("adversarial", [False, True])
def test_linear_model_in_closed_form_after_every_epoch(adversarial, images, rng):
    """Fails if old weights, the wrong images or the wrong model are attacked, or are miscounted."""
    plain, fitted = compiled(adversarial)
    kernels = rng.normal(size=(6, 8, 2))
    kernels -= kernels.mean(axis=1, keepdims=True)  # so that both classes occur
    change = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: plain.layers[-1].kernel.assign(kernels[epoch])
    )
    measure = RobustAccuracy(PGD(EPS), *images, batch_size=25)
    x, y = images
    history = fitted.fit(x, y, epochs=6, verbose=0, callbacks=[change, measure]).history
    expected = [in_closed_form(kernel, x, y) for kernel in kernels]
    assert measure.model is plain
    assert len(set(expected)) > 2
    np.testing.assert_allclose(history["robust_accuracy_subset"], expected, atol=1e-12)


def test_only_later_callbacks_see_the_value(images, tmp_path):
    """Fails if the value misses callbacks after this one, or Keras no longer shares its logs."""
    log = keras.callbacks.CSVLogger
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", "robust", save_best_only=True, mode="max"
    )
    callbacks = [
        log(tmp_path / "before.csv"),
        RobustAccuracy(PGD(EPS), *images, name="robust"),
        log(tmp_path / "after.csv"),
        best,
        keras.callbacks.TensorBoard(tmp_path / "logs"),
    ]
    history = compiled()[1].fit(*images, epochs=3, verbose=0, callbacks=callbacks).history
    before, after = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("before.csv", "after.csv")
    )
    assert "robust" not in before[0]
    assert [float(row["robust"]) for row in after] == history["robust"]
    assert best.best == max(history["robust"])
    events = EventAccumulator(str(tmp_path / "logs" / "train"), {"tensors": 0}).Reload()
    shown = [tf.make_ndarray(e.tensor_proto) for e in events.Tensors("epoch_robust")]
    np.testing.assert_allclose(shown, history["robust"], atol=1e-6)


def test_every_second_epoch_and_nan_between(images):
    """Fails if the attack runs in other epochs, or others repeat an old value."""
    measure = RobustAccuracy(PGD(EPS), *images, every=2)
    model = compiled()[1]
    for _ in range(2):
        history = model.fit(*images, epochs=4, verbose=0, callbacks=[measure]).history
        assert np.isnan(history["robust_accuracy_subset"]).tolist() == [False, True, False, True]


def test_one_trace_over_the_whole_training(images):
    """Fails if the attack is traced again in a later epoch or for a last, smaller batch."""
    counts = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: counts.append(Linear.traces)
    )
    measure = RobustAccuracy(PGD(EPS), *images, batch_size=25)
    callbacks = [watch, measure, watch]
    compiled()[1].fit(*images, batch_size=20, epochs=4, verbose=0, callbacks=callbacks)
    assert counts[1] > counts[0]
    assert set(counts[1:]) == {counts[1]}


@pytest.mark.parametrize("verbose", [0, 2])
def test_one_line_per_attack_unless_silent(verbose, images, capsys):
    """Fails if `fit(verbose=0)` prints, or the line does not hold epoch, value and attack."""
    measure = RobustAccuracy(PGD(EPS, steps=5), *images)
    history = compiled()[1].fit(*images, epochs=1, verbose=verbose, callbacks=[measure]).history
    value = history["robust_accuracy_subset"][0]
    line = f"Epoch 1: robust_accuracy_subset {value:.4f} (PGD, 60 images)\n"
    assert capsys.readouterr().out.count(line) == (verbose > 0)


def test_a_name_in_use_is_refused(images):
    """Fails if the value silently replaces the accuracy under the training attack."""
    with pytest.raises(ValueError, match=r"already hold a value 'loss'.*another `name`"):
        compiled()[1].fit(
            *images, verbose=0, callbacks=[RobustAccuracy(PGD(EPS), *images, name="loss")]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attack": "pgd"}, "`attack` must be an attack.*'pgd'"),
        ({"every": 0}, "`every` must be an integer >= 1; received 0"),
        ({"batch_size": 0.5}, "`batch_size` must be an integer >= 1; received 0.5"),
        ({"x": np.full((2, 8), 1.5)}, r"box \[0, 1\]; received values from 1.5"),
        ({"y": [0, 1, 1]}, r"2 images and labels of shape \(3,\)"),
        ({"x": np.zeros((0, 8)), "y": []}, "0 images"),
    ],
)
def test_bad_arguments_are_refused_at_once(change, message):
    """Fails if something that cannot be attacked is only found after an epoch."""
    arguments = {"attack": PGD(EPS), "x": np.full((2, 8), 0.5), "y": [0, 1]} | change
    with pytest.raises(ValueError, match=message):
        RobustAccuracy(**arguments)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(60, 2), r"\[0, 2\)"),
        (np.full((60, 2), 0.5), "argmax"),
        (np.full(60, 0.5), "whole numbers"),
    ],
)
def test_bad_labels_are_refused_before_the_first_batch(y, message, images):
    """Fails if labels that do not fit the model are only found after an epoch."""
    _, model = compiled()
    with pytest.raises(ValueError, match=message):
        model.fit(*images, verbose=0, callbacks=[RobustAccuracy(PGD(EPS), images[0], y)])
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize("form", [lambda y: y[:, None], lambda y: np.eye(2)[y]])
def test_labels_in_other_forms(form, images):
    """Fails if columns or one-hot rows give another figure than integers."""
    _, model = compiled()
    x, y = images
    given = [
        RobustAccuracy(PGD(EPS), x, labels, name=name)
        for labels, name in ((y, "a"), (form(y), "b"))
    ]
    logs = model.fit(x, y, verbose=0, callbacks=given).history
    assert logs["a"] == logs["b"]
