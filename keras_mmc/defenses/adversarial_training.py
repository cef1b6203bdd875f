"""Adversarial training."""

import dataclasses

import keras

from keras_mmc.defenses.base import AttackDefense, Losses


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class AdversarialTraining(AttackDefense):
    """Adversarial training: the compiled loss at the points of an attack.

    Args:
        attack: any attack, untargeted or targeted.
        clean_fraction: share `r` of the clean loss, `r * L(x) + (1 - r) * L(x')`, in `[0, 1)`; 0
            trains on adversarial points only, 0.5 is the mixture of Goodfellow et al.
        objective: what the attack maximises; `None` for the attack's own objective, by default
            the margin, `"training_loss"` for the compiled loss as in the paper.
        eps_schedule: function of the epoch that gives `eps`.
        steps_schedule: function of the epoch that gives the number of steps, rounded.
        start_epoch: epoch from which on the attack runs.

    Raises:
        ValueError: if a field does not fit; see `AttackDefense`.

    Source: Madry et al., ICLR 2018, arXiv 1706.06083; the mixture from Goodfellow et al.,
    ICLR 2015, arXiv 1412.6572.

    Example:
    >>> defense = keras_mmc.defenses.AdversarialTraining(keras_mmc.attacks.PGD(0.3, steps=10))
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    >>> robust.compile(optimizer="adam", loss=keras_mmc.MMCLoss(), metrics=["accuracy"])
    """

    clean_fraction: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not (isinstance(self.clean_fraction, (int, float)) and 0 <= self.clean_fraction < 1):
            raise ValueError(
                "AdversarialTraining: `clean_fraction` must be a number in [0, 1); received "
                f"{self.clean_fraction!r}."
            )

    def loss(self, learner, x, x_adv, y):
        losses = super().loss(learner, x, x_adv, y)
        if not self.clean_fraction:
            return losses
        clean = learner.scores(x)
        return Losses(
            (1 - self.clean_fraction) * losses.weighted,
            losses.adversarial,
            clean,
            fixed=self.clean_fraction * learner.loss(clean),
        )
