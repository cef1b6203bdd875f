"""Keras loads the classes in a saved model by their registered names: importing registers them."""

import importlib
import pathlib
import sys

CORE = ("adapters", "centers", "layers", "losses", "metrics", "models", "objectives")


def is_command_line() -> bool:
    """Whether this process is `python -m keras_mmc` or `keras-mmc`: both load models late.

    They answer `--help` and mistakes before Keras, which takes seconds to import, is needed.
    """
    arguments = getattr(sys, "argv", None) or [""]
    if arguments[0] == "-m":  # Python is still looking for the module that it was asked to run
        return sys.orig_argv[-len(arguments)] in ("keras_mmc", "-mkeras_mmc")
    return pathlib.Path(arguments[0]).stem == "keras-mmc"


def register() -> None:
    """Import every module whose classes may be part of a saved model."""
    import keras  # 3 s to import, only needed here

    for name in CORE:
        importlib.import_module(f"keras_mmc.{name}")
    if keras.config.backend() == "tensorflow":
        importlib.import_module("keras_mmc.training")
