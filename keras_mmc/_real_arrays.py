"""Arrays that come from outside: of real numbers, and of the shape that a model takes."""

from typing import Any

import numpy as np

from keras_mmc._validation import shown


def real_array(owner: str, name: str, value: Any, ndim: int | None = None) -> np.ndarray:
    """The value as a NumPy array of real numbers, in the dtype it came in.

    Args:
        owner: the function it is for.
        name: name of its parameter.
        value: array, or nested lists of numbers.
        ndim: number of axes, if one is needed.

    Raises:
        ValueError: naming the owner, the parameter, what was expected and what came.
    """
    try:
        array = np.asarray(value)
    except Exception:  # rows that do not line up, tensors of a graph, objects that are no arrays
        array = np.empty(0, dtype=object)
    is_real = array.dtype.kind in "biuf" or array.dtype.name == "bfloat16"
    if not is_real or ndim not in (None, array.ndim):
        axes = "" if ndim is None else f" with {ndim} axes"
        came = f"shape {array.shape}" if is_real else shown(value)
        raise ValueError(
            f"{owner}: `{name}` must be an array of real numbers{axes}; received {came}."
        )
    return array


def check_batch(owner: str, name: str, value: Any, model: Any) -> None:
    """Refuses an array that is empty, or no batch of what a model takes, as far as both are known.

    Args:
        owner: the function it is for.
        name: name of its parameter.
        value: what goes to `model.predict`: only that which has a shape is looked at.
        model: a Keras model.

    Raises:
        ValueError: naming the owner, the parameter, what was expected and what came.
    """
    if value is None or (isinstance(value, (list, tuple, dict)) and not value):
        raise ValueError(f"{owner}: `{name}` must be a batch of inputs; received {shown(value)}.")
    shape, takes = getattr(value, "shape", None), getattr(model, "input_shape", None)
    if shape is None or not isinstance(takes, tuple):
        return
    shape = tuple(shape)
    # Keras adds and drops a last axis of 1, and refuses other numbers of axes.
    pairs = zip(shape[1:], takes[1:], strict=False) if len(shape) == len(takes) else ()
    other = any(None not in pair and pair[0] != pair[1] for pair in pairs)
    if not shape or shape[0] == 0 or other:
        raise ValueError(
            f"{owner}: `{name}` must be a batch of what the model takes, shape {takes}, one at "
            f"least; received shape {shape}."
        )
