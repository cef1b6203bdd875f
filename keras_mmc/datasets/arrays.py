"""Images and labels as arrays: float32 in [0, 1], checked, split by seed."""

import numpy as np

from keras_mmc._labels import check_labels
from keras_mmc._validation import check_count
from keras_mmc.datasets.registry import info

SPLITS = ("train", "validation", "test")
VALIDATION_FRACTION = 0.1
_DIGITS_TEST_SIZE = 360


def load_arrays(name: str, split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Load one split of a data set into memory.

    "digits" is scikit-learn's and needs no network; the others come through TensorFlow Datasets,
    which reads the directory in `TFDS_DATA_DIR` or downloads to `~/tensorflow_datasets`.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10" or "cifar100".
        split: "train", "validation" or "test". The validation split is a tenth of the training
            images, drawn by `seed`; "train" is the rest.
        seed: seed of the validation draw.

    Returns:
        Images `(N, H, W, C)`, float32 in [0, 1], and labels `(N,)`, int32.

    Raises:
        ValueError: for an unknown name or split.

    Example:
    >>> x, y = keras_mmc.datasets.load_arrays("digits", "test")
    >>> x.shape
    (360, 8, 8, 1)
    """
    info(name)
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; expected one of {', '.join(SPLITS)}.")
    pixels, labels = _read(name, "test" if split == "test" else "train")
    if split != "test":
        order = np.random.default_rng(seed).permutation(len(labels))
        held_out = round(VALIDATION_FRACTION * len(labels))
        chosen = np.sort(order[:held_out] if split == "validation" else order[held_out:])
        pixels, labels = pixels[chosen], labels[chosen]
    top = 16 if name == "digits" else 255
    return np.divide(pixels, top, dtype="float32"), labels.astype("int32")


def check_dataset(
    images: np.typing.ArrayLike,
    labels: np.typing.ArrayLike | None = None,
    num_classes: int | None = None,
    box: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Check images, and labels beside them, before anything is trained or attacked on them.

    Args:
        images: array `(N, H, W, C)` of a floating-point dtype with every pixel inside the box.
        labels: `None`, or integers `(N,)` or `(N, 1)`, or one-hot rows `(N, num_classes)`.
        num_classes: number of classes K; needed with labels.
        box: lowest and highest pixel value.

    Returns:
        The images as float32, or the pair of images and int32 labels `(N,)`.

    Raises:
        ValueError: for integer images, a wrong rank, NaN, pixels outside the box, labels that do
            not fit, or unequal numbers of both.

    Example:
    >>> x, y = keras_mmc.datasets.check_dataset(x, y, num_classes=10)
    """
    values = np.asarray(images)
    low, high = box
    if values.dtype.kind != "f":
        raise ValueError(
            f"Images must be floating point in [{low:g}, {high:g}]; received dtype {values.dtype}. "
            "Divide integer images by 255 first."
        )
    if values.ndim != 4:
        raise ValueError(
            f"Images must have shape (N, H, W, C); received {values.shape}. Add the batch or the "
            "channel axis with np.newaxis."
        )
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{bad} pixels are NaN or infinite. Repair or drop those images.")
    if values.size and (values.min() < low or values.max() > high):
        raise ValueError(
            f"Pixels must lie in [{low:g}, {high:g}]; received values from {values.min():g} to "
            f"{values.max():g}. Rescale them, and leave any other normalization to the model."
        )
    values = values.astype("float32", copy=False)
    if labels is None:
        return values
    check_count("check_dataset", "num_classes", num_classes, 2)
    classes = check_labels(labels, num_classes)
    if len(classes) != len(values):
        raise ValueError(f"Received {len(values)} images but {len(classes)} labels.")
    return values, classes


def _read(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as stored and labels of the official split."""
    if name == "digits":
        from sklearn.datasets import load_digits  # 1 s to import, only needed here

        data = load_digits()
        # The last images come from writers of their own in the order of the set.
        part = slice(-_DIGITS_TEST_SIZE, None) if split == "test" else slice(-_DIGITS_TEST_SIZE)
        return data.images[part, ..., np.newaxis], data.target[part]
    import tensorflow_datasets as tfds  # 2 s to import, only needed here

    data = tfds.load(name, split=split, batch_size=-1, shuffle_files=False)
    return data["image"].numpy(), data["label"].numpy()
