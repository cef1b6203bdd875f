"""What attacks and evaluations refuse, at the door: models, images, labels, targets and scores."""

from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._labels import check_labels
from keras_mmc._validation import is_count

RANDOM = (
    "Two forward passes of the same images differ: the model is random at inference. Fix its seed "
    "or turn the random layers off; these attacks do not average over noise."
)


def check_call(model: Any, batch_size: Any, seed: Any) -> None:
    """Checks what comes with the images in a call.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """
    if not isinstance(model, keras.Layer):
        raise ValueError(
            f"A Keras model is attacked; received {model!r}. Wrap a function of tensors into "
            "`keras.Sequential([keras.layers.Lambda(fn)])`, or call `search` with it; one of NumPy "
            "arrays into `keras_mmc.adapters.BlackBox(fn)`."
        )
    if not is_count(batch_size):
        raise ValueError(f"`batch_size` must be a positive integer; received {batch_size!r}.")
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**31:
        raise ValueError(f"`seed` must be an integer in [0, 2**31); received {seed!r}.")


def check_targets_fit(attack: Any, targets: Any) -> None:
    """Refuses targets for an attack that has none.

    Raises:
        ValueError: if there are any.
    """
    if targets is not None and not attack.targeted:
        raise ValueError(
            f"`targets` were given, but {attack!r} is not targeted. Make the attack with "
            "targeted=True, or leave `targets` out."
        )


def check_images(x: ArrayLike, box: tuple[float, float]) -> np.ndarray:
    """The images as a NumPy array, float64 if they came so and float32 if not.

    Whole numbers are pixels where the box is wider than 1, as `(0, 255)` is.

    Raises:
        ValueError: if they are no real numbers of rank 2 or more, not finite, or outside the box.
    """
    if not isinstance(x, np.ndarray) and not hasattr(x, "__array__") and hasattr(x, "__iter__"):
        _check_no_batches(x)
    x = np.asarray(x)
    low, high = box
    if x.dtype.kind in "iub" and high - low <= 1:
        raise ValueError(
            f"Images must be floats in [{low:g}, {high:g}]; received dtype {x.dtype}. For pixels "
            "from 0 to 255 pass `x.astype('float32') / 255` to a model trained on that range, or "
            "`box=(0, 255)` where the model takes them as they are."
        )
    if x.dtype != np.float64:
        if not _is_real(x.dtype):
            raise ValueError(
                f"Images must be arrays of real numbers; received dtype {x.dtype}. Pass "
                "`x.astype('float32')`; of a data set `keras_mmc.datasets.to_arrays` makes arrays."
            )
        # 16 bits cannot hold small perturbations.
        x = x.astype("float32", copy=False)
    if x.ndim < 2:
        raise ValueError(
            f"Images must come as a batch of shape (N, ...); received shape {x.shape}. Pass "
            "`x[None]` for one image."
        )
    broken = np.flatnonzero(~np.isfinite(x).all(axis=tuple(range(1, x.ndim))))
    if broken.size:
        raise ValueError(
            f"Images must be finite; {broken.size} of {len(x)} hold NaN or infinity, the first at "
            f"index {broken[0]}. Repair or drop them."
        )
    if x.size and (x.min() < low or x.max() > high):
        mend = "Divide by 255" if x.min() >= low and x.max() > 2 * high else "Clip or rescale them"
        raise ValueError(
            f"Images must lie in the box [{low:g}, {high:g}]; received values from {x.min():g} to "
            f"{x.max():g}. {mend}, keep normalization inside the model, or pass the attack "
            "another `box`."
        )
    return x


def _is_real(dtype):
    return dtype.kind in "iubf" or dtype.name == "bfloat16"


def _check_no_batches(x):
    """Refuses a data set: nested lists of numbers are the only images that are no array."""
    if not isinstance(x, (list, tuple)):
        raise ValueError(
            f"Arrays of images are needed here; received a {type(x).__name__}. Pass "
            "`x, y, _ = keras_mmc.datasets.to_arrays(dataset)`."
        )


def check_classes(values: ArrayLike, count: int, num_classes: int, name: str) -> np.ndarray:
    """Class ids, `labels` or `targets`, as `int32` of shape `(N,)`.

    They may come as `(N, 1)`, as one-hot rows `(N, K)`, or as whole numbers of any real dtype.

    Raises:
        ValueError: for anything else, or if one is not in `[0, K)`.
    """
    ids = np.asarray(values)
    received = f"received dtype {ids.dtype}, shape {ids.shape}"
    if ids.ndim == 2 and ids.shape[1] == num_classes:
        ids = _of_one_hot(ids, name)
    elif ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.shape != (count,) or not _is_real(ids.dtype):
        raise ValueError(
            f"`{name}` must be integers of shape ({count},), one per image, or one-hot rows; "
            f"{received}."
        )
    return check_labels(ids if ids.dtype.kind in "iu" else ids.astype("float64"), num_classes)


def _of_one_hot(rows, name):
    ids = rows.argmax(axis=1)
    if not np.array_equal(rows, np.eye(rows.shape[1])[ids]):
        raise ValueError(
            f"Rows of `{name}` must be one-hot; some of them are spread over several classes. Pass "
            f"`{name}.argmax(axis=-1)` if the largest entry is the class."
        )
    return ids


def check_targets(targets: ArrayLike, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The targets, one per image, as int32.

    Raises:
        ValueError: if they are no classes, or one is the label itself.
    """
    targets = check_classes(targets, len(labels), num_classes, "targets")
    same = np.flatnonzero(targets == labels)
    if same.size:
        raise ValueError(
            f"A target must differ from the label; {same.size} of {len(labels)} do not, the first "
            f"at index {same[0]} (class {labels[same[0]]}). Leave targets=None to draw them among "
            "the wrong classes."
        )
    return targets


def as_precise_as(x: np.ndarray, found: np.ndarray, box: tuple[float, float]) -> np.ndarray:
    """Images found in float32, in the dtype of `x`: pixels that did not move keep all digits."""
    if x.dtype == found.dtype:
        return found
    moved = found != x.astype(found.dtype)
    return np.where(moved, np.clip(found.astype(x.dtype), *box), x)


def check_scores(scores: np.ndarray) -> None:
    """Refuses outputs of a model on clean images that are not scores `(N, K)`.

    Raises:
        ValueError: if the shape is not `(N, K)` with K >= 2, if there are NaN or infinities, or if
            the rows are probabilities.
    """
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"The model must return scores of shape (N, K) with K >= 2; received shape "
            f"{scores.shape}. Give it one output per class; a sigmoid classifier becomes the two "
            "scores [0, logit]."
        )
    broken = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if broken.size:
        what = "NaN" if np.isnan(scores).any() else "infinite"
        raise ValueError(
            f"The model returns {what} scores on {broken.size} of {len(scores)} clean images, so "
            "there is nothing to attack. Check its weights: a diverged training leaves them NaN; "
            "a lower learning rate or gradient clipping mends that. Classes that are masked out "
            "need a low finite score."
        )
    # Probabilities that were rounded to bfloat16 sum to 1 within a few thousandths.
    if (scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < 0.02).all():
        raise ValueError(
            "Scores (logits) expected, but every output row is non-negative and sums to 1: the "
            "model ends in a softmax, which hides gradients from attacks. Remove the softmax and "
            "train with from_logits=True."
        )
