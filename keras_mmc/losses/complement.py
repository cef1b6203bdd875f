"""Complement entropy, the second objective of complement objective training (COT)."""

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import label_distribution
from keras_mmc._scores import nan_where_nan
from keras_mmc.losses.base import ScoreLoss


def complement_entropy(y_true: Tensor, scores: Tensor) -> Tensor:
    """Negative entropy `sum_{j != g} q_j log q_j` of the wrong classes' probabilities.

    `q_j = p_j / (1 - p_g)` is the softmax over the K-1 wrong scores; it does not depend on the
    true score, and is computed so. The papers *maximize* the entropy; this is its negative, to be
    minimized. It lies in `[-log(K-1), 0]` and is smallest where all wrong classes are equally
    likely.

    Source: Chen et al., *Complement Objective Training*, ICLR 2019, arXiv 1903.01182.

    Example:
    >>> keras_mmc.losses.complement_entropy([0], keras.ops.array([[5.0, 1.0, 1.0]]))
    [-0.6931472]
    """
    targets = label_distribution(y_true, scores)
    true = targets > 0.5
    largest = ops.max(ops.abs(scores), axis=-1, keepdims=True)
    # So low that q of the true class is exactly 0.
    log_q = ops.log_softmax(ops.where(true, -largest - 1e4, scores), axis=-1)
    terms = (1 - targets) * ops.exp(log_q) * ops.where(true, 0.0, log_q)
    return nan_where_nan(ops.sum(terms, axis=-1), scores)


@keras.saving.register_keras_serializable("keras_mmc")
class ComplementEntropy(ScoreLoss):
    """Negative complement entropy: flattens the probabilities of the wrong classes.

    It says nothing about the true class and is meant as a second objective beside another loss.

    Args:
        **kwargs: `reduction`, `name` and `dtype`, as for `ScoreLoss`.

    Source: Chen et al., ICLR 2019, arXiv 1903.01182; see `keras_mmc.losses.complement_entropy`.

    Example:
    >>> keras_mmc.ComplementEntropy()([0], [[5.0, 1.0, 1.0]])
    -0.6931472
    """

    min_classes = 3
    says_true_class = False

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return complement_entropy(y_true, y_pred)
