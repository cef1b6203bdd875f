"""Differential training inside an `AdversarialModel`."""

import dataclasses

import keras

from keras_mmc.attacks.base import Attack
from keras_mmc.defenses.base import Defense, check_attack_in_graph
from keras_mmc.losses import DifferentialLoss


@keras.saving.register_keras_serializable("keras_mmc")
@dataclasses.dataclass(frozen=True)
class DifferentialTraining(Defense):
    """Differential training: the loss of pairs of differently labelled samples.

    A batch of one class has no pair: it is skipped and counted. `keras_mmc.datasets` makes
    batches with the same number of samples of every class (`balanced_batches`) and chooses the
    samples nearest to the boundary (`working_set`).

    Args:
        attack: attack whose points take the place of the images; `None` for none.

    Raises:
        ValueError: if `attack` is not an attack, or for another loss than `DifferentialLoss`.

    Source: Nar et al., arXiv 1901.08360.

    Example:
    >>> robust = keras_mmc.AdversarialModel(model, keras_mmc.defenses.DifferentialTraining())
    >>> robust.compile(optimizer="sgd", loss=keras_mmc.DifferentialLoss())
    """

    attack: Attack | None = None

    def __post_init__(self):
        if self.attack is not None:
            check_attack_in_graph("DifferentialTraining", self.attack)

    def check(self, loss, num_classes):
        if not isinstance(loss, DifferentialLoss):
            raise ValueError(
                f"DifferentialTraining trains with DifferentialLoss; received {loss!r}. Compile "
                "with loss=keras_mmc.DifferentialLoss(), or use another defence."
            )

    def perturb(self, learner, x, y, seed):
        if self.attack is None:
            return x
        return self.attack.generate(learner.attacked, x, y, seed)
