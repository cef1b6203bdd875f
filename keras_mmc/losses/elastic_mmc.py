"""Elastic MMC: features gather on a shell about their centre."""

import keras
from keras import ops

from keras_mmc._labels import label_distribution
from keras_mmc._scores import center_distances
from keras_mmc.losses.base import ScoreLoss, check_number


def elastic_mmc(y_true, scores, radius):
    """Half the squared distance to a shell of radius `r` about the own centre.

    `1/2 (||z - mu_y|| - r)^2` with `||z - mu_y|| = sqrt(-2 s_y)`. At the centre itself, where the
    shell lies in no particular direction, the gradient is 0.

    Args:
        y_true: labels, integers `(N,)` or `(N, 1)` or rows `(N, K)`; soft rows average the loss.
        scores: tensor `(N, K)`, `s_k = -1/2 ||z - mu_k||^2`.
        radius: radius of the shell in feature space; 0 gives `mmc`.

    Returns:
        Tensor `(N,)`.

    Example:
    >>> keras_mmc.losses.elastic_mmc([0], keras.ops.array([[-8.0, -50.0]]), radius=1.0)
    [4.5]
    """
    losses = ops.square(center_distances(scores) - radius) / 2
    return ops.sum(label_distribution(y_true, scores) * losses, axis=-1)


@keras.saving.register_keras_serializable("keras_mmc")
class ElasticMMCLoss(ScoreLoss):
    """MMC whose optimum is a shell of radius `radius` about each centre instead of the centre.

    Args:
        radius: radius of the shell in feature space, at least 0.
        reduction: as in `keras.losses.Loss`.
        name: name of the loss.
        dtype: dtype of the computation, float32 or wider.

    Raises:
        ValueError: if `radius` is negative or not finite, or if the labels do not fit.

    Example:
    >>> model.compile(optimizer="adam", loss=keras_mmc.ElasticMMCLoss(radius=1.0))
    """

    def __init__(
        self, radius=1.0, reduction="sum_over_batch_size", name="elastic_mmc_loss", dtype=None
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check_number("radius", radius, "ElasticMMCLoss", at_least=0.0)
        self.radius = radius

    def call(self, y_true, y_pred):
        """One loss value per sample from scores `y_pred`."""
        return elastic_mmc(y_true, y_pred, self.radius)

    def get_config(self):
        return {**super().get_config(), "radius": self.radius}
