"""Adversarial training with any attack."""

import dataclasses

import keras

from keras_mmc._validation import check_number
from keras_mmc.defenses.attack_defense import AttackDefense
from keras_mmc.defenses.base import SampleLosses


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class AdversarialTraining(AttackDefense):
    """Adversarial training: the compiled loss of the adversarial examples of an attack.

    Args:
        attack: any attack, untargeted or targeted.
        clean_fraction: fraction `r` of the clean loss, `r * L(x) + (1 - r) * L(x')`, in `[0, 1)`;
            0 trains on adversarial examples only, 0.5 is the mixture of Goodfellow et al.
        objective: what the attack maximizes; `None` for the attack's own objective, by default
            the margin, `"training_loss"` for the compiled loss as in the paper.
        **more: as for `AttackDefense`, as are the errors.

    Source: Madry et al., ICLR 2018, arXiv 1706.06083; the mixture from Goodfellow et al.,
    ICLR 2015, arXiv 1412.6572.

    Example:
    >>> defense = keras_mmc.defenses.AdversarialTraining(keras_mmc.attacks.PGD(0.3, steps=10))
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    >>> robust.compile(optimizer="adam", loss=keras_mmc.MMCLoss(), metrics=["accuracy"])
    """

    clean_fraction: float = 0.0

    mail_defaults = 10.0, -0.5

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "clean_fraction", self.clean_fraction, at_least=0, below=1)

    def loss(self, context, x, x_adv, y):
        losses = super().loss(context, x, x_adv, y)
        if not self.clean_fraction:
            return losses
        clean, values = context.scored(x)
        weighted = (1 - self.clean_fraction) * losses.weighted
        return SampleLosses(weighted, losses.adversarial, clean, self.clean_fraction * values)
