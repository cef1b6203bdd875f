"""Adversarial training with an attack of cleverhans."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import keras

from keras_mmc.attacks import CleverHans
from keras_mmc.defenses._wrapper import WrappingDefense
from keras_mmc.defenses.adversarial_training import AdversarialTraining


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True, init=False)
class CleverHansTraining(WrappingDefense):
    """Adversarial training on the adversarial examples of an attack function of cleverhans.

    The attack is traced into the training step. cleverhans draws random starts without a seed:
    pass `rand_init=False`, or use `AdversarialTraining` with an attack of this package, where a
    run must be repeatable.

    Args:
        function: attack function of `cleverhans.tf2.attacks`.
        clean_fraction: fraction of the clean loss, in `[0, 1)`.
        box: `(low, high)`, where images live.
        attack_objective: what the attack maximizes, as in `keras_mmc.attacks.CleverHans`; `None`
            leaves the function its own loss, cross-entropy, whose gradient vanishes on scores of
            fixed centers. Functions that take no loss need `None`.
        arguments: arguments of the function, by name.
        **more: the same as keyword arguments, such as `eps`, `eps_iter`, `nb_iter` and `norm`.

    Raises:
        ValueError: if the function does not work on Keras 3, or an argument does not fit.

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
        values = {
            "function": function,
            "clean_fraction": clean_fraction,
            "box": box,
            "attack_objective": attack_objective,
            "arguments": tuple(sorted((dict(arguments) | more).items())),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        arguments = dict(self.arguments)
        attack = CleverHans(function, objective=attack_objective, box=box, **arguments)
        self.wrap(AdversarialTraining(attack, clean_fraction))

    def get_config(self):
        attack = self.training_attack.get_config()
        return {"attack": attack, "clean_fraction": self.clean_fraction}

    @classmethod
    def from_config(cls, config):
        attack = CleverHans.from_config(config["attack"])
        return cls(
            attack.function,
            box=attack.box,
            attack_objective=attack.objective,
            arguments=attack.arguments,
            **{name: value for name, value in config.items() if name != "attack"},
        )
