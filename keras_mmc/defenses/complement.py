"""Complement objective training (COT)."""

import dataclasses

import keras

from keras_mmc._validation import check_choice, check_number
from keras_mmc.defenses.base import Defense, Losses
from keras_mmc.losses import complement_entropy
from keras_mmc.losses.complement import check_more_than_two_classes


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class ComplementTraining(Defense):
    """Complement objective training: the compiled loss, and flat wrong classes.

    Each batch makes one step on the compiled loss and, after a fresh forward pass, one step of a
    second optimizer on `gamma / (K - 1)` times the negative complement entropy. The second
    optimizer is made as the compiled one, with a state of its own, and follows its learning rate.
    With `single_step` both terms are added and make one step.

    Args:
        gamma: weight of the complement entropy, above 0.
        single_step: whether to add the terms instead of alternating.

    Raises:
        ValueError: if a field does not fit, or for fewer than 3 classes.

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
        check_more_than_two_classes(num_classes, "ComplementTraining")

    @property
    def needs_second_optimizer(self) -> bool:
        """Whether steps alternate between two optimizers."""
        return not self.single_step

    def perturb(self, learner, x, y, seed):
        return x

    def loss(self, learner, x, x_adv, y):
        losses = super().loss(learner, x, x_adv, y)
        if not self.single_step:
            return losses
        return dataclasses.replace(losses, fixed=self._complement(y, losses.clean))

    def update(self, learner, x, y, seed, descend):
        losses = super().update(learner, x, y, seed, descend)
        if self.single_step:
            return losses

        def complement(points):
            return Losses(self._complement(y, learner.scores(points)))

        second, _ = descend(complement, x, second=True)
        return dataclasses.replace(losses, fixed=second.weighted)

    def _complement(self, y, scores):
        return self.gamma / (scores.shape[-1] - 1) * complement_entropy(y, scores)
