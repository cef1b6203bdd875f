"""Names and files of `--model`."""

import keras
import pytest
from absl import app

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
