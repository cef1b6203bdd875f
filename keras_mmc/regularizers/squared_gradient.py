"""The squared norm of an input gradient, which gradient penalties have in common."""

from collections.abc import Callable

import tensorflow as tf

from keras_mmc._gradients import value_and_gradient


def squared_gradient(fn: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """`|| grad_x fn(x) ||^2` per sample, by double back-propagation.

    Args:
        fn: maps images to values `(N,)`, each a function of its own image only.
        x: images `(N, ...)`.

    Returns:
        Tensor `(N,)`, differentiable in the weights behind `fn`.

    Example:
    >>> squared_gradient(lambda x: tf.reduce_sum(x**2, axis=1), [[1.0, 2.0]])
    [20.0]
    """
    x = tf.convert_to_tensor(x)
    _, gradient = value_and_gradient(fn, x)
    return tf.reduce_sum(tf.square(gradient), list(range(1, x.shape.rank)))
