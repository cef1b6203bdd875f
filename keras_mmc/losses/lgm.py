"""Large-margin Gaussian mixture loss (L-GM)."""

from typing import Any

import keras

from keras_mmc._backend import Tensor
from keras_mmc._labels import label_distribution
from keras_mmc._validation import check_number
from keras_mmc.losses.base import ScoreLoss, softmax_cross_entropy
from keras_mmc.losses.mmc import mmc


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
class LGMLoss(ScoreLoss):
    """Large-margin Gaussian mixture loss, meant for `keras_mmc.layers.LearnedCenters`.

    The margin widens the distance to the own center and so needs scores that are never positive;
    with a dense head use a loss of logits instead.

    Args:
        margin: classification margin `alpha`, at least 0; 0.1 in the paper's code.
        weight: weight `lambda` of the likelihood term, at least 0; 0.01 in the paper's code.
        **kwargs: `reduction`, `name` and `dtype`, as for `ScoreLoss`.

    Raises:
        ValueError: if a parameter is negative or not finite.

    Source: Wan et al., CVPR 2018; see `keras_mmc.losses.lgm`.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), head=keras_mmc.LearnedCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.LGMLoss())
    """

    needs_distances = True

    def __init__(self, margin: float = 0.1, weight: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        check_number(self, "margin", margin, at_least=0)
        check_number(self, "weight", weight, at_least=0)
        self.margin, self.weight = margin, weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return lgm(y_true, y_pred, self.margin, self.weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "weight": self.weight}
