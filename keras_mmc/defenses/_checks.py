"""What several defenses check."""

import keras

from keras_mmc._validation import check_number
from keras_mmc.attacks import Attack
from keras_mmc.defenses.base import Defense, properties_of


def check_temperature(owner: Defense, temperature: float | None) -> None:
    """Refuses a temperature that is neither `None` nor a finite number above 0."""
    if temperature is not None:
        check_number(owner, "temperature", temperature, above=0)


def check_climbs(owner: Defense, attack: Attack) -> None:
    """Refuses an attack that cannot climb a divergence, which has no target."""
    if attack.targeted or not attack.has_objective:
        raise ValueError(
            f"{type(owner).__name__} climbs an objective of its own: pass an attack along the "
            f"gradient that is not targeted, such as PGD(8 / 255); received {attack!r}."
        )


def check_single_samples(owner: Defense, loss: keras.losses.Loss) -> None:
    """Refuses a loss of pairs where the loss of single samples is needed."""
    if properties_of(loss).pairwise:
        raise ValueError(
            f"{type(owner).__name__} needs the loss of single samples; {type(loss).__name__} "
            "compares pairs. Use DifferentialTraining or AdversarialTraining."
        )
