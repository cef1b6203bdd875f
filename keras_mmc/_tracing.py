"""Graphs that are traced once for batches of any size, and the batches that go through them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

ROWS = 16
"""Batches are filled up to a multiple of this number of rows.

On a CPU the last bits of a row depend on how many rows there are: what is left over from whole
vectors, and from whole blocks of a product, goes another way. In multiples of 16 nothing is left
over. Only of very wide layers, 25,088 by 4,096, were bits seen that still depend on it.
"""
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


def filled(run: Callable[..., Any]) -> Callable[..., Any]:
    """A function of batches that gets a multiple of `ROWS` rows, whatever it is given.

    The last row is repeated, and what `run` returns for the repetitions is dropped.

    Args:
        run: function of NumPy arrays of one row per image; a scalar among them stays one. It
            returns a structure of arrays `(n, ...)`.
    """

    def whole(*arrays):
        count = len(arrays[0])
        more = -count % ROWS if count else 0

        def fill(array):
            return np.concatenate([array, np.repeat(array[-1:], more, axis=0)])

        full = [fill(array) if more and np.ndim(array) else array for array in arrays]
        return tf.nest.map_structure(lambda found: found[:count], run(*full))

    return whole


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """The rows of one batch after the other."""
    for first in range(0, count, batch_size):
        yield slice(first, min(first + batch_size, count))
