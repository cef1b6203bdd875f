"""Max-Mahalanobis linear discriminant analysis (MM-LDA)."""

import keras
import numpy as np
from keras import ops

from keras_mmc._labels import label_distribution
from keras_mmc.losses.base import ScoreLoss, check_number, check_positive, softmax_cross_entropy


def mm_lda(y_true, scores, sigma=1.0, priors=None, label_smoothing=0.0):
    """Softmax cross-entropy of the Gaussian mixture that the scores describe.

    The logits are `s_k / sigma^2 + log pi_k`, the log joint densities of `N(mu_k, sigma^2 I)` with
    class priors `pi` up to a constant. The released code's logits `-||z - mu_k||^2` are
    `sigma = 1/sqrt(2)`.

    Args:
        y_true: labels, integers `(N,)` or `(N, 1)` or rows `(N, K)`.
        scores: tensor `(N, K)`, `s_k = -1/2 ||z - mu_k||^2`.
        sigma: standard deviation of every class in feature space.
        priors: K class probabilities, or `None` for uniform ones.
        label_smoothing: share of the label spread evenly over all classes.

    Returns:
        Tensor `(N,)`.

    Source: Pang et al., *Max-Mahalanobis Linear Discriminant Analysis Networks*, ICML 2018,
    arXiv 1802.09308.

    Example:
    >>> keras_mmc.losses.mm_lda([0], keras.ops.array([[-3.0, -3.0]]))
    [0.6931472]
    """
    logits = scores / sigma**2
    if priors is not None:
        logits = logits + ops.log(ops.convert_to_tensor(priors, dtype=scores.dtype))
    targets = label_distribution(y_true, scores)
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + label_smoothing / scores.shape[-1]
    return softmax_cross_entropy(targets, logits)


@keras.saving.register_keras_serializable("keras_mmc")
class MMLDALoss(ScoreLoss):
    """Cross-entropy on Max-Mahalanobis scores; with a dense head, on its logits over `sigma^2`.

    With centres of norm 10 the softmax of the scores is close to one-hot and training can stall; a
    larger `sigma` softens it.

    Args:
        sigma: standard deviation of every class in feature space, above 0.
        priors: K class probabilities that sum to 1, or `None` for uniform ones.
        label_smoothing: share of the label spread evenly over all classes, in `[0, 1)`.
        reduction: as in `keras.losses.Loss`.
        name: name of the loss.
        dtype: dtype of the computation, float32 or wider.

    Raises:
        ValueError: if a parameter is out of range, if `priors` are not K probabilities, or if the
            labels do not fit.

    Source: Pang et al., ICML 2018, arXiv 1802.09308; see `keras_mmc.losses.mm_lda`.

    Example:
    >>> model.compile(optimizer="adam", loss=keras_mmc.MMLDALoss(sigma=2.0))
    """

    def __init__(
        self,
        sigma=1.0,
        priors=None,
        label_smoothing=0.0,
        reduction="sum_over_batch_size",
        name="mm_lda_loss",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check_positive("sigma", sigma, "MMLDALoss")
        check_number("label_smoothing", label_smoothing, "MMLDALoss", at_least=0.0, below=1.0)
        self.sigma = sigma
        self.priors = None if priors is None else _check_priors(priors)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """One loss value per sample from scores `y_pred`."""
        if self.priors is not None and len(self.priors) != y_pred.shape[-1]:
            raise ValueError(
                f"MMLDALoss holds {len(self.priors)} priors; received scores of "
                f"{y_pred.shape[-1]} classes. Give one prior per class."
            )
        return mm_lda(y_true, y_pred, self.sigma, self.priors, self.label_smoothing)

    def get_config(self):
        return {
            **super().get_config(),
            "sigma": self.sigma,
            "priors": self.priors,
            "label_smoothing": self.label_smoothing,
        }


def _check_priors(priors):
    values = np.asarray(priors, dtype="float64")
    if values.ndim != 1 or np.any(~(values > 0)) or abs(values.sum() - 1) > 1e-6:
        raise ValueError(
            "MMLDALoss: `priors` must be one positive probability per class, summing to 1; "
            f"received {priors!r}. Divide class counts by their sum."
        )
    return values.tolist()
