"""The transfer matrix: who crafts, who is asked, and how often."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.attacks import FGSM, PGD, Transfer
from keras_mmc.evaluation import transfer_matrix


@keras.saving.register_keras_serializable("transfer_matrix_tests")
def network(seed, classes=3):
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense(classes, kernel_initializer="random_normal")
    return keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), dense])


@pytest.fixture
def models():
    return {"first": network(0), "second": network(1), "third": network(2)}


@pytest.fixture
def images(rng):
    return rng.uniform(size=(30, 2, 2, 1)).astype("float32")


def accuracy(model, x, y):
    return np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)


def test_every_entry_by_hand(models, images):
    """Fails if rows and columns are swapped, or another view of the attack crafts the images."""
    y = models["first"].predict(images, verbose=0).argmax(axis=1)
    attack = PGD(0.05, steps=4, random_start=False)
    matrix = transfer_matrix(models, images, y, attack, batch_size=7)
    assert matrix.names == ("first", "second", "third")
    assert matrix.num_images == 30
    for i, source in enumerate(models.values()):
        craft = attack.generate(
            lambda x, m=source: m(x), tf.constant(images), tf.constant(y, tf.int32), seed=0
        ).numpy()
        for j, target in enumerate(models.values()):
            assert matrix.accuracy[i, j] == pytest.approx(accuracy(target, craft, y))
        assert matrix.clean_accuracy[i] == pytest.approx(accuracy(source, images, y))
    assert len(np.unique(matrix.accuracy)) > 4


def test_columns_agree_with_transfer(models, images):
    """Fails if an entry differs from the `Transfer` attack on images that are classified right."""
    target = models["first"]
    y = target.predict(images, verbose=0).argmax(axis=1)
    attack = PGD(0.4, steps=4, random_start=False)
    found = Transfer(attack, models["second"])(target, images, y)
    matrix = transfer_matrix(models, images, y, attack)
    assert matrix.accuracy[1, 0] == pytest.approx(accuracy(target, found, y))
    assert matrix.accuracy[1, 0] < 1


def test_points_are_crafted_once_a_model(models, images, counting):
    """Fails if ragged batches trace the attack again, or it runs once for each pair of models."""
    y = np.zeros(30, int)
    counted = {
        name: keras.Sequential([keras.Input((2, 2, 1)), counting, *model.layers])
        for name, model in models.items()
    }
    calls = []
    for count in (10, 30):
        counting.calls = 0
        transfer_matrix(counted, images[:count], y[:count], FGSM(0.1), batch_size=10)
        calls.append(counting.calls)
    # Three batches instead of one: 3 models are asked twice more for clean scores and 9 pairs
    # twice more for adversarial examples; the graphs of the attack are traced as often as before.
    assert calls[1] - calls[0] == 2 * 3 + 2 * 9


def test_seed_reaches_the_attack(models, images):
    """Fails if a random start ignores the seed, or every batch starts alike."""
    y = models["first"].predict(images, verbose=0).argmax(axis=1)
    attack = PGD(0.3, steps=1, step_size=1e-6)
    first, again, other = (
        transfer_matrix(models, images, y, attack, seed=seed).accuracy for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_table_names_everything(models, images):
    """Fails if a figure, a name or the number of images is missing from the table."""
    matrix = transfer_matrix(models, images, np.zeros(30, int), FGSM(0.1))
    lines = str(matrix).splitlines()
    assert "30 images under FGSM(eps=0.1" in lines[0]
    assert lines[1].split() == ["first", "second", "third"]
    rows = np.concatenate([matrix.clean_accuracy[None], matrix.accuracy])
    for line, name, row in zip(lines[2:], ("clean", *matrix.names), rows, strict=True):
        assert line.split() == [name, *(f"{100 * value:.2f}" for value in row)]


def test_refusals(models, images):
    """Fails if no model, or models of other classes, give a matrix."""
    y = np.zeros(30, int)
    with pytest.raises(ValueError, match="at least one model"):
        transfer_matrix({}, images, y, FGSM(0.1))
    with pytest.raises(ValueError, match=r"same classes; received \{'first': 3, 'other': 4\}"):
        pair = {"first": models["first"], "other": network(3, classes=4)}
        transfer_matrix(pair, images, y, FGSM(0.1))
    with pytest.raises(ValueError, match="needed with their labels"):
        transfer_matrix(models, images, None, FGSM(0.1))
    with pytest.raises(ValueError, match="received none"):
        transfer_matrix(models, images[:0], y[:0], FGSM(0.1))
