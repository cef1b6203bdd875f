"""Training without an attack."""

import dataclasses

import keras

from keras_mmc.defenses.base import Defense


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class StandardTraining(Defense):
    """Training on the images as they are: what defenses are compared with.

    In an `AdversarialModel` it gives robust validation accuracy and regularizers to plain
    training.

    Example:
    >>> robust = keras_mmc.AdversarialModel(
    ...     model, keras_mmc.defenses.StandardTraining(),
    ...     validation_attack=keras_mmc.attacks.PGD(eps=0.1))
    """
