"""Labeled images of every form that Keras trains on, as two arrays."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

_IMAGES = ("image", "images", "x", "pixel_values")
_LABELS = ("label", "labels", "y", "target")


def is_dataset(data: Any) -> bool:
    """Whether data are batches of images and labels, such as a `tf.data.Dataset`, and no array."""
    if isinstance(data, (tf.data.Dataset, keras.utils.PyDataset)):
        return True
    if isinstance(data, (np.ndarray, list, tuple)) or hasattr(data, "dtype"):
        return False
    return isinstance(data, Iterable) or hasattr(data, "__getitem__")


def to_arrays(
    data: Any, y: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None]:
    """Images `(N, ...)`, labels and, where the data know them, the names of the classes.

    Args:
        data: an array of images; or batches of images and labels: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, or anything with a length that can be iterated or indexed, such
            as a `DataLoader`. A batch is `(images, labels)`, `(images, labels, weights)`, of which
            weights are not used, or a dict with `"image"` and `"label"`, as TensorFlow Datasets
            gives.
        y: labels of an array of images; left out beside batches, which hold them.

    Returns:
        Images and labels in the dtype they came in, and `class_names` of the data or `None`.

    Raises:
        ValueError: for data without end or length, elements of another form, single images instead
            of batches, images of several sizes, or labels beside batches.

    Example:
    >>> folder = keras.utils.image_dataset_from_directory("photos", image_size=(64, 64))
    >>> x, y, class_names = keras_mmc.datasets.to_arrays(folder)
    """
    if not is_dataset(data):
        return np.asarray(data), None if y is None else np.asarray(y), None
    if y is not None:
        raise ValueError("`x` is a data set that holds the labels; leave `y` as None.")
    pairs = [pair_of(element) for element in _batches(data)]
    if not pairs:
        raise ValueError("Images with their labels are needed; the data set is empty.")
    images, labels = ([np.asarray(part) for part in parts] for parts in zip(*pairs, strict=True))
    if labels[0].ndim == 0:
        raise ValueError(
            "The elements of the data set must be batches; received single images. Pass "
            "`dataset.batch(128)`."
        )
    sizes = sorted({part.shape[1:] for part in images})
    if len(sizes) > 1:
        raise ValueError(
            f"Images of one size are needed; the data set holds {len(sizes)} sizes, such as "
            f"{sizes[0]} and {sizes[1]}. Resize them."
        )
    names = getattr(data, "class_names", None)
    return np.concatenate(images), np.concatenate(labels), tuple(names) if names else None


def first_batch(data: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels of the first batch; `None` of what can be read only once."""
    if isinstance(data, tf.data.Dataset):
        element = next(iter(data.take(1).as_numpy_iterator()), None)
    elif hasattr(data, "__getitem__"):
        element = data[0]
    else:
        return None
    if element is None:
        return None
    x, y = pair_of(element)
    return np.asarray(x), np.asarray(y)


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, tf.data.Dataset):
        if data.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "The data set never ends. Leave `repeat()` out, or pass `dataset.take(n)`."
            )
        return iter(data.as_numpy_iterator())
    if not hasattr(data, "__len__"):
        raise ValueError(
            f"A data set with a length is needed; received {type(data).__name__}, which may never "
            "end. Pass `list(...)` of its batches as `tf.data.Dataset.from_generator(...).take(n)`."
        )
    if hasattr(data, "__getitem__"):
        return (data[i] for i in range(len(data)))
    return iter(data)


def pair_of(element: Any) -> Sequence[Any]:
    """The images and labels of a batch, which may be a tuple of 2 or 3 or a dict."""
    if isinstance(element, Mapping):
        found = [
            next((element[name] for name in names if name in element), None)
            for names in (_IMAGES, _LABELS)
        ]
        if found[0] is not None and found[1] is not None:
            return found
        raise ValueError(
            "A batch that is a dict must hold images as 'image' and labels as 'label'; received "
            f"the keys {sorted(map(str, element))}. Pass `dataset.map(...)` that returns the two."
        )
    if isinstance(element, (tuple, list)) and len(element) in (2, 3):
        nested = any(isinstance(part, (Mapping, tuple)) for part in element[:2])
        if not nested:
            return element[:2]
    raise ValueError(
        "A data set of batches (images, labels) is needed; its elements are "
        f"{_described(element)}. Pass `dataset.map(...)` that returns the two."
    )


def _described(element):
    if isinstance(element, (tuple, list)):
        return f"{type(element).__name__}s of {', '.join(_described(part) for part in element)}"
    return f"a {type(element).__name__} of shape {np.shape(element)}"
