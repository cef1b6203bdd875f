"""The temperature at which a softmax of scores is as sure as it is right."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from keras_mmc._labels import check_labels
from keras_mmc._real_arrays import real_array
from keras_mmc._validation import check, check_count, check_number

# Beyond a factor of e^12 from the best guess a softmax is uniform or one-hot.
_RANGE = 12.0


def fit_temperature(scores: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T that minimizes the negative log-likelihood of `softmax(scores / T)`.

    Args:
        scores: `(N, K)`, of images that the model was not trained on.
        labels: `(N,)`, integers.

    Raises:
        ValueError: if there is no score, or every prediction is right, or none: then the best
            temperature is 0 or infinity, and more images are needed.

    Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, section 4.2.

    Example:
    >>> fit_temperature(model.predict(x_val), y_val)
    """
    scores, labels = _checked("fit_temperature", scores, labels)
    hits = np.mean(scores.argmax(axis=1) == labels) if len(scores) else 0.0
    if not 0 < hits < 1:
        raise ValueError(
            "A temperature needs images with right and with wrong predictions; received "
            f"{len(scores)}, of which {hits:.0%} are right. Pass more images that the model was "
            "not trained on."
        )
    gaps = scores.max(axis=1) - np.median(scores, axis=1)
    middle = math.log(float(np.median(gaps)) or 1.0)

    def likelihood(log_temperature: float) -> float:
        log_p = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float(log_p[np.arange(len(labels)), labels].mean())

    bounds = middle - _RANGE, middle + _RANGE
    found = minimize_scalar(likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def expected_calibration_error(
    scores: ArrayLike, labels: ArrayLike, temperature: float = 1.0, bins: int = 15
) -> float:
    """The mean gap between confidence and accuracy over bins of equal width, from 0 to 1.

    Args:
        scores: `(N, K)`.
        labels: `(N,)`, integers.
        temperature: T in `softmax(scores / T)`, whose largest entry is the confidence.
        bins: number of bins.

    Source: Guo et al., ICML 2017, equation 3.

    Example:
    >>> expected_calibration_error(model.predict(x_test), y_test, temperature=1.8)
    """
    owner = "expected_calibration_error"
    check_number(owner, "temperature", temperature, above=0)
    check_count(owner, "bins", bins)
    scores, labels = _checked(owner, scores, labels)
    check(owner, "scores", scores, len(scores) > 0, "of one image at least")
    p = softmax(scores / temperature, axis=1)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def _checked(owner: str, scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Finite scores `(N, K)` in float64 and labels `(N,)`; refuses others with a `ValueError`."""
    values = real_array(owner, "scores", scores, ndim=2).astype("float64")
    if not np.isfinite(values).all() or values.shape[1] < 2:
        raise ValueError(
            f"{owner}: `scores` must be finite, and of two classes at least; received "
            f"shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} values not finite."
        )
    classes = check_labels(labels, values.shape[1])
    if len(classes) != len(values):
        raise ValueError(f"{owner}: received {len(values)} scores but {len(classes)} labels.")
    return values, classes
