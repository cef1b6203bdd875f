"""Models that `--model` names."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import app

from keras_mmc._registration import register

if TYPE_CHECKING:
    import keras

    from keras_mmc.adapters import BlackBox

# Names of files that `train` gives to every model: the folder says more.
_PLAIN_NAMES = ("model", "best")


def named_paths(given: Sequence[str]) -> dict[str, str]:
    """Paths by name, of flags `path` or `name=path`.

    A path without a name gets that of its file, or of its folder if the file is one of `train`.

    Raises:
        UsageError: where two models have one name, or a name or path is empty.
    """
    paths: dict[str, str] = {}
    for text in given:
        name, path = _split(text)
        if not name or not path or name in paths:
            raise app.UsageError(
                "--model must be a path or name=path, with each name once; received "
                f"{', '.join(given)}. Two files of one folder need names: --model=first=PATH."
            )
        paths[name] = path
    return paths


def _split(text):
    name, equals, path = text.partition("=")
    if equals and "/" not in name and "\\" not in name:
        return name, path
    file = pathlib.Path(text)
    if file.stem in _PLAIN_NAMES and file.parent.name:
        return file.parent.name, text
    return file.stem, text


def load_any(path: str) -> keras.Model | BlackBox:
    """The model in a `.keras` file; a SavedModel directory or a `.tflite` file as a black box.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read.
    """
    place = pathlib.Path(path)
    if place.is_dir():
        from keras_mmc.adapters import from_saved_model

        return from_saved_model(path)
    if place.suffix == ".tflite" and place.is_file():
        from keras_mmc.adapters import from_tflite

        return from_tflite(path)
    check_exists(path, "a .keras file, a SavedModel directory, or a .tflite file.")
    return load(path)


def check_exists(path: str, expected: str) -> None:
    """Refuses a path where nothing is; `FileNotFoundError`."""
    if not pathlib.Path(path).exists():
        raise FileNotFoundError(f"there is nothing at {path}. Pass {expected}")


def load(path: str) -> keras.Model:
    """The model in a file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, asks for more weights than it holds, or Keras cannot read it.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(
            f"there is no file {path}. Pass a .keras file, such as `keras-mmc train` writes."
        )
    from keras_mmc.commands.keras_files import load_keras

    register()
    try:
        return load_keras(path)
    except Exception as error:  # Keras raises of every kind on a file that is not as it should be
        raise ValueError(
            f"{path} cannot be read as a Keras model: {str(error).rstrip('. ')}. Pass a .keras "
            "file that `model.save` wrote."
        ) from error
