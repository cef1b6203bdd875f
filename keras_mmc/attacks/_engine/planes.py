"""Steps to the boundary of a linear function, inside the box."""

import tensorflow as tf

from keras_mmc.attacks._engine.loops import per_image

_NEWTON_STEPS = 50


def step_to_plane(
    x: tf.Tensor, normal: tf.Tensor, rise: tf.Tensor, norm: str, box: tuple[float, float]
) -> tf.Tensor:
    """The smallest step `d` with `<normal, d> = rise` that stays in the box.

    Every coordinate moves as far as the radius of the step allows (`"linf"`), or in proportion to
    the normal (`"l2"`), but not through the side of the box. What that gains is a concave,
    piecewise linear function of the radius, so Newton's method from 0 climbs to the exact radius
    in as many steps as there are kinks on the way, without sorting them.

    Args:
        x: tensor `(N, ...)` inside the box.
        normal: tensor like `x`, the normal of the plane of each sample, of any length.
        rise: tensor `(N,)`, of either sign. If no point of the box rises as much, the step goes
            to the corner of the box that rises most.
        norm: `"linf"` or `"l2"`, the norm of the step that is minimized.
        box: `(low, high)`.

    Returns:
        Tensor like `x`; 0 where the normal is 0.

    Source: the projection of Croce & Hein, ICML 2020, arXiv 1907.02044, solved there by
    sorting.

    Example:
    >>> x, normal = tf.constant([[0.5, 0.9]]), tf.constant([[1.0, 1.0]])
    >>> step_to_plane(x, normal, tf.constant([0.4]), norm="linf", box=(0.0, 1.0))
    [[0.3, 0.1]]
    """
    axes = list(range(1, x.shape.rank))
    normal = tf.where(per_image(rise < 0, x), -normal, normal)
    size = tf.abs(normal)
    largest = tf.reduce_max(size, axes)
    size = tf.math.divide_no_nan(size, per_image(largest, x))
    speed = tf.where(size > 0, tf.ones_like(x), 0.0) if norm == "linf" else size
    room = tf.where(normal > 0, box[1] - x, x - box[0])
    reach = rows_sum(size * room)
    rise = tf.minimum(tf.math.divide_no_nan(tf.abs(tf.cast(rise, x.dtype)), largest), reach)

    def newton(radius, rising):
        free = speed * per_image(radius, x) < room
        gained = rows_sum(size * tf.minimum(speed * per_image(radius, x), room))
        slope = rows_sum(tf.where(free, size * speed, 0.0))
        larger = radius + tf.math.divide_no_nan(tf.maximum(rise - gained, 0.0), slope)
        # An image that is done stays as it is, whatever the others in the batch still need.
        larger = tf.where(rising, larger, radius)
        return larger, rising & (larger > radius * (1 + 1e-6))

    radius, _ = tf.while_loop(
        lambda radius, rising: tf.reduce_any(rising),
        newton,
        (tf.zeros_like(rise), tf.ones_like(rise, tf.bool)),
        maximum_iterations=_NEWTON_STEPS,
    )
    return tf.sign(normal) * tf.minimum(speed * per_image(radius, x), room)


def rows_sum(x: tf.Tensor) -> tf.Tensor:
    """The sum over every image, `(N,)`."""
    return tf.reduce_sum(x, list(range(1, x.shape.rank)))


def length_of(x: tf.Tensor, norm: str) -> tf.Tensor:
    """The norm of every image, `(N,)`: `"linf"`, `"l2"` or `"l1"`."""
    if norm == "linf":
        return tf.reduce_max(tf.abs(x), list(range(1, x.shape.rank)))
    return rows_sum(tf.abs(x)) if norm == "l1" else tf.sqrt(rows_sum(tf.square(x)))
