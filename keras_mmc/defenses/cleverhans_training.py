"""Adversarial training with an attack of cleverhans."""

import dataclasses
from collections.abc import Callable

import keras

from keras_mmc.attacks import CleverHans
from keras_mmc.defenses.adversarial_training import AdversarialTraining


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True, init=False)
class CleverHansTraining(AdversarialTraining):
    """Adversarial training on the points of an attack function of cleverhans.

    The attack is traced into the training step. cleverhans draws random starts without a seed:
    pass `rand_init=False`, or use `AdversarialTraining` with an attack of this package, where a
    run must be repeatable.

    Args:
        function: attack function of `cleverhans.tf2.attacks`.
        clean_fraction: share of the clean loss, in `[0, 1)`.
        box: `(low, high)`, where images live.
        attack_objective: what the attack maximises, as in `keras_mmc.attacks.CleverHans`; `None`
            leaves the function its own loss, cross-entropy, whose gradient vanishes on scores of
            fixed centres. Functions that take no loss need `None`.
        **arguments: arguments of the function, such as `eps`, `eps_iter`, `nb_iter` and `norm`.

    Raises:
        ValueError: if the function does not work on Keras 3, or an argument does not fit.

    Example:
    >>> from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
    >>> defense = keras_mmc.defenses.CleverHansTraining(fast_gradient_method, eps=0.1, norm=np.inf)
    >>> robust = keras_mmc.AdversarialModel(model, defense)
    """

    def __init__(
        self,
        function: Callable,
        clean_fraction: float = 0.0,
        box: tuple[float, float] = (0.0, 1.0),
        attack_objective="margin",
        **arguments,
    ):
        attack = CleverHans(function, objective=attack_objective, box=box, **arguments)
        super().__init__(attack, clean_fraction)

    def get_config(self):
        attack = self.attack.get_config()
        return {"attack": attack, "clean_fraction": self.clean_fraction}

    @classmethod
    def from_config(cls, config):
        attack = CleverHans.from_config(config["attack"])
        return cls(
            attack.function,
            config["clean_fraction"],
            attack.box,
            attack.objective,
            **dict(attack.arguments),
        )
