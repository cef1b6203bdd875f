"""Effective margin regularization (EMR)."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_mmc._validation import check_count, check_number
from keras_mmc.regularizers.base import Regularizer
from keras_mmc.regularizers.squared_gradient import squared_gradient


def effective_weight_penalty(
    score_fn: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, temperature: float
) -> tf.Tensor:
    """`|| sum_k p_k grad_x s_k ||^2` per sample, with `p = softmax(s / temperature)` held fixed.

    Args:
        score_fn: maps images to scores `(N, K)`.
        x: images `(N, ...)`.
        temperature: large for a near-uniform mean of the scores, 1 for the predicted mixture,
            small for the largest score.

    Returns:
        Tensor `(N,)`, differentiable in the weights.

    Source: Liu & Chan, BMVC 2022, arXiv 2210.05118.

    Example:
    >>> effective_weight_penalty(lambda x: x @ [[3.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]], 1e6)
    [2.5]
    """

    def mixture(x):
        scores = score_fn(x)
        return tf.reduce_sum(tf.stop_gradient(tf.nn.softmax(scores / temperature)) * scores, -1)

    return squared_gradient(mixture, x)


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class EffectiveMarginRegularizer(Regularizer):
    """Effective margin regularization: small gradients of the scores at the trained images.

    Adds `weight / reference_batch * || sum_k p_k grad_x s_k ||^2` to the loss of every sample,
    with `p = softmax(s / temperature)` held fixed and the model in inference mode, by double
    back-propagation. The released code takes the mean over a batch of 128 twice;
    `reference_batch` keeps published weights valid for any batch size.

    Args:
        weight: weight of the penalty as published, above 0.
        temperature: which scores count: 40 nearly all alike, 1 the predicted mixture, 0.1 the
            largest.
        reference_batch: batch size that `weight` was published for.

    Raises:
        ValueError: if a field does not fit.

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
