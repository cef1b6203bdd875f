"""Checks of the numbers and arrays that describe class centers."""

from typing import Any

import numpy as np

from keras_mmc._validation import is_count, is_number


def check_centers(centers: np.typing.ArrayLike) -> np.ndarray:
    """Check an array of class centers and return it as float64.

    It holds finite real numbers, one row per class: shape `(K, d)` with K >= 2 and d >= 1. The
    result is a new array.

    Example:
    >>> check_centers([[1, 0], [-1, 0]])
    array([[ 1.,  0.],
           [-1.,  0.]])
    """
    try:
        values = np.asarray(centers)
    except ValueError as error:
        raise ValueError(
            f"Centers must form a matrix (K, d); received rows that do not line up ({error}). "
            "Give every class the same number of coordinates."
        ) from error
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"Centers must be real numbers; received dtype {values.dtype}. "
            "Pass an array of floats of shape (K, d)."
        )
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise ValueError(
            f"Centers must have shape (K, d) with K >= 2 classes and d >= 1 coordinates; received "
            f"shape {values.shape}. Put one center in each row."
        )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise ValueError(
            f"Centers must be finite; received NaN or infinity in {bad.size} of {len(values)} rows,"
            f" the first in row {bad[0]}. Look at how this row was computed or stored."
        )
    return values.astype("float64")


def check_count(name: str, value: Any, least: int) -> int:
    """Return a whole number of at least `least` as a Python `int`; refuse anything else."""
    if not is_count(value, least):
        raise ValueError(
            f"`{name}` must be an integer of at least {least}; received {value!r} of type "
            f"{type(value).__name__}. Pass a whole number such as {name}={least}."
        )
    return int(value)


def check_scale(scale: Any) -> float:
    """Return a norm for the centers, C_MM, as a Python `float`; it is positive and finite."""
    if not (is_number(scale) and scale > 0):
        raise ValueError(
            f"`scale`, the norm of every center, must be a positive finite number; received "
            f"{scale!r}. The papers use scale=10 and scale=100."
        )
    return float(scale)


def check_sphere(
    num_classes: int, dim: int, scale: float, seed: int
) -> tuple[int, int, float, int]:
    """The four numbers that describe centers on a sphere, checked: K >= 2, d >= 1, seed >= 0."""
    num_classes, dim = check_count("num_classes", num_classes, 2), check_count("dim", dim, 1)
    return num_classes, dim, check_scale(scale), check_count("seed", seed, 0)


def check_norms(centers: np.ndarray) -> np.ndarray:
    """Return the norms `(K,)` of centers; refuse a center at the origin: it has no direction."""
    norms = np.linalg.norm(centers, axis=1)
    if not norms.all():
        raise ValueError(
            f"Center {int(np.argmin(norms))} lies at the origin and has no direction; expected "
            "every center to have a positive norm. Move it or leave it out."
        )
    return norms
