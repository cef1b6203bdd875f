"""What attacks of a list are called."""

from collections.abc import Sequence

from keras_mmc._validation import shown
from keras_mmc.attacks.base import Attack


def named(attacks: Sequence[Attack]) -> dict[str, Attack]:
    """Attacks by the name of their class, numbered where a class comes twice.

    Example:
    >>> list(keras_mmc.attacks.named([FGSM(0.1), PGD(0.1, steps=10), PGD(0.1, steps=50)]))
    ['fgsm', 'pgd-1', 'pgd-2']
    """
    if not isinstance(attacks, Sequence) or not all(isinstance(a, Attack) for a in attacks):
        raise ValueError(
            f"A list of attacks is needed, as [PGD(8 / 255)]; received {shown(attacks)}."
        )
    names = [type(attack).__name__.lower() for attack in attacks]
    return {
        name if names.count(name) == 1 else f"{name}-{names[:i].count(name) + 1}": attack
        for i, (name, attack) in enumerate(zip(names, attacks, strict=True))
    }
