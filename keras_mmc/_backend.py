"""What the package asks of Keras: a backend, and how it names tensors and objects."""

import re
from typing import Any

import keras

Tensor = Any
"""A tensor of whichever backend Keras runs on, or an array that becomes one."""


def snake_case(name: str) -> str:
    """The name of a class as Keras would name its instances.

    Example:
    >>> snake_case("ElasticMMCLoss")
    'elastic_mmc_loss'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def require_tensorflow(part: str) -> None:
    """Refuses with an `ImportError` to load a TensorFlow-only part under another Keras backend."""
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise ImportError(
            f"{part} needs the TensorFlow backend; the Keras backend is {backend!r}. Set "
            "KERAS_BACKEND=tensorflow before importing keras. Centers, layers, losses, metrics "
            "and models work on every backend, and a .keras file saved on one loads on another."
        )
