"""Differential training inside an `AdversarialModel`."""

import dataclasses

import keras

from keras_mmc.attacks import Attack
from keras_mmc.defenses.base import Defense, check_attack, properties_of


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class DifferentialTraining(Defense):
    """Differential training: the loss of pairs of differently labeled samples.

    Another loss is refused. A batch of one class has no pair: it is skipped and counted.
    `keras_mmc.datasets` makes batches with the same number of samples of every class
    (`balanced_batches`) and chooses the samples nearest to the boundary (`working_set`).

    Args:
        attack: attack whose adversarial examples take the place of the images; `None` for none.

    Source: Nar et al., arXiv 1901.08360.

    Example:
    >>> robust = keras_mmc.AdversarialModel(model, keras_mmc.defenses.DifferentialTraining())
    >>> robust.compile(optimizer="sgd", loss=keras_mmc.DifferentialLoss())
    """

    attack: Attack | None = None

    def __post_init__(self):
        if self.attack is not None:
            check_attack("DifferentialTraining", self.attack)

    @property
    def training_attack(self) -> Attack | None:
        """The attack."""
        return self.attack

    def check(self, loss, num_classes):
        if not properties_of(loss).pairwise:
            raise ValueError(
                f"DifferentialTraining trains with a loss of pairs; received {loss!r}. Compile "
                "with loss=keras_mmc.DifferentialLoss(), or use another defense."
            )
