"""Input gradient regularization."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc import objectives
from keras_mmc._validation import check_number
from keras_mmc.regularizers.base import Regularizer
from keras_mmc.regularizers.squared_gradient import squared_gradient


def input_gradient_penalty(
    score_fn: Callable[[tf.Tensor], tf.Tensor],
    x: tf.Tensor,
    y: tf.Tensor,
    objective: "str | Callable | keras.losses.Loss" = "cross_entropy",
) -> tf.Tensor:
    """`|| grad_x objective(s, y) ||^2` per sample.

    Args:
        score_fn: maps images to scores `(N, K)`.
        x: images `(N, ...)`.
        y: labels, `int32`, `(N,)`.
        objective: name of an untargeted objective, a function of `(scores, labels)` with values
            `(N,)`, or a Keras loss.

    Returns:
        Tensor `(N,)`, differentiable in the weights.

    Source: Ross & Doshi-Velez, AAAI 2018, arXiv 1711.09404.

    Example:
    >>> input_gradient_penalty(lambda x: x @ [[2.0, 0.0], [0.0, 1.0]], [[0.0, 0.0]], [0])
    [1.25]
    """
    value = objectives.get(objective)
    return squared_gradient(lambda x: value(score_fn(x), y), x)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class InputGradientPenalty(Regularizer):
    """Input gradient regularization: a loss that changes little about the trained images.

    Adds `weight * || grad_x objective(s(x), y) ||^2` to the loss of every sample, with the model in
    inference mode, by double back-propagation.

    A regularizer does not know the compiled loss. The default is the cross-entropy of the paper,
    which suits losses of softmax; its gradient vanishes on scores of fixed centers, so pass the
    compiled loss itself there: `objective=keras_mmc.MMCLoss()`.

    Args:
        weight: weight of the penalty, above 0, as in the paper: loss and penalty are both sums over
            samples there, both means here.
        objective: name of an untargeted objective, a function of `(scores, labels)` with values
            `(N,)`, or a Keras loss.

    Raises:
        ValueError: if `weight` does not fit, or there is no such untargeted objective.

    Source: Ross & Doshi-Velez, *Improving the Adversarial Robustness and Interpretability of Deep
    Neural Networks by Regularizing Their Input Gradients*, AAAI 2018, arXiv 1711.09404.

    Example:
    >>> regularizer = keras_mmc.regularizers.InputGradientPenalty(
    ...     0.1, objective=keras_mmc.MMCLoss())
    >>> robust = keras_mmc.AdversarialModel(model, regularizer=regularizer)
    >>> robust.compile(optimizer="adam", loss=keras_mmc.MMCLoss())
    """

    weight: float
    objective: "str | Callable | keras.losses.Loss" = "cross_entropy"

    def __post_init__(self):
        check_number(self, "weight", self.weight, above=0)
        objectives.for_goal(self.objective, targeted=False)

    def penalty(self, score_fn, x, y):
        return self.weight * input_gradient_penalty(score_fn, x, y, self.objective)
