"""Files written by earlier releases load, with the same scores, or say why they do not."""

import json
import pathlib
import zipfile

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


# Losses as 0.1.0 wrote them.
COMMON = {"reduction": "sum_over_batch_size", "dtype": "float32"}
ELASTIC = {
    "module": "keras_mmc.losses.mmc",
    "class_name": "ElasticMMCLoss",
    "config": {"name": "elastic_mmc_loss", **COMMON, "radius": 2.0},
    "registered_name": "keras_mmc>ElasticMMCLoss",
}
CENTER = {
    "module": "keras_mmc.losses.cross_entropy",
    "class_name": "CenterLoss",
    "config": {"name": "center_loss", **COMMON, "weight": 0.01},
    "registered_name": "keras_mmc>CenterLoss",
}


@pytest.fixture
def old_file(tmp_path):
    """A function that saves a model, with a compiled loss as an old file has it."""

    def save(model, loss):
        new, old = tmp_path / "new.keras", tmp_path / "old.keras"
        model.save(new)
        with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
            for name in source.namelist():
                content = source.read(name)
                if name == "config.json":
                    config = json.loads(content)
                    config["compile_config"]["loss"] = loss
                    content = json.dumps(config)
                target.writestr(name, content)
        return old

    return save


def model_with(head):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), head])


X, Y = np.random.default_rng(0).uniform(size=(6, 4)).astype("float32"), np.arange(6) % 3


def test_the_shell_that_was_called_elastic(old_file):
    """Fails if such a file trains another loss than it did, or the message names no way on."""
    with pytest.raises(ValueError, match=r"now ShellMMCLoss\(radius=2.0\)"):
        keras.losses.deserialize(ELASTIC)
    model = model_with(keras_mmc.MaxMahalanobisCenters(3))
    model.compile("sgd", keras_mmc.MMCLoss())
    path = old_file(model, ELASTIC)
    with pytest.raises(ValueError, match=r"radius.*ShellMMCLoss.*compile=False"):
        keras.models.load_model(path)
    loaded = keras.models.load_model(path, compile=False)
    np.testing.assert_array_equal(loaded(X), model(X))
    loaded.compile("sgd", keras_mmc.ShellMMCLoss(radius=2.0))
    assert np.isfinite(loaded.fit(X, Y, verbose=0).history["loss"]).all()


def test_the_center_loss_of_learned_centers(old_file):
    """Fails if such a file trains cross-entropy alone, or the message names no way on."""
    model = model_with(keras_mmc.LearnedCenters(3))
    model.compile("sgd", keras_mmc.MMLDALoss())
    loaded = keras.models.load_model(old_file(model, CENTER))
    np.testing.assert_array_equal(loaded(X), model(X))
    with pytest.raises(ValueError, match=r"CenterLoss had in 0.1.0.*LGMLoss\(margin=0"):
        loaded.fit(X, Y, verbose=0)
    loaded.compile("sgd", keras_mmc.LGMLoss(margin=0, weight=0.01))
    assert np.isfinite(loaded.fit(X, Y, verbose=0).history["loss"]).all()


def test_the_center_loss_of_an_adversarial_model(old_file):
    """Fails if such a file loads with another loss, or cannot be loaded to go on."""
    robust = keras_mmc.AdversarialModel(model_with(keras_mmc.LearnedCenters(3)))
    robust.compile("sgd", keras_mmc.MMLDALoss())
    path = old_file(robust, CENTER)
    with pytest.raises(ValueError, match=r"CenterLoss had in 0.1.0.*LGMLoss\(margin=0"):
        keras.models.load_model(path)
    loaded = keras.models.load_model(path, compile=False)
    loaded.compile("sgd", keras_mmc.LGMLoss(margin=0, weight=0.01))
    assert np.isfinite(loaded.fit(X, Y, verbose=0).history["loss"]).all()
