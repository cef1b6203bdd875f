"""Images in the form that an exported model takes them."""

from collections.abc import Callable
from typing import Any

import numpy as np


def in_batches_of(
    size: int | None, ask: Callable[[np.ndarray], np.ndarray], images: np.ndarray
) -> np.ndarray:
    """The answers of a model that takes `size` images at a time, any number if that is `None`.

    The last batch is filled with copies of its last image, whose answers are dropped.
    """
    if size is None:
        return ask(images)
    missing = -len(images) % size
    filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
    answers = [ask(filled[first : first + size]) for first in range(0, len(filled), size)]
    return np.concatenate(answers)[: len(images)]


def to_dtype(images: np.ndarray, dtype: Any) -> np.ndarray:
    """Float images in another dtype; whole numbers are rounded and stay within their range."""
    if np.dtype(dtype).kind in "iu":
        range_of = np.iinfo(dtype)
        images = np.clip(np.rint(images), range_of.min, range_of.max)
    return images.astype(dtype)
