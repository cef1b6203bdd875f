"""Class labels: one place that reads sparse and one-hot labels and refuses what does not fit."""

import keras
import numpy as np
from keras import ops


def concrete(values):
    """The values as a NumPy array, or `None` while a function is being traced.

    Labels can only be checked where their values are known: in eager calls, not in a graph.
    """
    if isinstance(values, keras.KerasTensor):
        return None
    try:
        return ops.convert_to_numpy(values)
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return None


def check_labels(labels, num_classes: int) -> np.ndarray:
    """Check labels whose values are known and return them as integers.

    Args:
        labels: integers of shape `(N,)` or `(N, 1)`, or one-hot rows `(N, num_classes)`.
        num_classes: number of classes K; labels lie in `[0, K)`.

    Returns:
        `int32` array of shape `(N,)`.

    Raises:
        ValueError: if the labels are not numeric, have another shape, are not whole numbers or
            lie outside `[0, K)`.

    Example:
    >>> keras_mmc._labels.check_labels([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], num_classes=3)
    array([1, 0], dtype=int32)
    """
    values = np.asarray(labels)
    if values.dtype.kind not in "iufb":
        raise ValueError(
            f"Labels must be numbers; received dtype {values.dtype}. "
            f"Map class names to the integers 0..{num_classes - 1} first."
        )
    _check_label_shape(values.shape, num_classes)
    values = values.astype("float64") if values.dtype.kind == "f" else values
    if values.ndim == 2 and values.shape[-1] == num_classes:
        if not np.allclose(values.sum(axis=-1), 1.0, atol=1e-3):
            raise ValueError(
                f"One-hot labels of shape {values.shape} must sum to 1 in every row; received row "
                f"sums between {values.sum(axis=-1).min():g} and {values.sum(axis=-1).max():g}."
            )
        return values.argmax(axis=-1).astype("int32")
    values = values.reshape(-1)
    if not np.all(np.isfinite(values)) or np.any(values != np.floor(values)):
        raise ValueError(
            f"Labels must be whole numbers in [0, {num_classes}); received {_sample(values)}. "
            "Pass integer class ids or one-hot rows."
        )
    if values.size and (values.min() < 0 or values.max() >= num_classes):
        raise ValueError(
            f"Labels must lie in [0, {num_classes}); received values from {int(values.min())} to "
            f"{int(values.max())}. Start class ids at 0, or raise the number of classes."
        )
    return values.astype("int32")


def label_distribution(labels, scores):
    """Labels as one row of class weights per sample, in the dtype of the scores.

    Integer labels `(N,)` or `(N, 1)` become one-hot rows; rows `(N, K)`, one-hot or soft, are
    passed on. A label outside `[0, K)` gives a row of NaN: inside a compiled step no error can be
    raised, and a NaN loss is seen where a silently ignored sample is not.

    Raises:
        ValueError: if the shape of the labels fits neither form.
    """
    num_classes = scores.shape[-1]
    labels = ops.convert_to_tensor(labels)
    _check_label_shape(labels.shape, num_classes)
    if len(labels.shape) == 2 and labels.shape[-1] == num_classes:
        return ops.cast(labels, scores.dtype)
    ids = ops.cast(ops.reshape(labels, (-1,)), "int32")
    known = ops.logical_and(ids >= 0, ids < num_classes)
    one_hot = ops.one_hot(ids, num_classes, dtype=scores.dtype)
    return ops.where(known[:, None], one_hot, float("nan"))


def _check_label_shape(shape, num_classes):
    sparse = len(shape) == 1 or (len(shape) == 2 and shape[-1] == 1)
    one_hot = len(shape) == 2 and shape[-1] in (num_classes, None)
    if not (sparse or one_hot):
        raise ValueError(
            f"Labels of shape {tuple(shape)} do not fit scores of {num_classes} classes. "
            f"Expected integers of shape (N,) or (N, 1), or one-hot rows (N, {num_classes})."
        )


def _sample(values):
    return np.array2string(values[:5], threshold=5) + (" ..." if values.size > 5 else "")
