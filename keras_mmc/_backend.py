"""The one check for parts that only run on TensorFlow."""

import keras


def require_tensorflow(part: str):
    """Refuse to load a TensorFlow-only part under another Keras backend.

    Args:
        part: what was asked for, as the user writes it.

    Raises:
        ImportError: if the Keras backend is not TensorFlow.
    """
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise ImportError(
            f"{part} needs the TensorFlow backend; the Keras backend is {backend!r}. Set "
            "KERAS_BACKEND=tensorflow before importing keras. Centers, layers, losses, metrics "
            "and models work on every backend, and a .keras file saved on one loads on another."
        )
