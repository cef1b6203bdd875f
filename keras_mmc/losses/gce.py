"""Guided complement entropy (GCE)."""

import math
from typing import Any

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import label_distribution
from keras_mmc._validation import check_choice, check_number
from keras_mmc.losses.base import ScoreLoss
from keras_mmc.losses.complement import complement_entropy


def guided_complement_entropy(
    y_true: Tensor,
    scores: Tensor,
    alpha: float = 1 / 3,
    normalizer: str = "classes-1",
    guard: str = "none",
) -> Tensor:
    """Complement entropy, guided by the probability of the true class and normalized.

    `p_g^alpha * (sum_{j != g} q_j log q_j) / log(K-1)` with `q_j = p_j / (1 - p_g)` and K at least
    3. It lies in `[-1, 0]`; the optimum -1 has `p_g = 1` and all wrong classes equally likely.
    The parameters are those of `GuidedComplementEntropy`.

    Source: Chen et al., *Improving Adversarial Robustness via Guided Complement Entropy*,
    ICCV 2019, arXiv 1903.09799.

    Example:
    >>> keras_mmc.losses.guided_complement_entropy([0], keras.ops.array([[50.0, 0.0, 0.0]]))
    [-1.0]
    """
    num_classes = scores.shape[-1]
    targets = label_distribution(y_true, scores)
    scale = math.log(num_classes - 1 if normalizer == "classes-1" else num_classes)
    if guard == "released":
        return _released(targets, scores, alpha) / scale
    log_p = ops.sum(targets * ops.log_softmax(scores, axis=-1), axis=-1)
    return ops.exp(alpha * log_p) * complement_entropy(targets, scores) / scale


def _released(targets: Tensor, scores: Tensor, alpha: float) -> Tensor:
    probabilities = ops.softmax(scores, axis=-1)
    true = ops.sum(targets * probabilities, axis=-1)
    wrong = probabilities / ((1 - true) + 1e-7)[:, None]
    entropy = ops.sum((1 - targets) * wrong * ops.log(wrong + 1e-10), axis=-1)
    return (true + 1e-7) ** alpha * entropy


@keras.saving.register_keras_serializable("keras_mmc")
class GuidedComplementEntropy(ScoreLoss):
    """Guided complement entropy: a confident true class, and wrong classes all alike.

    It needs no cross-entropy beside it. Robustness reported for it without adversarial training
    came from masked gradients; judge it with `keras_mmc.audit`.

    Args:
        alpha: guiding exponent, above 0; 1/3 was released for MNIST, and it must shrink as the
            number of classes grows.
        normalizer: `"classes-1"` divides by `log(K-1)`, as the paper; `"classes"` by `log K`, as
            the released code.
        guard: `"none"` is the stable form of the paper. `"released"` adds the released code's
            constants (`1 - p_g + 1e-7`, `log(. + 1e-10)`, `p_g + 1e-7`): another objective for
            confident samples, whose minimum lies at a score gap of 10 and whose gradient then
            lowers the confidence.
        **kwargs: `reduction`, `name` and `dtype`, as for `ScoreLoss`.

    Raises:
        ValueError: for parameters out of range, or, when called, for two classes.

    Source: Chen et al., ICCV 2019; see `keras_mmc.losses.guided_complement_entropy`.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), num_classes=10)
    >>> model.compile(optimizer="adam", loss=keras_mmc.GuidedComplementEntropy(alpha=1 / 3))
    """

    min_classes = 3

    def __init__(
        self,
        alpha: float = 1 / 3,
        normalizer: str = "classes-1",
        guard: str = "none",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_number(self, "alpha", alpha, above=0)
        check_choice(self, "normalizer", normalizer, ("classes-1", "classes"))
        check_choice(self, "guard", guard, ("none", "released"))
        self.alpha, self.normalizer, self.guard = alpha, normalizer, guard

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return guided_complement_entropy(y_true, y_pred, self.alpha, self.normalizer, self.guard)

    def get_config(self) -> dict[str, Any]:
        own = {"alpha": self.alpha, "normalizer": self.normalizer, "guard": self.guard}
        return {**super().get_config(), **own}
