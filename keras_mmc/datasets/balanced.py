"""What differential training is fed with: balanced batches, and the samples near the boundary."""

import keras
import numpy as np
import tensorflow as tf

from keras_mmc._labels import check_labels
from keras_mmc._validation import check, is_count, is_number


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
    x, y = np.asarray(x), np.asarray(y)
    check("balanced_batches", "per_class", per_class, is_count(per_class), "at least 1")
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
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"Balanced batches need samples of two classes or more; received only {classes}."
        )
    # Equal seeds would show a sample always beside the same ones of the other classes.
    seeds = np.random.default_rng(seed).integers(2**31, size=len(classes))
    steps = -(-counts.max() // per_class)
    with tf.device("CPU"):
        samples, labels = tf.constant(x, tf.float32), tf.constant(y, tf.int32)

        def draw(label: int, count: int, seed: int) -> tf.data.Dataset:
            rows = tf.data.Dataset.from_tensor_slices(np.flatnonzero(y == label))
            return rows.shuffle(count, seed=seed).repeat().batch(per_class)

        def gather(*rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = tf.reshape(tf.stack(rows, axis=1), [per_class * len(classes)])
            return tf.gather(samples, rows), tf.gather(labels, rows)

        draws = tf.data.Dataset.zip(*map(draw, classes, counts, seeds))
        return draws.take(steps).map(gather, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


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
