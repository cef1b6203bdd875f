"""Batches for training: checked, shuffled by seed, augmented in the graph, balanced by class."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mmc._labels import as_tensor, check_labels
from keras_mmc._real_arrays import check_batch, real_array
from keras_mmc._validation import check, check_box, check_count, is_count, is_number
from keras_mmc.datasets.arrays import info, load_arrays


def check_dataset(
    images: np.typing.ArrayLike,
    labels: np.typing.ArrayLike | None = None,
    num_classes: int | None = None,
    box: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Check images, and their labels if given, before training or attacking on them.

    Images are an array `(N, H, W, C)` of a floating-point dtype with every pixel inside the box,
    labels integers `(N,)` or `(N, 1)`, or one-hot rows `(N, num_classes)`; they need `num_classes`.
    Returns the images as float32, or the pair of images and int32 labels `(N,)`. A `ValueError`
    refuses anything else: integer images, NaN, pixels outside the box, unequal numbers.

    Example:
    >>> x, y = keras_mmc.datasets.check_dataset(x, y, num_classes=10)
    """
    values = real_array("check_dataset", "images", images)
    box = tuple(box) if isinstance(box, list) else box
    check_box("check_dataset", box)
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
    arrays = load_arrays(name, split, seed)
    return batches(*arrays, info(name).num_classes, batch_size, split == "train", augment, seed)


def batches(
    images: np.typing.ArrayLike,
    labels: np.typing.ArrayLike,
    num_classes: int,
    batch_size: int = 128,
    shuffle: bool = False,
    augment: bool = False,
    seed: int = 0,
    box: tuple[float, float] = (0.0, 1.0),
) -> tf.data.Dataset:
    """Batches of images and labels from a user's own arrays, checked by `check_dataset`.

    Images, labels, `num_classes` and `box` are as there. A batch has `batch_size`
    images, at least 1; the last one may be smaller. `shuffle` gives a new order in every epoch,
    `augment` random crops after padding with 4 pixels, and mirror images, both drawn by `seed`.

    Example:
    >>> train = keras_mmc.datasets.batches(x, y, num_classes=3, shuffle=True)
    """
    check("batches", "batch_size", batch_size, is_count(batch_size), "an integer of at least 1")
    check_count("batches", "seed", seed, least=0)
    images, labels = check_dataset(images, labels, num_classes, box)
    with tf.device("CPU"):
        samples = tf.constant(images), tf.constant(labels)
        rows = tf.data.Dataset.range(len(labels))
        if shuffle:
            rows = rows.shuffle(len(labels), seed=seed, reshuffle_each_iteration=True)
        seeds = None
        if augment:
            seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        return gathered(*samples, rows.batch(batch_size), seeds).prefetch(tf.data.AUTOTUNE)


def gathered(
    images: tf.Tensor, labels: tf.Tensor, rows: tf.data.Dataset, seeds: tf.data.Dataset | None
) -> tf.data.Dataset:
    """Images and labels of batches of row numbers, augmented if there are seeds `(2,)` of each."""
    if seeds is None:
        return rows.map(lambda rows: (tf.gather(images, rows), tf.gather(labels, rows)))
    return tf.data.Dataset.zip(rows, seeds).map(
        lambda rows, seed: (
            crop_and_flip(tf.gather(images, rows), seed),
            tf.gather(labels, rows),
        ),
        tf.data.AUTOTUNE,
    )


