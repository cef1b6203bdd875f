"""The best classifier on disk: which epoch, which model, whole files only."""

import keras
import numpy as np
import pytest

import keras_mmc
from keras_mmc.attacks import PGD
from keras_mmc.callbacks import BestRobustCheckpoint

X, Y = np.random.default_rng(0).uniform(size=(32, 6)).astype("float32"), np.arange(32) % 3


def compiled(adversarial=False):
    """A plain classifier, and what is fitted: itself, or an `AdversarialModel` of it."""
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    fitted = keras_mmc.AdversarialModel(plain) if adversarial else plain
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    fitted.compile(keras.optimizers.SGD(0.5), loss)
    return plain, fitted


def scripted(name, values):
    """A callback that writes the values into the logs, one per epoch; `None` writes nothing."""

    def write(epoch, logs):
        if values[epoch] is not None:
            logs[name] = values[epoch]

    return keras.callbacks.LambdaCallback(on_epoch_end=write)


@pytest.mark.parametrize("adversarial", [False, True])
def test_the_file_holds_the_plain_classifier_of_the_best_epoch_so_far(adversarial, tmp_path):
    """Fails if an epoch that is worse, equal, NaN or not validated is saved, or the wrong model."""
    plain, fitted = compiled(adversarial)
    path = tmp_path / "new" / "best.keras"
    weights, held = [], []

    def look(epoch, logs):
        weights.append(plain.get_weights()[0])
        if path.exists():
            kernel = keras.models.load_model(path).get_weights()[0]
            held.append(next(i for i, w in enumerate(weights) if np.array_equal(w, kernel)))

    values = [float("nan"), 0.2, 0.5, 0.3, None, 0.5, 0.6]
    callbacks = [
        scripted("val_robust_accuracy", values),
        BestRobustCheckpoint(path),
        keras.callbacks.LambdaCallback(on_epoch_end=look),
    ]
    fitted.fit(X, Y, epochs=7, verbose=0, callbacks=callbacks)
    assert held == [1, 2, 2, 2, 2, 6]
    assert type(keras.models.load_model(path)) is keras.Sequential
    assert [p.name for p in path.parent.iterdir()] == ["best.keras"]


def test_an_adversarial_model_is_followed_without_further_ado(tmp_path):
    """Fails if the value that `AdversarialModel` reports by itself is not the default monitor."""
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    defense = keras_mmc.defenses.AdversarialTraining(PGD(0.02, steps=2))
    robust = keras_mmc.AdversarialModel(plain, defense)
    robust.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    best = BestRobustCheckpoint(tmp_path / "best.keras")
    data = {"x": X, "y": Y, "validation_data": (X, Y)}
    history = robust.fit(**data, epochs=3, verbose=0, callbacks=[best]).history
    assert best.best == max(history["val_robust_accuracy"])
    assert (tmp_path / "best.keras").exists()


def test_a_save_that_fails_leaves_the_older_file(tmp_path, monkeypatch):
    """Fails if the file is written in place, or a part of one stays behind."""
    path = tmp_path / "best.keras"
    path.write_bytes(b"older")
    asked = []

    def broken(model, filepath):
        asked.append(filepath)
        filepath.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save", broken)
    callbacks = [scripted("robust", [0.5]), BestRobustCheckpoint(path, monitor="robust")]
    with pytest.raises(OSError, match="disk full"):
        compiled()[1].fit(X, Y, verbose=0, callbacks=callbacks)
    assert path.read_bytes() == b"older"
    assert asked[0].parent == tmp_path and list(tmp_path.iterdir()) == [path]


def test_a_second_fit_goes_on_from_the_best(tmp_path):
    """Fails if the callback forgets its best and replaces a better file."""
    best = BestRobustCheckpoint(tmp_path / "best.keras", monitor="robust")
    _, model = compiled()
    model.fit(X, Y, verbose=0, callbacks=[scripted("robust", [0.5]), best])
    before = (tmp_path / "best.keras").read_bytes()
    model.fit(X, Y, verbose=0, callbacks=[scripted("robust", [0.4]), best])
    assert (tmp_path / "best.keras").read_bytes() == before


def test_a_value_that_is_not_there_is_named(tmp_path):
    """Fails if a wrong name, or a callback in the wrong order, goes unnoticed."""
    best = BestRobustCheckpoint(tmp_path / "best.keras", monitor="robust")
    late = scripted("robust", [0.5])
    with pytest.raises(
        ValueError, match=r"no value 'robust', only \['loss'\].*earlier in the list"
    ):
        compiled()[1].fit(X, Y, verbose=0, callbacks=[best, late])


def test_training_without_validation_warns(tmp_path):
    """Fails if a run ends without a file and without a word."""
    best = BestRobustCheckpoint(tmp_path / "best.keras")
    with pytest.warns(UserWarning, match=r"did nothing: .*'val_robust_accuracy'.*validation_data"):
        compiled()[1].fit(X, Y, verbose=0, callbacks=[best])


def test_another_suffix_is_refused():
    """Fails if Keras only refuses it after the first epoch."""
    with pytest.raises(ValueError, match=r"end in \.keras; received 'best\.h5'"):
        BestRobustCheckpoint("best.h5")


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_epoch(tmp_path):
    """Fails if a wrong path costs an epoch."""
    (tmp_path / "file").touch()
    best = BestRobustCheckpoint(tmp_path / "file" / "best.keras", monitor="robust")
    with pytest.raises(OSError, match="cannot be written"):
        best.on_train_begin()
