"""The L2 attack of Carlini and Wagner."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._gradients import value_gradient_aux
from keras_mmc.attacks._engine.adam import adam_step
from keras_mmc.attacks._engine.planes import rows_sum
from keras_mmc.attacks._engine.projections import clip_to_box
from keras_mmc.attacks.penalty import Evaluation, PenaltyAttack

_INSIDE = 0.999999


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class CarliniWagner(PenaltyAttack):
    """Carlini-Wagner L2: looks for the smallest perturbation that fools the model.

    Adam minimizes `||x' - x||^2 + c * max(s_y - max_{k != y} s_k + confidence, 0)`, or with a
    target `t` the same with `max_{k != t} s_k - s_t`, over `w` with `x' = tanh(w)` scaled to the
    box, so that every candidate is an image. Each image bisects its own `c`.

    There is no `eps`: report the rate of success together with the mean distance over successes.

    Arguments and errors are those of `PenaltyAttack`. The learning rate is in units of `w`. A pixel
    at a side of the box starts 7 units from the middle and moves slowly at first: `steps *
    learning_rate` should be 10, as here, or the distances found are too large.

    Source: Carlini & Wagner, S&P 2017, arXiv 1608.04644, section VI.A.

    Example:
    >>> x_adv = keras_mmc.attacks.CarliniWagner(steps=200)(model, x_test, y_test)
    >>> distances = np.linalg.norm((x_adv - x_test).reshape(len(x_test), -1), axis=1)
    """

    def begin(self, x):
        return to_tanh(x, self.box), (tf.zeros_like(x), tf.zeros_like(x))

    def step(self, score_fn, i, variables, x, goal, constant):
        w, memory = variables
        x_adv = from_tanh(w, self.box)

        def penalty(x_adv):
            scores = score_fn(x_adv)
            return constant * self.hinge(scores, goal), scores

        value, gradient, scores = value_gradient_aux(penalty, x_adv)
        size = tf.cast(rows_sum((x_adv - x) ** 2), tf.float32)
        width = self.box[1] - self.box[0]
        slope = width / 2 * (1 - tf.tanh(w) ** 2)
        # In units of a box of width 1: Adam adds a number to the size of gradients.
        gradient = (gradient + 2 * (x_adv - x)) * slope / width**2
        move, memory = adam_step(gradient, memory, i, self.learning_rate)
        found = Evaluation(clip_to_box(x_adv, self.box), size, size + value, scores)
        return (w - move, memory), found


def to_tanh(x: tf.Tensor, box: tuple[float, float]) -> tf.Tensor:
    """The `w` whose image is `x`, a millionth of the way to the middle of the box."""
    low, high = box
    return tf.atanh(_INSIDE * (2 * (x - low) / (high - low) - 1))


def from_tanh(w: tf.Tensor, box: tuple[float, float]) -> tf.Tensor:
    """The image of `w`: `tanh(w)` scaled to the box, within rounding of it."""
    low, high = box
    return low + (high - low) * (tf.tanh(w) + 1) / 2
