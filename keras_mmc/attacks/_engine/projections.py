"""Norm balls around the clean images, the box the images live in, and steps inside them.

`eps` and step sizes are in input units: Python floats, scalar tensors, or tensors `(N, 1, ...)`
with one length per sample. A norm is `"linf"` or `"l2"`, taken over all axes but the first. The box
is `(low, high)`.
"""

import numpy as np
import tensorflow as tf
from cleverhans.tf2.utils import clip_eta, optimize_linear

NORMS = {"linf": np.inf, "l2": 2}
"""Names of the norms and their order."""


def clip_to_box(x: tf.Tensor, box: tuple[float, float]) -> tf.Tensor:
    """The nearest point of the box `(low, high)`."""
    return tf.clip_by_value(x, box[0], box[1])


def project(x: tf.Tensor, x0: tf.Tensor, eps, norm: str, box: tuple[float, float]) -> tf.Tensor:
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


def steepest_step(gradient: tf.Tensor, size, norm: str) -> tf.Tensor:
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
    x0: tf.Tensor, eps, norm: str, box: tuple[float, float], seed: tf.Tensor
) -> tf.Tensor:
    """A point drawn uniformly from the ball around `x0`, brought into the box.

    Args:
        x0: tensor `(N, ...)` inside the box.
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`.
        seed: `int32` of shape `(2,)`; the same seed draws the same point.

    Returns:
        Tensor like `x0`.
    """
    shape = tf.shape(x0)
    eps = tf.cast(eps, x0.dtype)
    if norm == "linf":
        return project(x0 + eps * _symmetric(shape, seed, x0.dtype), x0, eps, norm, box)
    # Normal vectors have no preferred direction.
    direction = normal_noise(shape, seed, x0.dtype)
    radius_shape = tf.concat([shape[:1], tf.ones([x0.shape.rank - 1], tf.int32)], axis=0)
    uniform = (_symmetric(radius_shape, tf.bitwise.invert(seed), x0.dtype) + 1) / 2
    dimension = tf.cast(tf.reduce_prod(shape[1:]), x0.dtype)
    radius = eps * uniform ** (1 / dimension)
    return project(x0 + steepest_step(direction, radius, norm), x0, eps, norm, box)


def normal_noise(shape, seed: tf.Tensor, dtype) -> tf.Tensor:
    """Independent standard normal numbers by seed, the same with and without XLA.

    Args:
        shape: shape of the result.
        seed: `int32` of shape `(2,)`.
        dtype: float dtype of the result.
    """
    return 2**0.5 * tf.math.erfinv(_symmetric(shape, seed, dtype))


def _symmetric(shape, seed, dtype):
    """Uniform numbers in the open interval (-1, 1).

    They are made from random integers and non-negative seeds: those, unlike TensorFlow's random
    floats and negative seeds, give the same bits with and without XLA.
    """
    levels = 2**23
    seed = tf.bitwise.bitwise_and(seed, 2**31 - 1)
    draw = tf.random.stateless_uniform(shape, seed, 0, levels, tf.int32)
    return (tf.cast(draw, dtype) + 0.5) / (levels / 2) - 1
