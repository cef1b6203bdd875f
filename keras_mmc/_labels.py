"""Class labels: one place that reads sparse and one-hot labels and refuses what does not fit."""

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._validation import shown

_ROW_SUM_TOLERANCE = 1e-3


def concrete(values: Tensor) -> np.ndarray | None:
    """The values as a NumPy array, or `None` while a function is traced and none are known."""
    if isinstance(values, keras.KerasTensor):
        return None
    try:
        return ops.convert_to_numpy(values)
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return None


def check_labels(labels: np.typing.ArrayLike, num_classes: int) -> np.ndarray:
    """Check labels whose values are known and return them as `int32` `(N,)`.

    They are integers of shape `(N,)` or `(N, 1)` in `[0, num_classes)`, or one-hot rows
    `(N, num_classes)`. A `ValueError` refuses labels that are not numeric, of another shape, not
    whole or out of range.

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
    values = values.astype("float64") if values.dtype.kind == "f" else values
    if _are_rows(values.shape, num_classes):
        sums = values.sum(axis=-1)
        if not np.allclose(sums, 1.0, atol=_ROW_SUM_TOLERANCE):
            raise ValueError(
                f"One-hot labels of shape {values.shape} must sum to 1 in every row; received row "
                f"sums between {sums.min():g} and {sums.max():g}."
            )
        return values.argmax(axis=-1).astype("int32")
    values = values.reshape(-1)
    if not np.all(np.isfinite(values)) or np.any(values != np.floor(values)):
        sample = np.array2string(values[:5], threshold=5) + (" ..." if values.size > 5 else "")
        raise ValueError(
            f"Labels must be whole numbers in [0, {num_classes}); received {sample}. "
            "Pass integer class ids or one-hot rows."
        )
    if values.size and (values.min() < 0 or values.max() >= num_classes):
        raise ValueError(
            f"Labels must lie in [0, {num_classes}); received values from {int(values.min())} to "
            f"{int(values.max())}. Start class ids at 0, or raise the number of classes."
        )
    return values.astype("int32")


def as_tensor(values: Tensor, what: str) -> Tensor:
    """Values as a tensor of real numbers, in their own dtype; refuses others with a `ValueError`.

    `what` they are stands at the beginning of the message.
    """
    if isinstance(values, keras.KerasTensor):
        return values
    try:
        tensor = ops.convert_to_tensor(values)
        dtype = keras.backend.standardize_dtype(tensor.dtype)
    except Exception as error:  # each backend has its own
        raise ValueError(
            f"{what} must be a tensor or array of real numbers; received {shown(values)}."
        ) from error
    if not dtype.startswith(("float", "bfloat", "int", "uint", "bool")):
        raise ValueError(f"{what} must be real numbers; received dtype {dtype}.")
    return tensor


def as_scores(scores: Tensor, what: str = "Scores") -> Tensor:
    """Scores `(N, K)` as a tensor of floats; refuses another rank or dtype with a `ValueError`."""
    scores = as_tensor(scores, what)
    known = getattr(scores.shape, "rank", 2) is not None
    if known and (len(scores.shape) != 2 or scores.shape[-1] == 0):
        raise ValueError(
            f"Expected scores of shape (N, K); received shape {tuple(scores.shape)}. Give the "
            "model one output per class and no further axes."
        )
    is_float = "float" in keras.backend.standardize_dtype(scores.dtype)
    return scores if is_float else ops.cast(scores, keras.config.floatx())


def check_rows(labels: Tensor, scores: Tensor, what: str = "labels") -> None:
    """Check that there is one label per row of scores, where static shapes are known.

    `labels` `(N, ...)` are called `what` in the message; features `(N, d)` will do as scores. A
    `ValueError` refuses scores of another rank and other numbers: nothing is broadcast.
    """
    scores_shape = tuple(scores.shape)
    if len(scores_shape) != 2:
        raise ValueError(
            f"Expected scores of shape (N, K); received shape {scores_shape}. Give the model one "
            "output per class and no further axes."
        )
    shape = tuple(labels.shape) if hasattr(labels, "shape") else np.shape(labels)
    if shape and None not in (shape[0], scores_shape[0]) and shape[0] != scores_shape[0]:
        raise ValueError(
            f"Received {shape[0]} {what} for {scores_shape[0]} rows of scores. Pass one per "
            "sample: nothing is broadcast."
        )


def label_distribution(labels: Tensor, scores: Tensor) -> Tensor:
    """Labels as one row of class weights per sample, `(N, K)`, in the dtype of the scores.

    Integer labels `(N,)` or `(N, 1)` become one-hot rows; rows `(N, K)`, one-hot or soft, are
    passed on. A label that is not a class id, or a row that does not sum to 1, gives a row of NaN:
    inside a compiled step no error can be raised, and a NaN loss is seen where a silently ignored
    sample is not. A `ValueError` refuses labels of another shape, or not one per row of scores.
    """
    labels, scores = as_tensor(labels, "Labels"), as_scores(scores)
    check_rows(labels, scores)
    num_classes = scores.shape[-1]
    if _are_rows(labels.shape, num_classes):
        rows = ops.cast(labels, scores.dtype)
        known = ops.abs(ops.sum(rows, axis=-1) - 1) <= _ROW_SUM_TOLERANCE
    else:
        labels = ops.reshape(labels, (-1,))
        ids = ops.cast(labels, "int32")
        rows = ops.one_hot(ids, num_classes, dtype=scores.dtype)
        known = (ids >= 0) & (ids < num_classes) & (ops.cast(ids, labels.dtype) == labels)
    return ops.where(known[:, None], rows, float("nan"))


def _are_rows(shape: tuple, num_classes: int) -> bool:
    """Whether labels of this shape are rows and not integers; refuses a shape of neither."""
    if len(shape) == 2 and shape[-1] == num_classes:
        return True
    if len(shape) == 1 or (len(shape) == 2 and shape[-1] in (1, None)):
        return False
    raise ValueError(
        f"Labels of shape {tuple(shape)} do not fit scores of {num_classes} classes. "
        f"Expected integers of shape (N,) or (N, 1), or one-hot rows (N, {num_classes})."
    )
