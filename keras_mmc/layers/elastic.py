"""The head of elastic MMC: Max-Mahalanobis centers with trainable class offsets."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._validation import check_number
from keras_mmc.layers.heads import MaxMahalanobisHead


@keras.saving.register_keras_serializable("keras_mmc")
class ElasticCenters(MaxMahalanobisHead):
    """Head with Max-Mahalanobis centers and trainable class offsets, which a prior holds near 0.

    The scores `s_k = -1/2 ||z - mu_k - delta_k||^2 - 1/(2 alpha) ||delta_k||^2` are, up to a
    constant, the joint log density of a feature and the offset of its class: `N(mu_k + delta_k, I)`
    and `N(0, alpha I)`. They are never above 0. The `offsets` `delta` `(K, d)` start at 0 and are
    trained with the network; `fixed_centers` are `mu`, and `centers` what features are pulled to,
    `mu + delta`. The temperature of the softmax is that of the fixed centers.

    Args:
        num_classes: as in `MaxMahalanobisCenters`, as are `scale`, `centers` and `seed`.
        scale: norm of every fixed center.
        alpha: variance of the prior, above 0; the smaller, the stiffer. The best offset is
            `alpha / (1 + alpha)` times that of the mean of a class. 1 is a choice of this package.
        centers: own fixed centers, array `(K, d)`.
        seed: seed of the numerical optimization.

    Source: after the elastic MMC of Pang et al., ICLR 2020; see `keras_mmc.ElasticMMCLoss` for
    what of it is certain.

    Example:
    >>> model = keras_mmc.models.small_cnn((28, 28, 1), head=keras_mmc.ElasticCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.ElasticMMCLoss())
    """

    config_fields = (*MaxMahalanobisHead.config_fields, "alpha")
    has_offsets = True

    def __init__(
        self,
        num_classes: int | None = None,
        scale: float = 10.0,
        alpha: float = 1.0,
        centers: np.typing.ArrayLike | None = None,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(num_classes, scale, centers, seed, **kwargs)
        check_number(self, "alpha", alpha, above=0)
        self.alpha = alpha

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.offsets = self.add_weight(self.fixed_centers.shape, "zeros", name="offsets")

    @property
    def centers(self) -> Tensor:
        """The fixed centers and their offsets, `(K, d)`."""
        return self.fixed_centers + self.offsets

    def call(self, inputs: Tensor) -> Tensor:
        return super().call(inputs) - self._prices()

    def distances(self, scores: Tensor) -> Tensor:
        return super().distances(scores + ops.cast(self._prices(), scores.dtype))

    def _prices(self) -> Tensor:
        """What the offset of each class costs, `1/(2 alpha) ||delta_k||^2`, `(K,)`."""
        return ops.sum(ops.square(self.offsets), axis=-1) / (2 * self.alpha)
