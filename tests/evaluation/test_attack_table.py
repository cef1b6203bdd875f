"""Models by attacks: every cell by hand, on its own."""

import keras
import numpy as np
import pytest

from keras_mmc.attacks import FGSM, PGD, GaussianNoise
from keras_mmc.evaluation import attack_table


@keras.saving.register_keras_serializable("attack_table_tests")
def network(seed):
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense(3, kernel_initializer="random_normal")
    return keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), dense])


@pytest.fixture
def models():
    return {"first": network(0), "second": network(1)}


@pytest.fixture
def images(rng):
    return rng.uniform(size=(30, 2, 2, 1)).astype("float32")


def test_every_cell_by_hand(models, images):
    """Fails if rows and columns are swapped, or an attack meets what another one left."""
    y = models["first"].predict(images, verbose=0).argmax(axis=1)
    y[:5] = (y[:5] + 1) % 3
    attacks = {"pgd": PGD(0.1, steps=4, random_start=False), "noise": GaussianNoise(0.3)}
    table = attack_table(models, attacks, images, y, batch_size=7)
    assert (table.models, tuple(table.attacks)) == (("first", "second"), ("pgd", "noise"))
    for i, model in enumerate(models.values()):
        right = model.predict(images, verbose=0).argmax(axis=1) == y
        assert table.clean_accuracy[i] == pytest.approx(right.mean())
        for j, attack in enumerate(attacks.values()):
            found = attack(model, images, y)
            left = right & (model.predict(found, verbose=0).argmax(axis=1) == y)
            assert table.accuracy[i, j] == pytest.approx(left.mean())
    reversed_columns = attack_table(models, dict(reversed(attacks.items())), images, y)
    np.testing.assert_array_equal(reversed_columns.accuracy, table.accuracy[:, ::-1])
    assert len(np.unique(table.accuracy)) > 2


def test_formats(models, images):
    """Fails if a figure or a name is missing from the table, its CSV or its LaTeX."""
    y = models["first"].predict(images, verbose=0).argmax(axis=1)
    table = attack_table(models, {"fgsm": FGSM(0.05)}, images, y)
    cells = [f"{100 * value:.2f} %" for value in table.accuracy[:, 0]]
    assert str(table).splitlines()[2].split() == ["first", "100.00", "%", *cells[0].split()]
    assert "30 images" in str(table)
    assert table.to_csv().splitlines()[1] == f"first,1.0,{float(table.accuracy[0, 0])!r}"
    assert rf"second & {100 * table.clean_accuracy[1]:.2f} \%" in table.to_latex()


def test_refusals(models, images):
    """Fails if a table of nothing is made, or images are clipped to a box of another attack."""
    y = np.zeros(30, int)
    with pytest.raises(ValueError, match="at least one model"):
        attack_table({}, {"fgsm": FGSM(0.1)}, images, y)
    with pytest.raises(ValueError, match="must name at least one model"):
        attack_table(list(models.values()), {"fgsm": FGSM(0.1)}, images, y)
    for attacks in ({}, {"a": "fgsm"}, {"a": FGSM(0.1), "b": FGSM(0.1, box=(0.0, 2.0))}):
        with pytest.raises(ValueError, match="attacks of one box by name"):
            attack_table(models, attacks, images, y)
