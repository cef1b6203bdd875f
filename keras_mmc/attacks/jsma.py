"""JSMA: the Jacobian-based saliency map attack, two pixels at a time."""

import dataclasses
import math

import keras
import tensorflow as tf

from keras_mmc._gradients import value_gradient_aux
from keras_mmc._validation import check, is_number
from keras_mmc.attacks._engine.fields import of_width
from keras_mmc.attacks._engine.loops import per_image, repeat
from keras_mmc.attacks._engine.predictions import reached
from keras_mmc.attacks._engine.projections import clip_to_box
from keras_mmc.attacks.base import Attack


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class JSMA(Attack):
    """Saliency-map attack: changes the pair of pixels that helps the target most, by `theta`.

    A pixel here is one channel of one pixel of the image. The attack always has a target. It
    bounds the number of pixels changed, not by how much, and reads the scores, not their softmax,
    whose gradients vanish. Choosing a pair compares all pairs: the time of a step grows with the
    square of the number of pixels, the memory in proportion to it.

    Args:
        theta: change of a pixel, in input units, negative to darken; default: the width of the
            box.
        gamma: largest fraction of pixels changed, in (0, 1]: `floor(gamma * D / 2)` pairs.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit, and when traced if `gamma` leaves no pair.

    Source: Papernot et al., EuroS&P 2016, arXiv 1511.07528.

    Example:
    >>> x_adv = keras_mmc.attacks.JSMA(gamma=0.25)(model, x_test, y_test, targets=targets)
    """

    theta: float | None = None
    gamma: float = 0.25
    box: tuple[float, float] = (0.0, 1.0)

    # Not annotated, so not a field.
    targeted = True

    def __post_init__(self):
        super().__post_init__()
        fits = self.theta is None or (is_number(self.theta) and self.theta != 0)
        check(self, "theta", self.theta, fits, "a finite number other than 0, or None")
        fits = is_number(self.gamma) and 0 < self.gamma <= 1
        check(self, "gamma", self.gamma, fits, "a fraction of the pixels, in (0, 1]")

    def run(self, score_fn, x, y, seed, targets, early_stop):
        """Per image the first one that reaches the target, else the last one."""
        features = x.shape[1:].num_elements()
        pairs = math.floor(self.gamma * features / 2 + 1e-9)
        if not pairs:
            raise ValueError(
                f"JSMA: gamma={self.gamma} of {features} pixels leaves no pair to change. Pass at "
                f"least gamma={2 / features:g}."
            )

        theta = of_width(self.theta, 1.0, self.box)

        def step(i, state):
            x, targets, done = state
            scores, rise, fall = _slopes(score_fn, x, targets)
            done |= reached(scores, targets)
            # Scores are looked at after every pair, so after the last one there is no move.
            usable = (x < self.box[1]) if theta > 0 else (x > self.box[0])
            sign = math.copysign(1.0, theta)
            chosen, found = best_pair(sign * _flat(rise), sign * _flat(fall), _flat(usable))
            done |= ~found | (i == pairs)
            change = theta * tf.reshape(tf.cast(chosen, x.dtype), tf.shape(x))
            moved = clip_to_box(x + change, self.box)
            return (tf.where(per_image(done, x), x, moved), targets, done), done

        begin = (tf.identity(x), targets, tf.zeros_like(targets, tf.bool))
        return repeat(pairs + 1, step, begin, lambda state: state[0], early_stop)


def best_pair(rise: tf.Tensor, fall: tf.Tensor, usable: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The pair of pixels of the largest saliency.

    A pair `(p, q)` counts if the target rises, `a = rise_p + rise_q > 0`, and the other classes
    fall, `b = fall_p + fall_q < 0`; its saliency is `-a * b`.

    Args:
        rise: slopes of the target's score, `(N, D)`.
        fall: slopes of the sum of the other scores, `(N, D)`.
        usable: boolean `(N, D)`, the pixels that may still change.

    Returns:
        Boolean `(N, D)`, true at the two pixels of the pair, and boolean `(N,)`: there is a pair.
        Without one no pixel is chosen.

    Source: Papernot et al., EuroS&P 2016, arXiv 1511.07528.
    """
    # Saliencies are compared, not used: scaling keeps tiny slopes from vanishing in a product.
    rise, fall = _scaled(rise), _scaled(fall)
    features = rise.shape[1]
    columns = tf.range(features)

    def from_pixel(p, best, first, second):
        a, b = rise[:, p, None] + rise, fall[:, p, None] + fall
        counts = usable[:, p, None] & usable & (columns > p) & (a > 0) & (b < 0)
        saliency = tf.where(counts, -a * b, tf.zeros_like(a))
        partner = tf.argmax(saliency, axis=1, output_type=tf.int32)
        largest = tf.reduce_max(saliency, axis=1)
        better = largest > best
        first, second = tf.where(better, p, first), tf.where(better, partner, second)
        return p + 1, tf.maximum(best, largest), first, second

    nothing = tf.fill(tf.shape(rise)[:1], -1)
    none_yet = tf.zeros(tf.shape(rise)[:1], rise.dtype)
    nothing = tf.ensure_shape(nothing, rise.shape[:1])
    none_yet = tf.ensure_shape(none_yet, rise.shape[:1])
    _, best, first, second = tf.while_loop(
        lambda *state: True,
        from_pixel,
        (0, none_yet, nothing, nothing),
        maximum_iterations=features,
    )
    chosen = (columns == first[:, None]) | (columns == second[:, None])
    return chosen, best > 0


def _slopes(score_fn, x, targets):
    """Scores, and the gradients of the target's score and of the sum of all others."""

    def target_score(x):
        scores = score_fn(x)
        return tf.gather(scores, targets, batch_dims=1), scores

    def other_scores(x):
        value, scores = target_score(x)
        return tf.reduce_sum(scores, axis=1) - value, ()

    _, rise, scores = value_gradient_aux(target_score, x)
    _, fall, _ = value_gradient_aux(other_scores, x)
    return scores, rise, fall


def _flat(x):
    return tf.reshape(x, [-1, x.shape[1:].num_elements()])


def _scaled(slopes):
    largest = tf.reduce_max(tf.abs(slopes), axis=1, keepdims=True)
    return tf.math.divide_no_nan(slopes, largest)
