"""Defenses that are another defense underneath, or add to one."""

import dataclasses

from keras_mmc.attacks import Attack
from keras_mmc.defenses.base import Defense


@dataclasses.dataclass(frozen=True)
class WrappingDefense(Defense):
    """Base class of defenses that do what another does, except where they override."""

    wrapped: Defense = dataclasses.field(init=False, repr=False, compare=False)

    def wrap(self, defense: Defense) -> None:
        """Sets the defense underneath, once and while this one is made."""
        object.__setattr__(self, "wrapped", defense)

    @property
    def training_attack(self) -> Attack | None:
        """The attack of the defense underneath."""
        return self.wrapped.training_attack

    def check(self, loss, num_classes):
        self.wrapped.check(loss, num_classes)

    def perturb(self, context, x, y):
        return self.wrapped.perturb(context, x, y)

    def loss(self, context, x, x_adv, y):
        return self.wrapped.loss(context, x, x_adv, y)
