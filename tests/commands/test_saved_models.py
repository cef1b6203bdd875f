"""Names and files of `--model`."""

import json
import zipfile

import keras
import numpy as np
import pytest
from absl import app

import keras_mmc
from keras_mmc.commands import saved_models


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["runs/train/mmc/model.keras", "runs/train/softmax/best.keras"], ["mmc", "softmax"]),
        (["first=a.keras", "b.keras", "model.keras"], ["first", "b", "model"]),
        (["runs/lr=0.1/net.keras", "x=runs/lr=0.1/net.keras"], ["net", "x"]),
    ],
)
def test_names(given, names):
    """Fails if a path with a = is cut, or a model gets a name that says nothing."""
    found = saved_models.named_paths(given)
    assert list(found) == names
    assert all(path in text for path, text in zip(found.values(), given, strict=True))
    assert all(path.endswith(".keras") for path in found.values())


@pytest.mark.parametrize("given", [["=a.keras"], ["a="], ["a=x.keras", "b/a.keras"]])
def test_two_models_of_one_name(given):
    """Fails if one model takes the place of another, or a model has no name."""
    with pytest.raises(app.UsageError, match="with each name once"):
        saved_models.named_paths(given)


def test_what_cannot_be_loaded(tmp_path):
    """Fails if a file that Keras cannot read ends in another error than a mistake."""
    with pytest.raises(FileNotFoundError, match="there is no file"):
        saved_models.load(str(tmp_path / "none.keras"))
    unknown = tmp_path / "unknown.keras"

    class Unregistered(keras.layers.Layer):
        def call(self, x):
            return x

    keras.Sequential([keras.Input((2,)), Unregistered()]).save(unknown)
    for path in (unknown, tmp_path / "text.keras"):
        if path != unknown:
            path.write_text("no model")
        with pytest.raises(ValueError, match="cannot be read as a Keras model"):
            saved_models.load(str(path))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved network with a head of this package, and its parts by name."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    head = keras_mmc.MaxMahalanobisCenters(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, name="hidden"), head])
    model.compile("sgd", keras_mmc.MMCLoss())
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return path, {name: archive.read(name) for name in archive.namelist()}


def written(path, parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return str(path)


def asking_for(parts, layer, field, value):
    """The parts, but for a field of a layer in the configuration."""
    config = json.loads(parts["config.json"])
    config["config"]["layers"][layer]["config"][field] = value
    return {**parts, "config.json": json.dumps(config).encode()}


def test_weights_of_another_shape_than_the_file(saved, tmp_path):
    """Fails if memory is taken for what a configuration asks for and the file cannot hold."""
    path, parts = saved
    assert written(tmp_path / "same.keras", parts)
    again = saved_models.load(str(tmp_path / "same.keras"))
    x = np.ones((1, 4), "float32")
    np.testing.assert_array_equal(again(x), keras.models.load_model(path)(x))
    for layer, field in ((1, "units"), (2, "num_classes")):
        hostile = written(tmp_path / "h.keras", asking_for(parts, layer, field, 10**7))
        with pytest.raises(ValueError, match=r"h.keras cannot be read.* asks for [0-9,]+ weights"):
            saved_models.load(hostile)
    # Nothing of the guard is left behind.
    assert keras.layers.Dense(10**4)(np.ones((1, 2), "float32")).shape == (1, 10**4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content, parts: content[: len(content) // 2], "damaged or no .keras file"),
        (lambda content, parts: content[:10], "damaged or no .keras file"),
        (lambda content, parts: b"", "damaged or no .keras file"),
        (
            lambda content, parts: content.replace(parts["metadata.json"], b"x" * 64),
            "damaged",
        ),
    ],
)
def test_damaged_files(saved, tmp_path, change, message):
    """Fails if a file that is there is said not to be found."""
    path, parts = saved
    (tmp_path / "d.keras").write_bytes(change(path.read_bytes(), parts))
    with pytest.raises(ValueError, match=rf"d.keras cannot be read as a Keras model: .*{message}"):
        saved_models.load(str(tmp_path / "d.keras"))


def test_archives_that_hold_something_else(saved, tmp_path):
    """Fails if Keras is asked to look into an archive that is no model, or a bomb."""
    _, parts = saved
    with pytest.raises(ValueError, match=r"must hold config.json and model.weights.h5; it holds a"):
        saved_models.load(written(tmp_path / "a.keras", {"a": b"1"}))
    with zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr("assets/zeros", bytes(2**25))
    with pytest.raises(ValueError, match=r"b.keras .*unpack to more than 100 times its size"):
        saved_models.load(str(tmp_path / "b.keras"))
