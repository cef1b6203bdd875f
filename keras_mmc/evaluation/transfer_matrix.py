"""Which model's adversarial examples fool which other model."""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mmc._arrays import check_images
from keras_mmc.attacks import Attack, Runner, misclassified
from keras_mmc.evaluation._inputs import labeled_images


@dataclasses.dataclass(frozen=True)
class TransferMatrix:
    """Result of `transfer_matrix`.

    Attributes:
        names: names of the models, in the order of rows and columns.
        accuracy: `(M, M)`: entry `[i, j]` is the fraction of the adversarial examples crafted on
            model `i` that model `j` classifies correctly; the diagonal is the white-box attack.
        clean_accuracy: `(M,)`: fraction of the clean images that each model classifies correctly.
        num_images: number of images.
        attack: the attack as Python would write it.
    """

    names: tuple[str, ...]
    accuracy: np.ndarray
    clean_accuracy: np.ndarray
    num_images: int
    attack: str

    def __str__(self):
        width = max(10, *(len(name) for name in self.names))
        rows = [("clean", self.clean_accuracy), *zip(self.names, self.accuracy, strict=True)]
        lines = [
            f"Accuracy in % on {self.num_images} images under {self.attack}; rows: crafted on, "
            "columns: tried on",
            "  ".join(name.rjust(width) for name in ("", *self.names)),
        ]
        for name, row in rows:
            cells = (f"{100 * value:.2f}".rjust(width) for value in row)
            lines.append("  ".join((name.rjust(width), *cells)))
        return "\n".join(lines)


def transfer_matrix(
    models: Mapping[str, keras.Model],
    x: ArrayLike,
    y: ArrayLike,
    attack: Attack,
    *,
    batch_size: int = 128,
    seed: int = 0,
) -> TransferMatrix:
    """Try the adversarial examples of every model on every model.

    The training view of the attack crafts those of all images, once a model: it makes all its
    steps, while the first image that fools one model is barely across its boundary and would
    transfer badly. Where those of another model fool a model more often than its own do, an
    entry of its column below the diagonal one, its gradients are masked.

    Args:
        models: Keras models from the same images to scores `(N, K)` of the same classes, by name.
        x: images `(N, ...)`, floats inside the box of the attack.
        y: integer labels `(N,)`.
        attack: the attack that crafts them.
        batch_size: images attacked at a time.
        seed: integer; the same seed gives the same bits on CPU.

    Returns:
        A `TransferMatrix`; `print` it for a table.

    Raises:
        ValueError: if there is no model, or images, labels or a model's scores do not fit.

    Source: Papernot et al., 2016, arXiv 1605.07277; Pang et al., ICLR 2020 (arXiv 1905.10626),
    for the comparison over models.

    Example:
    >>> models = {"mmc": mmc_model, "softmax": softmax_model}
    >>> attack = keras_mmc.attacks.MIM(8 / 255)
    >>> print(keras_mmc.evaluation.transfer_matrix(models, x_test, y_test, attack))
    """
    if not models:
        raise ValueError("`models` must name at least one model, as {'mmc': model}; received none.")
    runners = {name: Runner(model, batch_size, seed) for name, model in models.items()}
    scores = {}
    for name, runner in runners.items():
        images, labels, scores[name] = labeled_images(runner, x, y, attack.box)
    classes = {name: values.shape[1] for name, values in scores.items()}
    if len(set(classes.values())) > 1:
        raise ValueError(f"All models must know the same classes; received {classes} classes.")
    rows = []
    for runner in runners.values():
        x_adv = check_images(runner.generate(attack, images, labels), attack.box)
        rows.append([_accuracy(other.scores(x_adv), labels) for other in runners.values()])
    return TransferMatrix(
        names=tuple(models),
        accuracy=np.array(rows),
        clean_accuracy=np.array([_accuracy(values, labels) for values in scores.values()]),
        num_images=len(images),
        attack=repr(attack),
    )


def _accuracy(scores, labels):
    return 1 - float(np.mean(misclassified(scores, labels)))
