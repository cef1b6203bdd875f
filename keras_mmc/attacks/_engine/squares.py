"""The squares that the Square attack changes."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_mmc.attacks._engine.projections import project
from keras_mmc.attacks._engine.random import fold_in, integers, signs

_TINY = 1e-12


def paint_square(
    x: tf.Tensor, x0: tf.Tensor, side: Any, seed: tf.Tensor, eps: Any, box: tuple[float, float]
) -> tf.Tensor:
    """Moves a random square of every image to one face of the L-inf ball, per channel.

    Args:
        x: images `(N, H, W, C)` in the ball and the box.
        x0: clean images, like `x`.
        side: side of the squares in pixels, scalar integer tensor.
        seed: `int64` `(N,)`, one per image.
        eps: radius of the ball, in input units.
        box: `(low, high)`.

    Returns:
        Tensor like `x`.
    """
    inside = _inside(_random_window(x.shape, side, fold_in(seed, 0)), side)
    faces = signs(fold_in(seed, 1), [1, 1, x.shape[-1]], x.dtype)
    return project(tf.where(inside, x + 2 * eps * faces, x), x0, eps, "linf", box)


def move_bump(
    x: tf.Tensor,
    x0: tf.Tensor,
    side: Any,
    pattern: tf.Tensor,
    seed: tf.Tensor,
    eps: Any,
    box: tuple[float, float],
) -> tf.Tensor:
    """Empties a random square of the perturbation and spends its part of the L2 norm in another.

    There a bump of random sign and direction is added to what the square already holds.

    Args:
        x: images `(N, H, W, C)` in the ball and the box.
        x0: clean images, like `x`.
        side: side of the squares in pixels, scalar integer tensor.
        pattern: `bump(side)`, padded with zeros to any larger square.
        seed: `int64` `(N,)`, one per image.
        eps: radius of the ball, in input units.
        box: `(low, high)`.

    Returns:
        Tensor like `x`.
    """
    delta = x - x0
    rows, columns = _random_window(x.shape, side, fold_in(seed, 0))
    inside = _inside((rows, columns), side)
    emptied = _inside(_random_window(x.shape, side, fold_in(seed, 1)), side)

    turned = signs(fold_in(seed, 2), [1, 1], x.dtype) > 0
    width = pattern.shape[0]
    cell = tf.where(turned, columns * width + rows, rows * width + columns)[..., None]
    bumps = tf.gather(tf.reshape(pattern, [-1]), tf.where(inside, cell, 0))
    bumps = tf.where(inside, tf.cast(bumps, x.dtype), 0.0)
    bumps *= signs(fold_in(seed, 3), [1, 1, x.shape[-1]], x.dtype)

    held = tf.where(inside, delta, 0.0)
    mixed = bumps + held / (_pixel_norm(held) + _TINY)
    unspent = tf.maximum(eps**2 - tf.reduce_sum(delta**2, [1, 2, 3], keepdims=True), 0.0)
    freed = tf.reduce_sum(tf.where(inside | emptied, delta, 0.0) ** 2, [1, 2], keepdims=True)
    mixed *= tf.sqrt(unspent / x.shape[-1] + freed) / (_pixel_norm(mixed) + _TINY)
    return on_sphere(tf.where(inside, mixed, tf.where(emptied, 0.0, delta)), x0, eps, box)


def bump(side: int) -> np.ndarray:
    """Two pyramids of opposite sign, one above the other, of norm 1 together.

    In a half of `h` rows the height at Chebyshev distance `m` from the middle is
    `sum_{n=m+1}^{M} 1 / n^2` with `M = floor(side / 2) + 1`.

    Args:
        side: side of the square in pixels.

    Returns:
        float32 array `(side, side)`.

    Source: Andriushchenko et al., ECCV 2020, arXiv 1912.00049, section 3.4.
    """
    heights = np.cumsum(1 / np.arange(side // 2 + 1, 0, -1.0) ** 2)[::-1]

    def pyramid(rows):
        down = abs(np.arange(rows) - rows // 2)[:, None]
        across = abs(np.arange(side) - side // 2)[None, :]
        half = heights[np.maximum(down, across)]
        return half / max(np.linalg.norm(half), _TINY)

    both = np.concatenate([pyramid(side // 2), -pyramid(side - side // 2)])
    return (both / np.linalg.norm(both)).astype("float32")


def on_sphere(delta: tf.Tensor, x0: tf.Tensor, eps: Any, box: tuple[float, float]) -> tf.Tensor:
    """The perturbation brought to norm `eps`, then into the box."""
    norm = tf.sqrt(tf.reduce_sum(delta**2, [1, 2, 3], keepdims=True))
    return project(x0 + delta * (eps / (norm + _TINY)), x0, eps, "l2", box)


def _random_window(shape, side, seed):
    """Rows `(N, H, 1)` and columns `(N, 1, W)` of the pixels, counted from a random corner."""
    height, width = shape[1:3]
    top = integers(fold_in(seed, 0), [], 0, height - side + 1)
    left = integers(fold_in(seed, 1), [], 0, width - side + 1)
    rows = tf.range(height)[None, :, None] - top[:, None, None]
    return rows, tf.range(width)[None, None, :] - left[:, None, None]


def _inside(window, side):
    """Boolean `(N, H, W, 1)`: the pixel lies in the square."""
    rows, columns = window
    down = (rows >= 0) & (rows < side)
    return (down & (columns >= 0) & (columns < side))[..., None]


def _pixel_norm(x):
    """The L2 norm of every channel of every image, `(N, 1, 1, C)`."""
    return tf.sqrt(tf.reduce_sum(x**2, [1, 2], keepdims=True))
