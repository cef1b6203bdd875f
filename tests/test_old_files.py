"""Files written by earlier releases load, with the same scores."""

import pathlib

import keras
import numpy as np
import pytest

import keras_mmc

FILES = pathlib.Path(__file__).parent / "files_of_0_1_0"


@pytest.mark.parametrize("name", ["mmc", "trades", "fast"])
def test_scores_are_those_of_the_release_that_wrote_them(name):
    """Fails if a module, class or field that old files name is gone, or means something else."""
    stored = np.load(FILES / "scores.npz")
    model = keras.models.load_model(FILES / f"{name}.keras")
    scores = model.predict(stored["x"], verbose=0)
    np.testing.assert_allclose(scores, stored[name], rtol=1e-5, atol=1e-5)
    history = model.fit(stored["x"], np.arange(4) % 3, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_fields_of_old_files():
    """Fails if a parameter of a defense or regularizer is lost on loading."""
    trades = keras.models.load_model(FILES / "trades.keras")
    attack = keras_mmc.attacks.PGD(0.1, steps=2)
    assert trades.defense == keras_mmc.defenses.TRADES(attack, beta=2.0)
    assert trades.regularizer == keras_mmc.regularizers.EffectiveMarginRegularizer(0.5, 40.0)
    fast = keras.models.load_model(FILES / "fast.keras")
    expected = keras_mmc.defenses.FastAdversarialTraining(0.1).training_attack
    assert fast.defense.training_attack == expected
