"""The basic iterative method (BIM)."""

import dataclasses

import keras

from keras_mmc.attacks._engine.fields import fixed
from keras_mmc.attacks.pgd import PGD


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class BIM(PGD):
    """Basic iterative method: projected gradient descent that starts at the image itself.

    Arguments and errors are those of `PGD`, without `random_start` and `restarts`; 10 steps.

    Source: Kurakin et al., ICLR 2017 workshop, arXiv 1607.02533.

    Example:
    >>> x_adv = keras_mmc.attacks.BIM(eps=8 / 255, steps=10)(model, x_test, y_test)
    """

    steps: int = 10
    random_start: bool | float = fixed(False)
    restarts: int = fixed(1)
