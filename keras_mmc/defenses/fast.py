"""Fast adversarial training: one step from a random start."""

import dataclasses
from collections.abc import Callable

import keras

from keras_mmc._validation import check_number
from keras_mmc.attacks import PGD
from keras_mmc.defenses.adversarial_training import AdversarialTraining
from keras_mmc.defenses.attack_defense import Schedule
from keras_mmc.defenses.base import WrappingDefense


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class FastAdversarialTraining(WrappingDefense):
    """Fast adversarial training (FGSM-RS): one long step from a random start of the ball.

    It costs about 1.7 plain steps per batch. It can collapse within an epoch: the network becomes
    robust to this one step and to nothing else. Pass
    `keras_mmc.callbacks.StopOnCatastrophicOverfitting` to `fit`.

    Args:
        eps: radius of the L-infinity ball, above 0, in input units.
        step_size: length of the step, in input units; `None` takes `1.25 * eps`.
        box: `(low, high)`, where images live.
        objective: as in `AdversarialTraining`; by default the compiled loss, as in the paper.
        **more: `clean_fraction`, `eps_schedule` and `start_epoch` of `AdversarialTraining`; the
            step keeps its length.

    Source: Wong et al., *Fast is better than free*, ICLR 2020, arXiv 2001.03994.

    Example:
    >>> defense = keras_mmc.defenses.FastAdversarialTraining(eps=8 / 255)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    """

    eps: float
    step_size: float | None = None
    box: tuple[float, float] = (0.0, 1.0)
    _: dataclasses.KW_ONLY
    clean_fraction: float = 0.0
    objective: "str | Callable | keras.losses.Loss | None" = "training_loss"
    eps_schedule: Schedule | None = None
    start_epoch: int = 0

    mail_defaults = AdversarialTraining.mail_defaults

    def __post_init__(self):
        check_number(self, "eps", self.eps, above=0)
        _ = self.wrapped  # which checks the other fields

    @property
    def wrapped(self) -> AdversarialTraining:
        """Adversarial training with PGD of one step."""
        step_size = 1.25 * self.eps if self.step_size is None else self.step_size
        return AdversarialTraining(
            PGD(self.eps, steps=1, step_size=step_size, box=self.box),
            self.clean_fraction,
            objective=self.objective,
            eps_schedule=self.eps_schedule,
            start_epoch=self.start_epoch,
        )
