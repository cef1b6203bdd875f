"""Projected gradient descent towards every wrong class in turn."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc.attacks._engine.fields import fixed
from keras_mmc.attacks._engine.loops import in_turn, per_image
from keras_mmc.attacks._engine.predictions import likely_wrong
from keras_mmc.attacks._engine.random import fold_in
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class MultiTargeted(PGD):
    """PGD on the targeted margin `s_t - s_y` for every wrong class `t`, most likely first.

    One ascent climbs towards whichever class happens to be near; this one tries them all, so it
    costs up to `K - 1` times as much as PGD and finds what a single target hides. It succeeds when
    the image is misclassified, as whatever class.

    Arguments and errors are those of `PGD`, without `objective`, `targeted` and `restarts`; `steps`
    are those for each class.

    Source: Gowal et al., 2019, arXiv 1910.09338.

    Example:
    >>> x_adv = keras_mmc.attacks.MultiTargeted(eps=8 / 255)(model, x_test, y_test)
    """

    objective: str | Callable = fixed("targeted_margin")
    targeted: bool = fixed(False)
    restarts: int = fixed(1)

    aims = True

    def run(self, score_fn, x, y, seed, targets, early_stop, eps, steps):
        """In training the last iterate of the largest margin, over all wrong classes."""
        scores = score_fn(x)
        order = likely_wrong(scores, y, scores.shape[-1] - 1)

        def towards(i, samples):
            x, y, order, seed, eps = samples
            start = self.start(x, fold_in(seed, i), eps)
            return start, (x, y, tf.gather(order, i, axis=1), eps)

        def attempt(i, samples):
            start, clean = towards(i, samples)
            return self.ascend(score_fn, start, clean, steps, True)

        everything = (x, y, order, seed, eps)
        if early_stop:
            return in_turn(order.shape[1], attempt, x, everything)

        def best_of(i, best, best_margin):
            start, clean = towards(i, everything)
            x_adv, _ = self.ascend(score_fn, start, clean, steps, False)
            margin = objectives.margin(score_fn(x_adv), y)
            better = margin > best_margin
            best = tf.where(per_image(better, x), x_adv, best)
            return i + 1, best, tf.where(better, margin, best_margin)

        lowest = tf.fill(tf.shape(x)[:1], tf.float32.min)
        return tf.while_loop(
            lambda *state: True, best_of, (0, x, lowest), maximum_iterations=order.shape[1]
        )[1]
