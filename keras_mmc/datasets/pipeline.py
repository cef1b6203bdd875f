"""Batches for training: checked, shuffled by seed, augmented inside the graph."""

import numpy as np
import tensorflow as tf

from keras_mmc._labels import check_labels
from keras_mmc._validation import check, check_count, is_count
from keras_mmc.datasets.arrays import info, load_arrays

_CROP_PADDING = 4


def check_dataset(
    images: np.typing.ArrayLike,
    labels: np.typing.ArrayLike | None = None,
    num_classes: int | None = None,
    box: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Check images, and labels beside them, before anything is trained or attacked on them.

    Images are an array `(N, H, W, C)` of a floating-point dtype with every pixel inside the box,
    labels integers `(N,)` or `(N, 1)`, or one-hot rows `(N, num_classes)`; they need `num_classes`.
    Returns the images as float32, or the pair of images and int32 labels `(N,)`. A `ValueError`
    refuses anything else: integer images, NaN, pixels outside the box, unequal numbers.

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
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise ValueError(f"{bad} pixels are NaN or infinite. Repair or drop those images.")
    if values.size and (values.min() < low or values.max() > high):
        raise ValueError(
            f"Pixels must lie in [{low:g}, {high:g}]; received values from {values.min():g} to "
            f"{values.max():g}. Rescale them, and leave any other normalization to the model."
        )
    values = values.astype("float32", copy=False)
    if labels is None:
        return values
    classes = check_labels(labels, check_count("check_dataset", "num_classes", num_classes, 2))
    if len(classes) != len(values):
        raise ValueError(f"Received {len(values)} images but {len(classes)} labels.")
    return values, classes


def load(
    name: str, split: str, batch_size: int = 128, augment: bool = False, seed: int = 0
) -> tf.data.Dataset:
    """Load one split of a data set as batches `(images, labels)`.

    Name, split and seed are those of `load_arrays`, the rest as in `batches`: "train" is shuffled
    anew in every epoch, "validation" and "test" keep their order. `augment` is only for the
    training split of CIFAR: elsewhere a mirrored image may be of no class.

    Example:
    >>> train = keras_mmc.datasets.load("digits", "train", batch_size=64)
    >>> model.fit(train, validation_data=keras_mmc.datasets.load("digits", "validation"))
    """
    if augment and not (split == "train" and info(name).augmentable):
        raise ValueError(
            f"`augment` crops and mirrors images, which is meant for the training split of CIFAR; "
            f"received {name!r}, {split!r}. Leave it out."
        )
    images, labels = load_arrays(name, split, seed)
    shuffle = split == "train"
    return batches(images, labels, info(name).num_classes, batch_size, shuffle, augment, seed)


def batches(
    images: np.typing.ArrayLike,
    labels: np.typing.ArrayLike,
    num_classes: int,
    batch_size: int = 128,
    shuffle: bool = False,
    augment: bool = False,
    seed: int = 0,
) -> tf.data.Dataset:
    """Batches of images and labels from a user's own arrays, checked by `check_dataset`.

    Args:
        images: array `(N, H, W, C)`, floating point in [0, 1].
        labels: integers `(N,)` in `[0, num_classes)`, or one-hot rows.
        num_classes: number of classes K.
        batch_size: images per batch, at least 1; the last batch may be smaller.
        shuffle: a new order in every epoch.
        augment: random crops after padding with 4 pixels, and mirror images.
        seed: seed of the order and the augmentation.

    Example:
    >>> train = keras_mmc.datasets.batches(x, y, num_classes=3, shuffle=True)
    """
    check("batches", "batch_size", batch_size, is_count(batch_size), "an integer of at least 1")
    images, labels = check_dataset(images, labels, num_classes)
    with tf.device("CPU"):
        data = tf.data.Dataset.from_tensor_slices((images, labels))
        if shuffle:
            data = data.shuffle(len(labels), seed=seed, reshuffle_each_iteration=True)
        data = data.batch(batch_size)
        if augment:
            seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
            data = tf.data.Dataset.zip(data, seeds).map(
                lambda batch, seed: (crop_and_flip(batch[0], seed), batch[1]), tf.data.AUTOTUNE
            )
        return data.prefetch(tf.data.AUTOTUNE)


def crop_and_flip(images: tf.Tensor, seed: tf.Tensor, padding: int = _CROP_PADDING) -> tf.Tensor:
    """Shift every image by up to `padding` pixels, zeros coming in, and mirror half of them.

    Both are one gather of rows and one of columns, so a batch costs the same as an image. Takes
    images `(N, H, W, C)` and an integer seed `(2,)`; shape and dtype stay.
    """
    count, height, width = tf.unstack(tf.shape(images)[:3])
    offsets = tf.random.stateless_uniform((2, count), seed, 0, 2 * padding + 1, tf.int32)
    mirrored = tf.random.stateless_uniform((count,), seed + 1, 0, 2, tf.int32) == 0
    rows = offsets[0][:, None] + tf.range(height)
    columns = offsets[1][:, None] + tf.range(width)
    columns = tf.where(mirrored[:, None], columns[:, ::-1], columns)
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
