"""MMC to a shell about the centers instead of the centers themselves."""

from typing import Any

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_scores, label_distribution
from keras_mmc._scores import center_distances
from keras_mmc._validation import check_number
from keras_mmc.losses.base import ScoreLoss


def shell_mmc(y_true: Tensor, scores: Tensor, radius: float) -> Tensor:
    """Half the squared distance to a shell of radius `r` about the own center.

    `1/2 (||z - mu_y|| - r)^2` with `||z - mu_y|| = sqrt(-2 s_y)`. At the center itself, where the
    shell lies in no particular direction, the gradient is 0. A radius of 0 gives `mmc`.

    Source: an idea of this package, from no paper.

    Example:
    >>> keras_mmc.losses.shell_mmc([0], keras.ops.array([[-8.0, -50.0]]), radius=1.0)
    [4.5]
    """
    check_number("shell_mmc", "radius", radius, at_least=0)
    scores = as_scores(scores)
    losses = ops.square(center_distances(scores) - radius) / 2
    return ops.sum(label_distribution(y_true, scores) * losses, axis=-1)


@keras.saving.register_keras_serializable("keras_mmc")
class ShellMMCLoss(ScoreLoss):
    """MMC whose optimum is a shell of radius `radius` about each center instead of the center.

    In 0.1.0 this loss had the name `ElasticMMCLoss`.

    Args:
        radius: radius of the shell in feature space, at least 0.

    Source: an idea of this package, from no paper; see `keras_mmc.losses.shell_mmc`.

    Example:
    >>> model.compile(optimizer="adam", loss=keras_mmc.ShellMMCLoss(radius=1.0))
    """

    config_fields = ("radius",)
    needs_distances = True
    needs_fixed_centers = True

    def __init__(self, radius: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        check_number(self, "radius", radius, at_least=0)
        self.radius = radius

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return shell_mmc(y_true, y_pred, self.radius)