def crop_and_flip(images: tf.Tensor, seed: tf.Tensor, padding: int = 4) -> tf.Tensor:
    """Shift every image by up to `padding` pixels, zeros coming in, and mirror half of them.

    Both are one gather of rows and one of columns, so a batch costs the same as an image. Takes
    images `(N, H, W, C)` and an integer seed `(2,)`; shape and dtype stay.
    """
    images, seed = as_tensor(images, "Images"), as_tensor(seed, "A seed")
    check_count("crop_and_flip", "padding", padding, least=0)
    if len(images.shape) != 4 or not seed.shape.is_compatible_with([2]) or seed.dtype.is_floating:
        raise ValueError(
            "crop_and_flip takes images of shape (N, H, W, C) and a seed of two integers; received "
            f"shape {tuple(images.shape)}, and a seed of shape {tuple(seed.shape)}, {seed.dtype}."
        )
    count, height, width = tf.unstack(tf.shape(images)[:3])
    offsets = tf.random.stateless_uniform((2, count), seed, 0, 2 * padding + 1, tf.int32)
    mirrored = tf.random.stateless_uniform((count,), seed + 1, 0, 2, tf.int32) == 0
    rows = offsets[0][:, None] + tf.range(height)
    columns = offsets[1][:, None] + tf.range(width)
    columns = tf.where(mirrored[:, None], columns[:, ::-1], columns)
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def balanced_batches(
    x: np.typing.ArrayLike, y: np.typing.ArrayLike, per_class: int, seed: int = 0
) -> tf.data.Dataset:
    """Batches with the same number of samples of every class, as differential training needs.

    A pass is as long as the largest class. Every class comes in a new order in every pass, and
    starts over, in another order, once all its samples were drawn. The classes take turns within
    a batch, so that the parts of it that replicas get are balanced too. Samples become float32.

    Args:
        x: array `(N, ...)`, floating point, finite.
        y: integer labels `(N,)`; the classes are those that occur, two or more.
        per_class: samples of each class in a batch, at least 1.
        seed: seed of the order.

    Source: pairs of differently labeled samples, Nar et al., arXiv 1901.08360.

    Example:
    >>> train = keras_mmc.datasets.balanced_batches(x, y, per_class=32)
    >>> robust.fit(train, epochs=20)
    """
    x, y = check_samples(x, y, per_class, seed)
    rows = rows_of_classes(y)
    # With equal seeds a sample would always meet the same samples of the other classes.
    seeds = np.random.default_rng(seed).integers(2**31, size=len(rows))
    steps = -(-max(map(len, rows)) // per_class)
    with tf.device("CPU"):
        samples = tf.constant(x, tf.float32), tf.constant(y, tf.int32)
        draws = [
            tf.data.Dataset.from_tensor_slices(own).shuffle(len(own), seed=seed).repeat()
            for own, seed in zip(rows, seeds, strict=True)
        ]
        together = tf.data.Dataset.zip(*(draw.batch(per_class) for draw in draws)).take(steps)
        return gathered(*samples, in_turn(together), None).prefetch(tf.data.AUTOTUNE)


def check_samples(x: Any, y: Any, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples and labels for balanced batches, as arrays; a `ValueError` if they do not fit."""
    x = real_array("balanced_batches", "x", x)
    y = real_array("balanced_batches", "y", y)
    check("balanced_batches", "per_class", per_class, is_count(per_class), "at least 1")
    check_count("balanced_batches", "seed", seed, least=0)
    check("balanced_batches", "x", x, x.ndim > 0, "an array of samples")
    if x.dtype.kind != "f" or not np.isfinite(x).all():
        raise ValueError(
            f"Samples must be floating point and finite; received dtype {x.dtype}. Divide integer "
            "images by 255, and repair or drop samples with NaN or infinity."
        )
    if y.dtype.kind not in "iu" or y.shape != x.shape[:1]:
        raise ValueError(
            f"Labels must be integers of shape ({len(x)},), one per sample; received dtype "
            f"{y.dtype}, shape {y.shape}. One-hot rows become integers with `y.argmax(axis=-1)`."
        )
    return x, y


def rows_of_classes(y: np.ndarray) -> list[np.ndarray]:
    """The rows of each class that occurs among labels `(N,)`, of which there must be two."""
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"Balanced batches need samples of two classes or more; received only {classes}."
        )
    return [np.flatnonzero(y == label) for label in classes]


def in_turn(rows: tf.data.Dataset) -> tf.data.Dataset:
    """Batches of row numbers in which the classes take turns, from a batch of each class."""
    return rows.map(lambda *own: tf.reshape(tf.stack(own, axis=1), [-1]))


def working_set(
    model: keras.Model,
    x: np.typing.ArrayLike,
    y: np.typing.ArrayLike,
    fraction: float,
    batch_size: int = 128,
) -> np.ndarray:
    """Indices of the samples of each class that are nearest to the boundary, by the scores.

    They are int64, in ascending order. Nearest are those with the lowest score of their class
    against the best other one, `s_y - max_{k != y} s_k`; misclassified samples come first.

    Args:
        model: Keras model from samples to scores `(N, K)`, which must not be NaN.
        x: samples `(N, ...)`, as `model.predict` takes them.
        y: labels, integers `(N,)` in `[0, K)` or one-hot rows.
        fraction: how much of every class to keep, above 0 and at most 1; one sample at least.
        batch_size: samples per forward pass.

    Source: Nar et al., arXiv 1901.08360, train on the samples near the boundary; the choice by
    fraction and class is this package's.

    Example:
    >>> rows = keras_mmc.datasets.working_set(model, x, y, fraction=0.2)
    >>> train = keras_mmc.datasets.balanced_batches(x[rows], y[rows], per_class=32)
    """
    fits = is_number(fraction) and 0 < fraction <= 1
    check("working_set", "fraction", fraction, fits, "above 0 and at most 1")
    check("working_set", "model", model, isinstance(model, keras.Model), "a Keras model")
    check_count("working_set", "batch_size", batch_size)
    check_batch("working_set", "x", x, model)
    scores = model.predict(x, batch_size=batch_size, verbose=0)
    labels = check_labels(y, scores.shape[-1])
    if len(labels) != len(scores):
        raise ValueError(f"Received {len(scores)} samples but {len(labels)} labels.")
    if np.isnan(scores).any():
        raise ValueError(
            f"The model returns NaN scores for {np.isnan(scores).any(axis=1).sum()} of "
            f"{len(scores)} samples. Check its weights and the samples."
        )
    own = np.arange(scores.shape[-1]) == labels[:, None]
    lead = scores[own] - np.where(own, -np.inf, scores).max(axis=1)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        nearest = rows[np.argsort(lead[rows], kind="stable")]
        chosen.append(nearest[: max(1, round(fraction * len(rows)))])
    return np.sort(np.concatenate(chosen))
