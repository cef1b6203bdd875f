"""Adversarial training with attack functions of cleverhans."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import keras

from keras_mmc.attacks import CleverHans
from keras_mmc.defenses.adversarial_training import AdversarialTraining
from keras_mmc.defenses.base import WrappingDefense


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True, init=False)
class CleverHansTraining(WrappingDefense):
    """Adversarial training on the adversarial examples of an attack function of cleverhans.

    The attack is traced into the training step. cleverhans draws random starts without a seed:
    pass `rand_init=False`, or use `AdversarialTraining` with an attack of this package, where a
    run must be repeatable. A `ValueError` refuses a function that does not work on Keras 3.

    Args:
        function: attack function of `cleverhans.tf2.attacks`.
        clean_fraction: fraction of the clean loss, in `[0, 1)`.
        box: `(low, high)`, where images live.
        attack_objective: what the attack maximizes, as in `keras_mmc.attacks.CleverHans`; `None`
            leaves the function its own loss, cross-entropy, whose gradient vanishes on scores of
            fixed centers. Functions that take no loss need `None`.
        arguments: arguments of the function by name, such as `eps`, `nb_iter` and `norm`.
        **more: further arguments of the function.

    Example:
    >>> from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    >>> defense = keras_mmc.defenses.CleverHansTraining(fast_gradient_method, eps=0.1, norm=np.inf)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    """

    function: Callable
    clean_fraction: float
    box: tuple[float, float]
    attack_objective: "str | Callable | keras.losses.Loss | None"
    arguments: tuple[tuple[str, Hashable], ...]

    mail_defaults = AdversarialTraining.mail_defaults

    def __init__(
        self,
        function: Callable,
        clean_fraction: float = 0.0,
        box: tuple[float, float] = (0.0, 1.0),
        attack_objective: Any = "margin",
        arguments: Mapping[str, Hashable] | tuple[tuple[str, Hashable], ...] = (),
        **more: Hashable,
    ):
        names = [field.name for field in dataclasses.fields(self)]
        by_name = tuple(sorted((dict(arguments) | more).items()))
        values = (function, clean_fraction, box, attack_objective, by_name)
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)
        _ = self.wrapped  # which checks the fields

    @property
    def wrapped(self) -> AdversarialTraining:
        """Adversarial training with the function as an attack."""
        arguments: dict[str, Any] = dict(self.arguments)
        attack = CleverHans(
            self.function, objective=self.attack_objective, box=self.box, **arguments
        )
        return AdversarialTraining(attack, self.clean_fraction)

    def get_config(self):
        attack = self.wrapped.attack.get_config()
        return {"attack": attack, "clean_fraction": self.clean_fraction}

    @classmethod
    def from_config(cls, config):
        rest = dict(config)
        attack = CleverHans.from_config(rest.pop("attack"))
        rest |= {"attack_objective": attack.objective, "arguments": attack.arguments}
        return cls(attack.function, box=attack.box, **rest)
