"""Losses of labels and scores: a pure function and a Keras class for each.

Every function takes `y_true`, labels as integers `(N,)` or `(N, 1)` or as rows `(N, K)`, and
`scores`, a tensor `(N, K)`; it returns one value per sample, `(N,)`. Soft rows average the loss. A
NaN among the scores of a sample makes its value NaN. A `ValueError` says which shapes do not fit.
The classes are `ScoreLoss`es: besides their own parameters they take `name`, `reduction`
and `dtype`, and they also check parameters, values of labels and number of classes.
"""

from keras_mmc._labels import label_distribution
from keras_mmc.losses.base import ScoreLoss
from keras_mmc.losses.center import CenterLoss, center
from keras_mmc.losses.complement import (
    ComplementEntropy,
    GuidedComplementEntropy,
    complement_entropy,
    guided_complement_entropy,
)
from keras_mmc.losses.cross_entropy import LGMLoss, MMLDALoss, lgm, mm_lda
from keras_mmc.losses.differential import DifferentialLoss, differential
from keras_mmc.losses.elastic import ElasticMMCLoss
from keras_mmc.losses.mmc import MMCLoss, mmc
from keras_mmc.losses.shell import ShellMMCLoss, shell_mmc

__all__ = [
    "CenterLoss",
    "ComplementEntropy",
    "DifferentialLoss",
    "ElasticMMCLoss",
    "GuidedComplementEntropy",
    "LGMLoss",
    "MMCLoss",
    "MMLDALoss",
    "ScoreLoss",
    "ShellMMCLoss",
    "center",
    "complement_entropy",
    "differential",
    "guided_complement_entropy",
    "label_distribution",
    "lgm",
    "mm_lda",
    "mmc",
    "shell_mmc",
]
