"""Batches whose order follows from seed and epoch alone, so that training can go on anywhere."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_mmc._validation import check, check_count, is_count
from keras_mmc.datasets import pipeline


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Training batches of any number of epochs, from any one on.

    Attributes:
        steps: batches in an epoch.
        one: makes the data set of one epoch, from its number, an `int64` scalar tensor.
    """

    steps: int
    one: Callable[[tf.Tensor], tf.data.Dataset]

    def starting(self, epoch: int = 0, step: int = 0) -> tf.data.Dataset:
        """The batches from that of an epoch and a step on, without an end.

        Pass it to `fit` with `steps_per_epoch`, the number of `steps`, since no epoch ends in it.
        """
        with tf.device("CPU"):
            epochs = tf.data.Dataset.range(epoch, np.iinfo("int64").max)
            return epochs.flat_map(self.one).skip(step).prefetch(tf.data.AUTOTUNE)


def shuffled_epochs(
    images: np.typing.ArrayLike,
    labels: np.typing.ArrayLike,
    num_classes: int,
    batch_size: int = 128,
    augment: bool = False,
    seed: int = 0,
    box: tuple[float, float] = (0.0, 1.0),
) -> Epochs:
    """As `keras_mmc.datasets.batches` with `shuffle`, from any epoch and step on.

    Example:
    >>> train = keras_mmc.datasets.shuffled_epochs(x, y, num_classes=10, batch_size=64)
    >>> model.fit(train.starting(epoch=3), steps_per_epoch=train.steps, initial_epoch=3, epochs=10)
    """
    check("shuffled_epochs", "batch_size", batch_size, is_count(batch_size), "an integer above 0")
    check_count("shuffled_epochs", "seed", seed, least=0)
    x, y = pipeline.check_dataset(images, labels, num_classes, box)
    steps = -(-len(y) // batch_size)
    with tf.device("CPU"):
        samples = tf.constant(x), tf.constant(y)

    def one(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = tf.data.Dataset.from_tensor_slices(_order(len(y), seed, epoch)).batch(batch_size)
        seeds = None
        if augment:
            drawn = _uniform([steps, 2], seed + 1, epoch)
            seeds = tf.data.Dataset.from_tensor_slices(drawn)
        return pipeline.gathered(*samples, rows, seeds)

    return Epochs(steps, one)


def balanced_epochs(
    x: np.typing.ArrayLike, y: np.typing.ArrayLike, per_class: int, seed: int = 0
) -> Epochs:
    """As `keras_mmc.datasets.balanced_batches`, from any epoch and step on.

    Example:
    >>> train = keras_mmc.datasets.balanced_epochs(x, y, per_class=32)
    """
    x, y = pipeline.check_samples(x, y, per_class, seed)
    classes = pipeline.rows_of_classes(y)
    steps = -(-max(map(len, classes)) // per_class)
    # With equal seeds a sample would always meet the same samples of the other classes.
    seeds = np.random.default_rng(seed).integers(2**31, size=len(classes))
    with tf.device("CPU"):
        samples = tf.constant(x, tf.float32), tf.constant(y, tf.int32)

    def one(epoch: tf.Tensor) -> tf.data.Dataset:
        draws = []
        for rows, own in zip(classes, seeds, strict=True):
            times = -(-steps * per_class // len(rows))
            orders = [_order(len(rows), int(own) + again, epoch) for again in range(times)]
            order = tf.gather(rows, tf.concat(orders, axis=0)[: steps * per_class])
            draws.append(tf.data.Dataset.from_tensor_slices(order).batch(per_class))
        return pipeline.gathered(*samples, pipeline.in_turn(tf.data.Dataset.zip(*draws)), None)

    return Epochs(steps, one)


def _uniform(shape: list[int], seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Random non-negative integers of one epoch, `int64`."""
    own = tf.stack([tf.constant(seed, tf.int64), epoch])
    return tf.random.stateless_uniform(shape, own, 0, np.iinfo("int64").max, tf.int64)


def _order(count: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """A random order of `count` rows in one epoch."""
    return tf.argsort(_uniform([count], seed, epoch), stable=True)
