"""Adam's step, for attacks that descend or climb inside a graph."""

import tensorflow as tf

_MEAN_DECAY = 0.9
_SQUARE_DECAY = 0.999
_TINY = 1e-8
_LARGEST = 1e15


def adam_step(
    gradient: tf.Tensor, memory: tuple, i: tf.Tensor, learning_rate: float
) -> tuple[tf.Tensor, tuple]:
    """The step of Adam along a gradient.

    Args:
        gradient: tensor `(N, ...)`; components beyond 1e15, whose squares would overflow in
            float32, count as that.
        memory: running means of the gradient and of its square, both like `gradient`; zeros at
            the start.
        i: number of steps made so far, scalar integer tensor.
        learning_rate: length of the first step in every coordinate, in units of the variables.

    Returns:
        The step, to be added to climb or subtracted to descend, and the new memory.

    Source: Kingma & Ba, ICLR 2015, arXiv 1412.6980, algorithm 1.

    Example:
    >>> zeros = tf.zeros([1, 2])
    >>> step, memory = adam_step(tf.constant([[3.0, -0.2]]), (zeros, zeros), 0, 0.01)
    >>> step
    [[0.01, -0.01]]
    """
    gradient = tf.clip_by_value(gradient, -_LARGEST, _LARGEST)
    mean = _MEAN_DECAY * memory[0] + (1 - _MEAN_DECAY) * gradient
    square = _SQUARE_DECAY * memory[1] + (1 - _SQUARE_DECAY) * gradient**2
    made = tf.cast(i + 1, gradient.dtype)
    unbiased_mean = mean / (1 - _MEAN_DECAY**made)
    unbiased_square = square / (1 - _SQUARE_DECAY**made)
    return learning_rate * unbiased_mean / (tf.sqrt(unbiased_square) + _TINY), (mean, square)
