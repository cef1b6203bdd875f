"""DeepFool: the nearest boundary of a model that is taken for linear."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc._gradients import value_and_gradient
from keras_mmc._validation import check_count, check_number
from keras_mmc.attacks._engine.fields import of_width
from keras_mmc.attacks._engine.loops import per_image, repeat
from keras_mmc.attacks._engine.planes import rows_sum
from keras_mmc.attacks._engine.predictions import likely_wrong, misclassified
from keras_mmc.attacks._engine.projections import clip_to_box, steepest_step
from keras_mmc.attacks.base import Attack
from keras_mmc.objectives import targeted_margin

_BEYOND = 1e-4


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class DeepFool(Attack):
    """DeepFool: steps to the nearest boundary of the model's tangent until the model is fooled.

    A step costs as many gradients as there are wrong candidates. It finds small perturbations
    fast, though not the smallest: `FAB` takes longer and finds smaller ones.

    There is no `eps`: report the rate of success together with the mean distance over successes.

    Args:
        steps: largest number of steps.
        overshoot: by which fraction of the perturbation an image goes beyond the boundary.
        num_candidates: number of classes considered, the label and the likeliest others.
        norm: `"l2"` or `"linf"`, the norm of the perturbation that is minimized.
        box: `(low, high)`, where images live. The original attack ignores it.

    Raises:
        ValueError: if a field does not fit.

    Source: Moosavi-Dezfooli et al., CVPR 2016, arXiv 1511.04599, algorithm 2.

    Example:
    >>> x_adv = keras_mmc.attacks.DeepFool()(model, x_test, y_test)
    >>> distances = np.linalg.norm((x_adv - x_test).reshape(len(x_test), -1), axis=1)
    """

    steps: int = 50
    overshoot: float = 0.02
    num_candidates: int = 10
    norm: str = "l2"
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "overshoot", self.overshoot, at_least=0)
        check_count(self, "num_candidates", self.num_candidates, least=2)

    def run(self, score_fn, x, y, seed, targets, early_stop):
        """Per image the first adversarial example, else the clean image."""
        beyond = of_width(None, _BEYOND, self.box)

        def step(i, state):
            (x0, y, others), delta, x_adv, fooled = state
            delta += step_to_boundary(score_fn, x_adv, y, others, self.norm, beyond)
            moved = clip_to_box(x0 + (1 + self.overshoot) * delta, self.box)
            x_adv = tf.where(per_image(fooled, moved), x_adv, moved)
            fooled |= misclassified(score_fn(x_adv), y)
            return ((x0, y, others), delta, x_adv, fooled), fooled

        scores = score_fn(x)
        others = likely_wrong(scores, y, self.num_candidates - 1)
        begin = ((x, y, others), tf.zeros_like(x), tf.identity(x), misclassified(scores, y))
        x_adv, fooled = repeat(self.steps, step, begin, lambda state: state[2:], early_stop)
        return tf.where(per_image(fooled, x), x_adv, x)


def step_to_boundary(
    score_fn: Callable, x: tf.Tensor, y: tf.Tensor, others: tf.Tensor, norm: str, beyond: float
) -> tf.Tensor:
    """The step to the nearest of the tangents `s_k - s_y = 0` at `x`.

    With `f = s_k - s_y` and its gradient `w`, the distance is `|f| / ||w||` in the dual norm; the
    step is `|f| / ||w||_2^2 * w` for `"l2"` and `|f| / ||w||_1 * sign(w)` for `"linf"`, longer by
    `beyond`, so that an image on the boundary crosses it.

    Args:
        score_fn: maps images to scores `(N, K)`.
        x: images `(N, ...)`.
        y: labels `(N,)`.
        others: wrong classes `(N, M)` whose boundaries are considered.
        norm: `"l2"` or `"linf"`.
        beyond: length in input units; 1e-4 in the code of the paper, for a box of width 1.

    Returns:
        Tensor like `x`; 0 where every gradient is 0.

    Source: Moosavi-Dezfooli et al., CVPR 2016, arXiv 1511.04599.
    """

    def nearer(k, distance, step):
        classes = tf.gather(others, k, axis=1)
        value, normal = value_and_gradient(lambda x: targeted_margin(score_fn(x), y, classes), x)
        # Divided by its largest component first, a gradient of 1e-25 has a norm too.
        largest = tf.reduce_max(tf.abs(normal), list(range(1, x.shape.rank)))
        normal = tf.math.divide_no_nan(normal, per_image(largest, x))
        unit = steepest_step(normal, 1.0, norm)
        slope = largest * rows_sum(normal * unit)
        length = tf.math.divide_no_nan(tf.abs(value), slope)
        better = (largest > 0) & tf.math.is_finite(length) & (length < distance)
        there = per_image(length + beyond, x) * unit
        step = tf.where(per_image(better, x), there, step)
        return k + 1, tf.where(better, length, distance), step

    _, _, step = tf.while_loop(
        lambda *state: True,
        nearer,
        (0, tf.fill(tf.shape(y), float("inf")), tf.zeros_like(x)),
        maximum_iterations=others.shape[1],
    )
    return step
