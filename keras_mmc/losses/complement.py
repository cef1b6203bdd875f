"""Complement entropy, the second objective of COT, and its guided form (GCE)."""

import math
from typing import Any

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_scores, label_distribution
from keras_mmc._scores import nan_where_nan
from keras_mmc._validation import check_choice, check_number
from keras_mmc.losses.base import ScoreLoss


def complement_entropy(y_true: Tensor, scores: Tensor) -> Tensor:
    """Negative entropy `sum_{j != g} q_j log q_j` of the wrong classes' probabilities.

    `q_j = p_j / (1 - p_g)` is the softmax over the K-1 wrong scores; it does not depend on the
    true score, and is computed so. The papers *maximize* the entropy; this is its negative, in
    `[-log(K-1), 0]`, and smallest where all wrong classes are equally likely.

    Source: Chen et al., *Complement Objective Training*, ICLR 2019, arXiv 1903.01182.

    Example:
    >>> keras_mmc.losses.complement_entropy([0], keras.ops.array([[5.0, 1.0, 1.0]]))
    [-0.6931472]
    """
    scores = as_scores(scores)
    targets = label_distribution(y_true, scores)
    true = targets > 0.5
    largest = ops.max(ops.abs(scores), axis=-1, keepdims=True)
    # So low that q of the true class is exactly 0.
    log_q = ops.log_softmax(ops.where(true, -largest - 1e4, scores), axis=-1)
    terms = (1 - targets) * ops.exp(log_q) * ops.where(true, 0.0, log_q)
    return nan_where_nan(ops.sum(terms, axis=-1), scores)


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
    check_number("guided_complement_entropy", "alpha", alpha, above=0)
    scores = as_scores(scores)
    num_classes = scores.shape[-1]
    if num_classes < 3:
        raise ValueError(
            f"guided_complement_entropy needs 3 classes or more; received scores of {num_classes}."
        )
    targets = label_distribution(y_true, scores)
    scale = math.log(num_classes - 1 if normalizer == "classes-1" else num_classes)
    if guard != "released":
        log_p = ops.sum(targets * ops.log_softmax(scores, axis=-1), axis=-1)
        return ops.exp(alpha * log_p) * complement_entropy(targets, scores) / scale
    probabilities = ops.softmax(scores, axis=-1)
    true = ops.sum(targets * probabilities, axis=-1)
    wrong = probabilities / ((1 - true) + 1e-7)[:, None]
    entropy = ops.sum((1 - targets) * wrong * ops.log(wrong + 1e-10), axis=-1)
    return (true + 1e-7) ** alpha * entropy / scale


@keras.saving.register_keras_serializable("keras_mmc")
class ComplementEntropy(ScoreLoss):
    """Negative complement entropy: flattens the probabilities of the wrong classes.

    It says nothing about the true class and is meant as a second objective next to another loss.

    Source: Chen et al., ICLR 2019, arXiv 1903.01182; see `keras_mmc.losses.complement_entropy`.

    Example:
    >>> keras_mmc.ComplementEntropy()([0], [[5.0, 1.0, 1.0]])
    -0.6931472
    """

    min_classes = 3
    says_true_class = False

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return complement_entropy(y_true, y_pred)


@keras.saving.register_keras_serializable("keras_mmc")
class GuidedComplementEntropy(ScoreLoss):
    """Guided complement entropy: a confident true class, and wrong classes all alike.

    It needs no additional cross-entropy. Robustness reported for it without adversarial training
    came from masked gradients; test it with `keras_mmc.audit`. It needs 3 classes or more.

    Args:
        alpha: guiding exponent, above 0; 1/3 was released for MNIST, and it must shrink as the
            number of classes grows.
        normalizer: `"classes-1"` divides by `log(K-1)`, as the paper; `"classes"` by `log K`, as
            the released code.
        guard: `"none"` is the stable form of the paper. `"released"` adds the released code's
            constants (`1 - p_g + 1e-7`, `log(. + 1e-10)`, `p_g + 1e-7`): another objective for
            confident samples, whose minimum lies at a score gap of 10 and whose gradient then
            lowers the confidence.

    Source: Chen et al., ICCV 2019; see `keras_mmc.losses.guided_complement_entropy`.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), num_classes=10)
    >>> model.compile(optimizer="adam", loss=keras_mmc.GuidedComplementEntropy(alpha=1 / 3))
    """

    config_fields = ("alpha", "normalizer", "guard")
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
