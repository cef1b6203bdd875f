"""Losses of learned centers: cross-entropy on the scores, and a pull to the own center."""

from typing import Any

import keras

from keras_mmc._backend import Tensor
from keras_mmc._labels import label_distribution
from keras_mmc._validation import check_number
from keras_mmc.losses.base import ScoreLoss, softmax_cross_entropy
from keras_mmc.losses.mmc import mmc


def center(y_true: Tensor, scores: Tensor, weight: float) -> Tensor:
    """Softmax cross-entropy plus `weight / 2 ||z - c_y||^2`, both from the same scores.

    Source: Wen et al., *A Discriminative Feature Learning Approach for Deep Face Recognition*,
    ECCV 2016. There the classifier is a dense layer of its own; here its weights are the centers,
    as the score contract asks.

    Example:
    >>> keras_mmc.losses.center([0], keras.ops.array([[-2.0, -2.0]]), weight=0.5)
    [1.6931472]
    """
    targets = label_distribution(y_true, scores)
    return softmax_cross_entropy(targets, scores) + weight * mmc(targets, scores)


def lgm(y_true: Tensor, scores: Tensor, margin: float, weight: float) -> Tensor:
    """Softmax cross-entropy with the true score times `1 + margin`, plus `weight * (-s_y)`.

    Source: Wan et al., *Rethinking Feature Distribution for Loss Functions in Image
    Classification*, CVPR 2018.

    Example:
    >>> keras_mmc.losses.lgm([0], keras.ops.array([[-2.0, -2.2]]), margin=0.1, weight=0.0)
    [0.6931472]
    """
    targets = label_distribution(y_true, scores)
    with_margin = scores * (1 + margin * targets)
    return softmax_cross_entropy(targets, with_margin) + weight * mmc(targets, scores)


@keras.saving.register_keras_serializable("keras_mmc")
class CenterLoss(ScoreLoss):
    """Center loss: cross-entropy on the scores and a pull to the own, learned center.

    Meant for `keras_mmc.layers.LearnedCenters`. The optimizer moves the centers: an SGD step of
    rate `r` moves a center by `r * weight` times the sum over its samples of `(z - c) / N`, the
    running mean of the paper, and by the gradient of the cross-entropy.

    Args:
        weight: weight `lambda` of `1/2 ||z - c_y||^2`, at least 0.

    Source: Wen et al., ECCV 2016; see `keras_mmc.losses.center`.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), head=keras_mmc.LearnedCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.CenterLoss(weight=0.01))
    """

    config_fields = ("weight",)
    needs_distances = True

    def __init__(self, weight: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        check_number(self, "weight", weight, at_least=0)
        self.weight = weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return center(y_true, y_pred, self.weight)


@keras.saving.register_keras_serializable("keras_mmc")
class LGMLoss(ScoreLoss):
    """Large-margin Gaussian mixture loss, meant for `keras_mmc.layers.LearnedCenters`.

    The margin widens the distance to the own center and so needs scores that are never positive;
    with a dense head use a loss of logits instead.

    Args:
        margin: classification margin `alpha`, at least 0; 0.1 in the paper's code.
        weight: weight `lambda` of the likelihood term, at least 0; 0.01 in the paper's code.

    Source: Wan et al., CVPR 2018; see `keras_mmc.losses.lgm`.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), head=keras_mmc.LearnedCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.LGMLoss())
    """

    config_fields = ("margin", "weight")
    needs_distances = True

    def __init__(self, margin: float = 0.1, weight: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        check_number(self, "margin", margin, at_least=0)
        check_number(self, "weight", weight, at_least=0)
        self.margin, self.weight = margin, weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return lgm(y_true, y_pred, self.margin, self.weight)
