"""The linear readout of the binarization test."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

# Where the readout's boundary lies between the outermost inner image (0) and the boundary image
# (1): close to the latter, so that chance does not find what an attack should.
_CLOSENESS = 0.9
# Weight of the squared kernel in the sum of the losses: the images are to be separated.
_SHRINKAGE = 1e-6


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
    kernel = logistic_regression(standard, np.arange(len(standard)) == len(standard) - 1) / spread
    heights = features @ kernel
    outermost, boundary = heights[:-1].max(), heights[-1]
    if boundary <= outermost:
        return None
    bias = -(outermost + _CLOSENESS * (boundary - outermost))
    stretch = np.ptp(scores) / (2 * np.abs(heights + bias).max())
    return (stretch * kernel).astype("float32"), np.float32(stretch * bias)


def logistic_regression(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kernel `(d,)` of a logistic regression with a bias, both classes of equal weight.

    Args:
        x: samples `(n, d)`, float64.
        y: booleans `(n,)`, both of which occur.
    """
    sign = np.where(y, 1.0, -1.0)
    weights = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum())
    shrinkage = _SHRINKAGE / len(x)

    def loss_and_gradient(parameters):
        kernel, bias = parameters[:-1], parameters[-1]
        heights = sign * (x @ kernel + bias)
        slopes = -weights * sign * expit(-heights)
        loss = weights @ np.logaddexp(0, -heights) + shrinkage / 2 * kernel @ kernel
        return loss, np.append(slopes @ x + shrinkage * kernel, slopes.sum())

    # Where it ends before the minimum, the kernel may separate the images all the same.
    options = {"maxiter": 1000, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(float).eps}
    start = np.zeros(x.shape[1] + 1)
    return minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x[:-1]
