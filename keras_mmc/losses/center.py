"""Center loss in score form."""

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


@keras.saving.register_keras_serializable("keras_mmc")
class CenterLoss(ScoreLoss):
    """Center loss: cross-entropy on the scores and a pull to the own, learned center.

    Meant for `keras_mmc.layers.LearnedCenters`. The optimizer moves the centers: an SGD step of
    rate `r` moves a center by `r * weight` times the sum over its samples of `(z - c) / N`, the
    running mean of the paper, and by the gradient of the cross-entropy.

    Args:
        weight: weight `lambda` of `1/2 ||z - c_y||^2`, at least 0.
        **kwargs: `reduction`, `name` and `dtype`, as for `ScoreLoss`.

    Raises:
        ValueError: if `weight` is negative or not finite.

    Source: Wen et al., ECCV 2016; see `keras_mmc.losses.center`.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), head=keras_mmc.LearnedCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.CenterLoss(weight=0.01))
    """

    needs_distances = True

    def __init__(self, weight: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        check_number(self, "weight", weight, at_least=0)
        self.weight = weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return center(y_true, y_pred, self.weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
