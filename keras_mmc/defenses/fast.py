"""Fast adversarial training: one step from a random start."""

import dataclasses

import keras

from keras_mmc._validation import is_number
from keras_mmc.attacks import PGD
from keras_mmc.defenses.adversarial_training import AdversarialTraining


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True, init=False)
class FastAdversarialTraining(AdversarialTraining):
    """Fast adversarial training (FGSM-RS): one long step from a random start of the ball.

    It costs about 1.7 plain steps per batch. It can collapse within an epoch: the network becomes
    robust to this one step and to nothing else. Pass
    `keras_mmc.training.StopOnCatastrophicOverfitting` to `fit`.

    Args:
        eps: radius of the L-infinity ball, in input units.
        step_size: length of the step, in input units; `None` takes `1.25 * eps`.
        box: `(low, high)`, where images live.
        **options: `clean_fraction`, `objective`, `eps_schedule` and `start_epoch` of
            `AdversarialTraining`; `objective` is `"training_loss"` if left out, as in the paper.

    Raises:
        ValueError: if a field does not fit.

    Source: Wong et al., *Fast is better than free*, ICLR 2020, arXiv 2001.03994.

    Example:
    >>> defense = keras_mmc.defenses.FastAdversarialTraining(eps=8 / 255)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    """

    def __init__(self, eps, step_size=None, box=(0.0, 1.0), **options):
        if not (is_number(eps) and eps > 0):
            raise ValueError(
                f"FastAdversarialTraining: `eps` must be a finite number > 0; received {eps!r}."
            )
        step_size = 1.25 * eps if step_size is None else step_size
        attack = PGD(eps, steps=1, step_size=step_size, box=box)
        super().__init__(attack, **{"objective": "training_loss", **options})

    def get_config(self):
        config = super().get_config()
        del config["attack"], config["steps_schedule"]
        return {
            "eps": self.attack.eps,
            "step_size": self.attack.step_size,
            "box": self.attack.box,
            **config,
        }
