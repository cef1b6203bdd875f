"""Gradients of per-sample values with respect to inputs: the only place that takes them."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

ScoreFn = Callable[[tf.Tensor], tf.Tensor]
"""A classifier as a function from images `(N, ...)` to scores `(N, K)`."""


def value_and_gradient(
    fn: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Per-sample values `(N,)` of `fn` at `x` in float32, and gradients in shape and dtype of `x`.

    `fn` maps a floating tensor `(N, ...)` to values `(N,)`, each a function of its own sample only.
    A gradient component that is NaN is returned as 0, no direction, and an infinite one as the
    largest number. A `ValueError` refuses values that do not depend on `x` or are not one per
    sample.

    Example:
    >>> x = tf.constant([[1.0, 2.0]])
    >>> value_and_gradient(lambda x: tf.reduce_sum(x**2, axis=1), x)
    ([5.0], [[2.0, 4.0]])
    """
    return value_gradient_aux(lambda inputs: (fn(inputs), ()), x)[:2]


def value_gradient_aux(
    fn: Callable[[tf.Tensor], tuple[tf.Tensor, Any]], x: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, Any]:
    """As `value_and_gradient`, for an `fn` that returns `(values, aux)`; returns `aux` as well.

    `aux`, for example the scores, comes from the same forward pass: nothing is computed twice.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        values, aux = fn(x)
        if values.shape.rank != 1:
            raise ValueError(
                f"One value per sample, shape (N,), is needed to attack a batch; received values "
                f"of shape {values.shape}. Do not reduce the objective over the batch."
            )
        values = tf.cast(values, tf.float32)
        total = tf.reduce_sum(values)
    gradient = tape.gradient(total, x)
    if gradient is None:
        raise ValueError(
            "The scores do not depend on x, so no gradient can be taken. Remove operations that "
            "cut gradients (rounding, argmax, stop_gradient, NumPy calls), or use an attack "
            "without gradients."
        )
    gradient = tf.clip_by_value(gradient, x.dtype.min, x.dtype.max)
    return values, tf.where(tf.math.is_nan(gradient), tf.zeros_like(gradient), gradient), aux
