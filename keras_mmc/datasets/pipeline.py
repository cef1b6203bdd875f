"""Batches for training: shuffled by seed, augmented inside the graph."""

import numpy as np
import tensorflow as tf

from keras_mmc._validation import check, is_count
from keras_mmc.datasets.arrays import check_dataset, load_arrays
from keras_mmc.datasets.registry import info

_CROP_PADDING = 4


def load(
    name: str, split: str, batch_size: int = 128, augment: bool = False, seed: int = 0
) -> tf.data.Dataset:
    """Load one split of a data set as batches `(images, labels)`.

    Args:
        name: see `load_arrays`.
        split: "train" (shuffled anew in every epoch), "validation" or "test" (in order).
        batch_size: images per batch; the last batch may be smaller.
        augment: random crops after padding with 4 pixels, and mirror images; training split of
            CIFAR only.
        seed: seed of the validation draw, the order and the augmentation.

    Returns:
        A `tf.data.Dataset` of images `(N, H, W, C)`, float32 in [0, 1], and labels `(N,)`, int32.

    Raises:
        ValueError: for an unknown name or split, `batch_size < 1`, or `augment` where mirrored or
            shifted images are not of the same class.

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
    """Batches from a user's own arrays, checked as those of the known data sets are.

    Args:
        images: array `(N, H, W, C)`, floating point in [0, 1].
        labels: integers `(N,)` in `[0, num_classes)`, or one-hot rows.
        num_classes: number of classes K.
        batch_size: images per batch; the last batch may be smaller.
        shuffle: a new order in every epoch.
        augment: random crops after padding with 4 pixels, and mirror images.
        seed: seed of the order and the augmentation.

    Returns:
        A `tf.data.Dataset` of images, float32, and labels `(N,)`, int32.

    Raises:
        ValueError: for images or labels that `check_dataset` refuses, or `batch_size < 1`.

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
            data = tf.data.Dataset.zip(data, seeds).map(_augment, tf.data.AUTOTUNE)
        return data.prefetch(tf.data.AUTOTUNE)


def crop_and_flip(images: tf.Tensor, seed: tf.Tensor, padding: int = _CROP_PADDING) -> tf.Tensor:
    """Shift every image by up to `padding` pixels, zeros coming in, and mirror half of them.

    Both are one gather of rows and one of columns, so a batch costs the same as an image.

    Args:
        images: tensor `(N, H, W, C)`.
        seed: integer tensor of shape `(2,)`.
        padding: largest shift in pixels.

    Returns:
        Tensor of the same shape and dtype.
    """
    count, height, width = tf.unstack(tf.shape(images)[:3])
    offsets = tf.random.stateless_uniform((2, count), seed, 0, 2 * padding + 1, tf.int32)
    mirrored = tf.random.stateless_uniform((count,), seed + 1, 0, 2, tf.int32) == 0
    rows = offsets[0][:, None] + tf.range(height)
    columns = offsets[1][:, None] + tf.range(width)
    columns = tf.where(mirrored[:, None], columns[:, ::-1], columns)
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def _augment(batch: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = batch
    return crop_and_flip(images, seed), labels
