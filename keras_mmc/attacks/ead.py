"""EAD: the elastic-net attack, whose perturbations are sparse."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._gradients import value_and_gradient
from keras_mmc._validation import check_choice, check_number
from keras_mmc.attacks._engine.fields import of_width
from keras_mmc.attacks._engine.planes import rows_sum
from keras_mmc.attacks._engine.projections import clip_to_box
from keras_mmc.attacks.penalty import Evaluation, PenaltyAttack


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class EAD(PenaltyAttack):
    """Elastic-net attack: as Carlini-Wagner, with an L1 term that leaves most pixels alone.

    It minimizes `c * hinge + ||x' - x||_2^2 + beta * ||x' - x||_1`, the hinge that of
    `CarliniWagner`, by iterative shrinkage and thresholding with momentum: a gradient step on the
    first two terms, after which perturbations of a pixel below `beta` become 0 and larger ones
    shrink by `beta`. Each image bisects its own `c`.

    There is no `eps`: report the rate of success together with the mean distance over successes.

    Arguments and errors are those of `PenaltyAttack`, and two more; the first constant is 0.001 of
    the squared width of the box. The learning rate falls with the square root of the steps left.

    Args:
        beta: weight of the L1 term and threshold of the shrinkage, in input units; default: 0.001
            of the width of the box.
        decision_rule: what makes the best of the images that fool the model: `"en"`, the smallest
            `||x' - x||_2^2 + beta * ||x' - x||_1`, or `"l1"`, the smallest `||x' - x||_1`.

    Source: Chen et al., AAAI 2018, arXiv 1709.04114.

    Example:
    >>> x_adv = keras_mmc.attacks.EAD(steps=200, decision_rule="l1")(model, x_test, y_test)
    >>> distances = abs(x_adv - x_test).reshape(len(x_test), -1).sum(axis=1)
    """

    beta: float | None = None
    decision_rule: str = "en"

    first_const = 1e-3

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "beta", self.beta, at_least=0, optional=True)
        check_choice(self, "decision_rule", self.decision_rule, ("en", "l1"))

    def begin(self, x):
        return tf.identity(x), tf.identity(x)

    def step(self, score_fn, i, variables, x, goal, constant):
        x_adv, ahead = variables
        beta = of_width(self.beta, 1e-3, self.box)
        scores = score_fn(x_adv)
        sums = rows_sum((x_adv - x) ** 2), rows_sum(tf.abs(x_adv - x))
        squares, absolutes = (tf.cast(each, tf.float32) for each in sums)
        elastic = squares + beta * absolutes
        size = elastic if self.decision_rule == "en" else absolutes
        loss = elastic + constant * self.hinge(scores, goal)

        def penalty(z):
            return constant * self.hinge(score_fn(z), goal)

        _, gradient = value_and_gradient(penalty, ahead)
        gradient += 2 * (ahead - x)
        made = tf.cast(i, x.dtype)
        rate = self.learning_rate * tf.sqrt(tf.maximum(1 - made / self.steps, 0.0))
        moved = shrink(ahead - rate * gradient, x, beta, self.box)
        ahead = moved + made / (made + 3) * (moved - x_adv)
        return (moved, ahead), Evaluation(x_adv, size, loss, scores)


def shrink(z: tf.Tensor, x: tf.Tensor, beta: float, box: tuple[float, float]) -> tf.Tensor:
    """Shrinks the perturbation `z - x` of each pixel by `beta`, to 0 if it is below, into the box.

    Args:
        z: tensor like `x`.
        x: clean images inside the box.
        beta: threshold, in input units.
        box: `(low, high)`.

    Returns:
        Tensor like `x`; pixels whose perturbation is below `beta` are those of `x` to the bit.

    Source: Chen et al., AAAI 2018, arXiv 1709.04114.
    """
    delta = z - x
    shrunk = clip_to_box(z - beta * tf.sign(delta), box)
    return tf.where(tf.abs(delta) > beta, shrunk, x)
