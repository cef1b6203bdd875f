"""Arrays of real numbers that come from outside."""

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
