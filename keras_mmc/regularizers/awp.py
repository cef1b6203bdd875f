"""Adversarial weight perturbation (AWP)."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_mmc._validation import check_count, check_number
from keras_mmc.regularizers.base import Regularizer


def weight_perturbations(
    weights: Sequence, gradients: Sequence, gamma: float | tf.Tensor
) -> list[tf.Tensor]:
    """`gamma * ||w|| * g / ||g||` for every tensor of rank 2 or more, 0 for biases and scales.

    Norms are those of whole tensors, and so a positive factor that all gradients have in common
    does not matter. A gradient that is 0 or not finite gives 0: no direction.

    Source: Wu et al., NeurIPS 2020, arXiv 2004.05884.

    Example:
    >>> weight_perturbations([[[3.0, 4.0]], [1.0]], [[[0.0, 2.0]], [1.0]], gamma=0.1)
    [[[0.0, 0.5]], [0.0]]
    """
    offsets = []
    for weight, gradient in zip(weights, gradients, strict=True):
        weight, gradient = tf.convert_to_tensor(weight), tf.convert_to_tensor(gradient)
        offset = tf.zeros_like(weight)
        if weight.shape.rank >= 2:
            length = tf.norm(gradient)
            has_direction = tf.math.is_finite(length) & (length > 0)
            direction = tf.where(has_direction, gradient / length, offset)
            offset = gamma * tf.norm(weight) * direction
        offsets.append(offset)
    return offsets


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class AdversarialWeightPerturbation(Regularizer):
    """Adversarial weight perturbation: the gradient is taken where the weights are at their worst.

    After the images, the weights are attacked: every kernel is perturbed by `gamma` times its norm
    along the gradient of the loss of the defense, summed over all replicas. The training gradient,
    with weight decay and what layers add to the loss, is that of the perturbed weights; the
    optimizer applies it to the weights as they were, and no variable ever holds a perturbed one.
    Batch statistics follow the perturbed weights, once per step. So do the loss and the accuracy
    that `fit` reports for training images: expect them worse than those of validation. Costs one
    more forward and backward pass per step, before `start_epoch` too. `DecayRegularizer` leaves
    `gamma` alone.

    Args:
        gamma: length of a perturbation relative to the norm of its kernel, above 0; 0.01 for
            adversarial training and 0.005 for TRADES in the released code.
        start_epoch: epoch from which on weights are perturbed.

    Source: Wu et al., *Adversarial Weight Perturbation Helps Robust Generalization*, NeurIPS 2020,
    arXiv 2004.05884.

    Example:
    >>> defense = keras_mmc.defenses.TRADES(keras_mmc.attacks.PGD(8 / 255, steps=10), beta=6.0)
    >>> regularizer = keras_mmc.regularizers.AdversarialWeightPerturbation(0.005, start_epoch=10)
    >>> robust = keras_mmc.AdversarialModel(model, defense, regularizer)
    """

    gamma: float = 0.01
    start_epoch: int = 0

    perturbs_weights = True

    def __post_init__(self):
        check_number(self, "gamma", self.gamma, above=0)
        check_count(self, "start_epoch", self.start_epoch, least=0)

    def perturbations(self, weights, gradients, epoch):
        gamma = tf.where(epoch >= self.start_epoch, self.gamma, 0.0)
        return weight_perturbations(weights, gradients, gamma)
