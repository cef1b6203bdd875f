"""The callback writes what the metrics measure into the logs, and traces once."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mmc
from keras_mmc.callbacks import LogEffectiveMargin
from keras_mmc.evaluation import effective_margins


@pytest.fixture
def data(digits):
    """Images and labels of 100 digits."""
    return digits[0][:100].astype("float32"), digits[1][:100]


def network(policy="float32"):
    keras.config.set_dtype_policy(policy)
    layers = [keras.layers.Flatten(), keras.layers.Dense(16, "tanh"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_logs_of_an_adversarial_model(policy, data, counting, tmp_path):
    """Fails if a batch is left out, the model is not that of the epoch, or it is traced again."""
    x, y = data
    model = network(policy)
    model.add(counting)
    robust = keras_mmc.AdversarialModel(model)
    robust.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    log = LogEffectiveMargin(x, y, batch_size=33)
    counts = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            counts.append(counting.traces)

    path = tmp_path / "log.csv"
    callbacks = [log, Count(), keras.callbacks.CSVLogger(str(path))]
    history = robust.fit(x, y, batch_size=50, epochs=3, verbose=0, callbacks=callbacks).history
    assert counts[0] == counts[1] == counts[2]
    score_fn = lambda x: tf.cast(model(x, training=False), tf.float32)  # noqa: E731
    margins, norms = effective_margins(score_fn, tf.constant(x), tf.constant(y, tf.int32))
    tolerance = {"rtol": 1e-4 if policy == "float32" else 2e-2}
    last = history["val_effective_margin"][-1], history["val_effective_weight_norm"][-1]
    np.testing.assert_allclose(last, [np.mean(margins), np.mean(norms)], **tolerance)
    assert len(set(history["val_effective_margin"])) == 3
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert float(rows[-1]["val_effective_margin"]) == pytest.approx(last[0], rel=1e-6)


def test_a_plain_model(data):
    """Fails if the callback needs an AdversarialModel."""
    x, y = data
    model = network()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, y, verbose=0, callbacks=[LogEffectiveMargin(x, y)]).history
    assert history["val_effective_weight_norm"][0] > 0


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 8, 8, 1), "uint8"), np.zeros(4, int), "Images must be floats"),
        (np.full((4, 8, 8, 1), 2.0, "float32"), np.zeros(4, int), r"must lie in the box \[0, 1\]"),
        (np.zeros((4, 8, 8, 1), "float32"), np.full(4, 10), r"must lie in \[0, 10\)"),
        (np.zeros((4, 8, 8, 1), "float32"), np.zeros(3, int), "one per image"),
        (np.zeros((4, 7, 8, 1), "float32"), np.zeros(4, int), "images of shape"),
    ],
)
def test_refused_in_fit(x, y, message, data):
    """Fails if data that cannot be measured gives a number."""
    robust = keras_mmc.AdversarialModel(network())
    robust.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=message):
        robust.fit(*data, verbose=0, callbacks=[LogEffectiveMargin(x, y)])


def test_flat_images_are_told(data):
    """Fails if images about which the scores do not change vanish from the mean without a word."""
    x, y = data
    model = network()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.learning_rate = 0.0
    model.layers[-1].kernel.assign(keras.ops.zeros((16, 10)))
    with pytest.warns(UserWarning, match="Epoch 1: the scores do not change about 100 of 100"):
        model.fit(x, y, verbose=0, callbacks=[LogEffectiveMargin(x, y)])


def test_batch_size():
    """Fails if a batch size of 0 loops for ever or measures nothing."""
    with pytest.raises(ValueError, match="`batch_size` must be an integer >= 1; received 0"):
        LogEffectiveMargin(np.zeros((1, 2)), np.zeros(1, int), batch_size=0)
