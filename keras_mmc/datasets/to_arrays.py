"""Labeled images of every form that Keras trains on, as two arrays."""

import os
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
    if isinstance(data, list):  # of batches, or rows of pixels
        return bool(data) and isinstance(data[0], (tuple, Mapping))
    if isinstance(data, (np.ndarray, tuple, Mapping, str, os.PathLike)) or hasattr(data, "dtype"):
        return False
    return isinstance(data, Iterable) or hasattr(data, "__getitem__")


def only_input(x: Any) -> Any:
    """The images in a dict of one, as Keras takes them for a model with a named input.

    Raises:
        ValueError: for several inputs, of which attacks change one.
    """
    if isinstance(x, Mapping) and len(x) == 1:
        return next(iter(x.values()))
    named = isinstance(x, Mapping)
    listed = isinstance(x, (list, tuple)) and any(hasattr(part, "dtype") for part in x)
    if named or (listed and len({np.shape(part) for part in x}) > 1):
        held = f"a dict with the keys {sorted(map(str, x))}" if named else f"{len(x)} arrays"
        raise ValueError(
            f"One array of images is needed; received {held}. Attacks change one input: make a "
            "model in which the others are constants, and pass the images alone."
        )
    return x


def to_arrays(
    data: Any, y: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None]:
    """Images `(N, ...)`, labels and, where the data know them, the names of the classes.

    Args:
        data: an array of images, or a dict of one; a pair of images and labels, or a dict of them;
            or batches of images and labels: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, or anything with a length that can be iterated or indexed, such
            as a `DataLoader`, or a list. A batch is `(images, labels)`,
            `(images, labels, weights)`, of which weights are not used, or a dict with `"image"` and
            `"label"`, as TensorFlow Datasets gives.
        y: labels of an array of images, or of batches of images alone; left out beside batches
            that hold them.

    Returns:
        Images and labels in the dtype they came in, and `class_names` of the data or `None`.

    Raises:
        ValueError: for data without end or length, elements of another form, single images instead
            of batches, images of several sizes, or labels beside batches.

    Example:
    >>> folder = keras.utils.image_dataset_from_directory("photos", image_size=(64, 64))
    >>> x, y, class_names = keras_mmc.datasets.to_arrays(folder)
    """
    if isinstance(data, (str, os.PathLike)):
        raise ValueError(
            f"Images are needed; received the path {str(data)!r}. Pass what "
            "`keras.utils.image_dataset_from_directory(path)` returns."
        )
    if isinstance(data, (list, tuple)) and any(isinstance(d, tf.data.Dataset) for d in data):
        raise ValueError(f"One data set is needed; received {len(data)} of them. Pass one.")
    if not is_dataset(data):
        if y is None and _is_pair(data):
            data, y = pair_of(data)
        return np.asarray(only_input(data)), None if y is None else np.asarray(y), None
    if y is not None:
        return _with_labels(data, y)
    pairs = [pair_of(element) for element in _batches(data)]
    if not pairs:
        raise ValueError("Images with their labels are needed; the data set is empty.")
    images, labels = ([np.asarray(part) for part in parts] for parts in zip(*pairs, strict=True))
    if labels[0].ndim == 0:
        raise ValueError(
            "The elements of the data set must be batches; received single images. Pass "
            "`dataset.batch(128)`, or a loader that makes batches of it."
        )
    sizes = sorted({part.shape[1:] for part in images})
    if len(sizes) > 1:
        raise ValueError(
            f"Images of one size are needed; the data set holds {len(sizes)} sizes, such as "
            f"{sizes[0]} and {sizes[1]}. Resize them."
        )
    return np.concatenate(images), np.concatenate(labels), class_names_of(data)


def class_names_of(data: Any) -> tuple[str, ...] | None:
    """The names of the classes that a data set, or what it was made of, knows, or `None`."""
    while data is not None:
        names = getattr(data, "class_names", None) or getattr(data, "class_indices", None)
        if names:  # a dict of numbers by name, in their order, or a list
            return tuple(map(str, names))
        data = getattr(data, "_input_dataset", None)
    return None


def _is_pair(data):
    if isinstance(data, Mapping):
        return len(data) > 1
    return isinstance(data, tuple) and len(data) in (2, 3) and np.ndim(data[0]) > np.ndim(data[1])


def _with_labels(data, y):
    """Images of batches of images alone, beside labels."""
    elements = list(_batches(data))
    nested = [element for element in elements if isinstance(element, (tuple, list, Mapping))]
    if any(len(element) > 1 for element in nested):
        raise ValueError("`x` is a data set that holds the labels; leave `y` as None.")
    images = [only_input(element) for element in elements]
    if not images:
        raise ValueError("Images with their labels are needed; the data set is empty.")
    return np.concatenate([np.asarray(part) for part in images]), np.asarray(y), None


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
            return only_input(found[0]), found[1]
        raise ValueError(
            "A batch that is a dict must hold images as 'image' and labels as 'label'; received "
            f"the keys {sorted(map(str, element))}. Pass `dataset.map(...)` that returns the two."
        )
    if isinstance(element, (tuple, list)) and len(element) in (2, 3):
        images, labels = element[:2]
        if isinstance(images, Mapping) and len(images) == 1:
            images = only_input(images)
        if not any(isinstance(part, (Mapping, tuple)) for part in (images, labels)):
            return images, labels
    raise ValueError(
        "A data set of batches (images, labels) is needed; its elements are "
        f"{_described(element)}. Pass `dataset.map(...)` that returns the two."
    )


def _described(element):
    if isinstance(element, (tuple, list)):
        return f"{type(element).__name__}s of {', '.join(_described(part) for part in element)}"
    return f"a {type(element).__name__} of shape {np.shape(element)}"
