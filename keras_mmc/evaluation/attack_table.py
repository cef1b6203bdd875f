"""Several attacks on several models, each cell by itself."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._tables import Column, Tabular, percent
from keras_mmc.attacks import Attack, Runner, misclassified, named
from keras_mmc.evaluation._inputs import labeled_images


@dataclasses.dataclass(frozen=True)
class AttackTable(Tabular):
    """Result of `attack_table`: `print` it, or take `to_csv` or `to_latex`.

    Attributes:
        models: names of the models, the rows.
        attacks: the attacks as Python would write them, by name, the columns.
        accuracy: robust accuracies `(M, A)` under each attack by itself.
        clean_accuracy: `(M,)`: fraction of images classified correctly as they are.
        num_images: number of images.
    """

    models: tuple[str, ...]
    attacks: dict[str, str]
    accuracy: np.ndarray
    clean_accuracy: np.ndarray
    num_images: int

    def _title(self):
        return f"Robust accuracy on {self.num_images} images under each attack by itself"

    def _columns(self):
        return (
            Column("model", self.models),
            Column("clean", self.clean_accuracy.tolist(), percent),
            *(
                Column(name, values.tolist(), percent)
                for name, values in zip(self.attacks, self.accuracy.T, strict=True)
            ),
        )


def attack_table(
    models: Mapping[str, keras.Model],
    attacks: Mapping[str, Attack],
    x: Any,
    y: ArrayLike | None = None,
    *,
    batch_size: int = 128,
    seed: int = 0,
) -> AttackTable:
    """Run every attack on every model, as the tables of papers do.

    Cells are independent: each attack runs by itself, on all images that the model classifies
    correctly as they are; the others count as broken, whatever an attack would make of them. A cell
    is the fraction of all images that is classified correctly, on the true label, before and after.
    The robust accuracy of a model is lower than its lowest cell: `keras_mmc.audit` measures it.

    Args:
        models: Keras models from the same images to scores `(N, K)`, by name.
        attacks: attacks by name, or a list, which gets the names of `keras_mmc.attacks.named`; they
            need not share a ball, but their box.
        x: images `(N, ...)` inside the box, or a data set as in `audit`.
        y: labels `(N,)`; `None` beside a data set.
        batch_size: images attacked at a time.
        seed: integer; the same seed gives the same bits on CPU.

    Returns:
        An `AttackTable`.

    Raises:
        ValueError: if there is no model or no attack, something is no attack, boxes differ, or
            images, labels or a model's scores do not fit.

    Example:
    >>> attacks = {"fgsm": keras_mmc.attacks.FGSM(0.1), "pgd-50": keras_mmc.attacks.PGD(0.1, 50)}
    >>> table = keras_mmc.evaluation.attack_table({"mmc": model}, attacks, x_test, y_test)
    >>> print(table), table.to_latex()
    """
    if not isinstance(models, Mapping) or not models:
        raise ValueError(
            f"`models` must name at least one model, as {{'mmc': model}}; received {models!r}."
        )
    attacks = attacks if isinstance(attacks, Mapping) else named(attacks)
    wrong = [attack for attack in attacks.values() if not isinstance(attack, Attack)]
    boxes = {attack.box for attack in attacks.values() if isinstance(attack, Attack)}
    if wrong or len(boxes) != 1:
        raise ValueError(
            "`attacks` must hold attacks of one box by name, as {'pgd': PGD(8 / 255)}; received "
            f"{dict(attacks)!r}."
        )
    accuracy, clean = [], []
    for model in models.values():
        runner = Runner(model, batch_size, seed)
        images, labels, scores = labeled_images(runner, x, y, *boxes)
        rows = np.flatnonzero(~misclassified(scores, labels).numpy())
        broken = [len(runner.run(a, images, labels, rows).rows) for a in attacks.values()]
        clean.append(len(rows) / len(images))
        accuracy.append((len(rows) - np.array(broken)) / len(images))
    return AttackTable(
        models=tuple(models),
        attacks={name: repr(attack) for name, attack in attacks.items()},
        accuracy=np.array(accuracy),
        clean_accuracy=np.array(clean),
        num_images=len(images),
    )
