"""The fast gradient sign method (FGSM)."""

import dataclasses

import keras

from keras_mmc.attacks._engine.fields import fixed
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class FGSM(PGD):
    """Fast gradient sign method: one step of full length along the gradient.

    Arguments and errors are those of `PGD` without steps, starts and restarts: `eps`, `norm`,
    `objective`, `targeted` and `box`.

    Source: Goodfellow et al., ICLR 2015, arXiv 1412.6572.

    Example:
    >>> x_adv = keras_mmc.attacks.FGSM(eps=8 / 255)(model, x_test, y_test)
    """

    steps: int = fixed(1)
    step_size: float | None = fixed(None)
    random_start: bool | float = fixed(False)
    restarts: int = fixed(1)

    fixed_steps = True

    def run(self, score_fn, x, y, seed, targets, early_stop, eps, steps=1):
        """One step in both views: there is nothing to stop early."""
        return super().run(score_fn, x, y, seed, targets, False, eps, steps)

    def step_length(self, eps, steps):
        return eps
