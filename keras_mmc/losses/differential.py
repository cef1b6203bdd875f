"""Differential training loss: pairs of samples of different classes."""

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_scores, label_distribution
from keras_mmc.losses.base import ScoreLoss


def differential(y_true: Tensor, scores: Tensor) -> Tensor:
    """Mean over pairs of differently labeled samples of `softplus(-(s_i - s_j))`.

    For two classes this is the paper's loss on the difference `s = scores[:, 1] - scores[:, 0]`.
    For more, this package's extension: for sample i of class a and sample j of class b
    `softplus(-((s_ia - s_ib) - (s_ja - s_jb)))`. Each pair's term is split between its two samples
    and scaled so that the *mean* of the returned values is the mean over pairs. A batch of one
    class has no pair and gives 0; a NaN score makes the whole batch NaN.

    Source: Nar et al., *Cross-Entropy Loss and Low-Rank Features Have Responsibility for
    Adversarial Examples*, arXiv 1901.08360.

    Example:
    >>> scores = keras.ops.array([[0.0, 3.0], [0.0, 1.0]])
    >>> keras_mmc.losses.differential([1, 0], scores)
    [0.126928, 0.126928]
    """
    scores = as_scores(scores)
    targets = label_distribution(y_true, scores)
    # at_labels[i, j]: score of sample i for the class of sample j.
    at_labels = ops.matmul(scores, ops.transpose(targets))
    own = ops.sum(scores * targets, axis=-1)
    gaps = own[:, None] - at_labels - ops.transpose(at_labels) + own[None, :]
    different = 1 - ops.matmul(targets, ops.transpose(targets))
    terms = different * ops.softplus(-gaps)
    pairs = ops.maximum(ops.sum(different), 1.0)
    count = ops.cast(ops.shape(scores)[0], scores.dtype)
    return count * ops.sum(terms, axis=-1) / pairs


@keras.saving.register_keras_serializable("keras_mmc")
class DifferentialLoss(ScoreLoss):
    """Differential training: compares samples of different classes instead of single samples.

    With a linear, bias-free binary head (`DifferentialHead`) gradient descent on separable
    features tends to the direction of the hard-margin support vector machine. The decision
    threshold, which cancels in every pair, is set after training: `keras_mmc.layers.fit_threshold`.
    The default reduction gives the mean over pairs.

    Source: Nar et al., arXiv 1901.08360; see `keras_mmc.losses.differential`.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras_mmc.layers.DifferentialHead()])
    >>> model.compile(optimizer="sgd", loss=keras_mmc.DifferentialLoss())
    """

    pairwise = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return differential(y_true, y_pred)
