"""Max-Mahalanobis center loss (MMC)."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_scores, label_distribution
from keras_mmc._scores import center_scores
from keras_mmc.centers import check_centers
from keras_mmc.losses.base import ScoreLoss


def mmc(y_true: Tensor, scores: Tensor) -> Tensor:
    """Half the squared distance to the own center, `1/2 ||z - mu_y||^2 = -s_y`.

    Source: Pang et al., *Rethinking Softmax Cross-Entropy Loss for Adversarial Robustness*,
    ICLR 2020, arXiv 1905.10626, the definition of the MMC loss. The released code uses
    `||z - mu_y||^2`, twice this value: the same optimum at half the learning rate.

    Example:
    >>> keras_mmc.losses.mmc([0], keras.ops.array([[-2.0, -8.0]]))
    [2.0]
    """
    scores = as_scores(scores)
    return -ops.sum(label_distribution(y_true, scores) * scores, axis=-1)


@keras.saving.register_keras_serializable("keras_mmc")
class MMCLoss(ScoreLoss):
    """Max-Mahalanobis center loss: pulls features to the fixed center of their class.

    MMC alone does not make a network robust: networks trained with it lose all accuracy under
    AutoAttack unless they are trained adversarially as well. Test them with `keras_mmc.audit`.

    Args:
        centers: `None` if the model ends in a head that gives scores, such as
            `MaxMahalanobisCenters`; a finite array `(K, d)` if the model gives raw features
            `(N, d)`, whose width is checked when the loss is called.

    Source: Pang et al., ICLR 2020, arXiv 1905.10626; see `keras_mmc.losses.mmc`.

    Example:
    >>> model = keras_mmc.models.small_cnn((28, 28, 1), head=keras_mmc.MaxMahalanobisCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.MMCLoss(), metrics=["accuracy"])
    """

    needs_distances = True
    needs_fixed_centers = True

    def __init__(self, centers: np.typing.ArrayLike | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.centers = None if centers is None else check_centers(centers)
        self.from_features = centers is not None

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self.centers is None:
            return mmc(y_true, y_pred)
        dim = self.centers.shape[1]
        if y_pred.shape[-1] != dim:
            raise ValueError(
                f"MMCLoss(centers=...) holds centers of width {dim}; received features of shape "
                f"{tuple(y_pred.shape)}. End the model in a Dense layer of {dim} units without "
                f"activation, or make centers of width {y_pred.shape[-1]}."
            )
        centers = ops.convert_to_tensor(self.centers, dtype=y_pred.dtype)
        return mmc(y_true, center_scores(y_pred, centers))

    def _num_classes(self, y_pred: Tensor) -> int:
        return y_pred.shape[-1] if self.centers is None else len(self.centers)

    def get_config(self) -> dict[str, Any]:
        centers = None if self.centers is None else self.centers.tolist()
        return {**super().get_config(), "centers": centers}
