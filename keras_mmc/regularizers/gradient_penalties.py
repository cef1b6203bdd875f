"""Penalties on the gradient of the scores at the trained images, by double back-propagation.

Functions take images `(N, ...)` and return values `(N,)`, differentiable in the weights.
"""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._gradients import ScoreFn, value_and_gradient
from keras_mmc._validation import check_count, check_number
from keras_mmc.regularizers.base import Regularizer


def squared_gradient(fn: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """`|| grad_x fn(x) ||^2` per sample of a function whose values each depend on one image only.

    Example:
    >>> squared_gradient(lambda x: tf.reduce_sum(x**2, axis=1), [[1.0, 2.0]])
    [20.0]
    """
    x = tf.convert_to_tensor(x)
    _, gradient = value_and_gradient(fn, x)
    return tf.reduce_sum(tf.square(gradient), list(range(1, x.shape.rank)))


def effective_weight_penalty(score_fn: ScoreFn, x: tf.Tensor, temperature: float) -> tf.Tensor:
    """`|| sum_k p_k grad_x s_k ||^2`, `(N,)`, with `p = softmax(s / temperature)` held fixed.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> effective_weight_penalty(lambda x: x @ [[3.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]], 1e6)
    [2.5]
    """

    def mixture(x: tf.Tensor) -> tf.Tensor:
        scores = score_fn(x)
        return tf.reduce_sum(tf.stop_gradient(tf.nn.softmax(scores / temperature)) * scores, -1)

    return squared_gradient(mixture, x)


def input_gradient_penalty(
    score_fn: ScoreFn,
    x: tf.Tensor,
    y: tf.Tensor,
    objective: str | Callable | keras.losses.Loss = "cross_entropy",
) -> tf.Tensor:
    """`|| grad_x objective(s, y) ||^2` for labels `int32`, `(N,)`; see `InputGradientPenalty`.

    Source: Ross & Doshi-Velez, AAAI 2018, arXiv 1711.09404.

    Example:
    >>> input_gradient_penalty(lambda x: x @ [[2.0, 0.0], [0.0, 1.0]], [[0.0, 0.0]], [0])
    [1.25]
    """
    value = objectives.get(objective)
    return squared_gradient(lambda x: value(score_fn(x), y), x)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class EffectiveMarginRegularizer(Regularizer):
    """Effective margin regularization: small gradients of the scores at the trained images.

    Adds `weight / reference_batch * || sum_k p_k grad_x s_k ||^2` to the loss of every sample,
    with `p = softmax(s / temperature)` held fixed and the model in inference mode. The released
    code takes the mean over a batch of 128 twice; `reference_batch` keeps published weights valid
    for any batch size.

    Args:
        weight: weight of the penalty as published, above 0, for images in [0, 1]: gradients fall as
            the box widens, so multiply it by the square of the width of another box.
        temperature: which scores count: 40 nearly all alike, 1 the predicted mixture, 0.1 the
            largest.
        reference_batch: batch size that `weight` was published for.

    Source: Liu & Chan, *Boosting Adversarial Robustness From The Perspective of Effective Margin
    Regularization*, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> defense = keras_mmc.defenses.AdversarialTraining(keras_mmc.attacks.PGD(8 / 255, steps=10))
    >>> robust = keras_mmc.AdversarialModel(
    ...     model, defense, keras_mmc.EffectiveMarginRegularizer(3.0, temperature=40.0))
    """

    weight: float
    temperature: float
    reference_batch: int = 128

    def __post_init__(self):
        check_number(self, "weight", self.weight, above=0)
        check_number(self, "temperature", self.temperature, above=0)
        check_count(self, "reference_batch", self.reference_batch)

    def penalty(self, score_fn, x, y):
        values = effective_weight_penalty(score_fn, x, self.temperature)
        return self.weight / self.reference_batch * values


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class InputGradientPenalty(Regularizer):
    """Input gradient regularization: a loss that changes little about the trained images.

    Adds `weight * || grad_x objective(s(x), y) ||^2` to the loss of every sample, with the model in
    inference mode. A regularizer does not know the compiled loss: the default is the cross-entropy
    of the paper, which suits losses of softmax. Its gradient vanishes on scores of fixed centers,
    so pass the compiled loss itself there, `objective=keras_mmc.MMCLoss()`.

    Args:
        weight: weight of the penalty, above 0, as in the paper: loss and penalty are both sums over
            samples there, both means here. It grows with the square of the width of the box.
        objective: name of an untargeted objective, a function of `(scores, labels)` with values
            `(N,)`, or a Keras loss.

    Source: Ross & Doshi-Velez, *Improving the Adversarial Robustness and Interpretability of Deep
    Neural Networks by Regularizing Their Input Gradients*, AAAI 2018, arXiv 1711.09404.

    Example:
    >>> regularizer = keras_mmc.regularizers.InputGradientPenalty(
    ...     0.1, objective=keras_mmc.MMCLoss())
    >>> robust = keras_mmc.AdversarialModel(model, regularizer=regularizer)
    >>> robust.compile(optimizer="adam", loss=keras_mmc.MMCLoss())
    """

    weight: float
    objective: str | Callable | keras.losses.Loss = "cross_entropy"

    def __post_init__(self):
        check_number(self, "weight", self.weight, above=0)
        objectives.for_goal(self.objective, targeted=False)

    def penalty(self, score_fn, x, y):
        return self.weight * input_gradient_penalty(score_fn, x, y, self.objective)
