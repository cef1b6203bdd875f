"""Elastic MMC: MMC to centers with trainable class offsets, which a prior holds near 0."""

from typing import Any

import keras

from keras_mmc._backend import Tensor
from keras_mmc.losses.base import ScoreLoss
from keras_mmc.losses.mmc import mmc


@keras.saving.register_keras_serializable("keras_mmc")
class ElasticMMCLoss(ScoreLoss):
    """Elastic MMC: pulls features to a center that may move, at a price.

    `1/2 ||z - mu_y - delta_y||^2 + 1/(2 alpha) ||delta_y||^2 = -s_y` on the scores of
    `keras_mmc.layers.ElasticCenters`, which holds the offsets `delta`, trained with the network,
    and `alpha`, the variance of their Gaussian prior. On those scores `MMCLoss` is the same number;
    this loss says that it needs offsets, and an `AdversarialModel` refuses it on a head without.
    In a plain `model.compile` it cannot see the head.

    Source: Pang et al., ICLR 2020, arXiv 1905.10626, whose appendix proposes an elastic MMC with
    trainable offsets and a Gaussian prior. That idea is certain; the formula was written down from
    its description, not compared with the text of the appendix: constants may differ.

    Raises:
        ValueError: for a `radius`. The loss of that parameter is now `ShellMMCLoss`.

    Example:
    >>> model = keras_mmc.models.small_cnn((28, 28, 1), head=keras_mmc.ElasticCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.ElasticMMCLoss(), metrics=["accuracy"])
    """

    needs_distances = True
    needs_fixed_centers = True
    needs_offsets = True

    def __init__(self, **kwargs: Any):
        if "radius" in kwargs:  # of files and scripts of 0.1.0
            radius = kwargs["radius"]
            raise ValueError(
                f"ElasticMMCLoss has no `radius`; received {radius!r}. In 0.1.0 the name stood for "
                "half the squared distance to a shell about the center, which is now "
                f"ShellMMCLoss(radius={radius!r}); ElasticMMCLoss is MMC with trainable offsets of "
                "the centers. Load an old file with compile=False and compile it with ShellMMCLoss."
            )
        super().__init__(**kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return mmc(y_true, y_pred)
