"""RayS: a search over directions that asks the model for labels alone."""

import dataclasses
import math

import keras
import tensorflow as tf

from keras_mmc.attacks._engine.loops import compiled, per_image, repeat
from keras_mmc.attacks._engine.predictions import misclassified
from keras_mmc.attacks._engine.projections import clip_to_box, shape_of
from keras_mmc.attacks.base import BallAttack

# The authors' code stops a binary search at 1e-3 in the L2 norm of images in [0, 1].
_TOLERANCE = 1e-3


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class RayS(BallAttack):
    """Ray searching: looks for the corner of the L-inf ball towards which the boundary is nearest.

    It needs the predicted class and nothing else: neither gradients nor scores. A direction has one
    sign per number of the image. Blocks of it are turned around in turn, first the whole, then
    halves, quarters and so on down to single numbers; one query at the smallest radius known so far
    tells whether a turned block is at least as good, and if so a binary search along the ray finds
    the new radius. Blocks are runs of numbers in the order of the array: stripes of rows of images
    `(N, H, W, C)`. Nothing is drawn at random, and images may have any shape.

    An image that is broken within `eps` is done; one that is not comes back unchanged. In training
    all queries are made, and an image that is broken is as near to the clean one as was found.

    Args:
        eps: radius of the L-inf ball, in input units.
        queries: number of queries per image, each one forward pass.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit.

    Source: Chen & Gu, KDD 2020, arXiv 2006.12792, algorithms 2 and 3; the start at one corner of
    the box, blocks and the end of a binary search as in the authors' code.

    Example:
    >>> x_adv = keras_mmc.attacks.RayS(eps=8 / 255, queries=1000)(model, x_test, y_test)
    """

    queries: int = 5000
    box: tuple[float, float] = (0.0, 1.0)

    uses_gradients = False

    def run(self, score_fn, x, y, seed, targets, early_stop, eps):
        """Per image the nearest misclassified one on a ray, or the first inside; else itself."""
        zeros = tf.zeros(tf.shape(y), x.dtype)
        clean = x, y, zeros + tf.reshape(tf.cast(eps, x.dtype), [-1])
        search = zeros + float("inf"), zeros, tf.zeros_like(y, tf.bool)
        begin = clean, tf.ones_like(x), search, (tf.zeros_like(y), tf.zeros_like(y))
        step = self._step(score_fn, tf.reduce_prod(shape_of(x)), early_stop)
        return repeat(self.queries, step, begin, self._found, early_stop, crowd=0.0)

    def _found(self, state):
        """The image at the radius that is known, if it lies in the ball."""
        (x, _, eps), signs, (radius, _, _), _ = state
        inside = per_image(radius <= eps, x)
        return tf.where(inside, self._on_ray(x, signs, radius), x)

    def _on_ray(self, x, signs, radius):
        return clip_to_box(x + per_image(radius, x) * signs, self.box)

    def _step(self, score_fn, numbers, early_stop):
        """One query, `(i, state) -> (state, done)`: whether a block helps, or half of a radius.

        A state holds, beside the clean images, the signs of the best direction; the smallest radius
        at which it is adversarial, the largest at which it is known not to be, and whether the two
        are being brought together; and the block to turn next, by its level and number.
        """
        width = self.box[1] - self.box[0]

        @compiled
        def propose(state):
            (x, _, _), signs, (radius, low, halving), block = state
            reach = tf.minimum(radius, width)
            turned = tf.where(_in_block(x, numbers, *block), -signs, signs)
            tried = tf.where(per_image(halving, x), signs, turned)
            size = tf.where(halving, (low + reach) / 2, reach)
            return self._on_ray(x, tried, size), tried, size

        @compiled
        def keep(state, tried, size, scores):
            clean, signs, (radius, low, halving), block = state
            x, y, eps = clean
            hit = misclassified(scores, y)
            if early_stop:  # the first image inside the ball is kept
                hit &= radius > eps
            signs = tf.where(per_image(hit, x), tried, signs)
            radius = tf.where(hit, size, radius)
            low = tf.where(halving, tf.where(hit, low, size), 0.0)
            tolerance = _TOLERANCE * width / tf.sqrt(tf.cast(numbers, x.dtype))
            open_ended = tf.minimum(radius, width) - low > tolerance
            still = (halving | hit) & open_ended
            moved = tf.nest.map_structure(
                lambda now, then: tf.where(still, now, then), block, _next_block(numbers, *block)
            )
            return (clean, signs, (radius, low, still), moved), radius <= eps

        def step(i, state):
            images, tried, size = propose(state)
            return keep(state, tried, size, score_fn(images))

        return step


def _block_size(numbers, level):
    parts = tf.bitwise.left_shift(tf.ones_like(level), level)
    return (numbers + parts - 1) // parts


def _in_block(x, numbers, level, block):
    """Boolean, like `x`: the number lies in the block of its image."""
    place = tf.reshape(tf.range(numbers), [1, *shape_of(x)])
    return place // per_image(_block_size(numbers, level), x) == per_image(block, x)


def _next_block(numbers, level, block):
    """The block after this one, or the first of half the size; single numbers come again."""
    is_last = (block + 1) * _block_size(numbers, level) >= numbers
    halved = tf.minimum(level + 1, _deepest(numbers))
    return tf.where(is_last, halved, level), tf.where(is_last, 0, block + 1)


def _deepest(numbers):
    """The first level whose blocks are single numbers."""
    bits = tf.math.log(tf.cast(numbers, tf.float64)) / math.log(2.0)
    return tf.cast(tf.math.ceil(bits - 1e-9), tf.int32)
