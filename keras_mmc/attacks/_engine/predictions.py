"""What a model predicts, who is misclassified, and which classes an attack may aim at."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_mmc._labels import as_scores, as_tensor, check_rows
from keras_mmc.attacks._engine import random


def score_function(model: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """The score function of a model: inference mode, float32 whatever the model computes in.

    Args:
        model: Keras model from images to scores `(N, K)`.

    Example:
    >>> score_fn = keras_mmc.attacks.score_function(model)
    >>> x_adv = keras_mmc.attacks.PGD(8 / 255).generate(score_fn, x, y, seed=0)
    """
    return lambda x: tf.cast(model(x, training=False), tf.float32)


def misclassified(scores: Any, y: Any) -> tf.Tensor:
    """Boolean `(N,)`: another class than `y` has the largest score, or a score is NaN.

    Args:
        scores: array or tensor `(N, K)`.
        y: labels `(N,)`.

    Example:
    >>> keras_mmc.attacks.misclassified([[2.0, 1.0], [0.0, 1.0]], [0, 0])
    [False, True]
    """
    scores, y = as_scores(scores), as_tensor(y, "Labels")
    check_rows(y, scores)
    predictions = tf.argmax(scores, axis=-1, output_type=tf.int32)
    broken = tf.reduce_any(tf.math.is_nan(scores), axis=-1)
    return (predictions != tf.cast(y, tf.int32)) | broken


def reached(scores: Any, targets: Any) -> tf.Tensor:
    """Boolean `(N,)`: the target has the largest score, and no score is NaN.

    Args:
        scores: array or tensor `(N, K)`.
        targets: classes `(N,)`.

    Example:
    >>> keras_mmc.attacks.reached([[2.0, 1.0], [0.0, 1.0]], [0, 0])
    [True, False]
    """
    return ~misclassified(scores, targets)


def likely_wrong(scores: tf.Tensor, y: tf.Tensor, count: int) -> tf.Tensor:
    """The `count` most likely wrong classes of each image, all of them if there are fewer.

    Args:
        scores: tensor `(N, K)`.
        y: labels `(N,)`.
        count: number of classes.

    Returns:
        `int32` tensor `(N, min(count, K - 1))`, the most likely class first.
    """
    num_classes = scores.shape[-1]
    is_label = tf.one_hot(y, num_classes, on_value=True, off_value=False)
    masked = tf.where(is_label, -float("inf"), scores)
    return tf.math.top_k(masked, min(count, num_classes - 1)).indices


def draw_targets(y: tf.Tensor, num_classes: int, seeds: tf.Tensor) -> tf.Tensor:
    """Draws `int32` targets `(N,)` uniformly among the `num_classes - 1` wrong classes.

    Args:
        y: labels `(N,)`.
        num_classes: number of classes K.
        seeds: `int64` `(N,)`, one per image.
    """
    shift = random.integers(random.fold_in(seeds, -1), [], 1, num_classes)
    return (tf.cast(y, tf.int32) + shift) % num_classes
