"""Graphs that are traced once for batches of any size, and the batches that go through them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

CLASSES = tf.TensorSpec([None], tf.int32)
NUMBER = tf.TensorSpec([], tf.float32)
NUMBERS = tf.TensorSpec([None], tf.float32)
SEED = tf.TensorSpec([], tf.int64)
INDEX = tf.TensorSpec([None], tf.int64)


def images_spec(shape: Sequence[int]) -> tf.TensorSpec:
    """Any number of images of that shape `(N, ...)`, float32."""
    return tf.TensorSpec([None, *shape[1:]], tf.float32)


def traced(fn: Callable, *signature: tf.TensorSpec) -> Callable[..., Any]:
    """A function of tensors as one of NumPy arrays, traced here and never again.

    Args:
        fn: function of tensors.
        *signature: shape and dtype of each argument.

    Returns:
        A function of arrays that returns what `fn` does, as NumPy arrays.
    """
    graph = tf.function(fn, autograph=False).get_concrete_function(*signature)

    def run(*arrays):
        tensors = map(tf.constant, arrays, [spec.dtype for spec in signature])
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), graph(*tensors))

    return run


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """The rows of one batch after the other."""
    for first in range(0, count, batch_size):
        yield slice(first, min(first + batch_size, count))
