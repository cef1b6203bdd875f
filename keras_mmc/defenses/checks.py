"""What several defences check, and how their attacks start."""

from keras_mmc._validation import check_number
from keras_mmc.attacks.base import Attack

_NOISE = 0.001


def check_temperature(defense) -> None:
    """Checks the `temperature` of a defence.

    Raises:
        ValueError: if it is neither `None` nor a finite number above 0.
    """
    if defense.temperature is not None:
        check_number(defense, "temperature", defense.temperature, above=0)


def check_gradient_attack(defense) -> None:
    """Checks that the attack of a defence can climb a divergence, which has no target.

    Raises:
        ValueError: if it is targeted, or has no objective to replace.
    """
    attack = defense.attack
    if attack.targeted or not hasattr(attack, "objective"):
        raise ValueError(
            f"{type(defense).__name__} climbs an objective of its own: pass an attack along the "
            f"gradient that is not targeted, such as PGD(8 / 255); received {attack!r}."
        )


def starting_near(attack: Attack) -> dict:
    """The field that lets an attack with a random start begin at small normal noise.

    TRADES and MART start at noise of standard deviation 0.001: at the image itself the divergence
    has no gradient.
    """
    return {"random_start": _NOISE} if getattr(attack, "random_start", None) is True else {}
