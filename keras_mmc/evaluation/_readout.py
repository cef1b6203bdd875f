"""The linear readout of the binarization test."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

# Where the readout's boundary lies between the outermost inner image (0) and the boundary image
# (1): close to the latter, so that chance does not find what an attack should.
_CLOSENESS = 0.9


def readout_of(features: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.float32] | None:
    """The readout with the last image on one side and all others on the other.

    Args:
        features: features of the images, `(n, d)`.
        scores: the model's own scores of them, `(n, K)`, whose range those of the readout span.

    Returns:
        Kernel `(d,)` and bias, float32; `None` if no readout separates the images.
    """
    features = features.astype("float64")
    if not np.isfinite(features).all():
        return None
    spread = features.std(axis=0)
    spread[spread == 0] = 1
    standard = (features - features.mean(axis=0)) / spread
    fit = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000)
    with warnings.catch_warnings():
        # Whether the images are separated is looked at below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(standard, np.arange(len(standard)) == len(standard) - 1)
    kernel = fit.coef_[0] / spread
    heights = features @ kernel
    outermost, boundary = heights[:-1].max(), heights[-1]
    if boundary <= outermost:
        return None
    bias = -(outermost + _CLOSENESS * (boundary - outermost))
    stretch = np.ptp(scores) / (2 * np.abs(heights + bias).max())
    return (stretch * kernel).astype("float32"), np.float32(stretch * bias)
