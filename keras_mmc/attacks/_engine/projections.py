"""Norm balls around the clean images, the box the images live in, and steps inside them.

`eps` and step sizes are in input units: Python floats, scalar tensors, or tensors `(N, 1, ...)`
with one length per sample. A norm is `"linf"` or `"l2"`, taken over all axes but the first. The box
is `(low, high)`.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from cleverhans.tf2.utils import clip_eta, optimize_linear

from keras_mmc.attacks._engine import random

NORMS = {"linf": np.inf, "l2": 2}
"""Names of the norms and their order."""


def clip_to_box(x: tf.Tensor, box: tuple[float, float]) -> tf.Tensor:
    """The nearest point of the box `(low, high)`."""
    return tf.clip_by_value(x, box[0], box[1])


def project(
    x: tf.Tensor, x0: tf.Tensor, eps: Any, norm: str, box: tuple[float, float]
) -> tf.Tensor:
    """Brings `x` into the ball of radius `eps` around `x0`, then into the box.

    With `x0` in the box the second step cannot leave the ball: it moves every pixel towards `x0`.
    For `"linf"` the result is the nearest point of ball and box together; for `"l2"` it lies in
    both, but need not be the nearest point.

    Args:
        x: tensor `(N, ...)`.
        x0: tensor like `x`, inside the box.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`.

    Returns:
        Tensor like `x`, within float rounding of the ball and exactly in the box.

    Example:
    >>> x0 = tf.constant([[0.5, 0.95]])
    >>> project(x0 + 1.0, x0, eps=0.1, norm="linf", box=(0.0, 1.0))
    [[0.6, 1.0]]
    """
    eta = clip_eta(x - x0, NORMS[norm], tf.cast(eps, x.dtype))
    return clip_to_box(x0 + eta, box)


def steepest_step(gradient: tf.Tensor, size: Any, norm: str) -> tf.Tensor:
    """The step of length `size` along which a function of that gradient rises most.

    `size * sign(g)` for `"linf"`, `size * g / ||g||` for `"l2"`, 0 where the gradient is 0. The
    gradient is scaled by its largest component first, so that one of norm 1e-20 still gives a
    step of full length: `"l2"` attacks then do not depend on the scale of the scores.

    Args:
        gradient: tensor `(N, ...)`.
        size: length of the step, in input units.
        norm: `"linf"` or `"l2"`.

    Returns:
        Tensor like `gradient`.
    """
    if norm == "l2":
        axes = list(range(1, gradient.shape.rank))
        largest = tf.reduce_max(tf.abs(gradient), axes, keepdims=True)
        gradient = tf.math.divide_no_nan(gradient, largest)
    return optimize_linear(gradient, tf.cast(size, gradient.dtype), NORMS[norm])


def random_start(
    x0: tf.Tensor, eps: Any, norm: str, box: tuple[float, float], seeds: tf.Tensor
) -> tf.Tensor:
    """An image drawn uniformly from the ball around each image, brought into the box.

    Args:
        x0: tensor `(N, ...)` inside the box.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`.
        seeds: `int64` `(N,)`, one per image; the same seed draws the same point.

    Returns:
        Tensor like `x0`.
    """
    shape = shape_of(x0)
    eps = tf.cast(eps, x0.dtype)
    if norm == "linf":
        return project(x0 + eps * random.symmetric(seeds, shape, x0.dtype), x0, eps, norm, box)
    # Normal vectors have no preferred direction.
    direction = random.normal(seeds, shape, x0.dtype)
    uniform = (random.symmetric(random.fold_in(seeds, 0), [1] * len(shape), x0.dtype) + 1) / 2
    radius = eps * uniform ** (1 / tf.cast(tf.reduce_prod(shape), x0.dtype))
    return project(x0 + steepest_step(direction, radius, norm), x0, eps, norm, box)


def shape_of(x: tf.Tensor) -> list:
    """The shape of one image: integers, or scalar tensors where they are not known yet."""
    return [n if n is not None else tf.shape(x)[i + 1] for i, n in enumerate(x.shape[1:])]
