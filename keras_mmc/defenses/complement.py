"""Complement objective training (COT)."""

import dataclasses

import keras
import tensorflow as tf

from keras_mmc._validation import check_choice, check_number
from keras_mmc.defenses.base import Defense, SampleLosses
from keras_mmc.losses import ComplementEntropy, complement_entropy


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class ComplementTraining(Defense):
    """Complement objective training: the compiled loss, and flat wrong classes.

    Each batch makes one step on the compiled loss and, after a fresh forward pass, one step of a
    second optimizer on `gamma / (K - 1)` times the negative complement entropy. The second
    optimizer is made as the compiled one, with a state of its own, and follows its learning rate.
    With `single_step` both terms are added and make one step. It needs 3 classes or more.

    Args:
        gamma: weight of the complement entropy, above 0.
        single_step: whether to add the terms instead of alternating.

    Source: Chen et al., *Complement Objective Training*, ICLR 2019, arXiv 1903.01182.

    Example:
    >>> robust = keras_mmc.AdversarialModel(model, keras_mmc.defenses.ComplementTraining())
    """

    gamma: float = 1.0
    single_step: bool = False

    def __post_init__(self):
        check_number(self, "gamma", self.gamma, above=0)
        check_choice(self, "single_step", self.single_step, (True, False))

    def check(self, loss, num_classes):
        super().check(loss, num_classes)
        ComplementEntropy().check_classes(num_classes)

    @property
    def num_optimizers(self) -> int:
        """2 where steps alternate."""
        return 1 if self.single_step else 2

    def loss(self, context, x, x_adv, y):
        losses = super().loss(context, x, x_adv, y)
        if not self.single_step:
            return losses
        return dataclasses.replace(losses, fixed=self._complement(y, losses.clean))

    def update(self, context, x, y, update_weights):
        losses = super().update(context, x, y, update_weights)
        if self.single_step:
            return losses
        second, _ = update_weights(
            lambda images: SampleLosses(self._complement(y, context.scores(images))), x, optimizer=1
        )
        return dataclasses.replace(losses, fixed=second.weighted)

    def _complement(self, y: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        return self.gamma / (scores.shape[-1] - 1) * complement_entropy(y, scores)
