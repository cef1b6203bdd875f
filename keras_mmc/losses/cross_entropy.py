"""Softmax cross-entropy on the scores: MM-LDA, and with learned centers L-GM."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mmc._backend import Tensor
from keras_mmc._labels import as_scores, label_distribution
from keras_mmc._real_arrays import real_array
from keras_mmc._validation import check, check_number
from keras_mmc.losses.base import ScoreLoss
from keras_mmc.losses.mmc import mmc

_SIGMAS = 1e-6, 1e6  # squares of scores over squares of these are finite in float32


def softmax_cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    """Softmax cross-entropy `-sum_k t_k log softmax(logits)_k`, one value per sample `(N,)`."""
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


def mm_lda(
    y_true: Tensor,
    scores: Tensor,
    sigma: float = 1.0,
    priors: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy of the Gaussian mixture that the scores describe.

    The logits are `s_k / sigma^2 + log pi_k`, the log joint densities of `N(mu_k, sigma^2 I)` with
    class priors `pi` up to a constant. The released code's logits `-||z - mu_k||^2` are
    `sigma = 1/sqrt(2)`. Parameters as in `MMLDALoss`; a `ValueError` asks for one prior per class.

    Source: Pang et al., *Max-Mahalanobis Linear Discriminant Analysis Networks*, ICML 2018,
    arXiv 1802.09308.

    Example:
    >>> keras_mmc.losses.mm_lda([0], keras.ops.array([[-3.0, -3.0]]))
    [0.6931472]
    """
    check_number("mm_lda", "sigma", sigma, at_least=_SIGMAS[0], at_most=_SIGMAS[1])
    scores = as_scores(scores)
    logits = scores / sigma**2
    num_classes = scores.shape[-1]
    if priors is not None:
        if len(priors) != num_classes:
            raise ValueError(
                f"MM-LDA holds {len(priors)} priors; received scores of {num_classes} classes. "
                "Give one prior per class."
            )
        logits = logits + ops.log(ops.convert_to_tensor(priors, dtype=scores.dtype))
    targets = label_distribution(y_true, scores)
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + label_smoothing / num_classes
    return softmax_cross_entropy(targets, logits)


def lgm(y_true: Tensor, scores: Tensor, margin: float, weight: float) -> Tensor:
    """Softmax cross-entropy with the true score times `1 + margin`, plus `weight * (-s_y)`.

    Source: Wan et al., *Rethinking Feature Distribution for Loss Functions in Image
    Classification*, CVPR 2018.

    Example:
    >>> keras_mmc.losses.lgm([0], keras.ops.array([[-2.0, -2.2]]), margin=0.1, weight=0.0)
    [0.6931472]
    """
    check_number("lgm", "margin", margin, at_least=0)
    check_number("lgm", "weight", weight, at_least=0)
    scores = as_scores(scores)
    targets = label_distribution(y_true, scores)
    with_margin = scores * (1 + margin * targets)
    return softmax_cross_entropy(targets, with_margin) + weight * mmc(targets, scores)


@keras.saving.register_keras_serializable("keras_mmc")
class MMLDALoss(ScoreLoss):
    """Cross-entropy on Max-Mahalanobis scores; with a dense head, on its logits over `sigma^2`.

    With centers of norm 10 the softmax of the scores is close to one-hot and training can stall; a
    larger `sigma` softens it.

    Args:
        sigma: standard deviation of every class in feature space, from 1e-6 to 1e6.
        priors: K positive class probabilities that sum to 1, or `None` for uniform ones.
        label_smoothing: fraction of the label spread evenly over all classes, in `[0, 1)`.

    Source: Pang et al., ICML 2018, arXiv 1802.09308; see `keras_mmc.losses.mm_lda`.

    Example:
    >>> model.compile(optimizer="adam", loss=keras_mmc.MMLDALoss(sigma=2.0))
    """

    config_fields = ("sigma", "priors", "label_smoothing")

    def __init__(
        self,
        sigma: float = 1.0,
        priors: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_number(self, "sigma", sigma, at_least=_SIGMAS[0], at_most=_SIGMAS[1])
        check_number(self, "label_smoothing", label_smoothing, at_least=0, below=1)
        if priors is not None:
            values = real_array(type(self).__name__, "priors", priors).astype("float64")
            fits = values.ndim == 1 and bool((values > 0).all()) and abs(values.sum() - 1) <= 1e-6
            check(self, "priors", priors, bool(fits), "one positive probability per class, sum 1")
            priors = values.tolist()
        self.sigma, self.priors, self.label_smoothing = sigma, priors, label_smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return mm_lda(y_true, y_pred, self.sigma, self.priors, self.label_smoothing)


@keras.saving.register_keras_serializable("keras_mmc")
class LGMLoss(ScoreLoss):
    """Large-margin Gaussian mixture loss, meant for `keras_mmc.layers.LearnedCenters`.

    The margin widens the distance to the own center and so needs scores that are never positive;
    with a dense head use a loss of logits instead.

    Args:
        margin: classification margin `alpha`, at least 0; 0.1 in the paper's code. 0 is a center
            loss whose classifier and centers are one.
        weight: weight `lambda` of the likelihood term, at least 0; 0.01 in the paper's code.

    Source: Wan et al., CVPR 2018; see `keras_mmc.losses.lgm`.

    Example:
    >>> model = keras_mmc.models.lenet5((28, 28, 1), head=keras_mmc.LearnedCenters(10))
    >>> model.compile(optimizer="adam", loss=keras_mmc.LGMLoss())
    """

    config_fields = ("margin", "weight")
    needs_distances = True

    def __init__(self, margin: float = 0.1, weight: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        check_number(self, "margin", margin, at_least=0)
        check_number(self, "weight", weight, at_least=0)
        self.margin, self.weight = margin, weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return lgm(y_true, y_pred, self.margin, self.weight)
