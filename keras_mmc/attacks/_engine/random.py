"""Random numbers of which every image has its own: they depend on its seed and nothing else.

An image is attacked in the same way whatever else is in its batch. The generator is SplitMix64,
which turns a seed and a counter into bits by integer arithmetic alone: the same bits on every
device, with and without XLA.

Source: Steele, Lea & Flood, *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mmc._labels import as_tensor

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_DRAW = np.uint64(0xD1B54A32D192ED03)  # keeps numbers drawn apart from seeds folded
_LEVELS = 2**22


def image_seeds(seed: Any, index: Any) -> tf.Tensor:
    """One seed per image.

    Args:
        seed: integer or integers `(k,)`, all of which count.
        index: integers `(N,)`, the numbers of the images in the whole set.

    Returns:
        `int64` tensor `(N,)`.

    Example:
    >>> image_seeds(0, [0, 1, 2]).shape
    (3,)
    """
    seed, index = as_tensor(seed, "Seeds"), as_tensor(index, "Numbers of images")
    state = tf.zeros([], tf.int64)
    for part in tf.unstack(tf.reshape(tf.cast(seed, tf.int64), [-1])):
        state = fold_in(state, part)
    return fold_in(state, index)


def fold_in(seeds: tf.Tensor, number: Any) -> tf.Tensor:
    """Other seeds for every number, such as that of a restart; both broadcast."""
    counter = tf.bitcast(tf.cast(number, tf.int64), tf.uint64) + np.uint64(1)
    return tf.bitcast(_mix(tf.bitcast(seeds, tf.uint64) + counter * _GAMMA), tf.int64)


def symmetric(seeds: tf.Tensor, shape: Sequence[int], dtype: Any) -> tf.Tensor:
    """Uniform numbers in the open interval (-1, 1), `(N, *shape)`."""
    bits = tf.cast(tf.bitwise.right_shift(_bits(seeds, shape), np.uint64(41)), tf.int32)
    return (tf.cast(bits, dtype) + 0.5) / _LEVELS - 1


def integers(seeds: tf.Tensor, shape: Sequence[int], low: Any, high: Any) -> tf.Tensor:
    """Uniform `int32` numbers in `[low, high)`, `(N, *shape)`; the bounds may be tensors."""
    bits = tf.cast(tf.bitwise.right_shift(_bits(seeds, shape), np.uint64(33)), tf.int64)
    low, high = tf.cast(low, tf.int64), tf.cast(high, tf.int64)
    return tf.cast(low + bits % (high - low), tf.int32)


def signs(seeds: tf.Tensor, shape: Sequence[int], dtype: Any) -> tf.Tensor:
    """-1 or 1, `(N, *shape)`."""
    bits = tf.bitwise.right_shift(_bits(seeds, shape), np.uint64(63))
    return 2 * tf.cast(tf.cast(bits, tf.int32), dtype) - 1


def normal(seeds: tf.Tensor, shape: Sequence[int], dtype: Any) -> tf.Tensor:
    """Independent standard normal numbers, `(N, *shape)`."""
    return 2**0.5 * tf.math.erfinv(symmetric(seeds, shape, dtype))


def _bits(seeds, shape):
    """64 random bits for every element, `(N, *shape)`."""
    state = _mix(tf.bitwise.bitwise_xor(tf.bitcast(seeds, tf.uint64), _DRAW))
    count = tf.reduce_prod(tf.cast(shape, tf.int64)) if len(shape) else tf.constant(1, tf.int64)
    counters = tf.bitcast(tf.range(1, count + 1, dtype=tf.int64), tf.uint64) * _GAMMA
    return tf.reshape(_mix(state[:, None] + counters), [-1, *shape])


def _mix(z):
    """The output function of SplitMix64."""
    shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
    z = xor(z, shift(z, np.uint64(30))) * _FACTORS[0]
    z = xor(z, shift(z, np.uint64(27))) * _FACTORS[1]
    return xor(z, shift(z, np.uint64(31)))
