"""Square: a random search that asks the model for scores and never for gradients."""

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check
from keras_mmc.attacks._engine.layout import is_channels_first, sees_channels_last
from keras_mmc.attacks._engine.loops import compiled, per_image, repeat
from keras_mmc.attacks._engine.predictions import misclassified
from keras_mmc.attacks._engine.projections import project
from keras_mmc.attacks._engine.random import fold_in, signs
from keras_mmc.attacks._engine.squares import bump, move_bump, on_sphere, paint_square
from keras_mmc.attacks.base import BallAttack

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class Square(BallAttack):
    """Square attack: changes one random square at a time and keeps what raises the margin.

    It needs no gradient, so it notices when gradients lie. Each query tries one square in every
    image, at a place of its own; the squares shrink as the queries go.

    Args:
        eps: radius of the ball, in input units.
        queries: number of squares tried per image, each one forward pass.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        p_init: fraction of the image that the first squares cover, in (0, 1].

    Raises:
        ValueError: if a field does not fit, and when traced if `x` are not images `(N, H, W, C)`
            or, with 1 or 3 channels, `(N, C, H, W)`.

    Source: Andriushchenko et al., ECCV 2020, arXiv 1912.00049, algorithms 1 to 3.

    Example:
    >>> x_adv = keras_mmc.attacks.Square(eps=8 / 255, queries=1000)(model, x_test, y_test)
    """

    queries: int = 5000
    norm: str = "linf"
    box: tuple[float, float] = (0.0, 1.0)
    p_init: float = 0.8

    uses_gradients = False
    starts_at_random = True

    def __post_init__(self):
        super().__post_init__()
        fits = isinstance(self.p_init, (int, float)) and 0 < self.p_init <= 1
        check(self, "p_init", self.p_init, fits, "a fraction of the image, in (0, 1]")

    @staticmethod
    def axes_of(image_shape: Sequence[int]) -> str | None:
        """How axes of images of that shape are read: `"HWC"`, `"CHW"`, or `None` if not at all."""
        if len(image_shape) != 3:
            return None
        return "CHW" if is_channels_first((1, *image_shape)) else "HWC"

    @sees_channels_last
    def run(self, score_fn, x, y, seed, targets, early_stop, eps):
        """Per image the one of the largest margin, of the first that is misclassified."""
        begin = self._begin(score_fn, x, y, seed, eps)
        step = self._step(score_fn, x.shape)
        return repeat(self.queries, step, begin, lambda state: state[1], early_stop)

    def side(self, query: int, height: int, width: int) -> int:
        """Side of the squares at a query, in pixels.

        The fraction of the image that they cover is halved after 10, 50, 200, 500, 1000, 2000,
        4000, 6000 and 8000 of 10,000 queries, and in the same proportion of any other number. With
        `"l2"` sides are odd and at least 3, as the two halves of a bump need.
        """
        covered = self.p_init / 2 ** sum(query * 10_000 > self.queries * h for h in _HALVINGS)
        side = max(round(math.sqrt(covered * height * width)), 1)
        if self.norm == "l2":
            side = max(side + 1 - side % 2, 3)
        return min(side, height, width)

    def _begin(self, score_fn, x, y, seed, eps):
        """The state at the start: clean images, best ones, margins, who is fooled.

        The first tries are vertical stripes (`"linf"`) or a grid of bumps (`"l2"`).
        """
        if self.axes_of(x.shape[1:]) is None:
            raise ValueError(
                f"Square changes squares of pixels: it needs images (N, H, W, C); received shape "
                f"{x.shape}. Use APGD or FAB on inputs that are not images."
            )
        _, height, width, channels = x.shape
        if self.norm == "linf":
            stripes = signs(seed, [1, width, channels], x.dtype)
            best = project(x + eps * stripes, x, eps, "linf", self.box)
        else:
            side = max(min(height, width) // 5, 1)
            grid = (height // side, width // side)
            cells = signs(seed, [*grid, channels], x.dtype)
            cells = tf.repeat(tf.repeat(cells, side, axis=1), side, axis=2)
            bumps = cells * tf.constant(np.tile(bump(side), grid)[..., None], x.dtype)
            top, left = (height - grid[0] * side) // 2, (width - grid[1] * side) // 2
            bumps = tf.image.pad_to_bounding_box(bumps, top, left, height, width)
            best = on_sphere(bumps, x, eps, self.box)
        scores = score_fn(best)
        clean = (x, y, eps, seed)
        return clean, best, objectives.margin(scores, y), misclassified(scores, y)

    def _step(self, score_fn, shape):
        """One query, `(i, state) -> (state, fooled)`."""
        schedule = [self.side(i, *shape[1:3]) for i in range(self.queries)]
        sides, kinds = np.unique(schedule, return_inverse=True)
        bumps = tf.constant(_padded_bumps(sides))
        sides, kinds = tf.constant(sides, tf.int32), tf.constant(kinds, tf.int32)

        @compiled
        def propose(i, clean, best):
            x0, _, eps, seed = clean
            seed, kind = fold_in(seed, i), kinds[i]
            if self.norm == "linf":
                return paint_square(best, x0, sides[kind], seed, eps, self.box)
            return move_bump(best, x0, sides[kind], bumps[kind], seed, eps, self.box)

        @compiled
        def keep(tried, scores, y, best, margin, fooled):
            tried_margin, won = objectives.margin(scores, y), misclassified(scores, y)
            better = ~fooled & (won | (tried_margin > margin))
            best = tf.where(per_image(better, best), tried, best)
            return best, tf.where(better, tried_margin, margin), fooled | won

        def step(i, state):
            clean, *found = state
            tried = propose(tf.convert_to_tensor(i), clean, found[0])
            best, margin, fooled = keep(tried, score_fn(tried), clean[1], *found)
            return (clean, best, margin, fooled), fooled

        return step


def _padded_bumps(sides):
    largest = max(sides)
    return np.stack([np.pad(bump(side), (0, largest - side)) for side in sides])
