"""Square: a random search that asks the model for scores and never for gradients."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.attacks._engine.projections import project
from keras_mmc.attacks.ascent import per_sample
from keras_mmc.attacks.base import Attack, misclassified
from keras_mmc.attacks.loops import while_standing

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_TINY = 1e-12


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class Square(Attack):
    """Square attack: changes one random square at a time and keeps what raises the margin.

    It needs no gradient, so it notices when gradients lie. Each query tries one square in every
    image, at a place of its own; the squares shrink as the queries go.

    Args:
        eps: radius of the ball, in input units.
        queries: number of squares tried per image, each one forward pass.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        p_init: share of the image that the first squares cover, in (0, 1].

    Raises:
        ValueError: if a field does not fit, and when traced if `x` are not images `(N, H, W, C)`.

    Source: Andriushchenko et al., ECCV 2020, arXiv 1912.00049, algorithms 1 to 3.

    Example:
    >>> x_adv = keras_mmc.attacks.Square(eps=8 / 255, queries=1000)(model, x_test, y_test)
    """

    eps: float
    queries: int = 5000
    norm: str = "linf"
    box: tuple[float, float] = (0.0, 1.0)
    p_init: float = 0.8

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.queries, int) or self.queries < 1:
            raise ValueError(
                f"Square: `queries` must be a positive integer; received {self.queries!r}."
            )
        if not 0 < self.p_init <= 1:
            raise ValueError(
                "Square: `p_init` is the share of the image that the first squares cover, in "
                f"(0, 1]; received {self.p_init!r}."
            )

    def generate(self, score_fn, x, y, seed, targets=None):
        """Per sample the point of the largest margin, of the first that is misclassified."""
        begin, step = self._begin(score_fn, x, y, seed), self._step(score_fn, x.shape, seed)
        _, state = tf.while_loop(
            lambda i, state: True,
            lambda i, state: (i + 1, step(i, state)[0]),
            (0, begin),
            maximum_iterations=self.queries,
        )
        return tf.stop_gradient(state[2])

    def search(self, score_fn, x, y, seed, targets=None):
        """As `generate`; samples already fooled leave the batch."""
        begin, step = self._begin(score_fn, x, y, seed), self._step(score_fn, x.shape, seed)
        best = while_standing(
            self.queries, step, begin, outcome=lambda state: state[2], share=0.125
        )
        return tf.stop_gradient(tf.ensure_shape(best, x.shape))

    def side(self, query: int, height: int, width: int) -> int:
        """Side of the squares at a query, in pixels.

        The share of the image they cover is halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000
        and 8000 of 10,000 queries, and in the same proportion of any other number. With `"l2"`
        sides are odd and at least 3, as the two halves of a bump need.
        """
        share = self.p_init / 2 ** sum(query * 10_000 > self.queries * h for h in _HALVINGS)
        side = max(round(math.sqrt(share * height * width)), 1)
        if self.norm == "l2":
            side = max(side + 1 - side % 2, 3)
        return min(side, height, width)

    def _begin(self, score_fn, x, y, seed):
        """The state at the start: clean images, labels, best points, margins, who is fooled.

        The first points are vertical stripes (`"linf"`) or a grid of bumps (`"l2"`).
        """
        if x.shape.rank != 4:
            raise ValueError(
                f"Square changes squares of pixels: it needs images (N, H, W, C); received shape "
                f"{x.shape}. Use APGD or FAB on inputs that are not images."
            )
        count = tf.shape(x)[0]
        _, height, width, channels = x.shape
        if self.norm == "linf":
            signs = _signs([count, 1, width, channels], seed, x.dtype)
            best = project(x + self.eps * signs, x, self.eps, "linf", self.box)
        else:
            side = max(min(height, width) // 5, 1)
            grid = (height // side, width // side)
            signs = _signs([count, *grid, channels], seed, x.dtype)
            signs = tf.repeat(tf.repeat(signs, side, axis=1), side, axis=2)
            bumps = signs * tf.constant(np.tile(bump(side), grid)[..., None], x.dtype)
            top, left = (height - grid[0] * side) // 2, (width - grid[1] * side) // 2
            bumps = tf.image.pad_to_bounding_box(bumps, top, left, height, width)
            best = _on_sphere(bumps, x, self.eps, self.box)
        scores = score_fn(best)
        return x, y, best, objectives.margin(scores, y), misclassified(scores, y)

    def _step(self, score_fn, shape, seed):
        """One query, `(i, state) -> (state, fooled)`."""
        schedule = [self.side(i, *shape[1:3]) for i in range(self.queries)]
        sides, kinds = np.unique(schedule, return_inverse=True)
        bumps = tf.constant(_padded_bumps(sides))
        sides, kinds = tf.constant(sides, tf.int32), tf.constant(kinds, tf.int32)

        def try_square(best, x0, kind, seed):
            if self.norm == "linf":
                return paint_square(best, x0, sides[kind], seed, self.eps, self.box)
            return move_bump(best, x0, sides[kind], bumps[kind], seed, self.eps, self.box)

        def step(i, state):
            x0, y, best, margin, fooled = state
            seed_here = tf.random.experimental.stateless_fold_in(seed, i + 1)
            tried = try_square(best, x0, kinds[i], seed_here)
            scores = score_fn(tried)
            tried_margin, won = objectives.margin(scores, y), misclassified(scores, y)
            better = ~fooled & (won | (tried_margin > margin))
            best = tf.where(per_sample(better, best), tried, best)
            margin = tf.where(better, tried_margin, margin)
            return (x0, y, best, margin, fooled | won), fooled | won

        return step


def paint_square(x, x0, side, seed, eps, box) -> tf.Tensor:
    """Moves a random square of every image to one face of the L-inf ball, per channel.

    Args:
        x: points `(N, H, W, C)` in the ball and the box.
        x0: clean images, like `x`.
        side: side of the squares in pixels, scalar integer tensor.
        seed: integers of shape `(2,)`.
        eps: radius of the ball, in input units.
        box: `(low, high)`.

    Returns:
        Tensor like `x`.
    """
    place_seed, sign_seed = tf.unstack(tf.random.split(seed, 2))
    rows, columns = _random_window(tf.shape(x), side, place_seed)
    inside = _inside(rows, columns, side)
    signs = _signs([tf.shape(x)[0], 1, 1, x.shape[-1]], sign_seed, x.dtype)
    return project(tf.where(inside, x + 2 * eps * signs, x), x0, eps, "linf", box)


def move_bump(x, x0, side, pattern, seed, eps, box) -> tf.Tensor:
    """Empties a random square of the perturbation and spends its share of the L2 norm in another.

    There a bump of random sign and direction is added to what the square already holds.

    Args:
        x: points `(N, H, W, C)` in the ball and the box.
        x0: clean images, like `x`.
        side: side of the squares in pixels, scalar integer tensor.
        pattern: `bump(side)`, padded with zeros to any larger square.
        seed: integers of shape `(2,)`.
        eps: radius of the ball, in input units.
        box: `(low, high)`.

    Returns:
        Tensor like `x`.
    """
    seeds = tf.unstack(tf.random.split(seed, 4))
    delta = x - x0
    rows, columns = _random_window(tf.shape(x), side, seeds[0])
    inside = _inside(rows, columns, side)
    emptied = _inside(*_random_window(tf.shape(x), side, seeds[1]), side)

    turned = _signs([tf.shape(x)[0], 1, 1], seeds[2], x.dtype) > 0
    width = pattern.shape[0]
    cell = tf.where(turned, columns * width + rows, rows * width + columns)[..., None]
    bumps = tf.gather(tf.reshape(pattern, [-1]), tf.where(inside, cell, 0))
    bumps = tf.where(inside, tf.cast(bumps, x.dtype), 0.0)
    bumps *= _signs([tf.shape(x)[0], 1, 1, x.shape[-1]], seeds[3], x.dtype)

    held = tf.where(inside, delta, 0.0)
    mixed = bumps + held / (_pixel_norm(held) + _TINY)
    unspent = tf.maximum(eps**2 - tf.reduce_sum(delta**2, [1, 2, 3], keepdims=True), 0.0)
    freed = tf.reduce_sum(tf.where(inside | emptied, delta, 0.0) ** 2, [1, 2], keepdims=True)
    mixed *= tf.sqrt(unspent / x.shape[-1] + freed) / (_pixel_norm(mixed) + _TINY)
    return _on_sphere(tf.where(inside, mixed, tf.where(emptied, 0.0, delta)), x0, eps, box)


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


def _padded_bumps(sides):
    largest = max(sides)
    return np.stack([np.pad(bump(side), (0, largest - side)) for side in sides])


def _random_window(shape, side, seed):
    """Rows `(N, H, 1)` and columns `(N, 1, W)` of the pixels, counted from a random corner."""
    seeds = tf.unstack(tf.random.split(seed, 2))
    top = tf.random.stateless_uniform(shape[:1], seeds[0], 0, shape[1] - side + 1, tf.int32)
    left = tf.random.stateless_uniform(shape[:1], seeds[1], 0, shape[2] - side + 1, tf.int32)
    rows = tf.range(shape[1])[None, :, None] - top[:, None, None]
    return rows, tf.range(shape[2])[None, None, :] - left[:, None, None]


def _inside(rows, columns, side):
    """Boolean `(N, H, W, 1)`: the pixel lies in the square."""
    down = (rows >= 0) & (rows < side)
    return (down & (columns >= 0) & (columns < side))[..., None]


def _signs(shape, seed, dtype):
    return tf.cast(2 * tf.random.stateless_uniform(shape, seed, 0, 2, tf.int32) - 1, dtype)


def _pixel_norm(x):
    """The L2 norm of every channel of every image, `(N, 1, 1, C)`."""
    return tf.sqrt(tf.reduce_sum(x**2, [1, 2], keepdims=True))


def _on_sphere(delta, x0, eps, box):
    """The perturbation brought to norm `eps`, then into the box."""
    norm = tf.sqrt(tf.reduce_sum(delta**2, [1, 2, 3], keepdims=True))
    return project(x0 + delta * (eps / (norm + _TINY)), x0, eps, "l2", box)
