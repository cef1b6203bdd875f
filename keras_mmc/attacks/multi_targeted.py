"""Projected gradient descent towards every wrong class in turn."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.attacks.ascent import Ascent, in_turn, per_sample
from keras_mmc.attacks.base import Attack, likely_wrong, misclassified
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MultiTargeted(Attack):
    """PGD on the targeted margin `s_t - s_y` for every wrong class `t`, most likely first.

    One ascent climbs towards whichever class happens to be near; this one tries them all, so it
    is up to `K - 1` times as dear as PGD and finds what a single target hides. It succeeds when
    the sample is misclassified, as whatever class.

    Args:
        eps: radius of the ball, in input units.
        steps: number of steps for each target.
        step_size: length of a step, in input units; `None` takes `2.5 * eps / steps`.
        norm: `"linf"` or `"l2"`.
        random_start: whether each run starts at a random point of the ball.
        box: `(low, high)`, where images live.

    Raises:
        ValueError: if a field does not fit; in a call, see `Attack`.

    Source: Gowal et al., 2019, arXiv 1910.09338.

    Example:
    >>> x_adv = keras_mmc.attacks.MultiTargeted(eps=8 / 255)(model, x_test, y_test)
    """

    eps: float
    steps: int = 20
    step_size: float | None = None
    norm: str = "linf"
    random_start: bool = True
    box: tuple[float, float] = (0.0, 1.0)

    def generate(self, score_fn, x, y, seed, targets=None):
        """Per sample the last iterate with the largest margin, over all wrong classes."""
        scores = score_fn(x)
        order = likely_wrong(scores, y, scores.shape[-1] - 1)
        pgd, ascent = self._pgd(), self._ascent(score_fn)

        def body(i, best, best_margin):
            start = pgd.start(x, tf.random.experimental.stateless_fold_in(seed, i))
            point = ascent.last(start, (), (x, y, tf.gather(order, i, axis=1)))
            margin = objectives.margin(score_fn(point), y)
            better = margin > best_margin
            best = tf.where(per_sample(better, x), point, best)
            return i + 1, best, tf.where(better, margin, best_margin)

        lowest = tf.fill(tf.shape(x)[:1], tf.float32.min)
        _, best, _ = tf.while_loop(
            lambda *state: True, body, (0, x, lowest), maximum_iterations=order.shape[1]
        )
        return tf.stop_gradient(best)

    def search(self, score_fn, x, y, seed, targets=None):
        """Per sample the first point on the way to any wrong class that fools the model."""
        scores = score_fn(x)
        order = likely_wrong(scores, y, scores.shape[-1] - 1)
        pgd, ascent = self._pgd(), self._ascent(score_fn)

        def towards(i, samples):
            x, y, order = samples
            start = pgd.start(x, tf.random.experimental.stateless_fold_in(seed, i))
            return ascent.first_success(start, (), (x, y, tf.gather(order, i, axis=1)))

        return in_turn(order.shape[1], towards, x, (x, y, order))[0]

    def _pgd(self):
        return PGD(
            self.eps,
            steps=self.steps,
            step_size=self.step_size,
            norm=self.norm,
            random_start=self.random_start,
            box=self.box,
        )

    def _ascent(self, score_fn):
        return Ascent(
            score_fn,
            objective=objectives.targeted_margin,
            success=misclassified,
            move=self._pgd().move,
            steps=self.steps,
        )
