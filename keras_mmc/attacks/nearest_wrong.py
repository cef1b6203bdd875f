"""The attack on the nearest wrong center."""

import dataclasses
from collections.abc import Callable

import keras

from keras_mmc.attacks._engine.fields import fixed, of_width
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class NearestWrongCenter(PGD):
    """Walks towards the nearest wrong center, chosen anew at every step, in many small steps.

    The attack that broke Max-Mahalanobis networks: it looks only at the wrong center, not at the
    difference to the own one, and succeeds when the image is misclassified. In scores it raises
    `max_{k != y} s_k`, so it runs on any classifier. Most images are broken within 50 steps; only
    those that are not pay for the others.

    Arguments and errors are those of `PGD`, without `objective` and `targeted`; 600 steps, by
    default of 1/510 of the width of the box each.

    Source: an attack in feature space that public criticism of the MMC loss describes, here in
    scores; steps of 0.5/255 at eps = 8/255, images in [0, 1].

    Example:
    >>> attack = keras_mmc.attacks.NearestWrongCenter(eps=8 / 255)
    >>> x_adv = attack(model, x_test, y_test)
    """

    steps: int = 600
    objective: str | Callable = fixed("nearest_wrong")
    targeted: bool = fixed(False)

    def step_length(self, eps, steps):
        return of_width(self.step_size, 0.5 / 255, self.box)
